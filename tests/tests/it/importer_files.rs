//! Files of every form, and what is said about those that do not fit.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use tests::database::{Backend, TestDatabase};

use super::importer_program::{Importing, event_id, file, row};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fn ndjson(numbers: impl Iterator<Item = u32>) -> String {
    let line = |number| {
        let event = json!({
            "event_id": event_id(number),
            "user_id": "ana",
            "event_type": "open",
            "occurred_at": "2026-03-01T09:30:00+01:00",
            "properties": { "n": number },
        });
        event.to_string() + "\n"
    };
    numbers.map(line).collect()
}

#[test]
fn content_and_name_tell_format_and_compression() {
    let importing = Importing::into_new_file();
    importing.write("a.csv", file(0..10));
    importing.write("b.csv.gz", gzip(&file(10..20)));
    // Named after nothing it is: two members of gzip, one behind the other.
    let members = [gzip(&file(20..25)), gzip(&(25..30).map(row).collect::<String>())].concat();
    importing.write("c", members);
    importing.write("d.jsonl", ndjson(30..40));
    importing.write("e.bin", gzip(&ndjson(40..50)));
    importing.check(&["a.csv", "b.csv.gz", "c", "d.jsonl", "e.bin"], 0, [50, 0, 0, 0]);
    // The same events, whatever file they come in.
    importing.write("f.ndjson", ndjson(0..50));
    importing.check(&["f.ndjson"], 0, [0, 50, 0, 0]);
}

