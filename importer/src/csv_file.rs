//! Events of a CSV file.

use std::io;

use serde_json::{Map, Value};
use store::{
    json,
    new_event::{EventField, NewEvent},
};

use crate::{
    columns::{Layout, Origin},
    csv_text::Values,
    lines::Window,
    mapping::Mapping,
    reject::Reject,
    row_parser::{Cells, RowParser},
    rows::{CsvRows, Place, RowFault},
};

/// A CSV file behind its header.
pub(crate) struct CsvFile {
    rows: CsvRows,
    values: Values,
    layout: Layout,
}

/// A row that was read: where it stands, its own text, and its event or why it has none.
#[derive(Debug)]
pub(crate) struct ReadRow<'a> {
    pub(crate) place: Place,
    pub(crate) text: &'a [u8],
    pub(crate) event: Result<NewEvent, Reject>,
}

/// What stands in the way of reading a file's header.
#[derive(Debug)]
pub(crate) enum HeaderError {
    /// The columns are not those of events; the sentence says which ones and what would help.
    Columns(String),
    /// The file cannot be read.
    Read(io::Error),
}

impl CsvFile {
    /// Reads the header. None if the file is empty.
    pub(crate) fn open(
        window: Window,
        delimiter: u8,
        mapping: &Mapping,
    ) -> Result<Option<Self>, HeaderError> {
        let mut rows = CsvRows::new(window, delimiter);
        let mut values = Values::default();
        let Some(header) = rows.next(&mut values).map_err(HeaderError::Read)? else {
            return Ok(None);
        };
        if let Some(fault) = header.fault {
            let problem = fault_of(fault, None).reason;
            return Err(HeaderError::Columns(format!(
                "the header cannot be read: {problem}"
            )));
        }
        let mut names = Vec::with_capacity(values.len());
        for position in 0..values.len() {
            let name = std::str::from_utf8(values.at(position))
                .map_err(|_| HeaderError::Columns("the header is not UTF-8".to_owned()))?;
            names.push(name.trim().to_owned());
        }
        let layout = Layout::new(names, mapping).map_err(HeaderError::Columns)?;
        Ok(Some(Self { rows, values, layout }))
    }

    /// The columns.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The next row; none at the end.
    pub(crate) fn next(&mut self, parser: RowParser<'_>) -> io::Result<Option<ReadRow<'_>>> {
        let Some(row) = self.rows.next(&mut self.values)? else {
            return Ok(None);
        };
        let cells = Columns {
            values: &self.values,
            layout: &self.layout,
            row: row.text,
            offset: row.place.offset,
        };
        let event = match row.fault {
            Some(fault) => Err(fault_of(fault, Some(&self.layout))),
            None => cells.event(parser),
        };
        // A row of a file of rejected rows starts with why it was rejected; its own text comes behind that.
        let skipped = match self.layout.leading_rejected() {
            0 => 0,
            count => self.values.raw_end(count - 1).map_or(0, |end| end + 1),
        };
        let text = row.text.get(skipped..).unwrap_or_default();
        Ok(Some(ReadRow {
            place: row.place,
            text,
            event,
        }))
    }
}

fn fault_of(fault: RowFault, layout: Option<&Layout>) -> Reject {
    match fault {
        RowFault::TooLong => Reject::row("the row is longer than a mebibyte"),
        RowFault::Quotes(position, problem) => {
            let number = format!("value {}", position + 1);
            let column = layout
                .and_then(|layout| layout.names.get(position))
                .unwrap_or(&number);
            Reject::column(column, "", problem)
        }
    }
}

/// The values of one row by field.
struct Columns<'a> {
    values: &'a Values,
    layout: &'a Layout,
    row: &'a [u8],
    offset: u64,
}

impl Columns<'_> {
    fn event(&self, parser: RowParser<'_>) -> Result<NewEvent, Reject> {
        let (found, expected) = (self.values.len(), self.layout.names.len());
        if found != expected {
            return Err(Reject::row(format!(
                "the row has {found} values where the header has {expected} columns"
            )));
        }
        let cells = Cells {
            event_id: self.text(EventField::EventId)?.map(str::to_owned),
            user_id: self.text(EventField::UserId)?.map(str::to_owned),
            event_type: self.text(EventField::EventType)?.map(str::to_owned),
            occurred_at: self.text(EventField::OccurredAt)?.map(str::to_owned),
            properties: self.properties()?,
        };
        parser.parse(cells, |field| self.describe(field))
    }

    /// The text of `field`; an empty one is none.
    fn text(&self, field: EventField) -> Result<Option<&str>, Reject> {
        let text = match self.layout.origin(field) {
            Origin::Column(position) => self.value(*position)?,
            Origin::Constant(text) => text,
            Origin::Absent => "",
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn value(&self, position: usize) -> Result<&str, Reject> {
        std::str::from_utf8(self.values.at(position))
            .map_err(|_| Reject::not_utf8(&self.layout.names[position], self.row, self.offset))
    }

    fn properties(&self) -> Result<Option<Value>, Reject> {
        let own = match self.text(EventField::Properties)? {
            Some(text) => Some(json::parse_exact(text.as_bytes()).map_err(|error| {
                let (column, value) = self.describe(EventField::Properties);
                Reject::column(&column, &value, &format!("cannot be read as JSON: {error}"))
            })?),
            None => None,
        };
        if self.layout.extras.is_empty() {
            return Ok(own);
        }
        let mut properties = match own {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            // Validation says what is wrong with it.
            other => return Ok(other),
        };
        for position in &self.layout.extras {
            let (name, value) = (&self.layout.names[*position], self.value(*position)?);
            if value.is_empty() {
                continue;
            }
            if properties.insert(name.clone(), Value::from(value)).is_some() {
                return Err(Reject::column(name, value, "is a key of the properties as well"));
            }
        }
        Ok(Some(Value::Object(properties)))
    }

    /// The file's name of a field's column, and the value there.
    fn describe(&self, field: EventField) -> (String, String) {
        match self.layout.origin(field) {
            Origin::Column(position) => {
                let value = String::from_utf8_lossy(self.values.at(*position)).into_owned();
                (self.layout.names[*position].clone(), value)
            }
            Origin::Constant(text) => (field.column().to_owned(), text.clone()),
            Origin::Absent => (field.column().to_owned(), String::new()),
        }
    }
}
