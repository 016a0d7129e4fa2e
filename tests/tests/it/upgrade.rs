//! Databases of earlier releases: `tests/fixtures/` holds one of each kind as the release left it, filled, with a log that was
//! not folded. Everything in it must be there after the migrations of today, and count as before.

use std::path::Path;

use chrono_tz::Tz;
use migration::{migrate, status};
use sea_orm::ConnectionTrait;
use serde_json::Value;
use store::IngestOutcome;
use store::new_event::{DEFAULT_MAX_AHEAD, NewEvent, RawEvent};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, arrival, numbered_events};

use crate::app::Running;
use crate::checks::verify_is_clean;

/// What the fixtures hold: 200 generated events of 25 users, folded, and 5 by as many other users, not folded.
const EVENTS: i64 = 205;
const USERS: i64 = 30;
const NOT_FOLDED: i64 = 5;

async fn restored(backend: Backend) -> TestDatabase {
    let database = TestDatabase::empty(backend).await;
    let name = match backend {
        Backend::Sqlite => "first-release.sqlite.sql",
        Backend::Postgres => "first-release.postgres.sql",
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let dump = std::fs::read_to_string(&path).expect("the fixture is there");
    let connection = database.connect().await;
    connection
        .execute_unprepared(&dump)
        .await
        .expect("the dump is one of this database");
    connection.close().await.expect("connections close");
    database
}

/// One of the fixture's events that were not folded.
fn known_event() -> NewEvent {
    let raw = RawEvent {
        event_id: Some("0190a5f0-3c1b-7d52-8a1e-6f1c2b3d4e53".to_owned()),
        user_id: "late 3".to_owned(),
        event_type: "not folded".to_owned(),
        occurred_at: Some("2026-01-03T12:00:00Z".to_owned()),
        properties: Some(serde_json::json!({ "n": 3 })),
    };
    NewEvent::parse(raw, arrival(), DEFAULT_MAX_AHEAD).expect("the event is valid")
}

async fn upgrading_keeps_everything(backend: Backend) {
    let database = restored(backend).await;
    let connection = database.connect().await;
    let applied = status(&connection).await.expect("the database says");
    let applied: Vec<&str> = applied
        .iter()
        .filter(|(_, applied)| *applied)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(applied, ["m20261122_000001_create_events"]);
    migrate(&connection).await.expect("every migration since applies");
    connection.close().await.expect("connections close");
    assert_eq!(
        database.number("SELECT COUNT(*) FROM activity_log").await,
        NOT_FOLDED
    );
    let store = database.store().await;
    assert_eq!(store.timezone(), Tz::UTC);
    verify_is_clean(&store).await;

    let again = store.ingest(vec![known_event()]).await.expect("ingest works");
    assert!(matches!(again[..], [IngestOutcome::Duplicate(_)]), "{again:?}");
    let more = numbered_events("after the upgrade ", 50);
    let outcomes = store
        .ingest(more.iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    assert!(
        outcomes.iter().all(|outcome| *outcome == IngestOutcome::Stored),
        "{outcomes:?}"
    );

    store.fold_all().await.expect("the fold works");
    verify_is_clean(&store).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, EVENTS + 50);
    store.close().await;

    let users = database.number("SELECT COUNT(*) FROM users").await;
    assert!(users >= USERS, "{users} users");
    let mut server = Running::start(&database).await;
    let query = "{ topEvents(from: \"2025-12-31\", to: \"2026-03-01\") { totalEvents totalUsers } }";
    let answer = server.data(query, Value::Null).await;
    assert_eq!(
        answer["topEvents"],
        serde_json::json!({ "totalEvents": EVENTS + 50, "totalUsers": users })
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_of_the_first_release_is_upgraded() {
    upgrading_keeps_everything(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_database_of_the_first_release_is_upgraded() {
    upgrading_keeps_everything(Backend::Postgres).await;
}
