//! The rules of active users (`dau`).

use chrono_tz::Tz;
use tests::database::TestDatabase;
use tests::events::{arrival, instant};
use tests::questions::active_users;

use crate::checks::{at_every_stage, ingest, lines, show_points};

on_both_databases!(
    user_seen_twice_in_a_day_counts_once,
    user_ids_are_compared_byte_for_byte,
    days_without_events_are_zeros,
    an_empty_database_answers_with_zeros,
    both_ends_of_the_range_are_included,
    the_window_reaches_before_the_range,
    a_window_longer_than_all_history_counts_everybody,
    new_users_count_on_their_first_day_whatever_the_window,
    a_late_event_moves_a_users_first_day,
    a_day_is_complete_from_its_end_on,
    a_day_with_a_jump_of_the_clock_has_its_true_edges,
    a_day_that_never_was_has_no_users,
);

/// Stores `events` in a database that reports in `zone` and compares the answer at every stage of the fold.
async fn check_in(database: &TestDatabase, zone: Tz, events: &str, asked: (&str, &str, u32), expected: &str) {
    let store = database.store_in(zone).await;
    ingest(&store, events).await;
    at_every_stage(&store, |stage| {
        let store = &store;
        async move {
            let question = active_users(asked.0, asked.1, asked.2);
            let points = store
                .active_users(question, arrival())
                .await
                .expect("the store answers");
            assert_eq!(show_points(&points), lines(expected), "{stage}");
        }
    })
    .await;
}

async fn check(database: &TestDatabase, events: &str, asked: (&str, &str, u32), expected: &str) {
    check_in(database, Tz::UTC, events, asked, expected).await;
}

async fn user_seen_twice_in_a_day_counts_once(database: TestDatabase) {
    let events = "2026-03-01T08:00Z ana login
                  2026-03-01T23:59:59.999999Z ana click
                  2026-03-01T09:00Z bo login";
    check(
        &database,
        events,
        ("2026-03-01", "2026-03-01", 1),
        "2026-03-01 2 2",
    )
    .await;
}

async fn user_ids_are_compared_byte_for_byte(database: TestDatabase) {
    let events = "2026-03-01T08:00Z ana login
                  2026-03-01T08:00Z Ana login
                  2026-03-01T08:00Z aná login
                  2026-03-01T08:00Z ana\u{301} login
                  2026-03-01T08:00Z ana login";
    check(
        &database,
        events,
        ("2026-03-01", "2026-03-01", 1),
        "2026-03-01 4 4",
    )
    .await;
}

async fn days_without_events_are_zeros(database: TestDatabase) {
    let events = "2026-02-27T08:00Z ana login
                  2026-03-02T08:00Z ana login";
    let expected = "2026-02-27 1 1
                    2026-02-28 0 0
                    2026-03-01 0 0
                    2026-03-02 1 0";
    check(&database, events, ("2026-02-27", "2026-03-02", 1), expected).await;
}

async fn an_empty_database_answers_with_zeros(database: TestDatabase) {
    let expected = "2026-03-01 0 0
                    2026-03-02 0 0";
    check(&database, "", ("2026-03-01", "2026-03-02", 7), expected).await;
}

async fn both_ends_of_the_range_are_included(database: TestDatabase) {
    let events = "2026-02-28T23:59:59.999999Z zoe login
                  2026-03-01T00:00Z ana login
                  2026-03-02T23:59:59.999999Z bo login
                  2026-03-03T00:00Z cy login";
    let expected = "2026-03-01 1 1
                    2026-03-02 1 1";
    check(&database, events, ("2026-03-01", "2026-03-02", 1), expected).await;
}

async fn the_window_reaches_before_the_range(database: TestDatabase) {
    let events = "2026-02-22T08:00Z out login
                  2026-02-23T08:00Z ana login
                  2026-02-28T08:00Z bo login
                  2026-03-01T08:00Z bo login
                  2026-03-02T08:00Z cy login";
    let expected = "2026-03-01 2 0
                    2026-03-02 2 1";
    check(&database, events, ("2026-03-01", "2026-03-02", 7), expected).await;
}

async fn a_window_longer_than_all_history_counts_everybody(database: TestDatabase) {
    let events = "1970-01-01T00:00Z first login
                  2025-12-31T08:00Z ana login
                  2026-03-01T08:00Z bo login";
    check(
        &database,
        events,
        ("2026-03-01", "2026-03-01", 366),
        "2026-03-01 2 1",
    )
    .await;
}

async fn new_users_count_on_their_first_day_whatever_the_window(database: TestDatabase) {
    let events = "2026-03-01T08:00Z ana login
                  2026-03-01T08:00Z bo click
                  2026-03-02T08:00Z ana click
                  2026-03-03T08:00Z cy login";
    let expected = "2026-03-01 2 2
                    2026-03-02 2 0
                    2026-03-03 3 1";
    check(&database, events, ("2026-03-01", "2026-03-03", 28), expected).await;
}

async fn a_late_event_moves_a_users_first_day(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, "2026-03-05T08:00Z ana login #first").await;
    store.fold_all().await.expect("the fold works");
    ingest(&store, "2026-03-02T08:00Z ana click #late").await;
    at_every_stage(&store, |stage| {
        let store = &store;
        async move {
            let question = active_users("2026-03-02", "2026-03-05", 1);
            let points = store
                .active_users(question, arrival())
                .await
                .expect("the store answers");
            let expected = "2026-03-02 1 1\n2026-03-03 0 0\n2026-03-04 0 0\n2026-03-05 1 0";
            assert_eq!(show_points(&points), expected, "{stage}");
        }
    })
    .await;
}

async fn a_day_is_complete_from_its_end_on(database: TestDatabase) {
    let store = database.store_in(Tz::America__New_York).await;
    // 2024-03-10 lasts 23 hours there: from 05:00Z to 04:00Z of the next day.
    for (now, expected) in [
        ("2024-03-11T03:59:59.999999Z", "2024-03-09 0 0\n2024-03-10 0 0 …"),
        ("2024-03-11T04:00:00Z", "2024-03-09 0 0\n2024-03-10 0 0"),
        ("2024-03-10T04:59:59Z", "2024-03-09 0 0 …\n2024-03-10 0 0 …"),
    ] {
        let question = active_users("2024-03-09", "2024-03-10", 1);
        let points = store
            .active_users(question, instant(now))
            .await
            .expect("the store answers");
        assert_eq!(show_points(&points), expected, "at {now}");
    }
}

async fn a_day_with_a_jump_of_the_clock_has_its_true_edges(database: TestDatabase) {
    let events = "2024-03-10T04:59:59.999999Z before login
                  2024-03-10T05:00Z ana login
                  2024-03-11T03:59:59.999999Z bo login
                  2024-03-11T04:00Z after login
                  2024-03-11T04:30Z later login";
    let expected = "2024-03-09 1 1
                    2024-03-10 2 2
                    2024-03-11 2 2";
    check_in(
        &database,
        Tz::America__New_York,
        events,
        ("2024-03-09", "2024-03-11", 1),
        expected,
    )
    .await;
}

async fn a_day_that_never_was_has_no_users(database: TestDatabase) {
    // Samoa went from 29 December 2011 straight to the 31st.
    let events = "2011-12-30T09:59:59.999999Z ana login
                  2011-12-30T10:00Z bo login";
    let expected = "2011-12-29 1 1
                    2011-12-30 0 0
                    2011-12-31 1 1";
    check_in(
        &database,
        Tz::Pacific__Apia,
        events,
        ("2011-12-29", "2011-12-31", 1),
        expected,
    )
    .await;
}
