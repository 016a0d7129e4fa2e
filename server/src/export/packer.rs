//! Events as text: CSV or NDJSON, plain or gzip, piece by piece.
//!
//! The same events are the same bytes, whichever database they come from. What gzip has not been told the end of cannot
//! be taken for the whole: only [`Packer::finish`] writes it.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Map, Value};
use store::StoredEvent;
use uuid::Uuid;

use super::{ExportFormat, Packing};

const COLUMNS: [&str; 5] = ["event_id", "user_id", "event_type", "occurred_at", "properties"];
const RECEIVED_AT: &str = "received_at";

/// Turns events into bytes.
pub(crate) struct Packer {
    packing: Packing,
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// Whether the header line is written, or none is needed.
    begun: bool,
}

/// A line of NDJSON.
#[derive(Serialize)]
struct Line<'a> {
    event_id: Uuid,
    user_id: &'a str,
    event_type: &'a str,
    occurred_at: String,
    properties: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at: Option<String>,
}

impl Packer {
    pub(crate) fn new(packing: Packing) -> Self {
        let gzip = packing
            .gzip
            .then(|| GzEncoder::new(Vec::new(), Compression::default()));
        Self {
            packing,
            gzip,
            begun: packing.format == ExportFormat::Ndjson,
        }
    }

    /// The bytes of the next events; what gzip holds back comes later.
    ///
    /// # Errors
    /// None in practice: everything happens in memory.
    pub(crate) fn pack(&mut self, events: &[StoredEvent]) -> io::Result<Vec<u8>> {
        let text = match self.packing.format {
            ExportFormat::Csv => self.csv(events)?,
            ExportFormat::Ndjson => self.ndjson(events)?,
        };
        let Some(gzip) = &mut self.gzip else {
            return Ok(text);
        };
        gzip.write_all(&text)?;
        Ok(std::mem::take(gzip.get_mut()))
    }

    /// The last bytes: after them the text is whole.
    ///
    /// # Errors
    /// As [`Packer::pack`].
    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        let rest = self.pack(&[])?;
        match self.gzip {
            Some(gzip) => Ok([rest, gzip.finish()?].concat()),
            None => Ok(rest),
        }
    }

    fn csv(&mut self, events: &[StoredEvent]) -> io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::with_capacity(events.len() * 200));
        let received_at = self.packing.received_at;
        if !std::mem::replace(&mut self.begun, true) {
            let last = received_at.then_some(RECEIVED_AT);
            writer.write_record(COLUMNS.into_iter().chain(last))?;
        }
        for event in events {
            let fields = [
                event.event_id.to_string(),
                event.user_id.clone(),
                event.event_type.clone(),
                instant(event.occurred_at),
                serde_json::to_string(&event.properties)?,
            ];
            let last = received_at.then(|| instant(event.received_at));
            writer.write_record(fields.into_iter().chain(last))?;
        }
        writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }

    fn ndjson(&self, events: &[StoredEvent]) -> io::Result<Vec<u8>> {
        let mut text = Vec::with_capacity(events.len() * 250);
        for event in events {
            let line = Line {
                event_id: event.event_id,
                user_id: &event.user_id,
                event_type: &event.event_type,
                occurred_at: instant(event.occurred_at),
                properties: &event.properties,
                received_at: self.packing.received_at.then(|| instant(event.received_at)),
            };
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        Ok(text)
    }
}

fn instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use chrono::DateTime;
    use flate2::read::GzDecoder;
    use serde_json::{Value, json};
    use store::StoredEvent;
    use uuid::Uuid;

    use super::super::{ExportFormat, Packing};
    use super::Packer;

    fn event(user_id: &str, properties: &Value) -> StoredEvent {
        let at = DateTime::from_timestamp_micros(1_772_352_000_000_001).expect("in range");
        StoredEvent {
            event_id: Uuid::nil(),
            user_id: user_id.to_owned(),
            event_type: "a,b".to_owned(),
            occurred_at: at,
            received_at: at,
            properties: properties.as_object().cloned().unwrap_or_default(),
        }
    }

    fn packed(format: ExportFormat, gzip: bool, events: &[&[StoredEvent]]) -> Vec<u8> {
        let mut packer = Packer::new(Packing {
            format,
            gzip,
            received_at: gzip,
        });
        let mut bytes = Vec::new();
        for part in events {
            bytes.extend(packer.pack(part).expect("in memory"));
        }
        bytes.extend(packer.finish().expect("in memory"));
        bytes
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        let events = [event("a\"b", &json!({ "k": "v,\n" }))];
        let text = String::from_utf8(packed(ExportFormat::Csv, false, &[&events, &[]])).expect("UTF-8");
        let id = Uuid::nil();
        let expected = format!(
            "event_id,user_id,event_type,occurred_at,properties\n\
             {id},\"a\"\"b\",\"a,b\",2026-03-01T08:00:00.000001Z,\"{{\"\"k\"\":\"\"v,\\n\"\"}}\"\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn an_empty_export_has_its_header() {
        let text = packed(ExportFormat::Csv, false, &[]);
        assert!(text.starts_with(b"event_id,"));
        assert!(packed(ExportFormat::Ndjson, false, &[]).is_empty());
    }

    #[test]
    fn gzip_holds_the_same_text_and_ends_only_when_told() {
        let events = [event("a", &json!({})), event("b", &json!({ "n": 1.5 }))];
        let whole = packed(ExportFormat::Ndjson, true, &[&events[..1], &events[1..]]);
        let mut text = String::new();
        GzDecoder::new(&whole[..])
            .read_to_string(&mut text)
            .expect("whole");
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("\"received_at\""));
        let mut packer = Packer::new(Packing {
            format: ExportFormat::Ndjson,
            gzip: true,
            received_at: false,
        });
        let cut = packer.pack(&events).expect("in memory");
        let outcome = GzDecoder::new(&cut[..]).read_to_string(&mut text);
        assert!(outcome.is_err(), "what was cut off looks whole");
    }
}
