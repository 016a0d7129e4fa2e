//! The rules of questions with a filter: the same numbers, about the events that pass.

use activity::top_events::Rank;
use serde_json::{Value, json};
use store::filter::{Filter, StringTest, ValueTest};
use store::{ActiveUsersQuestion, StoreError, TopEventsQuestion};
use tests::database::TestDatabase;
use tests::events::{Event, arrival, events};
use tests::questions::{active_users, day, top_events};

use crate::checks::{at_every_stage, lines, show_points, show_top};

on_both_databases!(
    event_types_are_taken_together,
    new_users_are_new_among_all_types_that_pass,
    properties_decide_event_by_event,
    new_users_are_those_who_never_passed_before,
    the_window_reaches_before_the_range,
    a_filter_that_nothing_can_pass_gives_zeros,
    top_events_are_about_what_passes,
    a_late_event_that_passes_makes_a_user_less_new,
    a_new_event_type_is_in_the_next_answer,
    events_that_have_expired_are_never_left_out_in_silence,
);

const EVENTS: &str = "2026-02-20T08:00Z ana open   {}
                      2026-02-20T09:00Z bo  buy    {\"amount\":5,\"plan\":\"free\"}
                      2026-03-01T08:00Z ana buy    {\"amount\":20,\"plan\":\"pro\"}
                      2026-03-01T09:00Z bo  buy    {\"amount\":20,\"plan\":\"pro\"}
                      2026-03-01T10:00Z cy  signup {\"plan\":\"pro\"}
                      2026-03-02T08:00Z ana buy    {\"amount\":\"20\"}
                      2026-03-02T09:00Z bo  open   {\"plan\":null}
                      2026-03-02T10:00Z cy  buy    {\"amount\":7,\"address\":{\"city\":\"Rome\"}}
                      2026-03-03T08:00Z di  open   {\"plan\":\"pro\"}";

/// [`EVENTS`] and the like: lines of events whose last words are their properties.
fn with_properties(text: &str) -> Vec<Event> {
    let split = |line: &str| {
        let (event, properties) = line.split_once('{').expect("an event and its properties");
        (event.to_owned(), format!("{{{properties}"))
    };
    let (plain, properties): (Vec<String>, Vec<String>) = text.lines().map(split).unzip();
    let mut stored = events(&plain.join("\n"));
    for (event, properties) in stored.iter_mut().zip(properties) {
        let properties: Value = serde_json::from_str(&properties).expect("properties are JSON");
        event.properties = properties.as_object().cloned().expect("properties are an object");
    }
    stored
}

fn is(names: &[&str]) -> Filter {
    Filter::EventType(StringTest::In(names.iter().copied().map(str::to_owned).collect()))
}

fn property(path: &[&str], test: ValueTest) -> Filter {
    let path = path.iter().copied().map(str::to_owned).collect();
    Filter::Property { path, test }
}

fn plan(name: &str) -> Filter {
    property(&["plan"], ValueTest::Eq(json!(name)))
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

fn asked(filter: Filter, from: &str, to: &str, window_days: u32) -> ActiveUsersQuestion {
    let filter = Some(filter.checked().expect("a valid filter"));
    ActiveUsersQuestion {
        filter,
        ..active_users(from, to, window_days)
    }
}

/// Active users from 1 to 3 March of [`EVENTS`], at every stage of the fold.
async fn check(database: &TestDatabase, filter: Filter, window_days: u32, expected: &str) {
    let store = database.store().await;
    let stored = with_properties(EVENTS);
    store
        .ingest(stored.iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    at_every_stage(&store, |stage| {
        let (store, question) = (
            &store,
            asked(filter.clone(), "2026-03-01", "2026-03-03", window_days),
        );
        async move {
            let points = store
                .active_users(question, arrival())
                .await
                .expect("the store answers");
            assert_eq!(show_points(&points), lines(expected), "{stage}");
        }
    })
    .await;
}

async fn event_types_are_taken_together(database: TestDatabase) {
    let expected = "2026-03-01 2 0
                    2026-03-02 3 1
                    2026-03-03 1 1";
    check(&database, is(&["buy", "open"]), 1, expected).await;
}

async fn new_users_are_new_among_all_types_that_pass(database: TestDatabase) {
    // Nobody bought before 1 March but bo; cy signed up on the day before her first purchase.
    let expected = "2026-03-01 3 2
                    2026-03-02 2 0
                    2026-03-03 0 0";
    check(&database, not(is(&["open"])), 1, expected).await;
}

async fn properties_decide_event_by_event(database: TestDatabase) {
    let expected = "2026-03-01 2 2
                    2026-03-02 0 0
                    2026-03-03 0 0";
    check(
        &database,
        property(&["amount"], ValueTest::Gte(10.into())),
        1,
        expected,
    )
    .await;
}

async fn new_users_are_those_who_never_passed_before(database: TestDatabase) {
    // Bo had a smaller purchase in February, which passes; ana was there as well, but with nothing that does.
    let filter = Filter::All(vec![
        is(&["buy"]),
        property(&["amount"], ValueTest::Lt(100.into())),
    ]);
    let expected = "2026-03-01 2 1
                    2026-03-02 1 1
                    2026-03-03 0 0";
    check(&database, filter, 1, expected).await;
}

async fn the_window_reaches_before_the_range(database: TestDatabase) {
    let expected = "2026-03-01 3 2
                    2026-03-02 3 0
                    2026-03-03 4 1";
    let plans = Filter::Any(vec![plan("pro"), plan("free")]);
    check(&database, plans, 28, expected).await;
}

async fn a_filter_that_nothing_can_pass_gives_zeros(database: TestDatabase) {
    let expected = "2026-03-01 0 0
                    2026-03-02 0 0
                    2026-03-03 0 0";
    check(&database, is(&["unheard of"]), 7, expected).await;
    let store = database.store().await;
    let question = TopEventsQuestion {
        filter: Some(is(&["unheard of"])),
        ..top_events("2026-03-01", "2026-03-03", 5, Rank::Users)
    };
    let top = store.top_events(question).await.expect("the store answers");
    assert_eq!(show_top(&top), "total 0 other 0 users 0");
}

async fn top_events_are_about_what_passes(database: TestDatabase) {
    let store = database.store().await;
    let stored = with_properties(EVENTS);
    store
        .ingest(stored.iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    for (filter, expected) in [
        (
            not(is(&["signup"])),
            "buy 4 3
             open 2 2
             total 6 other 0 users 4",
        ),
        (
            plan("pro"),
            "buy 2 2
             open 1 1
             total 4 other 1 users 4",
        ),
        (
            property(&["address", "city"], ValueTest::StartsWith("R".to_owned())),
            "buy 1 1
             total 1 other 0 users 1",
        ),
        (
            Filter::All(vec![
                is(&["open", "signup"]),
                property(&["plan"], ValueTest::Exists(true)),
            ]),
            "open 2 2
             signup 1 1
             total 3 other 0 users 3",
        ),
    ] {
        at_every_stage(&store, |stage| {
            let question = TopEventsQuestion {
                filter: Some(filter.clone().checked().expect("a valid filter")),
                ..top_events("2026-03-01", "2026-03-03", 2, Rank::Events)
            };
            let store = &store;
            async move {
                let top = store.top_events(question).await.expect("the store answers");
                assert_eq!(show_top(&top), lines(expected), "{stage}");
            }
        })
        .await;
    }
}

async fn a_late_event_that_passes_makes_a_user_less_new(database: TestDatabase) {
    let store = database.store().await;
    let ingest = async |text: &str| {
        let stored = with_properties(text);
        let parsed = stored.iter().map(Event::parsed).collect();
        store.ingest(parsed).await.expect("ingest works");
    };
    let new_users = async |filter: Filter| {
        let question = asked(filter, "2026-03-05", "2026-03-05", 1);
        let points = store
            .active_users(question, arrival())
            .await
            .expect("the store answers");
        points[0].new_users
    };
    ingest("2026-03-05T08:00Z ana buy #1 {\"plan\":\"pro\"}").await;
    store.fold_all().await.expect("the fold works");
    ingest("2026-03-04T08:00Z ana open #2 {\"plan\":\"pro\"}").await;
    for filter in [is(&["buy", "sell"]), Filter::All(vec![is(&["buy"]), plan("pro")])] {
        assert_eq!(new_users(filter).await, 1, "opening is not buying");
    }
    for filter in [plan("pro"), is(&["buy", "open"])] {
        assert_eq!(new_users(filter).await, 0);
    }
    ingest("2026-03-03T08:00Z ana buy #3 {\"plan\":\"pro\"}").await;
    for filter in [is(&["buy", "sell"]), Filter::All(vec![is(&["buy"]), plan("pro")])] {
        assert_eq!(new_users(filter).await, 0);
    }
}

async fn a_new_event_type_is_in_the_next_answer(database: TestDatabase) {
    let store = database.store().await;
    for (number, name) in ["one", "two", "three"].into_iter().enumerate() {
        let text = format!("2026-03-0{}T08:00Z user{number} {name} #{name} {{}}", number + 1);
        let parsed = with_properties(&text).iter().map(Event::parsed).collect();
        store.ingest(parsed).await.expect("ingest works");
        if number == 1 {
            store.fold_all().await.expect("the fold works");
        }
        let question = TopEventsQuestion {
            filter: Some(not(is(&["one"]))),
            ..top_events("2026-03-01", "2026-03-03", 9, Rank::Events)
        };
        let top = store.top_events(question).await.expect("the store answers");
        assert_eq!(top.total_events, number as u64, "{name}");
        let question = asked(not(is(&["one"])), "2026-03-01", "2026-03-03", 9);
        let points = store
            .active_users(question, arrival())
            .await
            .expect("the store answers");
        assert_eq!(points[2].users, number as u64, "{name}");
    }
}

async fn events_that_have_expired_are_never_left_out_in_silence(database: TestDatabase) {
    let store = database.store().await;
    let stored = with_properties(EVENTS);
    let parsed = stored.iter().map(Event::parsed).collect();
    store.ingest(parsed).await.expect("ingest works");
    store
        .expire(day("2026-03-02"), arrival(), |_| {})
        .await
        .expect("expiry works");
    let points = |filter: Filter, from: &str, window_days: u32| {
        let question = asked(filter, from, "2026-03-03", window_days);
        let store = store.clone();
        async move { store.active_users(question, arrival()).await }
    };
    let error = points(plan("pro"), "2026-03-01", 1).await;
    assert!(
        matches!(error, Err(StoreError::Invalid { field: "filter", .. })),
        "{error:?}"
    );
    let error = points(plan("pro"), "2026-03-02", 2).await;
    assert!(
        matches!(error, Err(StoreError::Invalid { field: "filter", .. })),
        "{error:?}"
    );
    let question = TopEventsQuestion {
        filter: Some(plan("pro")),
        ..top_events("2026-03-01", "2026-03-03", 10, Rank::Events)
    };
    let error = store.top_events(question).await;
    assert!(
        matches!(error, Err(StoreError::Invalid { field: "filter", .. })),
        "{error:?}"
    );
    let known = points(plan("pro"), "2026-03-02", 1)
        .await
        .expect("the events are there");
    assert_eq!(show_points(&known), lines("2026-03-02 0 0\n2026-03-03 1 1"));
    let of_types = points(is(&["buy"]), "2026-03-01", 1)
        .await
        .expect("the sets know");
    assert_eq!(
        of_types.iter().map(|point| point.users).collect::<Vec<_>>(),
        [2, 2, 0]
    );
}
