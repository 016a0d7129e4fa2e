//! SQLite's write-ahead log is copied into the file beside ingest, so it stays short, and nobody waits for much of it.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, TransactionTrait};
use store::{Checkpointer, Store};
use tests::database::{Backend, TestDatabase};
use tests::events::{fat_events, numbered_events};

use crate::checks::{store_all, verify_is_clean};

/// Longer than a log is once it is copied, and much shorter than one that SQLite copies by itself.
const LONG: i64 = 6_000;
/// How long the log may take to become short again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many pages the log has.
async fn pages(database: &TestDatabase) -> i64 {
    let rows = database.rows("PRAGMA wal_checkpoint(NOOP)").await;
    rows[0].try_get_by_index(1).expect("a number")
}

/// Stores so much that the log is long if nobody copies it.
async fn store_much(store: &Store, name: &str) -> usize {
    let events = fat_events(name, 480);
    for part in events.chunks(80) {
        store_all(store, part).await;
    }
    events.len()
}

/// A log begins anew with the next commit; until then it stays as it is. Returns how many events that took.
async fn store_until_the_log_is_short(database: &TestDatabase, store: &Store, name: &str) -> usize {
    let deadline = Instant::now() + PATIENCE;
    for (number, event) in numbered_events(name, 10_000).iter().enumerate() {
        store_all(store, std::slice::from_ref(event)).await;
        if pages(database).await < LONG / 2 {
            return number + 1;
        }
        assert!(Instant::now() < deadline, "{} pages", pages(database).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the log stays long");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_copied_beside_ingest_and_begins_anew() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let store = database.store().await;
    let mut stored = store_much(&store, "alone ").await;
    assert!(pages(&database).await >= LONG, "nobody copies it");
    let checkpointer = Checkpointer::start(store.clone());
    for name in ["one ", "two ", "three "] {
        stored += store_until_the_log_is_short(&database, &store, name).await;
        stored += store_much(&store, &format!("much {name}")).await;
    }
    checkpointer.stop().await;
    assert_eq!(
        database.number("SELECT COUNT(*) FROM events").await,
        stored as i64
    );
    verify_is_clean(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_keeps_what_it_sees_and_holds_nobody_up() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let store = database.store().await;
    let checkpointer = Checkpointer::start(store.clone());
    let mut stored = store_until_the_log_is_short(&database, &store, "before ").await;
    let count = async |reader: &sea_orm::DatabaseTransaction| {
        let row = reader.query_one_raw(sea_orm::Statement::from_string(
            sea_orm::DbBackend::Sqlite,
            "SELECT COUNT(*) FROM events",
        ));
        let row = row.await.expect("the query works").expect("a row");
        row.try_get_by_index::<i64>(0).expect("a number")
    };
    let connection = database.connect().await;
    let reader = connection.begin().await.expect("a transaction begins");
    let seen = count(&reader).await;
    for name in ["one ", "two "] {
        stored += store_much(&store, name).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(pages(&database).await >= LONG, "the reader needs it");
    assert_eq!(count(&reader).await, seen);
    reader.commit().await.expect("the transaction ends");
    stored += store_until_the_log_is_short(&database, &store, "after ").await;
    checkpointer.stop().await;
    store.close().await;
    let store = database.store().await;
    assert_eq!(
        database.number("SELECT COUNT(*) FROM events").await,
        stored as i64
    );
    verify_is_clean(&store).await;
}
