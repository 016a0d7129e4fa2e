//! Several at once on one database: servers and an importer with the same events, and clocks that do not agree.

use std::process::{Command, Stdio};

use serde_json::json;
use tests::database::TestDatabase;
use tests::ledger::csv;
use tests::load::{Load, LoadOptions};
use tests::programs::built_from_present_sources;

use crate::app::Running;
use crate::checks::verify_is_clean;
use crate::faults::{FLOW, check_database, serve};

on_both_databases!(
    two_servers_and_an_importer_with_the_same_events,
    a_clock_that_jumps_back,
);

async fn two_servers_and_an_importer_with_the_same_events(database: TestDatabase) {
    const IMPORTED: u64 = 3_000;
    let mut servers = [0, 1].map(|_| serve(database.url()).expect("the server starts"));
    let addresses = servers.iter().map(tests::kohorta::Kohorta::address).collect();
    let mut load = Load::start(LoadOptions::default(), addresses);
    load.ledger().claim(IMPORTED);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("events.csv");
    // Backwards: what the servers are sent first comes last here.
    std::fs::write(&file, csv((0..IMPORTED).rev())).expect("files can be written");
    let importer = Command::new(built_from_present_sources("kohorta-import").expect("the importer is built"))
        .arg(&file)
        .args([
            "--database-url",
            database.url(),
            "--batch-size",
            "100",
            "--fold-rows",
            "500",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the importer runs");
    let imported = tokio::task::spawn_blocking(move || importer.wait_with_output());
    load.more(500, FLOW).await.expect("events get through");
    let output = imported.await.expect("the task ends").expect("the importer ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for number in 0..IMPORTED {
        load.ledger().acknowledge(number);
    }
    load.finish().await.expect("the load ends");
    for server in &mut servers {
        assert_eq!(server.terminate().expect("the end is known").code(), Some(0));
    }
    check_database(&load, database.url()).await;
}

async fn a_clock_that_jumps_back(database: TestDatabase) {
    let ingest = "mutation ($input: IngestEventInput!) { \
         ingestEvent(input: $input) { status event { occurredAt } userErrors { code field } } }";
    let count = "{ dau(from: \"2026-03-08\", to: \"2026-03-11\") { points { date users complete } } }";
    let timeless =
        json!({ "eventId": "0190a000-0000-7000-8000-000000000001", "userId": "ana", "eventType": "login" });
    let [later, earlier] = ["2026-03-10T12:00:00Z", "2026-03-09T23:00:00Z"];
    let mut server = Running::start_at(&database, later).await;
    let answer = server.data(ingest, json!({ "input": timeless })).await;
    assert_eq!(answer["ingestEvent"]["status"], "STORED");
    server.stop().await;
    let mut server = Running::start_at(&database, earlier).await;
    // The same event again: it has the time that it was given first.
    let answer = server.data(ingest, json!({ "input": timeless })).await;
    assert_eq!(answer["ingestEvent"]["status"], "DUPLICATE");
    let stored = answer["ingestEvent"]["event"]["occurredAt"].as_str();
    assert!(
        stored.is_some_and(|time| time.starts_with("2026-03-10T12:00:00")),
        "{stored:?}"
    );
    // What lies ahead of the clock now is refused, and says why; what lies behind it is an ordinary event.
    let ahead = json!({ "userId": "bo", "eventType": "login", "occurredAt": later });
    let answer = server.data(ingest, json!({ "input": ahead })).await;
    assert_eq!(answer["ingestEvent"]["userErrors"][0]["code"], "FUTURE_TIMESTAMP");
    let behind = json!({ "userId": "bo", "eventType": "login" });
    let answer = server.data(ingest, json!({ "input": behind })).await;
    assert_eq!(answer["ingestEvent"]["status"], "STORED");
    let answer = server.data(count, json!({})).await;
    let points: Vec<_> = answer["dau"]["points"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|point| (point["users"].as_u64(), point["complete"].as_bool()))
        .collect();
    let [full, open] = [true, false].map(Some);
    assert_eq!(
        points,
        [(Some(0), full), (Some(1), open), (Some(1), open), (Some(0), open)]
    );
    server.stop().await;
    verify_is_clean(&database.store().await).await;
}
