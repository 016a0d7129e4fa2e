//! The rules of the fold: it happens wholly or not at all, wherever it is cut; one folder at a time; the log is empty
//! after it.

use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sea_orm::{ConnectionTrait, Statement};
use store::{Store, StoreOptions};
use tests::database::TestDatabase;
use tests::events::{Event, arrival, numbered_events};
use tests::oracle::Oracle;
use tests::questions::active_users;
use tokio::task::JoinSet;

use crate::checks::{ingest, verify_is_clean};

on_both_databases!(
    a_transaction_leaves_one_row_for_a_day_and_an_event_type,
    a_fold_takes_no_more_rows_than_allowed,
    a_fold_takes_fewer_rows_where_sets_are_large,
    a_folded_database_has_an_empty_log,
    folds_at_the_same_moment_take_each_row_once,
    a_fold_that_is_dropped_has_happened_or_not,
    a_fold_whose_connections_die_has_happened_or_not,
);

const LOG_ROWS: &str = "SELECT COUNT(*) FROM activity_log";

async fn filled(database: &TestDatabase, count: usize) -> (Store, Vec<Event>) {
    let store = database.store().await;
    let events = numbered_events("folded ", count);
    // There are five event types: some rows of the log have one user, some have two.
    for transaction in events.chunks(7) {
        store
            .ingest(transaction.iter().map(Event::parsed).collect())
            .await
            .expect("ingest works");
    }
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

async fn a_transaction_leaves_one_row_for_a_day_and_an_event_type(database: TestDatabase) {
    let store = database.store().await;
    ingest(
        &store,
        "2026-03-01T08:00Z ana login
         2026-03-01T08:01Z ana login
         2026-03-01T08:02Z bo login
         2026-03-01T08:03Z ana click
         2026-03-01T08:04Z ana click
         2026-03-02T08:00Z bo login",
    )
    .await;
    let sql = "SELECT event_type || ' ' || events || CASE WHEN users IS NULL THEN ' one' ELSE ' several ' || user_no END \
               FROM activity_log ORDER BY day, event_type";
    let rows = database.rows(sql).await;
    let rows: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect();
    // -1 is nobody: a server of the version before, which knows no sets, fails at it and does not count wrong.
    assert_eq!(rows, ["click 2 one", "login 3 several -1", "login 1 one"]);
    verify_is_clean(&store).await;
    store.fold_all().await.expect("the fold works");
    verify_is_clean(&store).await;
}

async fn a_fold_takes_fewer_rows_where_sets_are_large(database: TestDatabase) {
    let (store, _) = filled(&database, 1).await;
    store.fold_all().await.expect("the fold works");
    // Two such rows are more than 8 MiB, and a third one has to wait.
    let set = set_of_4_mib();
    let connection = database.connect().await;
    for _ in 0..3 {
        let sql = "INSERT INTO activity_log (day, event_type, user_no, events, users) \
                   VALUES (20000, 'type-0', -1, 16777216, $1)";
        let values = [set.clone().into()];
        let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
        connection.execute_raw(statement).await.expect("a row of the log");
    }
    let report = store.fold(100).await.expect("the fold works");
    assert_eq!((report.rows, report.more), (2, true));
    let report = store.fold(100).await.expect("the fold works");
    assert_eq!((report.rows, report.more), (1, false));
    assert_eq!(store.fold_all().await.expect("the fold works"), 0);
    let users = "SELECT users FROM activity WHERE facet_id = 1 AND day = 20000";
    assert_eq!(database.number(users).await, 16_777_216);
}

/// Every other one of 2^25 ordinals as a stored set, made by hand: 512 bitmaps of 8 KiB, the form that is read the fastest.
fn set_of_4_mib() -> Vec<u8> {
    const BITMAPS: u16 = 512;
    let mut bytes = Vec::new();
    bytes.extend(12_346_u32.to_le_bytes());
    bytes.extend(u32::from(BITMAPS).to_le_bytes());
    for key in 0..BITMAPS {
        bytes.extend(key.to_le_bytes());
        bytes.extend(32_767_u16.to_le_bytes());
    }
    for number in 0..u32::from(BITMAPS) {
        let begin = 8 + 8 * u32::from(BITMAPS) + 8_192 * number;
        bytes.extend(begin.to_le_bytes());
    }
    bytes.resize(bytes.len() + 8_192 * usize::from(BITMAPS), 0x55);
    bytes
}

async fn a_fold_takes_no_more_rows_than_allowed(database: TestDatabase) {
    let (store, events) = filled(&database, 50).await;
    let rows = database.number(LOG_ROWS).await;
    let report = store.fold(7).await.expect("the fold works");
    assert_eq!((report.rows, report.more, report.busy), (7, true, false));
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
