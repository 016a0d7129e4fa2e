//! The rules of retention: the worked examples of `docs/analytics.md`, and each numbered rule on its own.

use activity::calendar::Period;
use activity::retention::{Criterion, Entry};
use serde_json::Map;
use store::RetentionQuestion;
use tests::database::TestDatabase;
use tests::events::{Event, arrival, instant, named_id};
use tests::questions::retention;

use crate::checks::{at_every_stage, ingest, lines, show_cohorts};

on_both_databases!(
    worked_example_on,
    worked_example_on_or_after,
    worked_example_weeks,
    worked_example_months,
    worked_example_pooled,
    first_ever_looks_before_the_range,
    recurring_users_enter_every_period_anew,
    a_recurring_entry_before_the_range_is_not_replaced_by_a_later_one,
    a_return_before_the_entry_on_the_same_day_is_none,
    a_return_at_the_same_instant_counts,
    the_same_event_returns_at_once,
    returns_are_followed_beyond_the_range,
    on_or_after_has_no_upper_bound,
    every_period_of_the_range_has_a_row,
    cells_are_complete_once_their_period_has_ended,
    rates_are_null_where_nobody_came,
);

const SIGNUP_AND_OPEN: &str = "2024-03-04T23:45Z a signup
                               2024-03-04T23:50Z a open
                               2024-03-05T00:01Z a open
                               2024-03-04T08:00Z b open
                               2024-03-04T09:00Z b signup
                               2024-03-06T08:59:59Z b open
                               2024-03-07T09:00:00Z b open
                               2024-03-05T12:00Z c signup
                               2024-02-01T00:00Z d signup
                               2024-03-05T10:00Z d signup
                               2024-03-05T11:00Z d open";

async fn check(database: &TestDatabase, events: &str, question: RetentionQuestion, expected: &str) {
    let store = database.store().await;
    ingest(&store, events).await;
    at_every_stage(&store, |stage| {
        let (store, question) = (&store, question.clone());
        async move {
            let retention = store
                .retention(question, arrival())
                .await
                .expect("the store answers");
            assert_eq!(show_cohorts(&retention), lines(expected), "{stage}");
        }
    })
    .await;
}

/// Those who signed up on `from..=to` and opened again, by day.
fn signup_to_open(from: &str, to: &str, periods: u32) -> RetentionQuestion {
    RetentionQuestion {
        start_event: Some("signup".to_owned()),
        return_event: Some("open".to_owned()),
        ..retention(from, to, Period::Day, periods)
    }
}

async fn worked_example_on(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, SIGNUP_AND_OPEN).await;
    at_every_stage(&store, |stage| {
        let store = &store;
        async move {
            for (day, expected) in [
                ("2024-02-01", "2024-02-01: 1 [0,0,0,0]"),
                ("2024-03-04", "2024-03-04: 2 [1,1,1,1]"),
                ("2024-03-05", "2024-03-05: 1 [0,0,0,0]"),
            ] {
                let found = store.retention(signup_to_open(day, day, 3), arrival()).await;
                assert_eq!(
                    show_cohorts(&found.expect("the store answers")),
                    expected,
                    "{stage}"
                );
            }
        }
    })
    .await;
}

async fn worked_example_on_or_after(database: TestDatabase) {
    let question = RetentionQuestion {
        criterion: Criterion::OnOrAfter,
        ..signup_to_open("2024-03-04", "2024-03-05", 3)
    };
    let expected = "2024-03-04: 2 [2,2,1,1]
                    2024-03-05: 1 [0,0,0,0]";
    check(&database, SIGNUP_AND_OPEN, question, expected).await;
    let early = RetentionQuestion {
        criterion: Criterion::OnOrAfter,
        ..signup_to_open("2024-02-01", "2024-02-01", 3)
    };
    let found = database
        .store()
        .await
        .retention(early, arrival())
        .await
        .expect("the store answers");
    assert_eq!(show_cohorts(&found), "2024-02-01: 1 [1,1,1,1]");
}

