//! The rules of ingest: stored once, duplicates and conflicts told apart, good events kept beside bad ones, and
//! values that come back as they were sent.

use std::path::Path;

use serde_json::{Map, Value, json};
use store::new_event::{DEFAULT_MAX_AHEAD, NewEvent, RawEvent};
use store::{IngestOutcome, Store, StoredEvent};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, arrival, events, numbered_events, parsed_events};

use crate::checks::verify_is_clean;

on_both_databases!(
    the_same_event_again_is_a_duplicate,
    the_same_event_twice_in_a_batch_is_stored_once,
    another_content_under_a_known_id_is_a_conflict_and_the_first_stands,
    a_conflict_within_a_batch_leaves_the_first,
    equal_values_in_another_spelling_are_the_same_content,
    a_retry_without_a_time_is_a_duplicate,
    values_come_back_as_they_were_sent,
    an_empty_batch_is_nothing,
    a_large_batch_is_one_transaction,
    a_preview_says_what_ingest_would_and_writes_nothing,
    hostile_names_are_names,
);

/// What became of each event, one letter each: S(tored), D(uplicate), C(onflict).
async fn outcomes(store: &Store, new: Vec<NewEvent>) -> String {
    show(&store.ingest(new).await.expect("ingest works"))
}

fn show(outcomes: &[IngestOutcome]) -> String {
    let letter = |outcome: &IngestOutcome| match outcome {
        IngestOutcome::Stored => 'S',
        IngestOutcome::Duplicate(_) => 'D',
        IngestOutcome::Conflict => 'C',
        IngestOutcome::Refused(_) => 'R',
    };
    outcomes.iter().map(letter).collect()
}

/// One event with these properties, under one id.
fn with_properties(properties: &Value) -> NewEvent {
    let properties = properties.as_object().cloned().unwrap_or_default();
    Event {
        properties,
        ..one_event()
    }
    .parsed()
}

fn one_event() -> Event {
    events("2026-03-01T08:00Z ana login #one").remove(0)
}

async fn check(database: &TestDatabase, text: &str, expected: &str) {
    let store = database.store().await;
    assert_eq!(outcomes(&store, parsed_events(text)).await, expected);
    verify_is_clean(&store).await;
}

async fn the_same_event_again_is_a_duplicate(database: TestDatabase) {
    let store = database.store().await;
    let event = one_event().parsed();
    assert_eq!(outcomes(&store, vec![event.clone()]).await, "S");
    store.fold_all().await.expect("the fold works");
    let again = store.ingest(vec![event.clone()]).await.expect("ingest works");
    assert_eq!(
        again,
        [IngestOutcome::Duplicate(Box::new(StoredEvent::from(&event)))]
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 1);
    assert_eq!(database.number("SELECT COUNT(*) FROM activity_log").await, 0);
    verify_is_clean(&store).await;
}

async fn the_same_event_twice_in_a_batch_is_stored_once(database: TestDatabase) {
    let text = "2026-03-01T08:00Z ana login #1
                2026-03-01T08:00Z bo login #2
                2026-03-01T08:00Z ana login #1
                2026-03-01T08:00Z ana login #1";
    check(&database, text, "SSDD").await;
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 2);
}

async fn another_content_under_a_known_id_is_a_conflict_and_the_first_stands(database: TestDatabase) {
    let store = database.store().await;
    let first = one_event();
    assert_eq!(outcomes(&store, vec![first.parsed()]).await, "S");
    let others = [
        Event {
            user_id: "bo".to_owned(),
            ..first.clone()
        },
        Event {
            event_type: "click".to_owned(),
            ..first.clone()
        },
        Event {
            occurred_at: first.occurred_at + chrono::TimeDelta::microseconds(1),
            ..first.clone()
        },
        Event {
            properties: Map::from_iter([("a".to_owned(), Value::Null)]),
            ..first.clone()
        },
    ];
    assert_eq!(
        outcomes(&store, others.iter().map(Event::parsed).collect()).await,
        "CCCC"
    );
    assert_eq!(outcomes(&store, vec![first.parsed()]).await, "D");
    verify_is_clean(&store).await;
}

