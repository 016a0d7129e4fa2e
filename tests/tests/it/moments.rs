//! What a store remembers of the log is never used beyond its time: whoever stores, folds or erases, and in whatever order
//! rows are committed, a question sees everything that was stored before it, once.

use activity::calendar::Period;
use activity::top_events::Rank;
use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::filter::{Filter, StringTest};
use store::{RetentionQuestion, Store, TopEventsQuestion};
use tests::database::TestDatabase;
use tests::events::{Event, arrival, events, numbered_events};
use tests::oracle::Oracle;
use tests::questions::{active_users, retention, top_events};

use crate::checks::{ingest, show_points, store_all, verify_is_clean};
use crate::erase::erase;

on_both_databases!(
    what_others_store_and_fold_is_seen_at_once,
    rows_that_are_committed_late_are_counted,
    a_log_that_went_back_in_time_is_read_anew,
    a_log_that_went_back_in_time_leaves_no_order_behind,
    an_erasure_elsewhere_is_seen_at_once,
    a_log_larger_than_what_is_kept_is_counted,
    days_that_change_after_many_folds_are_counted_anew,
);

async fn check_answers(store: &Store, stored: &[Event]) {
    let oracle = Oracle::new(store.timezone(), stored);
    for window_days in [1, 3] {
        let question = active_users("2025-12-30", "2026-01-03", window_days);
        let found = store.active_users(question.clone(), arrival()).await;
        assert_eq!(
            found.expect("the store answers"),
            oracle.active_users(&question, arrival())
        );
    }
    let question = top_events("2025-12-30", "2026-01-02", 3, Rank::Events);
    let found = store.top_events(question.clone()).await;
    assert_eq!(found.expect("the store answers"), oracle.top_events(&question));
    let question = retention("2025-12-30", "2026-01-02", Period::Day, 3);
    let found = store.retention(question.clone(), arrival()).await;
    assert_eq!(
        found.expect("the store answers"),
        oracle.retention(&question, arrival())
    );
}

async fn what_others_store_and_fold_is_seen_at_once(database: TestDatabase) {
    let stores = [database.store().await, database.store().await];
    let mut random = StdRng::seed_from_u64(18);
    let events = numbered_events("seen ", 120);
    let mut rest = &events[..];
    let mut stored = Vec::new();
    while !rest.is_empty() {
        let (next, later) = rest.split_at(random.random_range(1..=rest.len().min(9)));
        rest = later;
        store_all(&stores[random.random_range(0..2)], next).await;
        stored.extend_from_slice(next);
        if random.random_bool(0.3) {
            let max_rows = random.random_range(1..20);
            let store = &stores[random.random_range(0..2)];
            store.fold(max_rows).await.expect("the fold works");
        }
        for store in &stores {
            check_answers(store, &stored).await;
        }
    }
    verify_is_clean(&stores[0]).await;
}

async fn points(store: &Store) -> String {
    let question = active_users("2026-03-01", "2026-03-02", 1);
    let points = store.active_users(question, arrival()).await;
    show_points(&points.expect("the store answers"))
}

/// On PostgreSQL a transaction may be committed after others whose rows have higher numbers.
async fn rows_that_are_committed_late_are_counted(database: TestDatabase) {
    let store = database.store().await;
    for (number, user) in ["ana", "bo", "cy", "di"].into_iter().enumerate() {
        ingest(&store, &format!("2026-03-01T08:00Z {user} login #{number}")).await;
    }
    let first = database.number("SELECT MIN(seq) FROM activity_log").await;
    let late = format!("WHERE seq IN ({first}, {})", first + 2);
    database
        .execute(&format!("CREATE TABLE late AS SELECT * FROM activity_log {late}"))
        .await;
    database
        .execute(&format!("DELETE FROM activity_log {late}"))
        .await;
    assert_eq!(points(&store).await, "2026-03-01 2 2\n2026-03-02 0 0");
    for (position, expected) in [(2, 3), (0, 4)] {
        let seq = first + position;
        database
            .execute(&format!(
                "INSERT INTO activity_log SELECT * FROM late WHERE seq = {seq}"
            ))
            .await;
        assert_eq!(
            points(&store).await,
            format!("2026-03-01 {expected} {expected}\n2026-03-02 0 0")
        );
        assert_eq!(
            points(&store).await,
            format!("2026-03-01 {expected} {expected}\n2026-03-02 0 0")
        );
    }
    database.execute("DROP TABLE late").await;
    verify_is_clean(&store).await;
}

/// As after a failover to a server that did not get the last transaction.
async fn a_log_that_went_back_in_time_is_read_anew(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, "2026-03-01T08:00Z ana login #1").await;
    ingest(&store, "2026-03-01T08:00Z bo login #2").await;
    assert_eq!(points(&store).await, "2026-03-01 2 2\n2026-03-02 0 0");
    database
        .execute("DELETE FROM activity_log WHERE seq = (SELECT MAX(seq) FROM activity_log)")
        .await;
    database.execute("DELETE FROM events WHERE user_id = 'bo'").await;
    assert_eq!(points(&store).await, "2026-03-01 1 1\n2026-03-02 0 0");
    verify_is_clean(&store).await;
}

