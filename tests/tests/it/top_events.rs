//! The rules of top events (`topEvents`).

use activity::top_events::Rank;
use tests::database::TestDatabase;
use tests::questions::top_events;

use crate::checks::{at_every_stage, ingest, lines, show_top};

on_both_databases!(
    types_are_ranked_by_events,
    types_are_ranked_by_users,
    ties_go_by_name_byte_for_byte,
    what_the_limit_cuts_off_is_in_other_events,
    both_ends_of_the_range_are_included,
    a_range_without_events_has_no_rows,
    shares_are_parts_of_all_events,
);

const THREE_TYPES: &str = "2026-03-01T08:00Z ana login
                           2026-03-01T09:00Z ana click
                           2026-03-02T09:00Z ana click
                           2026-03-02T10:00Z ana click
                           2026-03-02T11:00Z bo login
                           2026-03-03T11:00Z cy buy";

async fn check(
    database: &TestDatabase,
    events: &str,
    range: (&str, &str),
    limit: u32,
    rank: Rank,
    expected: &str,
) {
    let store = database.store().await;
    ingest(&store, events).await;
    at_every_stage(&store, |stage| {
        let store = &store;
        async move {
            let question = top_events(range.0, range.1, limit, rank);
            let top = store.top_events(question).await.expect("the store answers");
            assert_eq!(show_top(&top), lines(expected), "{stage}");
        }
    })
    .await;
}

async fn types_are_ranked_by_events(database: TestDatabase) {
    let expected = "click 3 1
                    login 2 2
                    buy 1 1
                    total 6 other 0 users 3";
    check(
        &database,
        THREE_TYPES,
        ("2026-03-01", "2026-03-03"),
        10,
        Rank::Events,
        expected,
    )
    .await;
}

async fn types_are_ranked_by_users(database: TestDatabase) {
    let expected = "login 2 2
                    buy 1 1
                    click 3 1
                    total 6 other 0 users 3";
    check(
        &database,
        THREE_TYPES,
        ("2026-03-01", "2026-03-03"),
        10,
        Rank::Users,
        expected,
    )
    .await;
}

async fn ties_go_by_name_byte_for_byte(database: TestDatabase) {
    let events = "2026-03-01T08:00Z ana b
                  2026-03-01T08:00Z ana B
                  2026-03-01T08:00Z ana á
                  2026-03-01T08:00Z ana a
                  2026-03-01T08:00Z ana _";
    let expected = "B 1 1
                    _ 1 1
                    a 1 1
                    total 5 other 2 users 1";
    check(
        &database,
        events,
        ("2026-03-01", "2026-03-01"),
        3,
        Rank::Events,
        expected,
    )
    .await;
}

async fn what_the_limit_cuts_off_is_in_other_events(database: TestDatabase) {
    let expected = "click 3 1
                    total 6 other 3 users 3";
    check(
        &database,
        THREE_TYPES,
        ("2026-03-01", "2026-03-03"),
        1,
        Rank::Events,
        expected,
    )
    .await;
}

async fn both_ends_of_the_range_are_included(database: TestDatabase) {
    let events = "2026-02-28T23:59:59.999999Z ana before
                  2026-03-01T00:00Z ana first
                  2026-03-02T23:59:59.999999Z bo last
                  2026-03-03T00:00Z cy after";
    let expected = "first 1 1
                    last 1 1
                    total 2 other 0 users 2";
    check(
        &database,
        events,
        ("2026-03-01", "2026-03-02"),
        10,
        Rank::Events,
        expected,
    )
    .await;
}

async fn a_range_without_events_has_no_rows(database: TestDatabase) {
    let expected = "total 0 other 0 users 0";
    check(
        &database,
        THREE_TYPES,
        ("2026-04-01", "2026-04-30"),
        10,
        Rank::Events,
        expected,
    )
    .await;
}

async fn shares_are_parts_of_all_events(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, THREE_TYPES).await;
    let question = top_events("2026-03-01", "2026-03-03", 2, Rank::Events);
    let top = store.top_events(question).await.expect("the store answers");
    let shares: Vec<Option<f64>> = top.rows.iter().map(|row| row.share).collect();
    assert_eq!(shares, [Some(3.0 / 6.0), Some(2.0 / 6.0)]);
}
