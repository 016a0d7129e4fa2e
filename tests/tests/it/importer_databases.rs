//! Imports on both databases: again, side by side, without writing, interrupted, killed.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use tests::database::{Backend, TestDatabase};
use tests::programs::signal;

use super::importer_program::{HEADER, Importing, file, row};

on_both_databases!(
    importing_again_adds_nothing,
    an_id_with_other_content_is_a_conflict,
    a_dry_run_tells_what_an_import_then_does,
    imports_side_by_side_store_each_event_once,
    killed_and_run_again_ends_in_the_same_state,
    an_interrupt_finishes_the_batch_and_says_so,
    a_file_that_repeats_itself_is_right_at_any_batch_size,
);

/// A file of the generator with everything that may go wrong in it: 6,000 events, 300 duplicates, 60 bad rows.
const GENERATE: [&str; 14] = [
    "generate",
    "--events",
    "6000",
    "--users",
    "400",
    "--days",
    "20",
    "--duplicates",
    "0.05",
    "--late",
    "0.05",
    "--bad",
    "0.01",
    "-o",
];

fn generated(importing: &Importing, name: &str) {
    let answer = importing.run(&[&GENERATE[..], &[name]].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// Everything that the database holds, but for what differs from one import to the next: row ids and ordinals.
async fn state(database: &TestDatabase) -> Vec<String> {
    let id = match database.backend() {
        Backend::Sqlite => "lower(hex(event_id))",
        Backend::Postgres => "replace(event_id::text, '-', '')",
    };
    let sql = format!(
        "SELECT {id} || '|' || user_id || '|' || event_type || '|' || occurred_at || '|' || CAST(properties AS TEXT) \
         FROM events ORDER BY 1"
    );
    let mut state = texts(database, &sql).await;
    let sql = "SELECT kind || '|' || name || '|' || day || '|' || events || '|' || users || '|' || new_users \
               FROM activity JOIN facets ON facets.facet_id = activity.facet_id ORDER BY 1";
    state.extend(texts(database, sql).await);
    state
}

async fn texts(database: &TestDatabase, sql: &str) -> Vec<String> {
    let rows = database.rows(sql).await;
    rows.iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect()
}

async fn verify(database: &TestDatabase) {
    let store = database.store().await;
    let differences = store.verify(|_| {}).await.expect("verify works");
    assert_eq!(differences, Vec::<String>::new());
    store.close().await;
    assert_eq!(
        database.number("SELECT COUNT(*) FROM activity_log").await,
        0,
        "the import folds at its end"
    );
}

async fn importing_again_adds_nothing(database: TestDatabase) {
    let importing = Importing::into_database(database.url());
    generated(&importing, "events.csv.gz");
    importing.check(
        &["events.csv.gz", "--fold-rows", "1000", "--batch-size", "500"],
        1,
        [6000, 300, 0, 60],
    );
    let first = state(&database).await;
    importing.check(&["events.csv.gz"], 1, [0, 6300, 0, 60]);
    assert!(state(&database).await == first, "nothing has changed");
    verify(&database).await;
}

async fn an_id_with_other_content_is_a_conflict(database: TestDatabase) {
    let importing = Importing::into_database(database.url());
    importing.write("events.csv", file(0..5) + &row(1).replace("ana", "bob") + &row(2));
    importing.check(&["events.csv", "--rejects", "bad.csv"], 1, [5, 1, 1, 0]);
    let reason = "events.csv,7,event_id,00000000-0000-4000-8000-000000000001,\
                  \"event_id is known with other content, which stands\"";
    let rejects = importing.read_text("bad.csv");
    assert!(rejects.contains(reason), "{rejects}");
    assert!(rejects.ends_with(&row(1).replace("ana", "bob")), "{rejects}");
}

async fn a_dry_run_tells_what_an_import_then_does(database: TestDatabase) {
    let importing = Importing::into_database(database.url());
    generated(&importing, "all.csv");
    importing.write(
        "conflicts.csv",
        file(0..10) + &row(3).replace("ana", "bob") + &row(4),
    );
    let files = ["all.csv", "conflicts.csv", "all.csv"];
    let expected = [6010, 6601, 1, 120];
    importing.check(
        &[&files[..], &["--dry-run", "--batch-size", "700"]].concat(),
        1,
        expected,
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 0);
    importing.check(&[&files[..], &["--batch-size", "700"]].concat(), 1, expected);
    importing.check(&["conflicts.csv", "--dry-run"], 1, [0, 11, 1, 0]);
    let new = file(100..103) + &row(0).replace("ana", "eve") + &row(101);
    importing.write("new.csv", new);
    importing.check(&["new.csv", "--dry-run"], 1, [3, 1, 1, 0]);
}

async fn imports_side_by_side_store_each_event_once(database: TestDatabase) {
    let importing = Importing::into_database(database.url());
    generated(&importing, "events.csv");
    let arguments = [
        "events.csv",
        "--quiet",
        "--batch-size",
        "250",
        "--fold-rows",
        "1000",
    ];
    let start = || {
        importing
            .command(&arguments)
            .stderr(Stdio::null())
            .spawn()
            .expect("the importer runs")
    };
    let running: Vec<Child> = (0..3).map(|_| start()).collect();
    for mut process in running {
        assert_eq!(process.wait().expect("the importer ends").code(), Some(1));
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 6000);
    verify(&database).await;
}

async fn killed_and_run_again_ends_in_the_same_state(database: TestDatabase) {
    let importing = Importing::into_database(database.url());
    generated(&importing, "events.csv");
    let undisturbed = TestDatabase::migrated(database.backend()).await;
    Importing::into_database(undisturbed.url()).check(
        &[importing.path("events.csv").to_str().expect("a path in UTF-8")],
        1,
        [6000, 300, 0, 60],
    );
    let arguments = [
        "events.csv",
        "--quiet",
        "--batch-size",
        "50",
        "--fold-rows",
        "200",
        "--rejects",
        "bad.csv",
    ];
    let mut kills = 0;
    for pause_ms in [10, 40, 90, 160, 250, 400] {
        let mut process = importing.command(&arguments).spawn().expect("the importer runs");
        std::thread::sleep(Duration::from_millis(pause_ms));
        signal(process.id(), "KILL");
        kills += u32::from(process.wait().expect("the importer ends").code().is_none());
    }
    assert!(kills >= 2, "the importer is not that fast");
    let (code, summary) = importing.summary(&["events.csv"]);
    assert_eq!((code, summary["rejected"].as_u64()), (1, Some(60)), "{summary}");
    assert!(
        state(&database).await == state(&undisturbed).await,
        "the same events and numbers"
    );
    verify(&database).await;
}

async fn an_interrupt_finishes_the_batch_and_says_so(database: TestDatabase) {
    let importing = Importing::into_database(database.url());
    let mut command = importing.command(&["-", "--json", "--quiet", "--batch-size", "100"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = command.spawn().expect("the importer runs");
    // The input stays open: the importer waits for more when the signal comes.
    let mut input = process.stdin.take().expect("standard input is a pipe");
    std::io::Write::write_all(&mut input, (file(0..1050)).as_bytes()).expect("the importer reads its input");
    while database.number("SELECT COUNT(*) FROM events").await < 1000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    signal(process.id(), "TERM");
    let output = process.wait_with_output().expect("the importer ends");
    drop(input);
    assert_eq!(output.status.code(), Some(3));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a summary");
    assert_eq!(
        (summary["status"].as_str(), summary["stored"].as_u64()),
        (Some("interrupted"), Some(1000)),
        "{summary}"
    );
    importing.write("events.csv", file(0..1050));
    importing.check(&["events.csv"], 0, [50, 1000, 0, 0]);
    verify(&database).await;
}

async fn a_file_that_repeats_itself_is_right_at_any_batch_size(database: TestDatabase) {
    let importing = Importing::into_database(database.url());
    let mut text = HEADER.to_owned();
    for number in 0..600 {
        text += &row(number % 40);
        text += &row(39 - number % 40);
    }
    fs::write(importing.path("events.csv"), text).expect("files can be written");
    importing.check(
        &["events.csv", "--batch-size", "7", "--connections", "6"],
        0,
        [40, 1160, 0, 0],
    );
    importing.check(&["events.csv", "--batch-size", "100000"], 0, [0, 1200, 0, 0]);
    verify(&database).await;
}
