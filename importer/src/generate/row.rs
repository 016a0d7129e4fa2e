//! The text of an event in a file: a line of CSV or of NDJSON.

use std::fmt::Write;

use chrono::{DateTime, Datelike, Timelike, Utc};

use super::{IdVersion, event_types::EventTypes, properties, random::Random, schedule::Moment};
use crate::{columns::COLUMNS, format::Format};

/// The fields of a row as texts, not yet in any format. `properties` is JSON.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) event_id: String,
    pub(crate) user_id: String,
    pub(crate) event_type: String,
    pub(crate) occurred_at: String,
    pub(crate) properties: String,
}

/// Turns moments into fields.
#[derive(Debug)]
pub(crate) struct RowMaker {
    base: u64,
    ids: IdVersion,
    types: EventTypes,
}

impl RowMaker {
    pub(crate) fn new(seed: u64, ids: IdVersion, types: usize) -> Self {
        Self {
            base: Random::new(seed, 2).next(),
            ids,
            types: EventTypes::new(types),
        }
    }

    /// Writes the fields of `moment`, always the same for the same moment, over what `fields` held.
    pub(crate) fn fill(&self, moment: &Moment, fields: &mut Fields) {
        let mut random = Random::of_item(self.base, moment.index);
        fields.clear();
        let (high, low) = (random.next(), random.next());
        write_event_id(&mut fields.event_id, self.ids, moment.at, high, low);
        put(&mut fields.user_id, format_args!("user-{:07}", moment.user));
        let event_type = if moment.first {
            self.types.first()
        } else {
            self.types.other(&mut random)
        };
        fields.event_type.push_str(event_type);
        write_instant(&mut fields.occurred_at, moment.at);
        properties::write(&mut fields.properties, moment.user, &mut random);
    }
}

impl Fields {
    fn clear(&mut self) {
        for text in [
            &mut self.event_id,
            &mut self.user_id,
            &mut self.event_type,
            &mut self.occurred_at,
            &mut self.properties,
        ] {
            text.clear();
        }
    }

    /// Writes the row and its line end.
    pub(crate) fn write(&self, format: Format, line: &mut Vec<u8>) {
        match format {
            Format::Csv => self.write_csv(line),
            Format::Ndjson => self.write_ndjson(line),
        }
    }

    fn write_csv(&self, line: &mut Vec<u8>) {
        for text in [
            &self.event_id,
            &self.user_id,
            &self.event_type,
            &self.occurred_at,
            &self.properties,
        ] {
            crate::csv_text::write_field(line, text.as_bytes(), b',');
            line.push(b',');
        }
        line.pop();
        line.push(b'\n');
    }

    fn write_ndjson(&self, line: &mut Vec<u8>) {
        let texts = [&self.event_id, &self.user_id, &self.event_type, &self.occurred_at];
        let mut separator = b'{';
        for (name, text) in COLUMNS.iter().zip(texts) {
            line.push(separator);
            separator = b',';
            crate::json_text::write_string(line, name.as_bytes());
            line.push(b':');
            crate::json_text::write_string(line, text.as_bytes());
        }
        line.extend_from_slice(b",\"properties\":");
        line.extend_from_slice(self.properties.as_bytes());
        line.extend_from_slice(b"}\n");
    }
}

fn write_event_id(text: &mut String, version: IdVersion, at: i64, high: u64, low: u64) {
    let variant = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    let high = match version {
        IdVersion::V4 => (high & !0xf000) | 0x4000,
        IdVersion::V7 => ((at.div_euclid(1000) as u64) << 16) | 0x7000 | (high & 0x0fff),
    };
    let id = uuid::Uuid::from_u64_pair(high, variant);
    text.push_str(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
}

fn write_instant(text: &mut String, at: i64) {
    // Every moment lies in the years that the options allow.
    let time = DateTime::<Utc>::from_timestamp_micros(at).unwrap_or_default();
    let (date, micros) = (time.date_naive(), time.timestamp_subsec_micros());
    put(
        text,
        format_args!("{:04}-{:02}-{:02}T", date.year(), date.month(), date.day()),
    );
    put(
        text,
        format_args!(
            "{:02}:{:02}:{:02}.{micros:06}Z",
            time.hour(),
            time.minute(),
            time.second()
        ),
    );
}

fn put(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(piece);
}
