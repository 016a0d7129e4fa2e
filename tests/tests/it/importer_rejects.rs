//! Rows that are refused: every kind of badness, with line and reason, and back again once mended.

use super::importer_program::{HEADER, Importing, event_id, file, row};

/// A row of a test file that must be refused: its text, the column at fault and a part of the reason.
struct Bad {
    text: Vec<u8>,
    column: &'static str,
    reason: &'static str,
}

fn bad(text: impl Into<Vec<u8>>, column: &'static str, reason: &'static str) -> Bad {
    Bad {
        text: text.into(),
        column,
        reason,
    }
}

/// A CSV row of these values, quoted where that is needed.
fn values(values: [&str; 5]) -> Vec<u8> {
    let quoted = values.map(|value| match value.contains([',', '"', '\n']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value.to_owned(),
    });
    quoted.join(",").into_bytes()
}

fn every_kind() -> Vec<Bad> {
    const AT: &str = "2026-03-01T08:30:00Z";
    let id = event_id(900);
    let (long, longer) = ("u".repeat(257), format!("{{\"t\":\"{}\"}}", "x".repeat(65_536)));
    let deep = format!("{}1{}", "{\"a\":".repeat(17), "}".repeat(17));
    let time = |text: &str| values([&id, "ana", "open", text, ""]);
    let properties = |text: &str| values([&id, "ana", "open", AT, text]);
    let mut latin1 = values([&id, "ren?", "open", AT, ""]);
    let position = latin1
        .iter()
        .position(|byte| *byte == b'?')
        .expect("there is one");
    latin1[position] = 0xe9;
    vec![
        bad(
            values(["", "ana", "open", AT, ""]),
            "event_id",
            "event_id is missing; --derive-event-id",
        ),
        bad(
            values(["42", "ana", "open", AT, ""]),
            "event_id",
            "event_id \"42\" is not a UUID",
        ),
        bad(
            values([&id, "", "open", AT, ""]),
            "user_id",
            "user_id must not be empty",
        ),
        bad(
            values([&id, &long, "open", AT, ""]),
            "user_id",
            "user_id is 257 bytes long; at most 256",
        ),
        bad(
            values([&id, "a\tb", "open", AT, ""]),
            "user_id",
            "control character at position 2",
        ),
        bad(
            values([&id, "a\nb", "open", AT, ""]),
            "user_id",
            "control character at position 2",
        ),
        bad(
            values([&id, "ana", "", AT, ""]),
            "event_type",
            "event_type must not be empty",
        ),
        bad(
            values([&id, "ana", &long, AT, ""]),
            "event_type",
            "event_type is 257 bytes long",
        ),
        bad(
            values([&id, "ana", "a\u{7}", AT, ""]),
            "event_type",
            "control character at position 2",
        ),
        bad(time(""), "occurred_at", "occurred_at is missing"),
        bad(
            time("yesterday"),
            "occurred_at",
            "\"yesterday\" is not an RFC 3339 instant with an offset",
        ),
        bad(
            time("2026-03-01"),
            "occurred_at",
            "--assume-timezone takes times without an offset",
        ),
        bad(
            time("2026-03-01T08:30:00"),
            "occurred_at",
            "--assume-timezone takes times without an offset",
        ),
        bad(
            time("2026-02-30T08:30:00Z"),
            "occurred_at",
            "is not an RFC 3339 instant",
        ),
        bad(
            time("2026-03-01T24:00:00Z"),
            "occurred_at",
            "is not an RFC 3339 instant",
        ),
        bad(time("2016-12-31T23:59:60Z"), "occurred_at", "is a leap second"),
        bad(time("1969-12-31T23:59:59Z"), "occurred_at", "lies before 1970"),
        bad(
            time("2999-01-01T00:00:00Z"),
            "occurred_at",
            "ahead of the receiving clock",
        ),
        bad(
            properties("{\"a\":"),
            "properties",
            "cannot be read as JSON: EOF while parsing a value at byte 4",
        ),
        bad(
            properties("[1]"),
            "properties",
            "must be a JSON object, not an array",
        ),
        bad(
            properties("7"),
            "properties",
            "must be a JSON object, not a number",
        ),
        bad(
            properties("{\"a\":12345678901234567890123}"),
            "properties",
            "cannot be kept exactly",
        ),
        bad(
            properties("{\"a\":{\"b\":\"x\\u0000\"}}"),
            "properties",
            "at \"a.b\" has a NUL character",
        ),
        bad(properties(&deep), "properties", "nest deeper than 16 levels"),
        bad(
            properties(&longer),
            "properties",
            "65544 bytes of JSON; at most 65536",
        ),
        bad(
            format!("{id},ana,open,{AT}"),
            "",
            "has 4 values where the header has 5 columns",
        ),
        bad(
            format!("{id},ana,open,{AT},,"),
            "",
            "has 6 values where the header has 5 columns",
        ),
        bad(
            format!("{id},\"ana\"s,open,{AT},"),
            "user_id",
            "user_id has text behind its closing quote",
        ),
        bad(
            format!("{id},ana,open,{AT},{{\"a\":1,\"b\":2}}"),
            "value 6",
            "value 6 has text behind its closing quote",
        ),
        bad(
            format!("{id},ana,open,{AT},\"{{\"a\":1}}\""),
            "properties",
            "must be doubled",
        ),
        bad(format!("{id},\"ana,open,{AT},"), "user_id", "user_id"),
        bad(latin1, "user_id", "is not UTF-8: byte 0xE9 at byte 41 of the row"),
        bad(
            values(["", "", "open", "soon", ""]),
            "event_id",
            "; user_id must not be empty; occurred_at \"soon\"",
        ),
    ]
}

