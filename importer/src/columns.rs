//! Which column of a file holds which field of an event.

use store::new_event::EventField;

use crate::mapping::{Extras, Mapping};

/// The columns of an event, as files name them when nobody says otherwise.
pub(crate) const COLUMNS: [&str; 5] = ["event_id", "user_id", "event_type", "occurred_at", "properties"];
/// The fields in the same order.
pub(crate) const FIELDS: [EventField; 5] = [
    EventField::EventId,
    EventField::UserId,
    EventField::EventType,
    EventField::OccurredAt,
    EventField::Properties,
];
/// The other name of `properties`.
pub(crate) const PROPERTIES_JSON: &str = "properties_json";
/// The columns that a file of rejected rows has in front of the original ones; reading skips them.
pub(crate) const REJECTED_COLUMNS: [&str; 5] = [
    "rejected_file",
    "rejected_line",
    "rejected_column",
    "rejected_value",
    "rejected_reason",
];

/// Where the value of a field comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The column at this position.
    Column(usize),
    /// The same value for every row.
    Constant(String),
    /// Nowhere.
    Absent,
}

/// The columns of a CSV file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The header, as it is written.
    pub(crate) names: Vec<String>,
    /// Columns that become properties.
    pub(crate) extras: Vec<usize>,
    origins: [Origin; 5],
}

impl Layout {
    /// Finds the fields in the header `names`.
    ///
    /// # Errors
    /// A sentence that names the columns that are missing, unknown, or there twice, and the option that would help.
    pub(crate) fn new(names: Vec<String>, mapping: &Mapping) -> Result<Self, String> {
        if let Some(name) = first_repeated(&names) {
            return Err(format!("the column {name:?} occurs twice in the header"));
        }
        let mut origins = std::array::from_fn(|_| Origin::Absent);
        for (origin, field) in origins.iter_mut().zip(FIELDS) {
            *origin = find(field, &names, mapping)?;
        }
        let extra_columns: Vec<usize> = (0..names.len())
            .filter(|at| {
                !origins.contains(&Origin::Column(*at)) && !REJECTED_COLUMNS.contains(&names[*at].as_str())
            })
            .collect();
        let extras = match mapping.extras {
            Extras::Properties => extra_columns,
            Extras::Ignore => Vec::new(),
            Extras::Refuse if extra_columns.is_empty() => Vec::new(),
            Extras::Refuse => {
                let unknown: Vec<&str> = extra_columns.iter().map(|at| names[*at].as_str()).collect();
                return Err(unknown_columns(&unknown));
            }
        };
        Ok(Self {
            names,
            extras,
            origins,
        })
    }

    /// Where `field` comes from.
    pub(crate) fn origin(&self, field: EventField) -> &Origin {
        let position = FIELDS
            .iter()
            .position(|known| *known == field)
            .unwrap_or_default();
        &self.origins[position]
    }

    /// How many leading columns are those of a file of rejected rows: all or none.
    pub(crate) fn leading_rejected(&self) -> usize {
        let leading = self
            .names
            .iter()
            .zip(REJECTED_COLUMNS)
            .all(|(name, rejected)| name == rejected);
        if leading && self.names.len() >= REJECTED_COLUMNS.len() {
            REJECTED_COLUMNS.len()
        } else {
            0
        }
    }
}

fn find(field: EventField, names: &[String], mapping: &Mapping) -> Result<Origin, String> {
    let column = field.column();
    let position = |wanted: &str| names.iter().position(|name| name == wanted);
    if let Some(wanted) = mapping.renamed(field) {
        let problem = || {
            format!(
                "there is no column {wanted:?} for --map {column}={wanted}; {}",
                list(names)
            )
        };
        return position(wanted).map(Origin::Column).ok_or_else(problem);
    }
    let found = match (position(column), position(PROPERTIES_JSON)) {
        (Some(_), Some(_)) if field == EventField::Properties => {
            return Err(
                "there are both properties and properties_json; --map properties=… chooses one".to_owned(),
            );
        }
        (None, other) if field == EventField::Properties => other,
        (found, _) => found,
    };
    match (found, mapping.constant(field)) {
        (Some(at), None) => Ok(Origin::Column(at)),
        (None, Some(value)) => Ok(Origin::Constant(value.to_owned())),
        (Some(_), Some(_)) => Err(format!(
            "the file has a column {column}, and --const gives it a value as well"
        )),
        (None, None) => match field {
            EventField::Properties => Ok(Origin::Absent),
            EventField::EventId if mapping.derive_event_id => Ok(Origin::Absent),
            EventField::EventId => Err(format!(
                "there is no column event_id; --map event_id=COLUMN names another one, --derive-event-id makes ids \
                 from the content of the rows; {}",
                list(names)
            )),
            EventField::UserId | EventField::EventType | EventField::OccurredAt => Err(format!(
                "there is no column {column}; --map {column}=COLUMN names another one, --const {column}=VALUE gives \
                 every row the same value; {}",
                list(names)
            )),
        },
    }
}