#[test]
fn zstd_is_read_and_written() {
    let importing = Importing::into_new_file();
    let generate = ["generate", "--events", "500", "--days", "3"];
    for name in ["e.csv", "e.csv.zst", "e.ndjson.zst", "e.ndjson.gz"] {
        assert_eq!(importing.run(&[&generate[..], &["-o", name]].concat()).code, 0);
    }
    assert!(importing.read("e.csv.zst").starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    importing.check(&["e.csv.zst"], 0, [500, 0, 0, 0]);
    importing.check(&["e.csv", "e.ndjson.zst", "e.ndjson.gz"], 0, [0, 1500, 0, 0]);
}

#[test]
fn standard_input_is_read() {
    let importing = Importing::into_new_file();
    for (input, start) in [(file(0..5).into_bytes(), 0), (gzip(&ndjson(5..10)), 5)] {
        let answer = importing.run_with_input(&["-", "--json"], &input);
        assert_eq!(answer.code, 0, "{start}: {answer:?}");
        assert!(answer.output.contains("\"stored\":5"), "{answer:?}");
    }
    assert_eq!(importing.run(&["-", "-"]).code, 2);
}

#[test]
fn quoted_line_ends_belong_to_the_value() {
    let importing = Importing::into_new_file();
    let pretty = row(1).replace("{\"\"n\"\":1}", "{\n  \"\"n\"\": 1\r\n}");
    importing.write("events.csv", file(0..1) + &pretty + &row(2) + ",,,,\n");
    let answer = importing.run(&["events.csv", "--quiet"]);
    assert_eq!(
        answer.errors.trim_end().split(": ").next(),
        Some("events.csv, line 7"),
        "{answer:?}"
    );
    importing.write("plain.csv", file(0..3));
    importing.check(&["plain.csv"], 0, [0, 3, 0, 0]);
}

#[test]
fn a_truncated_gzip_says_where_and_keeps_the_whole_rows_before() {
    let importing = Importing::into_new_file();
    let whole = gzip(&file(0..5000));
    importing.write("events.csv.gz", &whole[..whole.len() / 2]);
    let (code, summary) = importing.summary(&["events.csv.gz"]);
    let error = summary["error"].as_str().unwrap_or_default();
    assert_eq!(
        (code, summary["status"].as_str()),
        (3, Some("failed")),
        "{summary}"
    );
    let place = format!("at byte {} of the file", whole.len() / 2);
    assert!(
        error.contains("compressed data end too early") && error.ends_with(&place),
        "{error}"
    );
    let stored = summary["stored"].as_u64().unwrap_or_default();
    assert!((100..5000).contains(&stored), "{summary}");
    assert!(error.contains(&format!("after line {}", stored + 1)), "{error}");
    importing.write("events.csv.gz", whole);
    importing.check(&["events.csv.gz"], 0, [5000 - stored, stored, 0, 0]);
}

#[test]
fn nothing_is_imported_where_one_file_does_not_fit() {
    let importing = Importing::into_new_file();
    importing.write("good.csv", file(0..3));
    importing.write("text.csv.gz", file(3..6));
    importing.write("utf16.csv", [0xff, 0xfe, b'e', 0]);
    importing.write("other.csv", "event_id,user_id,event_type,when,city,zip\n");
    for (name, words) in [
        ("absent.csv", "absent.csv: there is no such file"),
        ("text.csv.gz", "the name says gzip, but the content is not gzip"),
        ("utf16.csv", "the text is UTF-16"),
        ("other.csv", "other.csv: there is no column occurred_at"),
    ] {
        let answer = importing.run(&["good.csv", name]);
        assert_eq!(answer.code, 2, "{answer:?}");
        assert!(answer.errors.contains(words), "{answer:?}");
    }
    let answer = importing.run(&["other.csv", "--map", "occurred_at=when"]);
    assert!(answer.errors.contains("unknown columns city, zip;"), "{answer:?}");
    assert!(
        !importing.path("data").exists(),
        "the database has not been touched"
    );
}

#[test]
fn an_empty_file_is_no_rows() {
    let importing = Importing::into_new_file();
    importing.write("empty.csv", "");
    importing.write("header.csv", file(0..0));
    importing.write("empty.ndjson", "\n\n");
    importing.check(&["empty.csv", "header.csv", "empty.ndjson"], 0, [0, 0, 0, 0]);
}

/// Imports one file with options and reads the events that come out of it.
async fn imported(text: &str, options: &[&str]) -> Vec<[String; 4]> {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let importing = Importing::into_database(database.url());
    let name = if text.starts_with('{') {
        "events.ndjson"
    } else {
        "events.csv"
    };
    importing.write(name, text);
    let answer = importing.run(&[&[name], options].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
    let sql = "SELECT user_id, event_type, CAST(occurred_at / 1000000 AS TEXT), properties FROM events ORDER BY user_id";
    let rows = database.rows(sql).await;
    let text = |row: &sea_orm::QueryResult, at| row.try_get_by_index::<String>(at).expect("a text");
    rows.iter()
        .map(|row| std::array::from_fn(|at| text(row, at)))
        .collect()
}

#[tokio::test]
async fn columns_are_mapped_filled_and_made_properties() {
    let text = "order,customer,at,city,amount\n\
                00000000-0000-4000-8000-000000000001,ana,2026-03-01T00:00:01Z,Rom,12.50\n\
                00000000-0000-4000-8000-000000000002,bob,2026-03-01T00:00:02Z,,3\n";
    let mapped = [
        "--map",
        "event_id=order",
        "--map",
        "user_id=customer",
        "--map",
        "occurred_at=at",
    ];
    let fixed = ["--const", "event_type=purchase"];
    let ignored = imported(text, &[&mapped[..], &fixed, &["--ignore-unknown"]].concat()).await;
    let row = |user: &str, at: &str, properties: &str| {
        [
            user.to_owned(),
            "purchase".to_owned(),
            at.to_owned(),
            properties.to_owned(),
        ]
    };
    assert_eq!(
        ignored,
        [row("ana", "1772323201", "{}"), row("bob", "1772323202", "{}")]
    );
    let extra = imported(text, &[&mapped[..], &fixed, &["--extra-as-properties"]].concat()).await;
    let ana = "{\"amount\":\"12.50\",\"city\":\"Rom\"}";
    assert_eq!(
        extra,
        [
            row("ana", "1772323201", ana),
            row("bob", "1772323202", "{\"amount\":\"3\"}")
        ]
    );
}

#[tokio::test]
async fn members_of_ndjson_keep_their_kind() {
    let text = "{\"id\":\"00000000-0000-4000-8000-000000000001\",\"uid\":7,\"occurred_at\":\"2026-03-01T00:00:01Z\",\
                \"amount\":12.5,\"tags\":[\"a\"],\"properties\":{\"x\":null}}";
    let options = [
        "--map",
        "event_id=id",
        "--map",
        "user_id=uid",
        "--const",
        "event_type=buy",
        "--extra-as-properties",
    ];
    let found = imported(text, &options).await;
    assert_eq!(found[0][0], "7");
    assert_eq!(found[0][3], "{\"amount\":12.5,\"tags\":[\"a\"],\"x\":null}");
}

#[tokio::test]
async fn tabs_and_times_of_databases_are_read_on_demand() {
    let text = "event_id\tuser_id\tevent_type\toccurred_at\n\
                00000000-0000-4000-8000-000000000001\tana\topen\t2026-03-01 08:30:00+00\n\
                00000000-0000-4000-8000-000000000002\tbob\topen\t2026-03-01 08:30:00\n\
                00000000-0000-4000-8000-000000000003\tcy\topen\t2026-03-01\n";
    let found = imported(
        text,
        &["--delimiter", "\\t", "--assume-timezone", "America/New_York"],
    )
    .await;
    let times: Vec<&str> = found.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(times, ["1772353800", "1772371800", "1772341200"]);
}

#[test]
fn derived_ids_make_importing_twice_harmless() {
    let importing = Importing::into_new_file();
    importing.write("a.csv", "user_id,event_type,occurred_at,properties_json\nana,open,2026-03-01T08:30:00Z,\"{\"\"a\"\":1,\"\"b\"\":2}\"\nbob,open,2026-03-01T08:30:00Z,\n");
    importing.write("b.ndjson", "{\"user_id\":\"ana\",\"event_type\":\"open\",\"occurred_at\":\"2026-03-01T09:30:00+01:00\",\"properties\":{\"b\":2,\"a\":1}}\n");
    assert_eq!(importing.run(&["a.csv"]).code, 2);
    importing.check(&["a.csv", "--derive-event-id"], 0, [2, 0, 0, 0]);
    importing.check(&["a.csv", "b.ndjson", "--derive-event-id"], 0, [0, 3, 0, 0]);
}

#[test]
fn wrong_arguments_are_one_line_and_code_2() {
    let importing = Importing::into_new_file();
    importing.write("events.csv", file(0..1));
    for (arguments, words) in [
        (
            &["events.csv", "--map", "customer=user_id"][..],
            "\"customer\" is no field of an event",
        ),
        (
            &["events.csv", "--const", "event_id=1"],
            "--derive-event-id makes ids",
        ),
        (
            &["events.csv", "--const", "event_type=a", "--const", "event_type=b"],
            "names event_type twice",
        ),
        (
            &["events.csv", "--const", "event_type=a"],
            "the file has a column event_type",
        ),
        (
            &["events.csv", "--assume-timezone", "Mars"],
            "not an IANA time zone",
        ),
        (&["events.csv", "--batch-size", "0"], "0 is not in 1..=100000"),
        (
            &["events.csv", "--rejects", "no/such/folder.csv"],
            "the rejects file cannot be made",
        ),
        (
            &["generate", "--events", "10", "--users", "11"],
            "each user needs an event",
        ),
        (&[], "required arguments were not provided"),
    ] {
        let answer = importing.run(arguments);
        assert_eq!(answer.code, 2, "{answer:?}");
        assert!(answer.errors.contains(words), "{answer:?}");
    }
    let help = importing.run(&["--help"]);
    assert_eq!(help.code, 0);
    for code in [
        "  0  every row",
        "  1  some rows",
        "  2  wrong arguments",
        "  3  could not finish",
    ] {
        assert!(help.output.contains(code), "{}", help.output);
    }
}

#[test]
fn a_database_that_cannot_be_used_is_code_3() {
    let importing = Importing::into_database("postgres://nobody@127.0.0.1:1/none");
    importing.write("events.csv", file(0..1));
    let answer = importing.run(&["events.csv"]);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(
        answer.errors.starts_with("error: database unavailable"),
        "{answer:?}"
    );
}