async fn worked_example_weeks(database: TestDatabase) {
    let events = "2024-12-29T10:00Z one visit
                  2024-12-30T10:00Z one visit
                  2025-01-06T10:00Z one visit";
    let question = retention("2024-12-29", "2024-12-29", Period::Week, 2);
    check(&database, events, question, "2024-12-23: 1 [1,1,1]").await;
}

async fn worked_example_months(database: TestDatabase) {
    let events = "2024-01-31T10:00Z one visit
                  2024-02-29T10:00Z one visit
                  2024-03-01T10:00Z one visit";
    let question = retention("2024-01-15", "2024-01-31", Period::Month, 2);
    check(&database, events, question, "2024-01-01: 1 [1,1,1]").await;
}

async fn worked_example_pooled(database: TestDatabase) {
    // 1000 came on the first day and 500 of them on the second; 500 on the second and 400 of them on the third.
    let visits = [
        (0..1_000, "2026-03-01T12:00Z"),
        (0..500, "2026-03-02T12:00Z"),
        (1_000..1_500, "2026-03-02T12:00Z"),
        (1_000..1_400, "2026-03-03T12:00Z"),
        (1_500..1_800, "2026-03-03T12:00Z"),
    ];
    let mut events = Vec::new();
    for (users, time) in visits {
        for user in users {
            let event_id = named_id(&format!("{user} {time}"));
            let user_id = format!("user {user}");
            let occurred_at = instant(time);
            events.push(Event {
                event_id,
                user_id,
                event_type: "visit".to_owned(),
                occurred_at,
                properties: Map::new(),
            });
        }
    }
    let store = database.store().await;
    store
        .ingest(events.iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    store.fold_all().await.expect("the fold works");
    let question = retention("2026-03-01", "2026-03-03", Period::Day, 1);
    let found = store
        .retention(question, instant("2026-03-04T12:00Z"))
        .await
        .expect("the store answers");
    let expected = "2026-03-01: 1000 [1000,500]
                    2026-03-02: 500 [500,400]
                    2026-03-03: 300 [300,0…]";
    assert_eq!(show_cohorts(&found), lines(expected));
    let pooled = found.pooled[1];
    assert_eq!(
        (pooled.retained, pooled.size, pooled.rate, pooled.cohorts),
        (900, 1_500, Some(0.6), 2)
    );
}

async fn first_ever_looks_before_the_range(database: TestDatabase) {
    let events = "2026-01-01T10:00Z old visit
                  2026-03-01T10:00Z old visit
                  2026-03-01T10:00Z new visit";
    let question = retention("2026-03-01", "2026-03-01", Period::Day, 0);
    check(&database, events, question, "2026-03-01: 1 [1]").await;
}

async fn recurring_users_enter_every_period_anew(database: TestDatabase) {
    let events = "2026-03-01T10:00Z ana visit
                  2026-03-02T10:00Z ana visit
                  2026-03-02T10:00Z bo visit
                  2026-03-04T10:00Z ana visit";
    let question = RetentionQuestion {
        entry: Entry::Recurring,
        ..retention("2026-03-01", "2026-03-04", Period::Day, 2)
    };
    let expected = "2026-03-01: 1 [1,1,0]
                    2026-03-02: 2 [2,0,1]
                    2026-03-03: 0 [0,0,0]
                    2026-03-04: 1 [1,0,0]";
    check(&database, events, question, expected).await;
}

async fn a_recurring_entry_before_the_range_is_not_replaced_by_a_later_one(database: TestDatabase) {
    // The month's first visit lies before the range: ana entered on the 2nd, bo on the 12th.
    let events = "2026-03-02T10:00Z ana visit
                  2026-03-12T10:00Z ana visit
                  2026-03-12T10:00Z bo visit";
    let question = RetentionQuestion {
        entry: Entry::Recurring,
        ..retention("2026-03-10", "2026-03-20", Period::Month, 0)
    };
    check(&database, events, question, "2026-03-01: 1 [1]").await;
}

async fn a_return_before_the_entry_on_the_same_day_is_none(database: TestDatabase) {
    let events = "2026-03-01T10:00Z ana open
                  2026-03-01T11:00Z ana signup
                  2026-03-01T11:00Z bo signup
                  2026-03-01T11:00:00.000001Z bo open";
    check(
        &database,
        events,
        signup_to_open("2026-03-01", "2026-03-01", 0),
        "2026-03-01: 2 [1]",
    )
    .await;
}

async fn a_return_at_the_same_instant_counts(database: TestDatabase) {
    // Whatever the order of the ids: both orders are here.
    let events = "2026-03-01T10:00Z ana open #1
                  2026-03-01T10:00Z ana signup #2
                  2026-03-01T10:00Z bo open #3
                  2026-03-01T10:00Z bo signup #4
                  2026-03-01T10:00Z cy open #5
                  2026-03-01T10:00Z cy signup #6";
    check(
        &database,
        events,
        signup_to_open("2026-03-01", "2026-03-01", 0),
        "2026-03-01: 3 [3]",
    )
    .await;
}

async fn the_same_event_returns_at_once(database: TestDatabase) {
    let events = "2026-03-01T10:00Z ana signup";
    let question = RetentionQuestion {
        return_event: Some("signup".to_owned()),
        ..signup_to_open("2026-03-01", "2026-03-01", 1)
    };
    check(&database, events, question, "2026-03-01: 1 [1,0]").await;
}

async fn returns_are_followed_beyond_the_range(database: TestDatabase) {
    let events = "2026-03-01T10:00Z ana visit
                  2026-03-05T10:00Z ana visit";
    check(
        &database,
        events,
        retention("2026-03-01", "2026-03-01", Period::Day, 4),
        "2026-03-01: 1 [1,0,0,0,1]",
    )
    .await;
}

async fn on_or_after_has_no_upper_bound(database: TestDatabase) {
    let events = "2020-03-01T10:00Z ana visit
                  2026-03-05T10:00Z ana visit";
    let question = RetentionQuestion {
        criterion: Criterion::OnOrAfter,
        ..retention("2020-03-01", "2020-03-01", Period::Day, 2)
    };
    check(&database, events, question, "2020-03-01: 1 [1,1,1]").await;
}

async fn every_period_of_the_range_has_a_row(database: TestDatabase) {
    let question = retention("2026-03-04", "2026-03-16", Period::Week, 1);
    let expected = "2026-03-02: 0 [0,0]
                    2026-03-09: 0 [0,0]
                    2026-03-16: 0 [0,0]";
    check(&database, "", question, expected).await;
}

async fn cells_are_complete_once_their_period_has_ended(database: TestDatabase) {
    let store = database.store().await;
    for (now, expected) in [
        ("2026-03-08T23:59:59.999999Z", "2026-03-02: 0 [0…,0…]"),
        ("2026-03-09T00:00Z", "2026-03-02: 0 [0,0…]"),
        ("2026-03-16T00:00Z", "2026-03-02: 0 [0,0]"),
    ] {
        let question = retention("2026-03-04", "2026-03-05", Period::Week, 1);
        let found = store
            .retention(question, instant(now))
            .await
            .expect("the store answers");
        assert_eq!(show_cohorts(&found), expected, "at {now}");
    }
}

async fn rates_are_null_where_nobody_came(database: TestDatabase) {
    let store = database.store().await;
    let question = retention("2026-03-01", "2026-03-01", Period::Day, 1);
    let found = store
        .retention(question, arrival())
        .await
        .expect("the store answers");
    assert!(
        found.cohorts[0].cells.iter().all(|cell| cell.rate.is_none()),
        "{found:?}"
    );
    assert!(
        found.pooled.iter().all(|pooled| pooled.rate.is_none()),
        "{found:?}"
    );
}
