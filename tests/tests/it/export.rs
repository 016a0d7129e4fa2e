//! Exports: what is written down can be imported again, all of it, and what was cut off never looks whole.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use server::app::AppOptions;
use tests::database::{Backend, TestDatabase};
use tests::events::Event;
use tests::kohorta::{KohortaOptions, run};
use tests::programs::built_from_present_sources;
use tests::streams::{Stream, deliver};

use crate::app::Running;

on_both_databases!(a_client_gets_what_it_asks_for, wrong_parameters_are_refused);

/// Random events with difficult names, stored; the store is closed.
async fn filled(database: &TestDatabase) -> usize {
    let mut stream = Stream::new(0);
    let store = database.store().await;
    let mut stored: Vec<Event> = Vec::new();
    for delivery in stream.deliveries(300) {
        deliver(&mut stored, &delivery);
        let parsed = delivery.iter().map(Event::parsed).collect();
        store.ingest(parsed).await.expect("ingest works");
    }
    store.close().await;
    stored.len()
}

fn kohorta(arguments: &[&str]) -> String {
    let options = KohortaOptions {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..KohortaOptions::default()
    };
    let output = run(&options).expect("kohorta runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn import(database: &TestDatabase, file: &Path) -> Value {
    let program = built_from_present_sources("kohorta-import").expect("the importer is built");
    let output = Command::new(program)
        .args(["--json", "--quiet", "--database-url", database.url()])
        .arg(file)
        .output()
        .expect("the importer runs");
    serde_json::from_slice(&output.stdout).expect("a summary")
}

/// From the embedded file to PostgreSQL and back, by both formats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_is_imported_again_on_either_database() {
    let first = TestDatabase::migrated(Backend::Sqlite).await;
    let count = filled(&first).await;
    let original = kohorta(&["export", "--database-url", first.url()]);
    assert_eq!(
        kohorta(&["export", "--database-url", first.url(), "--format", "ndjson"])
            .lines()
            .count(),
        count
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut from = first;
    for (backend, name) in [(Backend::Postgres, "a.csv.gz"), (Backend::Sqlite, "b.ndjson")] {
        let file = folder.path().join(name);
        kohorta(&[
            "export",
            "--database-url",
            from.url(),
            "--output",
            &file.display().to_string(),
        ]);
        let to = TestDatabase::migrated(backend).await;
        let summary = import(&to, &file);
        assert_eq!(summary["stored"], count, "{backend}: {summary}");
        assert_eq!(
            kohorta(&["export", "--database-url", to.url()]),
            original,
            "{backend}"
        );
        kohorta(&["verify", "--database-url", to.url()]);
        from = to;
    }
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 2, "a partial file is left");
}

async fn a_client_gets_what_it_asks_for(database: TestDatabase) {
    let count = filled(&database).await;
    let mut server = Running::start_on(database.store().await, AppOptions::default()).await;
    let whole = server.client.get("/export").await.expect("an answer");
    assert_eq!(
        (whole.status, whole.header("content-type")),
        (200, "text/csv; charset=utf-8")
    );
    assert_eq!(
        whole.text(),
        kohorta(&["export", "--database-url", database.url()])
    );
    let lines = server
        .client
        .get("/export?format=ndjson&eventType=login")
        .await
        .expect("an answer");
    let of_type =
        |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|line| line["event_type"] == "login");
    assert!(!lines.text().is_empty() && lines.text().lines().all(of_type));
    let day = server
        .client
        .get("/export?format=ndjson&from=2024-02-10&to=2024-04-30&receivedAt=true")
        .await;
    let day = day.expect("an answer").text();
    assert!(day.lines().count() <= count && day.lines().all(|line| line.contains("received_at")));
    server.stop().await;
}

async fn wrong_parameters_are_refused(database: TestDatabase) {
    let mut server = Running::start_on(database.store().await, AppOptions::default()).await;
    for query in [
        "format=xml",
        "from=yesterday",
        "from=2026-01-02&to=2026-01-01",
        "gzip=1",
        "colour=red",
    ] {
        let answer = server
            .client
            .get(&format!("/export?{query}"))
            .await
            .expect("an answer");
        let code = answer.json()["errors"][0]["extensions"]["code"].clone();
        assert_eq!(
            (answer.status, code.as_str()),
            (400, Some("BAD_USER_INPUT")),
            "{query}: {}",
            answer.text()
        );
    }
    server.stop().await;
}
