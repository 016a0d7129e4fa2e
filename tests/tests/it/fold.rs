//! The rules of the fold: it happens wholly or not at all, wherever it is cut; one folder at a time; the log is empty
//! after it.

use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::{Store, StoreOptions};
use tests::database::TestDatabase;
use tests::events::{Event, arrival, numbered_events};
use tests::oracle::Oracle;
use tests::questions::active_users;
use tokio::task::JoinSet;

use crate::checks::verify_is_clean;

on_both_databases!(
    a_fold_takes_no_more_rows_than_allowed,
    a_folded_database_has_an_empty_log,
    folds_at_the_same_moment_take_each_row_once,
    a_fold_that_is_dropped_has_happened_or_not,
    a_fold_whose_connections_die_has_happened_or_not,
);

const LOG_ROWS: &str = "SELECT COUNT(*) FROM activity_log";

async fn filled(database: &TestDatabase, count: usize) -> (Store, Vec<Event>) {
    let store = database.store().await;
    let events = numbered_events("folded ", count);
    store
        .ingest(events.iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    (store, events)
}

async fn check_answers(store: &Store, events: &[Event]) {
    for window_days in [1, 2] {
        let question = active_users("2025-12-31", "2026-01-03", window_days);
        let found = store
            .active_users(question.clone(), arrival())
            .await
            .expect("the store answers");
        assert_eq!(
            found,
            Oracle::new(Tz::UTC, events).active_users(&question, arrival())
        );
    }
}

async fn a_fold_takes_no_more_rows_than_allowed(database: TestDatabase) {
    let (store, events) = filled(&database, 50).await;
    let rows = database.number(LOG_ROWS).await;
    let report = store.fold(7).await.expect("the fold works");
    assert_eq!((report.rows, report.busy), (7, false));
    assert_eq!(database.number(LOG_ROWS).await, rows - 7);
    check_answers(&store, &events).await;
    verify_is_clean(&store).await;
}

async fn a_folded_database_has_an_empty_log(database: TestDatabase) {
    let (store, events) = filled(&database, 50).await;
    let rows = database.number(LOG_ROWS).await;
    assert_eq!(
        store.fold_all().await.expect("the fold works"),
        rows.unsigned_abs()
    );
    assert_eq!(database.number(LOG_ROWS).await, 0);
    assert_eq!(store.fold_all().await.expect("the fold works"), 0);
    check_answers(&store, &events).await;
    verify_is_clean(&store).await;
}

async fn folds_at_the_same_moment_take_each_row_once(database: TestDatabase) {
    let (store, events) = filled(&database, 300).await;
    let rows = database.number(LOG_ROWS).await.unsigned_abs();
    let mut folders = JoinSet::new();
    for _ in 0..6 {
        let store = Store::open(StoreOptions::new(database.url()))
            .await
            .expect("the store opens");
        folders.spawn(async move {
            let mut taken = 0;
            for _ in 0..10 {
                taken += store.fold(9).await.expect("the fold works").rows;
            }
            taken
        });
    }
    let taken: u64 = folders.join_all().await.iter().sum();
    let left = store.fold_all().await.expect("the fold works");
    assert_eq!(taken + left, rows);
    check_answers(&store, &events).await;
    verify_is_clean(&store).await;
}

/// The folder's task is aborted, with its store, at random moments.
async fn a_fold_that_is_dropped_has_happened_or_not(database: TestDatabase) {
    let (store, events) = filled(&database, 200).await;
    let mut random = StdRng::seed_from_u64(5);
    for _ in 0..25 {
        let doomed = database.store().await;
        let rows = random.random_range(1..15);
        let folding = tokio::spawn(async move { doomed.fold(rows).await });
        for _ in 0..random.random_range(0..60) {
            tokio::task::yield_now().await;
        }
        folding.abort();
        let _ = folding.await;
        check_answers(&store, &events).await;
    }
    verify_is_clean(&store).await;
    store.fold_all().await.expect("the fold works");
    check_answers(&store, &events).await;
    verify_is_clean(&store).await;
}

/// The runtime that folds is torn down with everything in it, as close to a kill as one process can come.
async fn a_fold_whose_connections_die_has_happened_or_not(database: TestDatabase) {
    let (store, events) = filled(&database, 200).await;
    let mut random = StdRng::seed_from_u64(6);
    for _ in 0..10 {
        let (url, rows, polls) = (
            database.url().to_owned(),
            random.random_range(1..25),
            random.random_range(1..400),
        );
        let dying = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let doomed = Store::open(StoreOptions::new(url))
                    .await
                    .expect("the store opens");
                tokio::spawn(async move { doomed.fold(rows).await });
                for _ in 0..polls {
                    tokio::task::yield_now().await;
                }
            });
            runtime.shutdown_background();
        });
        tokio::task::spawn_blocking(move || dying.join())
            .await
            .expect("joined")
            .expect("no panic");
        check_answers(&store, &events).await;
    }
    store.fold_all().await.expect("the fold works");
    check_answers(&store, &events).await;
    verify_is_clean(&store).await;
}
