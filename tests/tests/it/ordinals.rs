//! What a store knows of ordinals is never used once it is not true any more: neither after an erasure, by whomever, nor
//! on a database that is not the one it was.

use store::Store;
use tests::database::TestDatabase;
use tests::events::arrival;
use tests::questions::active_users;

use crate::checks::{ingest, show_points, verify_is_clean};
use crate::erase::erase;

on_both_databases!(
    known_users_are_counted_as_themselves,
    an_ordinal_that_was_erased_elsewhere_is_not_used_again,
    an_ordinal_that_has_become_another_users_is_not_used,
    an_ordinal_whose_row_is_gone_is_not_used,
    ordinals_that_have_changed_hands_are_not_used,
);

/// `verify` compares the sets, ordinal by ordinal, with the events.
async fn check(store: &Store, expected: &str) {
    verify_is_clean(store).await;
    store.fold_all().await.expect("the fold works");
    verify_is_clean(store).await;
    let points = store
        .active_users(active_users("2026-03-01", "2026-03-02", 1), arrival())
        .await
        .expect("the store answers");
    assert_eq!(show_points(&points), expected);
}

async fn known_users_are_counted_as_themselves(database: TestDatabase) {
    let [one, other] = [database.store().await, database.store().await];
    ingest(
        &one,
        "2026-03-01T08:00Z bo login #1\n2026-03-01T08:00Z ana login #2",
    )
    .await;
    ingest(
        &other,
        "2026-03-01T09:00Z cy login #3\n2026-03-01T09:00Z bo login #4",
    )
    .await;
    ingest(
        &one,
        "2026-03-02T08:00Z cy login #5\n2026-03-02T08:00Z ana click #6",
    )
    .await;
    ingest(
        &other,
        "2026-03-02T08:00Z ana login #7\n2026-03-02T08:00Z cy click #8",
    )
    .await;
    assert_eq!(database.number("SELECT COUNT(*) FROM users").await, 3);
    check(&one, "2026-03-01 3 3\n2026-03-02 2 0").await;
}

async fn an_ordinal_that_was_erased_elsewhere_is_not_used_again(database: TestDatabase) {
    let [one, other] = [database.store().await, database.store().await];
    ingest(&one, "2026-03-01T08:00Z bo login #1").await;
    ingest(&one, "2026-03-01T08:00Z ana login #2").await;
    erase(&other, "ana", false).await;
    // On SQLite this is the ordinal that was ana's, the highest one.
    ingest(&other, "2026-03-01T08:00Z cy login #3").await;
    ingest(
        &one,
        "2026-03-02T08:00Z ana login #4\n2026-03-02T08:00Z bo login #5",
    )
    .await;
    check(&one, "2026-03-01 2 2\n2026-03-02 2 1").await;
}

/// Takes everything back that was ingested, and leaves the generation as it is: a database that has gone back in time, by a
/// restore under a running server or a failover to a standby that had not got everything.
async fn take_back(database: &TestDatabase) {
    for table in ["events", "activity_log", "users"] {
        database.execute(&format!("DELETE FROM {table}")).await;
    }
}

async fn ordinal(database: &TestDatabase, user_id: &str) -> i64 {
    let sql = format!("SELECT user_no FROM users WHERE user_id = '{user_id}'");
    database.number(&sql).await
}

async fn an_ordinal_that_has_become_another_users_is_not_used(database: TestDatabase) {
    let store = database.store().await;
    ingest(
        &store,
        "2026-03-01T08:00Z ana login #1\n2026-03-01T08:00Z bo login #2",
    )
    .await;
    let bo = ordinal(&database, "bo").await;
    take_back(&database).await;
    let sql = format!("INSERT INTO users (user_no, user_id) VALUES ({bo}, 'cy')");
    database.execute(&sql).await;
    ingest(
        &store,
        "2026-03-01T08:00Z bo login #3\n2026-03-01T08:00Z cy login #4",
    )
    .await;
    assert_ne!(ordinal(&database, "bo").await, bo);
    check(&store, "2026-03-01 2 2\n2026-03-02 0 0").await;
}

async fn an_ordinal_whose_row_is_gone_is_not_used(database: TestDatabase) {
    let store = database.store().await;
    ingest(
        &store,
        "2026-03-01T08:00Z ana login #1\n2026-03-01T08:00Z bo login #2",
    )
    .await;
    take_back(&database).await;
    ingest(
        &store,
        "2026-03-01T08:00Z ana login #3\n2026-03-02T08:00Z bo login #4",
    )
    .await;
    assert_eq!(database.number("SELECT COUNT(*) FROM users").await, 2);
    check(&store, "2026-03-01 1 1\n2026-03-02 1 1").await;
}

async fn ordinals_that_have_changed_hands_are_not_used(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, "2026-03-01T08:00Z ana login #1").await;
    ingest(&store, "2026-03-01T08:00Z bo login #2").await;
    ingest(&store, "2026-03-01T08:00Z cy login #3").await;
    let mut ordinals = Vec::new();
    for user_id in ["bo", "ana", "cy"] {
        ordinals.push(ordinal(&database, user_id).await);
    }
    take_back(&database).await;
    for (user_id, user_no) in ["ana", "bo", "cy"].iter().zip(&ordinals) {
        let sql = format!("INSERT INTO users (user_no, user_id) VALUES ({user_no}, '{user_id}')");
        database.execute(&sql).await;
    }
    ingest(
        &store,
        "2026-03-01T08:00Z ana login #4
         2026-03-02T08:00Z bo login #5
         2026-03-02T08:00Z cy login #6",
    )
    .await;
    check(&store, "2026-03-01 1 1\n2026-03-02 2 2").await;
}
