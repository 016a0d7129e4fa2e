//! What happens to an SQLite file while a server on it is under load.

use std::fs;
use std::path::Path;

use sea_orm::{ConnectionTrait, TransactionTrait};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events, parsed_events};
use tests::small_disk::SmallDisk;

use crate::checks::verify_is_clean;
use crate::faults::Trial;
use crate::faults_postgres::refused_soon;

fn url_of(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_disk_full() {
    let disk = SmallDisk::mount(30).unwrap_or_else(|complaint| panic!("{complaint}"));
    let url = url_of(&disk.path().join("kohorta.db"));
    let trial = Trial::start(&url, &url).await;
    disk.fill().expect("the disk can be filled");
    refused_soon(&trial).await;
    trial.reads().await;
    assert_eq!(trial.health().await, 200, "questions are still answered");
    disk.clear().expect("room can be made");
    trial.comes_back().await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_locked_by_another_process() {
    let database = TestDatabase::empty(Backend::Sqlite).await;
    let trial = Trial::start(database.url(), database.url()).await;
    let other = database.connect().await;
    let transaction = other.begin().await.expect("a transaction begins");
    transaction
        .execute_unprepared("DELETE FROM settings WHERE key = 'none'")
        .await
        .expect("another process can write");
    trial.refuses_ingest().await;
    trial.reads().await;
    assert_eq!(trial.health().await, 200, "questions are still answered");
    transaction.rollback().await.expect("the lock is given back");
    trial.comes_back().await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_file_taken_away_or_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [path, elsewhere, foreign] =
        ["kohorta.db", "elsewhere.db", "foreign.db"].map(|name| folder.path().join(name));
    let url = url_of(&path);
    let trial = Trial::start(&url, &url).await;
    fs::rename(&path, &elsewhere).expect("the file can be moved");
    trial.is_away().await;
    fs::rename(&elsewhere, &path).expect("the file can be moved");
    trial.comes_back().await;
    // Another file in its place, as somebody does who restores a backup under a running server.
    fs::copy(&path, &foreign).expect("the file can be copied");
    fs::rename(&path, &elsewhere).expect("the file can be moved");
    fs::rename(&foreign, &path).expect("the file can be moved");
    trial.is_away().await;
    fs::rename(&elsewhere, &path).expect("the file can be moved");
    trial.comes_back().await;
    trial.ends_well().await;
}

/// A full disk makes SQLite roll a transaction back by itself. The driver did not notice, took what came later for parts
/// of that transaction, and acknowledged what was never committed.
#[tokio::test]
async fn what_sqlite_rolls_back_by_itself_takes_nothing_with_it() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    for (user, action) in [("gone", "ROLLBACK"), ("refused", "ABORT")] {
        let trigger = format!(
            "CREATE TRIGGER {user} BEFORE INSERT ON events WHEN NEW.user_id = '{user}' \
             BEGIN SELECT RAISE({action}, 'a test'); END"
        );
        database.execute(&trigger).await;
    }
    let store = database.store().await;
    let text = "2026-03-01T08:00Z gone login
                2026-03-01T08:01Z refused login
                2026-03-01T08:02Z ana login
                2026-03-01T08:03Z bo login";
    for event in parsed_events(text) {
        let refused = ["gone", "refused"].contains(&event.user_id());
        let outcome = store.ingest(vec![event]).await;
        assert_eq!(outcome.is_err(), refused, "{outcome:?}");
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 2);
    let mut many = numbered_events("many ", 250);
    for (user, refused) in [("gone", true), ("refused", true), ("ana", false)] {
        many[130].user_id = user.to_owned();
        let outcomes = store.ingest(many.iter().map(Event::parsed).collect()).await;
        assert_eq!(outcomes.is_err(), refused, "{outcomes:?}");
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 252);
    verify_is_clean(&store).await;
}

/// Row 15 of what our own stack does to us: commits must reach the disk, not only the operating system.
#[tokio::test]
async fn sqlite_commits_reach_the_disk() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let connection = database.connect().await;
    for (pragma, expected) in [("journal_mode", "wal"), ("synchronous", "2")] {
        let statement =
            sea_orm::Statement::from_string(connection.get_database_backend(), format!("PRAGMA {pragma}"));
        let row = connection
            .query_one_raw(statement)
            .await
            .expect("the pragma answers");
        let row = row.expect("the pragma answers");
        let value = row
            .try_get_by_index::<String>(0)
            .or_else(|_| row.try_get_by_index::<i64>(0).map(|number| number.to_string()));
        assert_eq!(value.expect("a value"), expected, "{pragma}");
    }
}
