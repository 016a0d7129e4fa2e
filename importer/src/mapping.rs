//! What the caller says about the columns of the files.

use std::str::FromStr;

use chrono_tz::Tz;
use store::new_event::EventField;

use crate::columns::{FIELDS, PROPERTIES_JSON};

/// What the caller says about the columns of the files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mapping {
    /// Fields whose column has another name.
    pub(crate) renames: Vec<(EventField, String)>,
    /// Fields that have the same value in every row.
    pub(crate) constants: Vec<(EventField, String)>,
    /// What happens to columns that belong to no field.
    pub(crate) extras: Extras,
    /// Whether a row without `event_id` gets one made from its content.
    pub(crate) derive_event_id: bool,
    /// The time zone of times without an offset; none: they are refused.
    pub(crate) assume_timezone: Option<Tz>,
}

/// What happens to columns that belong to no field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Extras {
    /// The file (or, in NDJSON, the row) is refused.
    #[default]
    Refuse,
    /// They are left out.
    Ignore,
    /// They become properties.
    Properties,
}

impl Mapping {
    /// The column that `--map` names for `field`.
    pub(crate) fn renamed(&self, field: EventField) -> Option<&str> {
        lookup(&self.renames, field)
    }

    /// The value that `--const` gives to `field`.
    pub(crate) fn constant(&self, field: EventField) -> Option<&str> {
        lookup(&self.constants, field)
    }
}

fn lookup(pairs: &[(EventField, String)], field: EventField) -> Option<&str> {
    pairs
        .iter()
        .find(|(known, _)| *known == field)
        .map(|(_, text)| text.as_str())
}

/// An argument `FIELD=TEXT` of `--map` or `--const`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) field: EventField,
    pub(crate) text: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(argument: &str) -> Result<Self, String> {
        let Some((name, text)) = argument.split_once('=') else {
            return Err("must have the form FIELD=TEXT, such as user_id=customer".to_owned());
        };
        let known = |field: &&EventField| field.column() == name;
        let field = match FIELDS.iter().find(known) {
            Some(field) => *field,
            None if name == PROPERTIES_JSON => EventField::Properties,
            None => {
                let names: Vec<&str> = FIELDS.iter().map(|field| field.column()).collect();
                return Err(format!(
                    "{name:?} is no field of an event; those are {}",
                    names.join(", ")
                ));
            }
        };
        if text.is_empty() {
            return Err(format!("nothing stands behind {name}="));
        }
        Ok(Self {
            field,
            text: text.to_owned(),
        })
    }
}

/// Pairs of `assignments`, each field at most once.
///
/// # Errors
/// A sentence if a field is named twice.
pub(crate) fn pairs(option: &str, assignments: &[Assignment]) -> Result<Vec<(EventField, String)>, String> {
    let mut pairs: Vec<(EventField, String)> = Vec::new();
    for Assignment { field, text } in assignments {
        if lookup(&pairs, *field).is_some() {
            return Err(format!("{option} names {} twice", field.column()));
        }
        pairs.push((*field, text.clone()));
    }
    Ok(pairs)
}