async fn a_conflict_within_a_batch_leaves_the_first(database: TestDatabase) {
    let text = "2026-03-01T08:00Z ana login #1
                2026-03-01T08:00Z ana click #1
                2026-03-01T08:00Z ana login #1
                2026-03-01T08:00Z ana click #1";
    check(&database, text, "SCDC").await;
    assert_eq!(
        database
            .number("SELECT COUNT(*) FROM events WHERE event_type = 'login'")
            .await,
        1
    );
}

async fn equal_values_in_another_spelling_are_the_same_content(database: TestDatabase) {
    let store = database.store().await;
    let raw = |event_id: &str, occurred_at: &str, properties: &str| {
        let raw = RawEvent {
            event_id: Some(event_id.to_owned()),
            user_id: "ana".to_owned(),
            event_type: "login".to_owned(),
            occurred_at: Some(occurred_at.to_owned()),
            properties: store::json::parse_exact(properties.as_bytes()).ok(),
        };
        NewEvent::parse(raw, arrival(), DEFAULT_MAX_AHEAD).expect("the event is valid")
    };
    let id = "0190a5f0-3c1b-7d52-8a1e-6f1c2b3d4e5f";
    let first = raw(
        id,
        "2026-03-01T08:00:00Z",
        r#"{"a": 1, "b": {"c": 100, "d": 1.5}}"#,
    );
    assert_eq!(outcomes(&store, vec![first]).await, "S");
    let same = [
        raw(
            id,
            "2026-03-01T10:00:00+02:00",
            r#"{"b": {"d": 1.5, "c": 100}, "a": 1}"#,
        ),
        raw(
            &id.to_uppercase(),
            "2026-03-01T08:00:00.000Z",
            r#"{"a": 1.0, "b": {"c": 1e2, "d": 1.50}}"#,
        ),
        raw(
            &format!("{{{id}}}"),
            "2026-03-01t08:00:00z",
            r#"{"a": 1, "b": {"c": 100, "d": 1.5}, "a": 1}"#,
        ),
        raw(
            &id.replace('-', ""),
            "2026-02-28T20:00:00-12:00",
            r#"{"a": 1, "b": {"c": 100.0, "d": 15e-1}}"#,
        ),
    ];
    assert_eq!(outcomes(&store, same.to_vec()).await, "DDDD");
    assert_eq!(
        outcomes(
            &store,
            vec![raw(id, "2026-03-01T08:00:00Z", r#"{"a": 1, "b": {"c": 100}}"#)]
        )
        .await,
        "C"
    );
}

async fn a_retry_without_a_time_is_a_duplicate(database: TestDatabase) {
    let store = database.store().await;
    let sent = |occurred_at: Option<&str>, arrived: &str| {
        let raw = RawEvent {
            event_id: Some(one_event().event_id.to_string()),
            user_id: "ana".to_owned(),
            event_type: "login".to_owned(),
            occurred_at: occurred_at.map(str::to_owned),
            properties: None,
        };
        NewEvent::parse(raw, tests::events::instant(arrived), DEFAULT_MAX_AHEAD).expect("the event is valid")
    };
    assert_eq!(outcomes(&store, vec![sent(None, "2026-03-01T08:00Z")]).await, "S");
    assert_eq!(outcomes(&store, vec![sent(None, "2026-03-05T08:00Z")]).await, "D");
    assert_eq!(
        outcomes(
            &store,
            vec![sent(Some("2026-03-01T08:00:00Z"), "2026-03-05T08:00Z")]
        )
        .await,
        "D"
    );
    assert_eq!(
        outcomes(
            &store,
            vec![sent(Some("2026-03-02T08:00:00Z"), "2026-03-05T08:00Z")]
        )
        .await,
        "C"
    );
}

async fn values_come_back_as_they_were_sent(database: TestDatabase) {
    let store = database.store().await;
    let numbers = "[0, -1, 9223372036854775807, -9223372036854775808, 18446744073709551615, 0.1, 1e300, 5e-324, \
                    1.7976931348623157e308, 1e21, 123456789.125, 9007199254740993]";
    let properties = json!({
        "numbers": store::json::parse_exact(numbers.as_bytes()).expect("exact numbers"),
        "text": "e\u{301} é \u{202e} \\ \" / \u{7f} \u{1} 👩‍👩‍👧 ' ; -- \\u0000",
        "": { "": [] },
        "nested": { "a": { "b": [true, false, null, { "c": {} }] } },
    });
    let event = with_properties(&properties);
    assert_eq!(outcomes(&store, vec![event.clone()]).await, "S");
    let again = store.ingest(vec![event.clone()]).await.expect("ingest works");
    assert_eq!(
        again,
        [IngestOutcome::Duplicate(Box::new(StoredEvent::from(&event)))]
    );
}

async fn an_empty_batch_is_nothing(database: TestDatabase) {
    let store = database.store().await;
    assert_eq!(outcomes(&store, Vec::new()).await, "");
    assert_eq!(store.fold_all().await.expect("the fold works"), 0);
    verify_is_clean(&store).await;
}

async fn a_large_batch_is_one_transaction(database: TestDatabase) {
    let store = database.store().await;
    let new: Vec<NewEvent> = numbered_events("large ", 5_000)
        .iter()
        .map(Event::parsed)
        .collect();
    let (half, all) = (new[..2_500].to_vec(), new.clone());
    assert_eq!(outcomes(&store, half).await, "S".repeat(2_500));
    assert_eq!(
        outcomes(&store, all).await,
        "D".repeat(2_500) + &"S".repeat(2_500)
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 5_000);
    verify_is_clean(&store).await;
}

async fn a_preview_says_what_ingest_would_and_writes_nothing(database: TestDatabase) {
    let store = database.store().await;
    assert_eq!(outcomes(&store, vec![one_event().parsed()]).await, "S");
    let text = "2026-03-01T08:00Z ana login #one
                2026-03-01T08:00Z bo login #two
                2026-03-01T08:00Z bo login #two
                2026-03-01T08:00Z bo click #one
                2026-03-01T08:00Z bo click #two";
    let mut new = parsed_events(text);
    new[0] = one_event().parsed();
    let preview = store.preview(new.clone()).await.expect("previews work");
    assert_eq!(show(&preview), "DSDCC");
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 1);
    let stored = store.ingest(new).await.expect("ingest works");
    assert_eq!(show(&stored), show(&preview));
}

async fn hostile_names_are_names(database: TestDatabase) {
    let store = database.store().await;
    let longest = "ü".repeat(128);
    let names = [
        "'); DROP TABLE events; --",
        "%",
        "\\",
        "\"",
        "null",
        "NULL",
        "é",
        "e\u{301}",
        " ",
        "  ",
        &longest,
    ];
    let template = one_event();
    let event = |(number, name): (usize, &&str)| {
        let base = numbered_events("hostile ", number + 1).remove(number);
        let (user_id, event_type) = ((*name).to_owned(), (*name).to_owned());
        Event {
            user_id,
            event_type,
            occurred_at: template.occurred_at,
            ..base
        }
        .parsed()
    };
    let new: Vec<NewEvent> = names.iter().enumerate().map(event).collect();
    assert_eq!(outcomes(&store, new).await, "S".repeat(names.len()));
    store.fold_all().await.expect("the fold works");
    let question = tests::questions::top_events(
        "2026-03-01",
        "2026-03-01",
        100,
        activity::top_events::Rank::Events,
    );
    let top = store.top_events(question).await.expect("the store answers");
    let mut expected: Vec<&str> = names.to_vec();
    expected.sort_unstable();
    let found: Vec<&str> = top.rows.iter().map(|row| row.event_type.as_str()).collect();
    assert_eq!(found, expected);
    assert_eq!(top.total_users, names.len() as u64);
    verify_is_clean(&store).await;
}

#[tokio::test]
async fn a_closed_sqlite_store_has_everything_in_its_one_file() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let store = database.store().await;
    assert_eq!(outcomes(&store, vec![one_event().parsed()]).await, "S");
    let log_of_writes = format!("{}-wal", database.url().trim_start_matches("sqlite://"));
    assert!(Path::new(&log_of_writes).exists(), "{log_of_writes}");
    store.close().await;
    assert!(!Path::new(&log_of_writes).exists(), "{log_of_writes}");
}