/// A file in which every bad row stands between good ones, and the line of each bad row.
fn file_of_every_kind() -> (Vec<u8>, Vec<(u64, Bad)>) {
    let mut text = HEADER.as_bytes().to_vec();
    let mut expected = Vec::new();
    for (number, bad) in (0_u32..).zip(every_kind()) {
        text.extend_from_slice(row(number).as_bytes());
        let line = text.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        text.extend_from_slice(&bad.text);
        text.extend_from_slice(b"\n\n");
        expected.push((line, bad));
    }
    text.extend_from_slice(row(1000).as_bytes());
    (text, expected)
}

#[test]
fn every_kind_of_bad_row_is_reported_with_line_column_and_reason() {
    let importing = Importing::into_new_file();
    let (text, expected) = file_of_every_kind();
    importing.write("events.csv", text);
    let count = expected.len() as u64;
    importing.check(
        &["events.csv", "--rejects", "bad.csv"],
        1,
        [count + 1, 0, 0, count],
    );

    let rejects = importing.read("bad.csv");
    let shown = String::from_utf8_lossy(&rejects).replace("\"\"", "\"");
    for (line, bad) in &expected {
        let start = format!("events.csv,{line},{},", bad.column);
        let found = shown
            .split_once(&start)
            .map(|(_, rest)| rest.split("\nevents.csv,").next().unwrap_or(rest));
        assert!(
            found.is_some_and(|text| text.contains(bad.reason)),
            "{start} {}: {found:?}",
            bad.reason
        );
    }
    assert_eq!(shown.matches("events.csv,").count(), expected.len());
    for (_, bad) in &expected {
        let kept = rejects.windows(bad.text.len()).any(|window| window == bad.text);
        assert!(
            kept,
            "the row stands in the rejects file as it was: {}",
            bad.reason
        );
    }
}

#[test]
fn rejects_are_mended_and_imported_again() {
    let importing = Importing::into_new_file();
    importing.write(
        "events.csv",
        HEADER.to_owned() + &row(1) + &row(2).replace("ana", "") + &row(3).replace("ana", ""),
    );
    importing.check(&["events.csv", "--rejects", "bad.csv"], 1, [1, 0, 0, 2]);
    // As they are, the same rows are refused again, and their new rejects file has the same form.
    importing.check(&["bad.csv", "--rejects", "again.csv"], 1, [0, 0, 0, 2]);
    let again = importing.read_text("again.csv");
    assert_eq!(
        again.lines().next(),
        importing.read_text("bad.csv").lines().next()
    );
    importing.write("mended.csv", again.replace(",,open", ",bob,open"));
    importing.check(&["mended.csv"], 0, [2, 0, 0, 0]);
    importing.check(&["mended.csv", "events.csv"], 1, [0, 3, 0, 2]);
}

