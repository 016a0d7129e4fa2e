//! Erasure as clients and operators see it: `eraseUser`, `kohorta erase-user`, and what ingest says afterwards.

use serde_json::{Value, json};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, events};
use tests::kohorta::{KohortaOptions, run};

use crate::app::Running;

on_both_databases!(
    a_user_is_erased_and_later_events_are_rejected,
    an_erasure_may_let_the_user_come_again,
    a_bad_user_id_is_a_user_error,
);

const ERASE: &str = "mutation ($input: EraseUserInput!) { eraseUser(input: $input) { \
     eventsDeleted userErrors { code field message } } }";

const INGEST: &str = "mutation ($input: IngestEventInput!) { ingestEvent(input: $input) { \
     status event { eventId } userErrors { code field message } } }";

const INGEST_MANY: &str = "mutation ($events: [IngestEventInput!]!) { ingestEvents(input: { events: $events }) { \
     stored duplicates rejected rejections { index userErrors { code field } } } }";

const DAU: &str = "{ dau(from: \"2026-03-01\", to: \"2026-03-02\") { points { users newUsers } } }";

async fn erase(server: &mut Running, input: Value) -> Value {
    server.data(ERASE, json!({ "input": input })).await["eraseUser"].clone()
}

async fn filled(server: &mut Running) -> Vec<Event> {
    let sent = events(
        "2026-03-01T08:00Z ana login #1
         2026-03-02T08:00Z ana login #2
         2026-03-02T09:00Z bo login #3",
    );
    let inputs: Vec<Value> = sent.iter().map(Event::input).collect();
    let answer = server.data(INGEST_MANY, json!({ "events": inputs })).await;
    assert_eq!(answer["ingestEvents"]["stored"], 3);
    sent
}

async fn a_user_is_erased_and_later_events_are_rejected(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let sent = filled(&mut server).await;
    let expected = json!({ "eventsDeleted": 2, "userErrors": [] });
    assert_eq!(erase(&mut server, json!({ "userId": "ana" })).await, expected);
    let points = json!([{ "users": 0, "newUsers": 0 }, { "users": 1, "newUsers": 1 }]);
    assert_eq!(server.data(DAU, json!({})).await["dau"]["points"], points);

    let payload = server.data(INGEST, json!({ "input": sent[0].input() })).await["ingestEvent"].clone();
    let expected = json!({
        "status": "REJECTED",
        "event": null,
        "userErrors": [{
            "code": "USER_ERASED",
            "field": ["input", "userId"],
            "message": "userId names a user who was erased; later events of this user are refused",
        }],
    });
    assert_eq!(payload, expected);
    let inputs: Vec<Value> = sent.iter().map(Event::input).collect();
    let payload = server.data(INGEST_MANY, json!({ "events": inputs })).await["ingestEvents"].clone();
    let rejection = |index: usize| {
        let field = json!(["input", "events", index.to_string(), "userId"]);
        json!({ "index": index, "userErrors": [{ "code": "USER_ERASED", "field": field }] })
    };
    let expected = json!({
        "stored": 0,
        "duplicates": 1,
        "rejected": 2,
        "rejections": [rejection(0), rejection(1)],
    });
    assert_eq!(payload, expected);

    let expected = json!({ "eventsDeleted": 0, "userErrors": [] });
    assert_eq!(erase(&mut server, json!({ "userId": "ana" })).await, expected);
    server.stop().await;
}

async fn an_erasure_may_let_the_user_come_again(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let sent = filled(&mut server).await;
    let input = json!({ "userId": "ana", "blockFuture": false });
    assert_eq!(erase(&mut server, input).await["eventsDeleted"], 2);
    let payload = server.data(INGEST, json!({ "input": sent[0].input() })).await;
    assert_eq!(payload["ingestEvent"]["status"], "STORED");
    server.stop().await;
}

async fn a_bad_user_id_is_a_user_error(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    filled(&mut server).await;
    let too_long = "u".repeat(257);
    for (user_id, message) in [
        ("", "userId must not be empty"),
        (
            too_long.as_str(),
            "userId is 257 bytes long; at most 256 are allowed",
        ),
        (
            "a\u{0}b",
            "userId has a control character at position 2; none is allowed",
        ),
    ] {
        let expected = json!({
            "eventsDeleted": 0,
            "userErrors": [{ "code": "INVALID", "field": ["input", "userId"], "message": message }],
        });
        assert_eq!(erase(&mut server, json!({ "userId": user_id })).await, expected);
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM erasures").await, 0);
    server.stop().await;
}

fn kohorta(database: &TestDatabase, arguments: &[&str]) -> (String, String, Option<i32>) {
    let arguments = [arguments, &["--database-url", database.url()]].concat();
    let output = run(&KohortaOptions {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..KohortaOptions::default()
    });
    let output = output.expect("kohorta runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_erases_beside_a_running_server() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let database = TestDatabase::migrated(backend).await;
        let mut server = Running::start(&database).await;
        let sent = filled(&mut server).await;
        let (out, log, code) = kohorta(&database, &["erase-user", "ana"]);
        assert_eq!(out, "erased 2 events; later events of this user are rejected\n");
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("ana"), "{log}");
        let payload = server.data(INGEST, json!({ "input": sent[0].input() })).await;
        assert_eq!(payload["ingestEvent"]["userErrors"][0]["code"], "USER_ERASED");
        let (out, _, _) = kohorta(&database, &["erase-user", "bo", "--no-block"]);
        assert_eq!(out, "erased 1 events; later events of this user are taken\n");
        let payload = server.data(INGEST, json!({ "input": sent[2].input() })).await;
        assert_eq!(payload["ingestEvent"]["status"], "STORED");
        let (_, log, code) = kohorta(&database, &["erase-user", ""]);
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("invalid user id: must not be empty"), "{log}");
        server.stop().await;
        let (out, _, code) = kohorta(&database, &["verify"]);
        assert_eq!(code, Some(0), "{out}");
    }
}
