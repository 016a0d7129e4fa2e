//! What the readers make of texts that nobody would write: every row is an event or a reason, never a panic, and no
//! byte is read twice or skipped without being accounted for.

use chrono::DateTime;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use store::new_event::EventField;

use crate::{
    columns::FIELDS,
    csv_file::CsvFile,
    lines::Window,
    mapping::{Extras, Mapping},
    ndjson_file::NdjsonFile,
    row_parser::RowParser,
};

const HEADER: &[u8] = b"event_id,user_id,event_type,occurred_at,properties\n";

fn window(text: &[u8]) -> Option<Window> {
    Window::new(Box::new(std::io::Cursor::new(text.to_vec()))).ok()
}

fn mappings() -> [Mapping; 2] {
    let generous = Mapping {
        extras: Extras::Properties,
        derive_event_id: true,
        assume_timezone: Some(chrono_tz::America::Santiago),
        ..Mapping::default()
    };
    [Mapping::default(), generous]
}

/// Reads everything; the rows' places must go forward, and there are no more rows than line ends allow.
fn check(text: &[u8]) {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default();
    let most = text.iter().filter(|byte| **byte == b'\n').count() + 1;
    for mapping in &mappings() {
        let parser = RowParser { mapping, now };
        let mut places = Vec::new();
        if let Some(window) = window(text) {
            let mut file = NdjsonFile::new(window);
            while let Some(row) = file.next(parser).expect("memory can be read") {
                places.push(row.place.offset);
                assert!(row.event.is_ok() || row.event.is_err_and(|reject| !reject.reason.is_empty()));
            }
        }
        assert!(places.len() <= most && places.is_sorted_by(|one, next| one < next));
        let mut places = Vec::new();
        let opened = window(text).map(|window| CsvFile::open(window, b',', mapping));
        if let Some(Ok(Some(mut file))) = opened {
            while let Some(row) = file.next(parser).expect("memory can be read") {
                places.push(row.place.offset);
                assert!(row.event.is_ok() || row.event.is_err_and(|reject| !reject.reason.is_empty()));
            }
        }
        assert!(places.len() <= most && places.is_sorted_by(|one, next| one < next));
    }
}

/// Pieces that mean something to a reader, in any order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "\"",
        "\"\"",
        ",",
        "\n",
        "\r\n",
        "\r",
        "{",
        "}",
        "[",
        "]",
        ":",
        "\\u0000",
        "\\ud800",
        "\u{202e}",
        "\u{feff}",
        "\u{1f469}\u{200d}",
        "null",
        "true",
        "1e400",
        "-0",
        "12345678901234567890123",
        "2026-03-01T08:00:00Z",
        "9999-12-31T23:59:60Z",
        "24:00",
        "{\"user_id\":\"ana\",\"event_type\":\"x\"}",
        "rejected_text",
        "\0",
        " ",
    ];
    let word = prop_oneof![
        4 => (0..words.len()).prop_map(move |number| words[number].as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
        1 => Just(FIELDS.map(EventField::column).join(",").into_bytes()),
    ];
    vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_rows_or_reasons(text in vec(any::<u8>(), 0..2_000)) {
        check(&text);
        check(&[HEADER, &text].concat());
    }

    #[test]
    fn any_pieces_are_rows_or_reasons(text in pieces()) {
        check(&text);
        check(&[HEADER, &text].concat());
    }

    #[test]
    fn a_damaged_row_is_an_event_or_a_reason(position in any::<u16>(), piece in pieces(), cut in 0_usize..40) {
        let rows: [&[u8]; 2] = [
            b"{\"event_id\":\"0190a000-0000-7000-8000-000000000001\",\"user_id\":\"ana\",\"event_type\":\"login\",\
              \"occurred_at\":\"2026-03-01T08:00:00Z\",\"properties\":{\"a\":[1,2,{\"b\":null}]}}\n",
            b"event_id,user_id,event_type,occurred_at,properties\n0190a000-0000-7000-8000-000000000001,ana,login,\
              2026-03-01T08:00:00Z,\"{\"\"a\"\":[1,2]}\"\n",
        ];
        for row in rows {
            let at = usize::from(position) % row.len();
            let end = (at + cut).min(row.len());
            check(&[&row[..at], &piece, &row[end..]].concat());
        }
    }
}

#[test]
fn a_megabyte_of_brackets_is_a_reason() {
    for bracket in [&b"["[..], b"{\"a\":", b"\""] {
        let text = bracket.repeat((1 << 20) / bracket.len());
        check(&text);
        check(&[HEADER, &text, b"\na,b\n"].concat());
    }
}
