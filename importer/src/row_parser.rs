//! From the fields of a row to an event, by the validation that every way in shares.

use chrono::{DateTime, Utc};
use serde_json::Value;
use store::new_event::{DEFAULT_MAX_AHEAD, EventField, NewEvent, RawEvent};

use crate::{
    event_ids::{self, Content},
    mapping::Mapping,
    reject::{self, Reject},
    times,
};

/// What the rows of a file are judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowParser<'a> {
    pub(crate) mapping: &'a Mapping,
    /// When the rows arrived.
    pub(crate) now: DateTime<Utc>,
}

/// The fields of a row as the file's format gives them. Empty texts of a CSV file count as absent.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    pub(crate) event_id: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) occurred_at: Option<String>,
    pub(crate) properties: Option<Value>,
}

impl RowParser<'_> {
    /// Makes the event of a row. `describe` answers the file's own name of a field's column and the value there; it is
    /// asked only about what is wrong.
    pub(crate) fn parse(
        &self,
        cells: Cells,
        describe: impl Fn(EventField) -> (String, String),
    ) -> Result<NewEvent, Reject> {
        let mut faults: Vec<(EventField, String)> = Vec::new();
        let occurred_at = match (cells.occurred_at, self.mapping.assume_timezone) {
            (Some(text), Some(zone)) => Some(times::to_rfc3339(text, zone)),
            (text, _) => text,
        };
        if occurred_at.is_none() {
            faults.push((EventField::OccurredAt, "is missing".to_owned()));
        }
        let lacks_offset = occurred_at.as_deref().is_some_and(times::lacks_offset);
        let mut raw = RawEvent {
            event_id: cells.event_id,
            user_id: cells.user_id.unwrap_or_default(),
            event_type: cells.event_type.unwrap_or_default(),
            occurred_at,
            properties: cells.properties,
        };
        if raw.event_id.is_none() && !self.mapping.derive_event_id {
            let phrase = "is missing; --derive-event-id makes ids from the content of the rows";
            faults.insert(0, (EventField::EventId, phrase.to_owned()));
        } else if raw.event_id.is_none() {
            let content = Content {
                user_id: &raw.user_id,
                event_type: &raw.event_type,
                occurred_at: raw.occurred_at.as_deref(),
                properties: raw.properties.as_ref(),
            };
            raw.event_id = Some(event_ids::derive(content).to_string());
        }
        let parsed = NewEvent::parse(raw, self.now, DEFAULT_MAX_AHEAD);
        match parsed {
            Ok(event) if faults.is_empty() => return Ok(event),
            Ok(_) => {}
            Err(violations) => faults.extend(violations.iter().map(|violation| {
                let mut phrase = reject::phrase(violation);
                if violation.field == EventField::OccurredAt && lacks_offset {
                    phrase.push_str("; --assume-timezone takes times without an offset");
                }
                (violation.field, phrase)
            })),
        }
        Err(together(faults, describe))
    }
}

fn together(
    mut faults: Vec<(EventField, String)>,
    describe: impl Fn(EventField) -> (String, String),
) -> Reject {
    faults.sort_by_key(|(field, _)| *field);
    let mut rejects = faults.into_iter().map(|(field, phrase)| {
        let (column, value) = describe(field);
        Reject::column(&column, &value, &phrase)
    });
    let first = rejects
        .next()
        .unwrap_or_else(|| Reject::row("the row is not valid"));
    rejects.fold(first, Reject::and)
}
