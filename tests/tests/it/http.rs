//! The rules of HTTP: which requests are taken, one shape for every error, health, metrics and request ids.

use std::io::Write;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Method;
use serde_json::json;
use server::app::AppOptions;
use store::{Store, StoreOptions};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};
use tests::http::Answer;

use crate::app::Running;

on_both_databases!(
    health_is_well_while_the_database_works,
    metrics_have_their_documented_names,
    nothing_internal_reaches_a_client,
);

const JSON: (&str, &str) = ("content-type", "application/json");
const PING: &str = r#"{"query": "{ __typename }"}"#;

async fn sqlite() -> (TestDatabase, Running) {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let server = Running::start(&database).await;
    (database, server)
}

/// The one shape of errors.
#[track_caller]
fn check_error(answer: &Answer, status: u16, code: &str) {
    let error = answer.json()["errors"][0].clone();
    assert_eq!(
        (answer.status, error["extensions"]["code"].as_str()),
        (status, Some(code)),
        "{}",
        answer.text()
    );
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{}",
        answer.text()
    );
    assert_eq!(error["extensions"]["requestId"], answer.header("x-request-id"));
    assert!(error["extensions"]["retryable"].is_boolean(), "{}", answer.text());
    assert!(
        answer.header("content-type").contains("json"),
        "{}",
        answer.header("content-type")
    );
}

#[tokio::test]
async fn only_what_no_web_page_can_send_unasked_is_executed() {
    let (database, mut server) = sqlite().await;
    let mutation =
        r#"{"query": "mutation { ingestEvent(input: { userId: \"a\", eventType: \"b\" }) { status } }"}"#;
    let by_get = "/graphql?query=mutation%7BingestEvent(input%3A%7BuserId%3A%22a%22%2CeventType%3A%22b%22%7D)%7Bstatus%7D%7D";
    let client = &mut server.client;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
    ] {
        let answer = client
            .send(
                Method::POST,
                "/graphql",
                &[("content-type", content_type)],
                mutation,
            )
            .await;
        check_error(&answer.expect("an answer"), 415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let answer = client
        .send(Method::POST, "/graphql", &[], mutation)
        .await
        .expect("an answer");
    check_error(&answer, 415, "UNSUPPORTED_MEDIA_TYPE");
    let answer = client.get(by_get).await.expect("an answer");
    check_error(&answer, 405, "BAD_REQUEST");
    assert_eq!(answer.header("allow"), "POST");
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 0);
    let query = client
        .get("/graphql?query=%7B__typename%7D")
        .await
        .expect("an answer");
    assert_eq!(
        (query.status, query.json()["data"]["__typename"].as_str()),
        (200, Some("Query"))
    );
    server.stop().await;
}

#[tokio::test]
async fn every_error_has_one_shape() {
    let (_database, mut server) = sqlite().await;
    let deep = format!(
        r#"{{"query": "{{ a(b: {}{}) }}"}}"#,
        "[".repeat(2_000),
        "]".repeat(2_000)
    );
    let client = &mut server.client;
    for (method, path, body, status, code) in [
        (Method::POST, "/graphql", "", 400, "BAD_REQUEST"),
        (Method::POST, "/graphql", "{", 400, "BAD_REQUEST"),
        (Method::POST, "/graphql", "[]", 400, "BAD_REQUEST"),
        (
            Method::POST,
            "/graphql",
            r#"[{"query": "{ __typename }"}]"#,
            400,
            "BAD_REQUEST",
        ),
        (
            Method::POST,
            "/graphql",
            r#"{"query": "{ __typename"}"#,
            400,
            "GRAPHQL_PARSE_FAILED",
        ),
        (Method::POST, "/graphql", &deep, 400, "GRAPHQL_LIMIT_EXCEEDED"),
        (Method::PUT, "/graphql", PING, 405, "BAD_REQUEST"),
        (Method::GET, "/nothing", "", 404, "BAD_REQUEST"),
        (Method::POST, "/healthz", "", 405, "BAD_REQUEST"),
    ] {
        let headers = [JSON, ("accept", "application/graphql-response+json")];
        let answer = client
            .send(method, path, &headers, body.to_owned())
            .await
            .expect("an answer");
        check_error(&answer, status, code);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_is_bounded_before_and_after_inflating() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let options = AppOptions {
        body_limit_bytes: 2_000,
        ..AppOptions::default()
    };
    let server = Running::start_in(&database, Tz::UTC, options).await;
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    };
    let padded = |length: usize| format!("{PING}{}", " ".repeat(length - PING.len()));
    let gzipped = [JSON, ("content-encoding", "gzip")];
    let plain = [JSON];
    for (headers, body, status) in [
        (&plain[..], padded(2_000).into_bytes(), 200),
        (&plain[..], padded(2_001).into_bytes(), 413),
        (&gzipped[..], gzip(&padded(2_000)), 200),
        (&gzipped[..], gzip(&padded(2_001)), 413),
        (&gzipped[..], gzip(&padded(10_000_000)), 413),
        (&gzipped[..], b"not gzip".to_vec(), 400),
    ] {
        let mut client = server.another_client();
        let answer = client
            .send(Method::POST, "/graphql", headers, body)
            .await
            .expect("an answer");
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 413 {
            check_error(&answer, 413, "PAYLOAD_TOO_LARGE");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn request_ids_are_taken_or_made() {
    let (_database, mut server) = sqlite().await;
    let client = &mut server.client;
    for path in ["/healthz", "/graphql", "/nothing"] {
        let sent = client
            .send(Method::GET, path, &[("x-request-id", "mine-1")], "")
            .await
            .expect("an answer");
        assert_eq!(sent.header("x-request-id"), "mine-1", "{path}");
        let made = client.get(path).await.expect("an answer");
        assert_eq!(made.header("x-request-id").len(), 36, "{path}");
    }
    server.stop().await;
}

/// The first answer with this status: one may be a quarter of a second old.
async fn health_once_it_is(status: u16, server: &mut Running) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = server.client.get("/healthz").await.expect("an answer");
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "{}", answer.text());
    }
}

