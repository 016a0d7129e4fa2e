//! Server-sent events: one operation, its results as they come, over plain HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::app::AppOptions;
use store::Store;
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, fat_events, numbered_events};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::app::Running;
use crate::checks::store_all;

/// An answer that comes line by line.
struct Stream {
    lines: BufReader<TcpStream>,
}

impl Stream {
    /// POSTs a query and reads the head of the answer.
    async fn open(address: SocketAddr, query: &str) -> (Self, String) {
        let body = json!({ "query": query }).to_string();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             accept: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(address).await.expect("the server accepts");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the server reads");
        let mut opened = Self {
            lines: BufReader::new(stream),
        };
        let mut head = String::new();
        loop {
            let line = opened.line().await.expect("a head");
            if line.is_empty() {
                return (opened, head);
            }
            head.push_str(&line.to_ascii_lowercase());
            head.push('\n');
        }
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let bytes = self.lines.read_line(&mut line).await.ok()?;
        (bytes > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event's name and data; none at the end of the answer.
    async fn event(&mut self) -> Option<(String, Value)> {
        let (name, data) = self.event_text().await?;
        Some((name, serde_json::from_str(&data).unwrap_or_default()))
    }

    /// The same with the data letter for letter.
    async fn event_text(&mut self) -> Option<(String, String)> {
        loop {
            let line = self.line().await?;
            let Some(name) = line.strip_prefix("event: ") else {
                // Comments, empty lines, and the sizes of chunks; an empty chunk is the end.
                if line == "0" {
                    return None;
                }
                continue;
            };
            let data = self.line().await.expect("an event has data");
            let data = data.strip_prefix("data:").expect("an event has data").trim();
            return Some((name.to_owned(), data.to_owned()));
        }
    }
}

/// A stream that has begun: its first event came.
async fn following(server: &Running, store: &Store, name: &str, fields: &str) -> Stream {
    let query = format!("subscription {{ eventAdded {{ {fields} }} }}");
    let (mut stream, _) = Stream::open(server.address(), &query).await;
    for round in 0.. {
        store_all(store, &numbered_events(&format!("probe {name} {round} "), 1)).await;
        let wait = Duration::from_millis(500);
        if let Ok(first) = tokio::time::timeout(wait, stream.event()).await {
            first.expect("an event");
            break;
        }
    }
    stream
}

async fn server() -> (TestDatabase, Running) {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let server = Running::start(&database).await;
    (database, server)
}

#[tokio::test]
async fn a_subscription_is_a_stream_of_events_until_the_server_stops() {
    let (database, server) = server().await;
    let store = database.store().await;
    let query = "subscription { eventAdded { eventId } }";
    let (mut stream, head) = Stream::open(server.address(), query).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let writing = tokio::spawn(async move {
        let mut rounds = 0..;
        loop {
            let probe = numbered_events(&format!("stream {} ", rounds.next().unwrap_or_default()), 1);
            store_all(&store, &probe).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    for _ in 0..3 {
        let (name, data) = stream.event().await.expect("an event");
        assert_eq!(name, "next");
        assert!(data["data"]["eventAdded"]["eventId"].is_string(), "{data}");
    }
    let (names, ()) = tokio::join!(
        async {
            let mut names = Vec::new();
            while let Some((name, _)) = stream.event().await {
                names.push(name);
            }
            names
        },
        server.stop()
    );
    assert!(
        names.iter().all(|name| name == "next"),
        "no complete: the client comes again"
    );
    writing.abort();
}

#[tokio::test]
async fn results_have_their_fields_in_the_order_asked() {
    let (database, server) = server().await;
    let store = database.store().await;
    // What is known of the user is read from the database, later than all else is ready.
    let fields = "user { eventCount userId } properties eventType";
    let mut stream = following(&server, &store, "ordered", fields).await;
    let event = Event {
        user_id: "somebody".to_owned(),
        ..numbered_events("ordered ", 1).remove(0)
    };
    store_all(&store, &[event]).await;
    let data = loop {
        let (_, data) = stream.event_text().await.expect("an event");
        if data.contains("somebody") {
            break data;
        }
    };
    assert_eq!(
        data,
        "{\"data\":{\"eventAdded\":{\"user\":{\"eventCount\":1,\"userId\":\"somebody\"},\
         \"properties\":{\"number\":0},\"eventType\":\"type-0\"}}}"
    );
    server.stop().await;
}

#[tokio::test]
async fn queries_and_refusals_are_events_that_complete() {
    let (_database, server) = server().await;
    let several = "subscription { a b }";
    for (query, pointer, value) in [
        ("{ __typename }", "/data/__typename", "Query"),
        ("{", "/errors/0/extensions/code", "GRAPHQL_PARSE_FAILED"),
        (
            "subscription { nothing }",
            "/errors/0/extensions/code",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (several, "/errors/0/extensions/code", "GRAPHQL_VALIDATION_FAILED"),
    ] {
        let (mut stream, head) = Stream::open(server.address(), query).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let (name, data) = stream.event().await.expect("an event");
        assert_eq!(name, "next");
        assert_eq!(data.pointer(pointer), Some(&Value::from(value)), "{data}");
        assert_eq!(stream.event().await, Some(("complete".to_owned(), Value::Null)));
        assert_eq!(stream.event().await, None);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_dropped_and_nobody_else_notices() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let (database, mut server) = server().await;
    let store = database.store().await;
    let mut slow = following(&server, &store, "slow", "eventId properties").await;
    let mut quick = following(&server, &store, "quick", "eventId properties").await;
    // More than the queue and the buffers of the system take.
    let count = 280;
    let reading = tokio::spawn(async move {
        let mut heard = 0;
        while heard < count {
            let (name, data) = quick.event().await.expect("an event");
            assert_eq!(name, "next");
            heard += usize::from(data["data"]["eventAdded"]["properties"]["fat"].is_string());
        }
    });
    let started = Instant::now();
    for chunk in fat_events("fat ", count).chunks(20) {
        store_all(&store, chunk).await;
    }
    assert!(
        started.elapsed() < PATIENCE,
        "ingest never waits for who reads slowly"
    );
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.expect("in time").expect("the quick reader gets everything");
    let mut got = 0;
    let refusal = loop {
        let (name, data) = slow.event().await.expect("it is told why");
        assert_eq!(name, "next");
        if data["errors"].is_array() {
            break data;
        }
        got += 1;
    };
    assert_eq!(
        refusal["errors"][0]["extensions"]["code"], "SLOW_READER",
        "{refusal}"
    );
    assert!(got < count, "what waited was let go");
    assert_eq!(slow.event().await, Some(("complete".to_owned(), Value::Null)));
    assert_eq!(slow.event().await, None);
    let metrics = server.client.get("/metrics").await.expect("metrics").text();
    assert!(
        metrics.contains("kohorta_slow_readers_total{transport=\"sse\"} 1"),
        "{metrics}"
    );
    server.stop().await;
}

#[tokio::test]
async fn streams_beyond_the_bound_and_subscriptions_without_one_are_refused() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let options = AppOptions {
        live_connections: 0,
        ..AppOptions::default()
    };
    let mut server = Running::start_in(&database, chrono_tz::Tz::UTC, options).await;
    let query = "subscription { activeToday { users } }";
    let (_, head) = Stream::open(server.address(), query).await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    let answer = server.send(query, json!({})).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("text/event-stream"), "{}", answer.text());
    server.stop().await;
}