/// A late event makes ana enter earlier, so her order on a later day matters to nobody, until that event is gone.
async fn a_log_that_went_back_in_time_leaves_no_order_behind(database: TestDatabase) {
    let folded = events("2026-03-03T08:00Z ana start #1\n2026-03-03T09:00Z ana return #2");
    let late = events("2026-03-01T08:00Z ana start #3");
    let before = database.store().await;
    store_all(&before, &folded).await;
    before.fold_all().await.expect("the fold works");
    let store = database.store().await;
    store_all(&store, &late).await;
    let question = RetentionQuestion {
        start_event: Some("start".to_owned()),
        return_event: Some("return".to_owned()),
        ..retention("2026-03-01", "2026-03-03", Period::Day, 3)
    };
    let check = async |stored: &[Event]| {
        let found = store.retention(question.clone(), arrival()).await;
        let expected = Oracle::new(store.timezone(), stored).retention(&question, arrival());
        assert_eq!(found.expect("the store answers"), expected);
    };
    check(&[folded.clone(), late].concat()).await;
    database.execute("DELETE FROM activity_log").await;
    database
        .execute("DELETE FROM events WHERE occurred_at = (SELECT MIN(occurred_at) FROM events)")
        .await;
    check(&folded).await;
    verify_is_clean(&store).await;
}

async fn an_erasure_elsewhere_is_seen_at_once(database: TestDatabase) {
    let [one, other] = [database.store().await, database.store().await];
    ingest(
        &one,
        "2026-03-01T08:00Z ana login\n2026-03-01T08:00Z bo login\n2026-03-02T08:00Z ana login",
    )
    .await;
    assert_eq!(points(&one).await, "2026-03-01 2 2\n2026-03-02 1 0");
    erase(&other, "ana", false).await;
    assert_eq!(points(&one).await, "2026-03-01 1 1\n2026-03-02 0 0");
    verify_is_clean(&one).await;
}

/// More rows than a store keeps, and numbers too far apart to be asked for one by one.
async fn a_log_larger_than_what_is_kept_is_counted(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, "2026-03-01T08:00Z ana login\n2026-03-02T08:00Z ana login").await;
    let first = database.number("SELECT MIN(seq) FROM activity_log").await;
    for (from, to) in [(first + 5_000, first + 5_001), (first + 6_000, first + 27_000)] {
        database
            .execute(&format!(
                "WITH RECURSIVE numbers (seq) AS (SELECT {from} UNION ALL SELECT seq + 1 FROM numbers WHERE seq < {to})
                 INSERT INTO activity_log (seq, day, event_type, user_no, events)
                 SELECT numbers.seq, logged.day, 'login', logged.user_no, 0
                 FROM numbers
                 JOIN (SELECT day, user_no FROM activity_log ORDER BY day LIMIT 1) AS logged ON TRUE"
            ))
            .await;
        for _ in 0..2 {
            assert_eq!(points(&store).await, "2026-03-01 1 1\n2026-03-02 1 0");
        }
    }
    store.fold_all().await.expect("the fold works");
    assert_eq!(points(&store).await, "2026-03-01 1 1\n2026-03-02 1 0");
}

/// Days that no recent fold has written are put together for `topEvents`; a late event or an erasure changes one of them.
async fn days_that_change_after_many_folds_are_counted_anew(database: TestDatabase) {
    let store = database.store().await;
    let mut events = numbered_events("settled ", 140);
    for (number, event) in events.iter_mut().enumerate() {
        let days_late = match number {
            0..60 => number % 4,
            _ if number % 25 == 0 => number % 3 + 1,
            _ => 0,
        };
        event.occurred_at -= TimeDelta::days(days_late as i64);
    }
    let types = Filter::EventType(StringTest::In(vec!["type-1".to_owned(), "type-3".to_owned()]));
    let types = types.checked().expect("a valid filter");
    let (early, later) = events.split_at(60);
    store_all(&store, early).await;
    let mut stored = early.to_vec();
    let mut random = StdRng::seed_from_u64(20);
    for (step, event) in later.iter().enumerate() {
        store_all(&store, std::slice::from_ref(event)).await;
        stored.push(event.clone());
        if step == 40 {
            let user = &early[1].user_id;
            erase(&store, user, false).await;
            stored.retain(|event| event.user_id != *user);
        }
        if random.random_bool(0.9) {
            store.fold_all().await.expect("the fold works");
        }
        let oracle = Oracle::new(store.timezone(), &stored);
        for rank in [Rank::Events, Rank::Users] {
            for filter in [None, Some(types.clone())] {
                let question = TopEventsQuestion {
                    filter,
                    ..top_events("2025-12-29", "2026-01-01", 2, rank)
                };
                let found = store.top_events(question.clone()).await;
                assert_eq!(
                    found.expect("the store answers"),
                    oracle.top_events(&question),
                    "{step}"
                );
            }
        }
    }
    verify_is_clean(&store).await;
}
