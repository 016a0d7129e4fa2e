//! The generator: the same bytes for the same arguments, and data as they were asked for.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::{Uuid, Version};

use super::importer_program::Importing;

const ARGUMENTS: [&str; 17] = [
    "generate",
    "--events",
    "5000",
    "--users",
    "300",
    "--days",
    "30",
    "--start",
    "2026-01-01",
    "--types",
    "12",
    "--seed",
    "42",
    "--duplicates",
    "0.02",
    "--late",
    "0.05",
];

fn generate(importing: &Importing, more: &[&str], name: &str) -> Vec<u8> {
    let answer = importing.run(&[&ARGUMENTS[..], more, &["-o", name]].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
    importing.read(name)
}

/// A digest of bytes that is written down in tests.
fn digest(bytes: &[u8]) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, bytes).to_string()
}

#[test]
fn the_same_arguments_give_the_same_bytes_for_ever() {
    let importing = Importing::into_new_file();
    let found = [
        digest(&generate(&importing, &["--bad", "0.01"], "a.csv")),
        digest(&generate(&importing, &["--bad", "0.01"], "a.ndjson")),
        digest(&generate(&importing, &["--shuffle", "--ids", "v4"], "b.csv")),
        digest(&generate(&importing, &[], "c.csv.gz")),
        digest(&generate(&importing, &[], "c.csv.zst")),
    ];
    assert_eq!(
        found,
        [
            "0c7b9307-486e-580e-9b42-12ed27724b26",
            "fdbc82fa-f9d9-515a-9e8a-219cc0d0f504",
            "1d0dced9-570f-5601-b1ce-497762ceac87",
            "d8689862-d232-5611-b6e2-f4c9721ab501",
            "fb00b730-d50a-5e04-bb19-c94251362ce2",
        ]
    );
    let printed = importing.run(&[&ARGUMENTS[..], &["--format", "ndjson"]].concat());
    assert_eq!(printed.output.as_bytes(), generate(&importing, &[], "d.ndjson"));
}

#[test]
fn another_seed_gives_other_events() {
    let importing = Importing::into_new_file();
    let events = |seed: &str, name: &str| {
        let arguments = ["generate", "--events", "1000", "--seed", seed, "-o", name];
        assert_eq!(importing.run(&arguments).code, 0);
        ids(&importing.read_text(name))
    };
    assert!(events("1", "one.csv").is_disjoint(&events("2", "two.csv")));
}

fn ids(text: &str) -> BTreeSet<String> {
    text.lines()
        .skip(1)
        .map(|line| line[..36].to_owned())
        .collect::<BTreeSet<_>>()
}

struct Row {
    event_id: Uuid,
    user_id: String,
    event_type: String,
    occurred_at: DateTime<Utc>,
}

fn rows(bytes: &[u8]) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(bytes);
    let row = |record: csv::StringRecord| Row {
        event_id: record[0].parse().expect("a UUID"),
        user_id: record[1].to_owned(),
        event_type: record[2].to_owned(),
        occurred_at: record[3].parse().expect("an instant"),
    };
    reader
        .records()
        .map(|record| row(record.expect("a row")))
        .collect()
}

#[test]
fn counts_are_exactly_those_asked_for() {
    let importing = Importing::into_new_file();
    for (more, version, name) in [
        (&[][..], Version::SortRand, "a.csv"),
        (&["--shuffle", "--ids", "v4"], Version::Random, "b.csv"),
    ] {
        let rows = rows(&generate(&importing, more, name));
        assert_eq!(rows.len(), 5100, "2 % of the rows come twice");
        let ids: BTreeSet<Uuid> = rows.iter().map(|row| row.event_id).collect();
        assert_eq!(ids.len(), 5000);
        assert!(ids.iter().all(|id| id.get_version() == Some(version)));
        assert_eq!(
            rows.iter().map(|row| &row.user_id).collect::<BTreeSet<_>>().len(),
            300
        );
        assert_eq!(
            rows.iter()
                .map(|row| &row.event_type)
                .collect::<BTreeSet<_>>()
                .len(),
            12
        );
        let days: BTreeSet<_> = rows.iter().map(|row| row.occurred_at.date_naive()).collect();
        assert_eq!(
            days.first().map(ToString::to_string).as_deref(),
            Some("2026-01-01")
        );
        assert_eq!(
            (days.len(), days.last().map(ToString::to_string).as_deref()),
            (30, Some("2026-01-30"))
        );
    }
}

#[test]
fn rows_come_in_order_of_time_but_for_late_and_repeated_ones() {
    let importing = Importing::into_new_file();
    let late = |rows: &[Row]| {
        let mut newest = DateTime::<Utc>::MIN_UTC;
        let mut late = 0;
        for row in rows {
            late += u32::from(row.occurred_at < newest);
            newest = newest.max(row.occurred_at);
        }
        late
    };
    let found = late(&rows(&generate(&importing, &[], "a.csv")));
    assert!((250..=350).contains(&found), "5 % late and 2 % twice: {found}");
    let found = late(&rows(&generate(&importing, &["--shuffle"], "b.csv")));
    assert!(found > 4500, "shuffled: {found}");
}

#[test]
fn every_user_signs_up_first_and_once() {
    let importing = Importing::into_new_file();
    let mut first: HashMap<String, (DateTime<Utc>, String)> = HashMap::new();
    let mut sign_ups = BTreeSet::new();
    for row in rows(&generate(&importing, &[], "a.csv")) {
        if row.event_type == "signed_up" {
            sign_ups.insert(row.event_id);
        }
        let seen = (row.occurred_at, row.event_type);
        first
            .entry(row.user_id)
            .and_modify(|known| *known = seen.clone().min(known.clone()))
            .or_insert(seen);
    }
    assert_eq!(sign_ups.len(), 300);
    assert!(first.values().all(|(_, event_type)| event_type == "signed_up"));
}

#[test]
fn bad_rows_are_exactly_those_that_are_refused() {
    for name in ["events.csv", "events.ndjson"] {
        let importing = Importing::into_new_file();
        let arguments = [
            "generate",
            "--events",
            "2000",
            "--bad",
            "0.05",
            "--duplicates",
            "0.1",
            "-o",
            name,
        ];
        assert_eq!(importing.run(&arguments).code, 0);
        importing.check(&[name, "--rejects", "bad"], 1, [2000, 200, 0, 100]);
        let rejects = String::from_utf8_lossy(&importing.read("bad")).into_owned();
        for reason in [
            "event_id is missing",
            "is not a UUID",
            "user_id must not be empty",
            "user_id is 257 bytes long",
            "user_id has a control character",
            "event_type must not be empty",
            "event_type is 300 bytes long",
            "event_type has a control character",
            "is not an RFC 3339 instant",
            "--assume-timezone takes times without an offset",
            "lies before 1970",
            "ahead of the receiving clock",
            "not an array",
            "cannot be kept exactly",
            "NUL character",
            "nest deeper than 16 levels",
            "at most 65536 are allowed",
            "is not UTF-8",
        ] {
            assert!(rejects.contains(reason), "{name}: {reason}");
        }
    }
}