/// The sentence for columns that belong to no field.
pub(crate) fn unknown_columns(names: &[&str]) -> String {
    let (noun, names) = (
        if names.len() == 1 { "column" } else { "columns" },
        names.join(", "),
    );
    format!(
        "unknown {noun} {names}; --map names the columns of an event, --ignore-unknown leaves others out, \
         --extra-as-properties makes them properties"
    )
}

fn list(names: &[String]) -> String {
    format!("the header has {}", names.join(", "))
}

fn first_repeated(names: &[String]) -> Option<&String> {
    names
        .iter()
        .enumerate()
        .find(|(at, name)| names[..*at].contains(name) && !REJECTED_COLUMNS.contains(&name.as_str()))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::{EventField, Extras, Layout, Mapping, Origin};

    fn layout(header: &str, mapping: &Mapping) -> Result<Layout, String> {
        Layout::new(header.split(',').map(str::to_owned).collect(), mapping)
    }

    #[test]
    fn columns_are_found_in_any_order() {
        let mapping = Mapping::default();
        let found = layout(
            "properties_json,occurred_at,event_type,event_id,user_id",
            &mapping,
        )
        .expect("complete");
        assert_eq!(found.origin(EventField::EventId), &Origin::Column(3));
        assert_eq!(found.origin(EventField::Properties), &Origin::Column(0));
        let found = layout("event_id,user_id,event_type,occurred_at", &mapping).expect("complete");
        assert_eq!(found.origin(EventField::Properties), &Origin::Absent);
    }

    #[test]
    fn what_is_missing_unknown_or_doubled_is_named() {
        let check = |header: &str, mapping: &Mapping, words: &str| {
            let error = layout(header, mapping).expect_err(header);
            assert!(error.contains(words), "{error}");
        };
        let plain = Mapping::default();
        check("event_id,user_id,event_type", &plain, "no column occurred_at");
        check("user_id,event_type,occurred_at", &plain, "--derive-event-id");
        check(
            "event_id,user_id,event_type,occurred_at,city,zip",
            &plain,
            "unknown columns city, zip;",
        );
        check(
            "event_id,user_id,user_id,event_type,occurred_at",
            &plain,
            "\"user_id\" occurs twice",
        );
        check(
            "event_id,user_id,event_type,occurred_at,properties,properties_json",
            &plain,
            "both properties",
        );
        let mapped = Mapping {
            renames: vec![(EventField::UserId, "customer".to_owned())],
            ..Mapping::default()
        };
        check(
            "event_id,user_id,event_type,occurred_at",
            &mapped,
            "no column \"customer\"",
        );
        check(
            "event_id,customer,user_id,event_type,occurred_at",
            &mapped,
            "unknown column user_id;",
        );
        let fixed = Mapping {
            constants: vec![(EventField::EventType, "buy".to_owned())],
            ..Mapping::default()
        };
        check(
            "event_id,user_id,event_type,occurred_at",
            &fixed,
            "--const gives it a value as well",
        );
    }

    #[test]
    fn columns_of_rejected_rows_are_skipped() {
        let header = "rejected_file,rejected_line,rejected_column,rejected_value,rejected_reason,\
                      event_id,user_id,event_type,occurred_at";
        let found = layout(
            header,
            &Mapping {
                extras: Extras::Properties,
                ..Mapping::default()
            },
        )
        .expect("complete");
        assert_eq!((found.leading_rejected(), found.extras.len()), (5, 0));
        assert_eq!(found.origin(EventField::EventId), &Origin::Column(5));
    }
}
