//! Events as `COPY` takes them, in PostgreSQL's binary format: <https://www.postgresql.org/docs/current/sql-copy.html>.
//!
//! Each value is preceded by its length, so nothing is ever escaped: a tab, a line break or `\.` is a byte like others.

use crate::new_event::NewEvent;

/// Copies events of which none may be known.
pub(crate) const COPY_EVENTS: &str = "-- store: copy_events
COPY events (event_id, user_id, event_type, occurred_at, properties, received_at)
FROM STDIN (FORMAT binary)";

/// What every file begins with: the signature, no flags, no extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Columns of a row.
const COLUMNS: i16 = 6;
/// What stands in the place of a number of columns behind the last row.
const END: i16 = -1;
/// The version of the binary format of `jsonb`: one byte before the text.
const JSONB_VERSION: u8 = 1;
/// What a row has besides its texts: the number of columns, six lengths, id, two times, version.
const ROW_BYTES: usize = 2 + 6 * 4 + 16 + 2 * 8 + 1;

/// The data of a [`COPY_EVENTS`].
pub(crate) fn copied_events(events: &[&NewEvent]) -> Vec<u8> {
    let texts = |event: &&NewEvent| event.user_id.len() + event.event_type.len() + event.properties.len();
    let bytes: usize = events.iter().map(|event| ROW_BYTES + texts(event)).sum();
    let mut data = Vec::with_capacity(HEADER.len() + bytes + size_of::<i16>());
    data.extend_from_slice(HEADER);
    for event in events {
        data.extend_from_slice(&COLUMNS.to_be_bytes());
        push(&mut data, event.event_id.as_bytes());
        push(&mut data, event.user_id.as_bytes());
        push(&mut data, event.event_type.as_bytes());
        push(&mut data, &event.occurred_at.timestamp_micros().to_be_bytes());
        push_length(&mut data, 1 + event.properties.len());
        data.push(JSONB_VERSION);
        data.extend_from_slice(event.properties.as_bytes());
        push(&mut data, &event.received_at.timestamp_micros().to_be_bytes());
    }
    data.extend_from_slice(&END.to_be_bytes());
    data
}

fn push(data: &mut Vec<u8>, value: &[u8]) {
    push_length(data, value.len());
    data.extend_from_slice(value);
}

/// No value of an event is longer than [`crate::new_event::MAX_PROPERTIES_BYTES`] and one byte.
fn push_length(data: &mut Vec<u8>, length: usize) {
    data.extend_from_slice(&(length as i32).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::{ROW_BYTES, copied_events};
    use crate::new_event::{NewEvent, RawEvent};

    #[test]
    fn every_value_is_preceded_by_its_length() {
        let raw = RawEvent {
            event_id: Some("00112233-4455-6677-8899-aabbccddeeff".to_owned()),
            user_id: "a\\".to_owned(),
            event_type: "ü".to_owned(),
            occurred_at: Some("1970-01-01T00:00:00.000258Z".to_owned()),
            properties: Some(serde_json::json!({ "\t": "\n" })),
        };
        let now = DateTime::UNIX_EPOCH + TimeDelta::microseconds(513);
        let event = NewEvent::parse(raw, now, TimeDelta::zero()).expect("the event is valid");
        let mut expected = b"PGCOPY\n\xff\r\n\0".to_vec();
        expected.extend_from_slice(&[0; 8]);
        expected.extend_from_slice(b"\0\x06");
        expected
            .extend_from_slice(b"\0\0\0\x10\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
        expected.extend_from_slice(b"\0\0\0\x02a\\");
        expected.extend_from_slice(b"\0\0\0\x02\xc3\xbc");
        expected.extend_from_slice(b"\0\0\0\x08\0\0\0\0\0\0\x01\x02");
        expected.extend_from_slice(b"\0\0\0\x0c\x01{\"\\t\":\"\\n\"}");
        expected.extend_from_slice(b"\0\0\0\x08\0\0\0\0\0\0\x02\x01");
        expected.extend_from_slice(b"\xff\xff");
        assert_eq!(copied_events(&[&event]), expected);
        let texts = 2 + 2 + 11;
        assert_eq!(expected.len(), 19 + ROW_BYTES + texts + 2);
    }

    #[test]
    fn nothing_is_a_header_and_an_end() {
        assert_eq!(copied_events(&[]).len(), 21);
    }
}
