//! Events as tests write them: one line each, `time user type`, such as `2026-03-01T08:00Z ana login`.
//!
//! Seconds may be left out, offsets other than `Z` are taken. A fourth word `#name` names the event: lines with
//! the same name have the same `event_id`; without one each line is an event of its own.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Map, Value};
use store::new_event::{DEFAULT_MAX_AHEAD, NewEvent, RawEvent};
use uuid::Uuid;

/// One event, in the plainest form.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its identity.
    pub event_id: Uuid,
    /// Whose it is.
    pub user_id: String,
    /// What happened.
    pub event_type: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// Anything else.
    pub properties: Map<String, Value>,
}

impl Event {
    /// The event as a sender would hand it in, through the real validation.
    ///
    /// # Panics
    /// If the event is not valid: tests that want refusals build a [`RawEvent`] themselves.
    pub fn parsed(&self) -> NewEvent {
        let raw = RawEvent {
            event_id: Some(self.event_id.to_string()),
            user_id: self.user_id.clone(),
            event_type: self.event_type.clone(),
            occurred_at: Some(self.occurred_at.to_rfc3339()),
            properties: Some(Value::Object(self.properties.clone())),
        };
        NewEvent::parse(raw, arrival(), DEFAULT_MAX_AHEAD).expect("events of tests are valid")
    }

    /// The event as an `IngestEventInput` of the GraphQL API.
    pub fn input(&self) -> Value {
        serde_json::json!({
            "eventId": self.event_id.to_string(),
            "userId": self.user_id,
            "eventType": self.event_type,
            "occurredAt": self.occurred_at.to_rfc3339(),
            "properties": self.properties,
        })
    }
}

/// Reads one event per line; empty lines are skipped.
///
/// # Panics
/// If a line is not in the notation.
pub fn events(text: &str) -> Vec<Event> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(number, line)| event(number, line))
        .collect()
}

/// [`events`], through the real validation.
///
/// # Panics
/// If a line is not in the notation or not valid.
pub fn parsed_events(text: &str) -> Vec<NewEvent> {
    events(text).iter().map(Event::parsed).collect()
}

/// The moment at which the events of tests arrive: later than any of them.
pub fn arrival() -> DateTime<Utc> {
    instant("2027-01-01T00:00Z")
}

/// An instant as `2026-03-01T08:00Z`, with or without seconds.
///
/// # Panics
/// If `text` is not one.
pub fn instant(text: &str) -> DateTime<Utc> {
    let has_seconds = text.matches(':').count() >= if text.ends_with('Z') { 2 } else { 3 };
    let full = if has_seconds {
        text.to_owned()
    } else {
        format!("{}:00{}", &text[..16], &text[16..])
    };
    full.parse()
        .unwrap_or_else(|error| panic!("{text:?} is not an instant: {error}"))
}

/// A calendar day as `2026-03-01`.
///
/// # Panics
/// If `text` is not one.
pub fn date(text: &str) -> NaiveDate {
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?} is not a date: {error}"))
}

/// The event id that `#name` stands for.
pub fn named_id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// `count` events of different users, one a minute from `2026-01-01T00:00Z`, named `prefix` and their number.
pub fn numbered_events(prefix: &str, count: usize) -> Vec<Event> {
    let start = instant("2026-01-01T00:00Z");
    let event = |number: usize| Event {
        event_id: named_id(&format!("{prefix}{number}")),
        user_id: format!("user-{}", number % 97),
        event_type: format!("type-{}", number % 5),
        occurred_at: start + TimeDelta::minutes(i64::try_from(number).unwrap_or(i64::MAX)),
        properties: Map::from_iter([("number".to_owned(), Value::from(number))]),
    };
    (0..count).map(event).collect()
}

/// [`numbered_events`] that fill what stands between a sender and a reader: each with 60,000 bytes in the property `fat`.
pub fn fat_events(prefix: &str, count: usize) -> Vec<Event> {
    let fat = "x".repeat(60_000);
    let mut events = numbered_events(prefix, count);
    for event in &mut events {
        event
            .properties
            .insert("fat".to_owned(), Value::from(fat.as_str()));
    }
    events
}

fn event(number: usize, line: &str) -> Event {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (time, user_id, event_type, name) = match words[..] {
        [time, user_id, event_type] => (time, user_id, event_type, format!("line {number}")),
        [time, user_id, event_type, name] if name.starts_with('#') => {
            (time, user_id, event_type, name.to_owned())
        }
        _ => panic!("{line:?} is not `time user type` with an optional `#name`"),
    };
    Event {
        event_id: named_id(&name),
        user_id: user_id.to_owned(),
        event_type: event_type.to_owned(),
        occurred_at: instant(time),
        properties: Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{events, instant};

    #[test]
    fn lines_become_events() {
        let read = events("\n 2026-03-01T08:00Z ana login\n 2026-03-01T08:00:30+02:00 bo click #1\n");
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].occurred_at, instant("2026-03-01T08:00:00Z"));
        assert_eq!(read[1].occurred_at, instant("2026-03-01T06:00:30Z"));
        assert_eq!(instant("2026-03-01T08:00+02:00"), instant("2026-03-01T06:00Z"));
    }
}
