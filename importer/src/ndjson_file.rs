//! Events of an NDJSON file.

use std::io;

use serde_json::{Map, Value};
use store::{
    json,
    new_event::{EventField, NewEvent},
};

use crate::{
    columns::{PROPERTIES_JSON, REJECTED_COLUMNS, unknown_columns},
    csv_file::ReadRow,
    lines::Window,
    mapping::{Extras, Mapping},
    reject::Reject,
    row_parser::{Cells, RowParser},
    rows::{NdjsonRows, RowFault},
};

/// The member that holds the text of a rejected line that is no JSON object; reading takes the row from it.
pub(crate) const REJECTED_TEXT: &str = "rejected_text";

/// An NDJSON file.
pub(crate) struct NdjsonFile {
    rows: NdjsonRows,
}

impl NdjsonFile {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            rows: NdjsonRows::new(window),
        }
    }

    /// The next row; none at the end.
    pub(crate) fn next(&mut self, parser: RowParser<'_>) -> io::Result<Option<ReadRow<'_>>> {
        let Some(row) = self.rows.next()? else {
            return Ok(None);
        };
        let event = match row.fault {
            Some(RowFault::TooLong | RowFault::Quotes(..)) => {
                Err(Reject::row("the row is longer than a mebibyte"))
            }
            None => event(row.text, row.place.offset, parser),
        };
        Ok(Some(ReadRow {
            place: row.place,
            text: row.text,
            event,
        }))
    }
}

fn event(text: &[u8], offset: u64, parser: RowParser<'_>) -> Result<NewEvent, Reject> {
    let mut members = object(text, offset)?;
    // The row of a file of rejected rows, or of a file of those that were rejected again.
    while let Some(Value::String(inner)) = members.get(REJECTED_TEXT) {
        members = object(inner.as_bytes(), 0)?;
    }
    for name in REJECTED_COLUMNS {
        members.remove(name);
    }
    let mapping = parser.mapping;
    let members_of = |field: EventField| member_name(field, mapping);
    let mut faults: Vec<Reject> = Vec::new();
    let mut take = |field: EventField| -> Option<String> {
        match text_of(&mut members, field, mapping) {
            Ok(text) => text,
            Err(fault) => {
                faults.push(fault);
                None
            }
        }
    };
    let mut cells = Cells {
        event_id: take(EventField::EventId),
        user_id: take(EventField::UserId),
        event_type: take(EventField::EventType),
        occurred_at: take(EventField::OccurredAt),
        properties: None,
    };
    cells.properties = properties(&mut members, mapping)?;
    if let Some(fault) = faults.into_iter().reduce(Reject::and) {
        return Err(fault);
    }
    parser.parse(cells, |field| {
        (members_of(field).to_owned(), shown(text, field, mapping))
    })
}

fn object(text: &[u8], offset: u64) -> Result<Map<String, Value>, Reject> {
    if std::str::from_utf8(text).is_err() {
        return Err(Reject::not_utf8("", text, offset));
    }
    match json::parse_exact(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Reject::row("the row is no JSON object")),
        Err(error) => Err(Reject::row(format!("the row cannot be read as JSON: {error}"))),
    }
}

/// The file's name of a field's member.
fn member_name(field: EventField, mapping: &Mapping) -> &str {
    mapping.renamed(field).unwrap_or_else(|| field.column())
}

/// Takes the text of `field` out of `members`. Whole numbers are taken for a user's id, which many systems number.
fn text_of(
    members: &mut Map<String, Value>,
    field: EventField,
    mapping: &Mapping,
) -> Result<Option<String>, Reject> {
    let name = member_name(field, mapping);
    match members.remove(name) {
        None | Some(Value::Null) => Ok(mapping.constant(field).map(str::to_owned)),
        Some(Value::String(text)) if text.is_empty() && field == EventField::EventId => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) if field == EventField::UserId && !number.is_f64() => {
            Ok(Some(number.to_string()))
        }
        Some(other) => Err(Reject::column(name, &other.to_string(), "must be a JSON string")),
    }
}

/// Takes the properties out of `members`, of which only what belongs to no field is left.
fn properties(members: &mut Map<String, Value>, mapping: &Mapping) -> Result<Option<Value>, Reject> {
    let name = member_name(EventField::Properties, mapping);
    let own = match (members.remove(name), members.remove(PROPERTIES_JSON)) {
        (Some(_), Some(_)) => return Err(Reject::row("there are both properties and properties_json")),
        (Some(value), None) => Some(value),
        (None, Some(Value::String(text))) => Some(from_text(&text)?),
        (None, other) => other,
    };
    let own = match (own, mapping.constant(EventField::Properties)) {
        (None, Some(constant)) => Some(from_text(constant)?),
        (own, _) => own,
    };
    if members.is_empty() || mapping.extras == Extras::Ignore {
        return Ok(own);
    }
    if mapping.extras == Extras::Refuse {
        let names: Vec<&str> = members.keys().map(String::as_str).collect();
        let mut reject = Reject::row(unknown_columns(&names));
        names[0].clone_into(&mut reject.column);
        return Err(reject);
    }
    let mut map = match own {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        // Validation says what is wrong with it.
        other => return Ok(other),
    };
    for (name, value) in std::mem::take(members) {
        if map.contains_key(&name) {
            return Err(Reject::column(
                &name,
                &value.to_string(),
                "is a key of the properties as well",
            ));
        }
        map.insert(name, value);
    }
    Ok(Some(Value::Object(map)))
}

fn from_text(text: &str) -> Result<Value, Reject> {
    json::parse_exact(text.as_bytes())
        .map_err(|error| Reject::column(PROPERTIES_JSON, text, &format!("cannot be read as JSON: {error}")))
}

/// The value of a field as the row has it, to be shown.
fn shown(text: &[u8], field: EventField, mapping: &Mapping) -> String {
    let Ok(Value::Object(members)) = json::parse_exact(text) else {
        return String::new();
    };
    let alias = (field == EventField::Properties)
        .then(|| members.get(PROPERTIES_JSON))
        .flatten();
    match members.get(member_name(field, mapping)).or(alias) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