#[test]
fn rejects_of_ndjson_are_mended_and_imported_again() {
    let importing = Importing::into_new_file();
    let good = |number: u32| {
        let id = event_id(number);
        format!(
            "{{\"event_id\":\"{id}\",\"user_id\":\"ana\",\"event_type\":\"open\",\"occurred_at\":\"2026-03-01T08:30:00Z\"}}"
        )
    };
    let lines = [
        good(1),
        good(2).replace("\"ana\"", "\"\""),
        good(3).trim_end_matches('}').to_owned(),
        "[1]".to_owned(),
        good(4).replace("\"ana\"", "true"),
        good(5).replace("}", ",\"city\":\"Rom\"}"),
        good(6).replace("\"open\"", "\"caf\u{e9}\""),
    ];
    let mut text = lines.join("\n").into_bytes();
    let position = text
        .windows(2)
        .position(|bytes| bytes == "\u{e9}".as_bytes())
        .expect("there is one");
    text.remove(position);
    importing.write("events.ndjson", &text);
    importing.check(&["events.ndjson", "--rejects", "bad.ndjson"], 1, [1, 0, 0, 6]);
    let rejects = importing.read("bad.ndjson");
    let shown = String::from_utf8_lossy(&rejects).into_owned();
    for (line, reason) in [
        (2, "user_id must not be empty"),
        (3, "the row cannot be read as JSON"),
        (4, "the row is no JSON object"),
        (5, "user_id must be a JSON string"),
        (6, "unknown column city; --map"),
        (7, "the row is not UTF-8: byte 0xA9 at byte"),
    ] {
        let start = format!("{{\"rejected_file\":\"events.ndjson\",\"rejected_line\":\"{line}\"");
        let found = shown.lines().find(|text| text.starts_with(&start));
        assert!(
            found.is_some_and(|text| text.contains(reason)),
            "{line} {reason}: {shown}"
        );
    }
    importing.check(&["bad.ndjson", "--rejects", "again.ndjson"], 1, [0, 0, 0, 6]);
    let mended = String::from_utf8_lossy(&importing.read("again.ndjson"))
        .replace("\"user_id\":\"\"", "\"user_id\":\"bob\"")
        .replace("08:30:00Z\\\"\"}", "08:30:00Z\\\"}\"}")
        .replace("\"user_id\":true", "\"user_id\":\"eve\"")
        .replace("caf\u{fffd}", "cafe");
    importing.write("mended.ndjson", mended);
    importing.check(&["mended.ndjson", "--ignore-unknown"], 1, [5, 0, 0, 1]);
}

#[test]
fn without_a_rejects_file_the_first_rows_are_shown() {
    let importing = Importing::into_new_file();
    importing.write("events.csv", HEADER.to_owned() + &",,,,\n".repeat(30));
    let answer = importing.run(&["events.csv"]);
    assert_eq!(answer.code, 1);
    assert!(
        answer.errors.contains("events.csv, line 2: event_id is missing"),
        "{answer:?}"
    );
    assert_eq!(
        answer.errors.matches("event_id is missing").count(),
        10,
        "{answer:?}"
    );
    assert!(
        answer.errors.contains("--rejects FILE collects them all"),
        "{answer:?}"
    );
}

#[test]
fn max_rejects_stops_early_and_keeps_what_was_stored() {
    let importing = Importing::into_new_file();
    let text = file(0..10) + &",,,,\n".repeat(5) + &(10..20).map(row).collect::<String>();
    importing.write("events.csv", text);
    let (code, summary) = importing.summary(&["events.csv", "--max-rejects", "5"]);
    assert_eq!(
        (code, summary["status"].as_str()),
        (1, Some("complete")),
        "{summary}"
    );
    let importing = Importing::into_database(&importing.database_url);
    importing.write(
        "events.csv",
        file(20..30) + &",,,,\n".repeat(6) + &(30..40).map(row).collect::<String>(),
    );
    let (code, summary) = importing.summary(&["events.csv", "--max-rejects", "5", "--batch-size", "10"]);
    assert_eq!(
        (code, summary["status"].as_str()),
        (3, Some("too_many_rejects")),
        "{summary}"
    );
    assert_eq!(
        (summary["stored"].as_u64(), summary["rejected"].as_u64()),
        (Some(10), Some(6)),
        "{summary}"
    );
}

#[test]
fn files_of_another_shape_have_a_rejects_file_of_their_own() {
    let importing = Importing::into_new_file();
    importing.write("one.csv", HEADER.to_owned() + ",,,,\n");
    importing.write("two.csv", "user_id,event_type,occurred_at,event_id\n,,,\n");
    importing.write("three.csv", HEADER.to_owned() + ",x,,,\n");
    importing.check(
        &["one.csv", "two.csv", "three.csv", "--rejects", "bad.csv"],
        1,
        [0, 0, 0, 3],
    );
    assert_eq!(importing.read_text("bad.csv").lines().count(), 3);
    let second = importing.read_text("bad.2.csv");
    assert!(
        second
            .lines()
            .next()
            .is_some_and(|header| header.ends_with(",user_id,event_type,occurred_at,event_id"))
    );
}

#[test]
fn the_rejects_file_is_never_one_of_the_files_read() {
    let importing = Importing::into_new_file();
    importing.write("events.csv", file(0..1));
    let answer = importing.run(&["events.csv", "--rejects", "./events.csv"]);
    assert_eq!(answer.code, 2);
    assert_eq!(importing.read_text("events.csv"), file(0..1));
}