async fn health_is_well_while_the_database_works(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let answer = server.client.get("/healthz").await.expect("an answer");
    let health = answer.json();
    assert_eq!(
        (answer.status, &health["status"], &health["database"]),
        (200, &json!("ok"), &json!("ok"))
    );
    database.execute("ALTER TABLE settings RENAME TO hidden").await;
    let answer = health_once_it_is(503, &mut server).await;
    assert_eq!(answer.json()["status"], "unavailable", "{}", answer.text());
    assert_eq!(server.client.get("/livez").await.expect("an answer").status, 200);
    database.execute("ALTER TABLE hidden RENAME TO settings").await;
    health_once_it_is(200, &mut server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_out_of_reach_ingest_is_unavailable_and_then_goes_on() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut network, url) = database.behind_proxy().await;
    let store = Store::open(StoreOptions::new(url))
        .await
        .expect("the store opens");
    let mut server = Running::start_on(store, AppOptions::default()).await;
    let query = "mutation ($input: IngestEventInput!) { ingestEvent(input: $input) { status } }";
    let inputs: Vec<_> = numbered_events("outage ", 3).iter().map(Event::input).collect();
    server.data(query, json!({ "input": inputs[0] })).await;
    network.cut().await;
    health_once_it_is(503, &mut server).await;
    assert_eq!(server.client.get("/livez").await.expect("an answer").status, 200);
    let answer = server.send(query, json!({ "input": inputs[1] })).await;
    check_error(&answer, 503, "UNAVAILABLE");
    assert_eq!(answer.json()["errors"][0]["extensions"]["retryable"], true);
    assert!(!answer.header("retry-after").is_empty());
    network.mend().await;
    for input in &inputs[1..] {
        let payload = server.data(query, json!({ "input": input })).await;
        assert_eq!(payload["ingestEvent"]["status"], "STORED");
    }
    health_once_it_is(200, &mut server).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 3);
    server.stop().await;
}

async fn metrics_have_their_documented_names(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let query =
        "mutation ($events: [IngestEventInput!]!) { ingestEvents(input: { events: $events }) { stored } }";
    let inputs: Vec<_> = numbered_events("measured ", 3).iter().map(Event::input).collect();
    server.data(query, json!({ "events": inputs })).await;
    server
        .data(
            "{ dau(from: \"2026-01-01\", to: \"2026-01-01\") { timezone } }",
            json!({}),
        )
        .await;
    let _ = server
        .client
        .get("/nothing/here?secret=1")
        .await
        .expect("an answer");
    let text = server.client.get("/metrics").await.expect("an answer").text();
    for name in [
        "http_requests_total{",
        "http_request_duration_seconds_bucket{",
        "kohorta_events_ingested_total{outcome=\"stored\"} ",
        "kohorta_ingest_queue_events ",
        "kohorta_commit_events_bucket{",
        "kohorta_fold_lag_seconds ",
        "kohorta_query_duration_seconds_bucket{operation=\"dau\"",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name} is not in:\n{text}"
        );
    }
    let requests: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("http_requests_total{"))
        .collect();
    for label in [
        "method=\"POST\"",
        "endpoint=\"/graphql\"",
        "status=\"200\"",
        "status=\"404\"",
    ] {
        assert!(
            requests.iter().any(|line| line.contains(label)),
            "{label} is not in {requests:#?}"
        );
    }
    assert!(
        !text.contains("secret") && !text.contains("/nothing"),
        "unknown paths must not become labels"
    );
    assert!(!text.contains("axum_"), "names of a library are not ours");
    server.stop().await;
}

async fn nothing_internal_reaches_a_client(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    database.execute("DROP TABLE activity").await;
    let answer = server
        .send(
            "{ dau(from: \"2026-01-01\", to: \"2026-01-01\") { timezone } }",
            json!({}),
        )
        .await;
    assert_eq!(
        answer.json()["errors"][0]["extensions"]["code"],
        "INTERNAL",
        "{}",
        answer.text()
    );
    let text = answer.text().to_lowercase();
    for leak in [
        "activity",
        "sql",
        "sqlx",
        "select",
        "relation",
        "no such table",
        "panick",
        ".rs",
    ] {
        assert!(!text.contains(leak), "{leak} is in {text}");
    }
    server.stop().await;
}
