//! Rows that must be refused: one of every kind of badness that a file can hold.

use super::{random::Random, row::Fields};
use crate::format::Format;

/// How many kinds of bad rows there are in either format.
pub(crate) const KINDS: u64 = FIELD_KINDS + TEXT_KINDS;

/// Kinds that are a wrong value in an otherwise right row.
const FIELD_KINDS: u64 = 22;
/// Kinds that are a wrong text of the row.
const TEXT_KINDS: u64 = 4;

/// Writes the row of `fields` spoilt in the way number `kind`, counted from 0, and its line end.
pub(crate) fn write(kind: u64, fields: &mut Fields, format: Format, random: &mut Random, line: &mut Vec<u8>) {
    if kind < FIELD_KINDS {
        spoil_field(kind, fields, random);
        fields.write(format, line);
        return;
    }
    fields.write(format, line);
    spoil_text(kind - FIELD_KINDS, format, line);
}

fn spoil_field(kind: u64, fields: &mut Fields, random: &mut Random) {
    match kind {
        0 => fields.event_id.clear(),
        1 => fields.event_id.truncate(30),
        2 => fields.event_id = format!("order-{}", random.below(1_000_000)),
        3 => fields.user_id.clear(),
        4 => fields.user_id = "u".repeat(257),
        5 => fields.user_id.insert(4, '\u{7}'),
        6 => fields.event_type.clear(),
        7 => fields.event_type = "t".repeat(300),
        8 => fields.event_type.push('\t'),
        9 => fields.occurred_at.clear(),
        10 => fields.occurred_at.truncate(10),
        11 => fields.occurred_at.truncate(19),
        12 => fields.occurred_at = "2026-02-30T12:00:00Z".to_owned(),
        13 => fields.occurred_at = "1969-12-31T23:59:59Z".to_owned(),
        14 => fields.occurred_at = "2999-01-01T00:00:00Z".to_owned(),
        15 => fields.occurred_at = "yesterday".to_owned(),
        16 => fields.properties = r#"[1,2,3]"#.to_owned(),
        17 => fields.properties = r#"{"amount":12345678901234567890123}"#.to_owned(),
        18 => fields.properties = r#"{"name":"a\u0000b"}"#.to_owned(),
        19 => fields.properties = format!("{}{}{}", r#"{"a":"#.repeat(17), "1", "}".repeat(17)),
        20 => fields.properties = format!(r#"{{"text":"{}"}}"#, "x".repeat(64 * 1024)),
        _ => fields.properties = r#""a text""#.to_owned(),
    }
}

fn spoil_text(kind: u64, format: Format, line: &mut Vec<u8>) {
    line.pop();
    match (kind, format) {
        // One value too many; a member that no event has.
        (0, Format::Csv) => line.extend_from_slice(b",surplus"),
        (0, Format::Ndjson) => {
            line.pop();
            line.extend_from_slice(b",\"surplus\":1}");
        }
        // The row ends too early: values are missing; the object stays open.
        (1, Format::Csv) => line.truncate(36),
        (1, Format::Ndjson) => {
            line.pop();
        }
        // A byte that is no UTF-8.
        (2, _) => line[40] = 0xe9,
        // Quotes that do not match.
        (_, Format::Csv) => line.insert(37, b'"'),
        (_, Format::Ndjson) => {
            line.remove(1);
        }
    }
    line.push(b'\n');
}
