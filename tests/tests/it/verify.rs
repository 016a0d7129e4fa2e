//! `verify` finds whatever does not agree with the events, `rebuild` mends it, also into another time zone.

use chrono_tz::Tz;
use store::{Erasure, Store, StoreError};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, arrival, numbered_events};
use tests::oracle::Oracle;
use tests::questions::active_users;
use tests::streams::Stream;

use crate::checks::verify_is_clean;

on_both_databases!(
    a_healthy_database_is_clean_folded_or_not,
    a_changed_count_is_found,
    a_changed_set_is_found,
    a_set_that_cannot_be_read_is_found,
    a_missing_day_is_found,
    a_changed_union_is_found,
    a_lost_log_row_is_found,
    a_doubled_log_row_is_found,
    a_set_of_the_log_that_cannot_be_read_is_found,
    a_damaged_log_stops_whoever_reads_it_until_it_is_rebuilt,
    a_lost_event_is_found,
    an_event_that_nobody_counted_is_found,
    rebuild_changes_no_answer,
    rebuild_into_another_zone_moves_the_days,
    rebuild_into_another_zone_reaches_a_running_store,
    rebuild_and_ingest_at_the_same_moment_lose_nothing,
    verify_and_ingest_at_the_same_moment_agree,
);

/// Folded events over two days, and some that are not folded yet.
async fn filled(database: &TestDatabase) -> (Store, Vec<Event>) {
    let store = database.store().await;
    let mut events = numbered_events("folded ", 2_000);
    store
        .ingest(events.iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    store.fold_all().await.expect("the fold works");
    let late = numbered_events("not folded ", 30);
    store
        .ingest(late.iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    events.extend(late);
    (store, events)
}

async fn check_answers(store: &Store, events: &[Event]) {
    let question = active_users("2025-12-30", "2026-01-04", 2);
    let found = store
        .active_users(question.clone(), arrival())
        .await
        .expect("the store answers");
    assert_eq!(
        found,
        Oracle::new(store.timezone(), events).active_users(&question, arrival())
    );
}

/// Changes the tables behind the store's back: a store opened afterwards must find it, and must be able to mend it.
async fn check_found(database: &TestDatabase, damage: &str) {
    let (store, _) = filled(database).await;
    verify_is_clean(&store).await;
    store.close().await;
    assert!(database.execute(damage).await > 0, "{damage} changed nothing");
    let store = database.store().await;
    let differences = store.verify(|_| {}).await.expect("verify works");
    assert!(!differences.is_empty(), "{damage} went unnoticed");
    store.rebuild(None, |_| {}).await.expect("rebuild works");
    verify_is_clean(&store).await;
    let question = active_users("2025-12-30", "2026-01-04", 1);
    let points = store
        .active_users(question.clone(), arrival())
        .await
        .expect("the store answers");
    assert_eq!(points.iter().map(|point| point.new_users).sum::<u64>(), 97);
}

async fn a_healthy_database_is_clean_folded_or_not(database: TestDatabase) {
    let (store, _) = filled(&database).await;
    verify_is_clean(&store).await;
    store.fold_all().await.expect("the fold works");
    verify_is_clean(&store).await;
}

async fn a_changed_count_is_found(database: TestDatabase) {
    for column in ["events", "users", "new_users"] {
        let database = TestDatabase::migrated(database.backend()).await;
        let sql = format!(
            "UPDATE activity SET {column} = {column} + 1 WHERE day = (SELECT MAX(day) FROM activity)"
        );
        check_found(&database, &sql).await;
    }
}

async fn a_changed_set_is_found(database: TestDatabase) {
    check_found(
        &database,
        "UPDATE activity SET active = joined WHERE day = (SELECT MAX(day) FROM activity)",
    )
    .await;
}

async fn a_set_that_cannot_be_read_is_found(database: TestDatabase) {
    let garbage = match database.backend() {
        Backend::Sqlite => "x'deadbeef'",
        Backend::Postgres => "'\\xdeadbeef'",
    };
    check_found(
        &database,
        &format!("UPDATE activity SET joined = {garbage} WHERE facet_id = 1"),
    )
    .await;
}

async fn a_missing_day_is_found(database: TestDatabase) {
    check_found(
        &database,
        "DELETE FROM activity WHERE day = (SELECT MIN(day) FROM activity)",
    )
    .await;
}

async fn a_changed_union_is_found(database: TestDatabase) {
    let sql = "UPDATE facets SET seen = (SELECT joined FROM activity WHERE day = (SELECT MAX(day) FROM activity) \
               AND facet_id = 1) WHERE kind = 'all'";
    check_found(&database, sql).await;
}

async fn a_lost_log_row_is_found(database: TestDatabase) {
    check_found(
        &database,
        "DELETE FROM activity_log WHERE seq = (SELECT MIN(seq) FROM activity_log)",
    )
    .await;
}

async fn a_doubled_log_row_is_found(database: TestDatabase) {
    let sql = "INSERT INTO activity_log (day, event_type, user_no, events, users) \
               SELECT day, event_type, user_no, events, users FROM activity_log LIMIT 1";
    check_found(&database, sql).await;
}

fn damage_to_the_log(database: &TestDatabase) -> String {
    let garbage = match database.backend() {
        Backend::Sqlite => "x'deadbeef'",
        Backend::Postgres => "'\\xdeadbeef'",
    };
    format!("UPDATE activity_log SET users = {garbage} WHERE users IS NOT NULL")
}

async fn a_set_of_the_log_that_cannot_be_read_is_found(database: TestDatabase) {
    check_found(&database, &damage_to_the_log(&database)).await;
}

async fn a_damaged_log_stops_whoever_reads_it_until_it_is_rebuilt(database: TestDatabase) {
    let (store, events) = filled(&database).await;
    database.execute(&damage_to_the_log(&database)).await;
    let folded = store.fold(100).await;
    assert!(matches!(folded, Err(StoreError::Damaged(_))), "{folded:?}");
    let answer = store
        .active_users(active_users("2025-12-30", "2026-01-04", 2), arrival())
        .await;
    assert!(matches!(answer, Err(StoreError::Damaged(_))), "{answer:?}");
    let erasure = Erasure {
        user_id: events[0].user_id.clone(),
        block_future: false,
        now: arrival(),
    };
    let erased = store.erase_user(erasure, |_| {}).await;
    assert!(matches!(erased, Err(StoreError::Damaged(_))), "{erased:?}");
    store.rebuild(None, |_| {}).await.expect("rebuild works");
    verify_is_clean(&store).await;
    check_answers(&store, &events).await;
}

async fn a_lost_event_is_found(database: TestDatabase) {
    check_found(
        &database,
        "DELETE FROM events WHERE id = (SELECT MIN(id) + 500 FROM events)",
    )
    .await;
}

async fn an_event_that_nobody_counted_is_found(database: TestDatabase) {
    let id = match database.backend() {
        Backend::Sqlite => "randomblob(16)",
        Backend::Postgres => "gen_random_uuid()",
    };
    let sql = format!(
        "INSERT INTO events (event_id, user_id, event_type, occurred_at, properties, received_at) \
         SELECT {id}, user_id, event_type, occurred_at, properties, received_at FROM events LIMIT 1"
    );
    check_found(&database, &sql).await;
}

async fn rebuild_changes_no_answer(database: TestDatabase) {
    let (store, events) = filled(&database).await;
    check_answers(&store, &events).await;
    store.rebuild(None, |_| {}).await.expect("rebuild works");
    check_answers(&store, &events).await;
    verify_is_clean(&store).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM activity_log").await, 0);
}

async fn rebuild_into_another_zone_moves_the_days(database: TestDatabase) {
    for (seed, zone) in [(2, Tz::America__Santiago), (4, Tz::Asia__Kolkata)] {
        let database = TestDatabase::migrated(database.backend()).await;
        let store = database.store().await;
        let mut stream = Stream::new(seed);
        let events: Vec<Event> = (0..200).map(|_| stream.event()).collect();
        store
            .ingest(events.iter().map(Event::parsed).collect())
            .await
            .expect("ingest works");
        store.fold(50).await.expect("the fold works");
        store.rebuild(Some(zone), |_| {}).await.expect("rebuild works");
        assert_eq!(store.timezone(), zone);
        verify_is_clean(&store).await;
        let question = active_users(&stream.from.to_string(), &stream.to.to_string(), 7);
        let found = store
            .active_users(question.clone(), arrival())
            .await
            .expect("the store answers");
        assert_eq!(
            found,
            Oracle::new(zone, &events).active_users(&question, arrival()),
            "{zone}"
        );
        assert_eq!(database.store().await.timezone(), zone);
    }
}

async fn rebuild_into_another_zone_reaches_a_running_store(database: TestDatabase) {
    let (running, mut events) = filled(&database).await;
    check_answers(&running, &events).await;
    database
        .store()
        .await
        .rebuild(Some(Tz::America__New_York), |_| {})
        .await
        .expect("rebuild works");
    let more = numbered_events("after the change ", 40);
    running
        .ingest(more.iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    events.extend(more);
    let question = active_users("2025-12-30", "2026-01-04", 2);
    let found = running
        .active_users(question.clone(), arrival())
        .await
        .expect("the store answers");
    assert_eq!(
        found,
        Oracle::new(Tz::America__New_York, &events).active_users(&question, arrival())
    );
    assert_eq!(running.timezone(), Tz::America__New_York);
    running.fold_all().await.expect("the fold works");
    check_answers(&running, &events).await;
    verify_is_clean(&running).await;
}

async fn rebuild_and_ingest_at_the_same_moment_lose_nothing(database: TestDatabase) {
    let (running, mut events) = filled(&database).await;
    let rebuilding = database.store().await;
    let more = numbered_events("meanwhile ", 600);
    let writing = {
        let (running, more) = (running.clone(), more.clone());
        tokio::spawn(async move {
            for batch in more.chunks(10) {
                running
                    .ingest(batch.iter().map(Event::parsed).collect())
                    .await
                    .expect("ingest works");
                running.fold(5).await.expect("the fold works");
            }
        })
    };
    for zone in [Tz::Asia__Kolkata, Tz::America__Santiago] {
        rebuilding
            .rebuild(Some(zone), |_| {})
            .await
            .expect("rebuild works");
    }
    writing.await.expect("writing goes on");
    events.extend(more);
    assert_eq!(
        database.number("SELECT COUNT(*) FROM events").await,
        events.len() as i64
    );
    verify_is_clean(&rebuilding).await;
    running.fold_all().await.expect("the fold works");
    check_answers(&running, &events).await;
    verify_is_clean(&running).await;
}

async fn verify_and_ingest_at_the_same_moment_agree(database: TestDatabase) {
    let (store, _) = filled(&database).await;
    let writing = {
        let store = store.clone();
        tokio::spawn(async move {
            for batch in numbered_events("meanwhile ", 400).chunks(10) {
                store
                    .ingest(batch.iter().map(Event::parsed).collect())
                    .await
                    .expect("ingest works");
                store.fold(8).await.expect("the fold works");
            }
        })
    };
    for _ in 0..5 {
        verify_is_clean(&store).await;
    }
    writing.await.expect("writing goes on");
    verify_is_clean(&store).await;
}
