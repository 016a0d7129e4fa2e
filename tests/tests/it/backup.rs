//! Backups as `docs/operating.md` describes them, taken while a server writes: what was acknowledged before the backup
//! began is in it, once, and the sets of the copy are what its events say.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tests::cluster::program_directory;
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};
use tests::http::Client;
use tests::kohorta::{Kohorta, KohortaOptions, run};
use tokio::task::JoinHandle;

fn options(arguments: &[&str]) -> KohortaOptions {
    KohortaOptions {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..KohortaOptions::default()
    }
}

/// Runs a command of kohorta that must succeed.
fn kohorta(arguments: &[&str]) {
    let output = run(&options(arguments)).expect("kohorta runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

/// Runs one of PostgreSQL's programs, which must succeed.
fn postgres(program: &str, arguments: &[&str]) {
    let programs = program_directory().unwrap_or_else(|complaint| panic!("{complaint}"));
    let output = Command::new(programs.join(program))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// Batches that are sent without a pause until told to stop.
struct Load {
    stored: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Load {
    fn start(mut client: Client) -> Self {
        let (stored, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stopped) = (Arc::clone(&stored), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let query = "mutation ($input: IngestEventsInput!) { ingestEvents(input: $input) { stored } }";
            for batch in 0.. {
                let events = numbered_events(&format!("batch {batch} "), 100);
                let events: Vec<_> = events.iter().map(Event::input).collect();
                let variables = json!({ "input": { "events": events } });
                let answer = client.graphql(query, &variables).await.expect("an answer").json();
                assert_eq!(answer["data"]["ingestEvents"]["stored"], 100, "{answer}");
                counter.fetch_add(100, Ordering::SeqCst);
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        Self { stored, stop, task }
    }

    /// Waits until at least so many events are acknowledged, and says how many are.
    async fn reached(&self, events: u64) -> u64 {
        loop {
            let stored = self.stored.load(Ordering::SeqCst);
            if stored >= events {
                return stored;
            }
            assert!(!self.task.is_finished(), "the load ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many events were acknowledged in all.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("every batch is stored");
        self.stored.load(Ordering::SeqCst)
    }
}

/// Backs up under load with `back_up`, and checks the database at `copy_url` that `restore` makes of it.
async fn check(url: &str, back_up: impl FnOnce() + Send + 'static, restore: impl FnOnce(), copy_url: &str) {
    let server = Kohorta::serve(&options(&["--fold-interval-ms=50", "--database-url", url]))
        .expect("the server starts");
    let load = Load::start(server.client());
    let before = load.reached(500).await;
    tokio::task::spawn_blocking(back_up)
        .await
        .expect("the backup is made");
    let after = load.reached(before + 200).await;
    restore();
    kohorta(&["verify", "--database-url", copy_url]);

    let mut restored =
        Kohorta::serve(&options(&["--database-url", copy_url])).expect("the copy can be served");
    let query = "{ topEvents(from: \"2025-12-01\", to: \"2026-03-01\") { totalEvents } }";
    let answer = restored
        .client()
        .graphql(query, &json!({}))
        .await
        .expect("an answer")
        .json();
    let found = answer["data"]["topEvents"]["totalEvents"]
        .as_u64()
        .unwrap_or_default();
    assert!(
        (before..=after).contains(&found),
        "{before} <= {found} <= {after}"
    );
    restored.terminate().expect("the end is known");

    let all = load.stop().await;
    assert!(all > found, "the server went on writing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_is_copied_while_it_is_written() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("copy.db").display().to_string();
    let (from, to) = (database.url().to_owned(), copy.clone());
    let back_up = move || kohorta(&["backup", "--database-url", &from, &to]);
    check(database.url(), back_up, || {}, &format!("sqlite://{copy}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_dumped_while_it_is_written() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let empty = TestDatabase::empty(Backend::Postgres).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = folder.path().join("kohorta.dump").display().to_string();
    let (from, to) = (database.url().to_owned(), dump.clone());
    let back_up = move || postgres("pg_dump", &["--format=custom", "--file", &to, &from]);
    let restore = || {
        postgres(
            "pg_restore",
            &["--exit-on-error", "--no-owner", "--dbname", empty.url(), &dump],
        );
    };
    check(database.url(), back_up, restore, empty.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_overwrites_nothing_and_says_what_to_use_for_postgres() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("copy.db");
    let refused = |url: &str, file: &Path| {
        let arguments = ["backup", "--database-url", url, &file.display().to_string()];
        let output = run(&options(&arguments)).expect("kohorta runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let sqlite = TestDatabase::migrated(Backend::Sqlite).await;
    std::fs::write(&copy, "precious").expect("a file can be written");
    assert!(refused(sqlite.url(), &copy).contains("exists already"));
    assert_eq!(std::fs::read_to_string(&copy).expect("it is there"), "precious");
    let nowhere = folder.path().join("no such folder/copy.db");
    assert!(!refused(sqlite.url(), &nowhere).is_empty());
    let postgres = TestDatabase::migrated(Backend::Postgres).await;
    assert!(refused(postgres.url(), &folder.path().join("other.db")).contains("pg_dump"));
    let missing = format!("sqlite://{}", folder.path().join("missing.db").display());
    assert!(!refused(&missing, &folder.path().join("other.db")).is_empty());
    assert!(
        !folder.path().join("missing.db").exists(),
        "a backup makes no database"
    );
}
