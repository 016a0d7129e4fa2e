//! The program `kohorta` itself: its command line, its signals, its log, and what it leaves on the disk.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tests::chaos::{ChaosOptions, chaos};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};
use tests::kohorta::{Kohorta, KohortaOptions, run};

fn options(directory: &Path, arguments: &[&str]) -> KohortaOptions {
    KohortaOptions {
        directory: Some(directory.to_owned()),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..KohortaOptions::default()
    }
}

fn run_in(directory: &Path, arguments: &[&str]) -> Output {
    run(&options(directory, arguments)).expect("kohorta runs")
}

/// Standard output, standard error and the exit code.
fn said(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[tokio::test]
async fn it_starts_in_an_empty_folder_and_stops_by_sigterm() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Kohorta::serve(&options(folder.path(), &[])).expect("the server starts");
    let mut client = server.client();
    let health = client.get("/healthz").await.expect("an answer");
    assert_eq!(
        (health.status, health.json()["status"].as_str()),
        (200, Some("ok"))
    );
    let query = "mutation { ingestEvent(input: { userId: \"ana\", eventType: \"login\" }) { status } }";
    let answer = client.graphql(query, &json!({})).await.expect("an answer");
    assert_eq!(answer.json()["data"]["ingestEvent"]["status"], "STORED");
    assert!(folder.path().join("data/kohorta.db").exists());
    let status = server.terminate().expect("the end is known");
    assert_eq!(status.code(), Some(0));
    let (out, _, code) = said(&run_in(folder.path(), &["verify"]));
    assert_eq!(code, Some(0), "{out}");
}

#[tokio::test]
async fn access_lines_are_json_with_the_request_id_and_no_secrets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Kohorta::serve(&options(folder.path(), &[])).expect("the server starts");
    let headers = [("x-request-id", "line-1"), ("content-type", "application/json")];
    let body = json!({ "query": "{ __typename }", "variables": { "password": "secret" } }).to_string();
    let mut client = server.client();
    client
        .send(hyper::Method::POST, "/graphql?token=secret", &headers, body)
        .await
        .expect("an answer");
    server.terminate().expect("the end is known");
    let log = server.log_to_end();
    let lines: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect();
    let access = lines
        .iter()
        .find(|line| line["logger"] == "access")
        .expect("an access line");
    assert_eq!(access["level"], "info");
    assert_eq!(
        access["msg"],
        "access method=POST path=/graphql status=200 request_id=line-1"
    );
    assert!(log.iter().all(|line| !line.contains("secret")), "{log:#?}");
}

#[test]
fn a_wrong_value_is_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for arguments in [
        &["--listen", "here"][..],
        &["--timezone", "Mars/Olympus"],
        &["--database-url", "mysql://localhost/x"],
        &["--no-such-option"],
        &["migrate", "sideways"],
    ] {
        let (out, error, code) = said(&run_in(folder.path(), arguments));
        assert_eq!((out.as_str(), code), ("", Some(2)), "{arguments:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{arguments:?}: {error}");
    }
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[test]
fn the_schema_is_printed() {
    let (out, error, code) = said(&run_in(Path::new("."), &["schema"]));
    assert_eq!((out, code), (server::schema_sdl(), Some(0)), "{error}");
}

#[test]
fn help_names_every_command_and_environment_variable() {
    let (out, _, code) = said(&run_in(Path::new("."), &["--help"]));
    assert_eq!(code, Some(0));
    for word in [
        "serve",
        "migrate",
        "schema",
        "verify",
        "rebuild",
        "erase-user",
        "expire",
        "KOHORTA_LISTEN",
        "DATABASE_URL",
        "KOHORTA_TIMEZONE",
    ] {
        assert!(out.contains(word), "{word} is not in the help:\n{out}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_and_rebuild_speak_through_their_exit_codes() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let database = TestDatabase::migrated(backend).await;
        let store = database.store().await;
        store
            .ingest(
                numbered_events("program ", 50)
                    .iter()
                    .map(Event::parsed)
                    .collect(),
            )
            .await
            .expect("ingest works");
        store.fold_all().await.expect("the fold works");
        store.close().await;
        let url = ["--database-url", database.url()];
        let command = |words: &[&str]| said(&run_in(Path::new("."), &[words, &url].concat()));
        assert_eq!(command(&["verify"]).2, Some(0));
        database
            .execute("UPDATE activity SET users = users + 1 WHERE facet_id = 1")
            .await;
        let (differences, _, code) = command(&["verify"]);
        assert_eq!(code, Some(1), "{differences}");
        assert!(!differences.is_empty());
        assert_eq!(command(&["rebuild", "--timezone", "Asia/Kolkata"]).2, Some(0));
        assert_eq!(command(&["verify"]).2, Some(0));
        assert_eq!(database.store().await.timezone().name(), "Asia/Kolkata");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_go_up_and_down_by_command() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let database = TestDatabase::empty(backend).await;
        let command = |words: &[&str]| {
            said(&run_in(
                Path::new("."),
                &[words, &["--database-url", database.url()]].concat(),
            ))
        };
        assert!(command(&["migrate", "status"]).0.contains("pending"));
        assert_ne!(
            command(&["verify"]).2,
            Some(0),
            "without tables there is nothing to verify"
        );
        assert_eq!(command(&["migrate", "up"]).2, Some(0));
        let (status, _, _) = command(&["migrate", "status"]);
        assert!(
            status.contains("applied") && !status.contains("pending"),
            "{status}"
        );
        assert_eq!(command(&["migrate", "down"]).2, Some(0));
        assert!(command(&["migrate", "status"]).0.contains("pending"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_time_zone_at_start_is_refused() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    database.store().await.close().await;
    let arguments = ["--database-url", database.url(), "--timezone", "Asia/Kolkata"];
    let complaint =
        Kohorta::serve(&options(Path::new("."), &arguments)).expect_err("the zone is another one");
    assert!(
        complaint.contains("UTC") && complaint.contains("Asia/Kolkata"),
        "{complaint}"
    );
}

/// The short form of `scripts/chaos`.
async fn killed_under_load(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let options = ChaosOptions {
        database_url: database.url().to_owned(),
        events: 2_000,
        connections: 32,
        kills: 2,
        kohorta: KohortaOptions {
            arguments: vec!["--fold-interval-ms=20".to_owned()],
            ..KohortaOptions::default()
        },
    };
    let report = chaos(options, |_| {})
        .await
        .unwrap_or_else(|complaint| panic!("{complaint}"));
    assert_eq!(report.acknowledged, 2_000);
    assert!(report.broken > 0, "the kills broke no connection: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_server_killed_under_load_loses_nothing() {
    killed_under_load(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_server_killed_under_load_loses_nothing() {
    killed_under_load(Backend::Postgres).await;
}
