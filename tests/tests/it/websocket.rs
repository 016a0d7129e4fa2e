//! The protocol of WebSockets: who may open one, what each breach is answered with, what may be asked over one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::AllowedHosts;
use server::app::AppOptions;
use tests::database::{Backend, TestDatabase};
use tests::socket::{Heard, Socket};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::Running;

const TYPENAME: &str = "{ __typename }";

async fn server(options: AppOptions) -> (TestDatabase, Running) {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let server = Running::start_in(&database, chrono_tz::Tz::UTC, options).await;
    (database, server)
}

fn subscribe(id: &str, query: &str) -> Value {
    json!({ "id": id, "type": "subscribe", "payload": { "query": query } })
}

/// What the server does after `says`, on a socket that has been initialised.
async fn after(server: &Running, says: &[String]) -> Heard {
    let mut socket = Socket::ready(server.address()).await;
    for text in says {
        socket.say_text(text).await;
    }
    loop {
        match socket.hear().await {
            Heard::Message(_) => {}
            closed => return closed,
        }
    }
}

#[tokio::test]
async fn every_breach_has_its_close_code() {
    let (_database, server) = server(AppOptions::default()).await;
    let live = "subscription { eventAdded { eventId } }";
    let one = |message: Value| vec![message.to_string()];
    for (code, says) in [
        (4400, vec!["nothing of JSON".to_owned()]),
        (4400, vec!["[]".to_owned()]),
        (4400, one(json!({ "type": 1 }))),
        (4400, one(json!({ "type": "start" }))),
        (4400, one(json!({ "type": "ping", "payload": 1 }))),
        (4400, one(json!({ "type": "subscribe", "id": "1" }))),
        (4400, one(json!({ "type": "subscribe", "id": "1", "payload": {} }))),
        (4400, one(subscribe("", TYPENAME))),
        (4400, one(subscribe(&"i".repeat(129), TYPENAME))),
        (
            4400,
            one(json!({ "type": "subscribe", "id": 1, "payload": { "query": TYPENAME } })),
        ),
        (
            4400,
            vec![
                r#"{"id":"1","type":"subscribe","payload":{"query":"{x}","variables":{"n":12345678901234567890123}}}"#
                    .to_owned(),
            ],
        ),
        (4400, one(json!({ "type": "complete" }))),
        (
            4409,
            vec![
                subscribe("1", live).to_string(),
                subscribe("1", live).to_string(),
            ],
        ),
        (4429, one(json!({ "type": "connection_init" }))),
        (
            1009,
            one(json!({ "type": "ping", "payload": { "x": "x".repeat(65 * 1024) } })),
        ),
    ] {
        let closed = after(&server, &says).await;
        assert_eq!(closed.clone().code(), code, "{says:?}: {closed:?}");
    }
    let mut socket = Socket::open(server.address()).await;
    socket.say(&subscribe("1", TYPENAME)).await;
    assert_eq!(socket.hear().await.code(), 4401);
    let mut socket = Socket::open(server.address()).await;
    socket
        .say(&json!({ "type": "connection_init", "payload": "no object" }))
        .await;
    assert_eq!(socket.hear().await.code(), 4400);
    let mut socket = Socket::ready(server.address()).await;
    socket.say_bytes(b"{}").await;
    assert_eq!(socket.hear().await.code(), 4400);
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_begin_in_time_is_closed() {
    let options = AppOptions {
        socket_init_timeout: Duration::from_millis(100),
        ..AppOptions::default()
    };
    let (_database, server) = server(options).await;
    let mut silent = Socket::open(server.address()).await;
    assert_eq!(silent.hear().await.code(), 4408);
    let mut pinging = Socket::open(server.address()).await;
    pinging.say(&json!({ "type": "ping" })).await;
    assert_eq!(pinging.hear().await.message(), json!({ "type": "pong" }));
    assert_eq!(
        pinging.hear().await.code(),
        4408,
        "a ping is allowed, but is no beginning"
    );
    server.stop().await;
}

#[tokio::test]
async fn only_pages_from_here_and_programs_open_sockets() {
    let options = AppOptions {
        allowed_hosts: AllowedHosts::LocalAnd(Vec::new()),
        ..AppOptions::default()
    };
    let (_database, server) = server(options).await;
    let (address, protocol) = (
        server.address(),
        ("sec-websocket-protocol", "graphql-transport-ws"),
    );
    let own = format!("http://{address}");
    let opened = Socket::try_open(address, &[protocol, ("origin", &own)]).await;
    assert!(opened.is_ok());
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let refused = Socket::try_open(address, &[protocol, ("origin", origin)]).await;
        assert_eq!(refused.err(), Some(403), "{origin}");
    }
    let refused = Socket::try_open(address, &[protocol, ("host", "evil.example")]).await;
    assert_eq!(refused.err(), Some(421));
    for protocol in ["graphql-ws", "chat"] {
        let refused = Socket::try_open(address, &[("sec-websocket-protocol", protocol)]).await;
        assert_eq!(refused.err(), Some(400), "{protocol}");
    }
    assert_eq!(Socket::try_open(address, &[]).await.err(), Some(400));
    server.stop().await;
}

#[tokio::test]
async fn sockets_beyond_the_bound_are_told_to_come_back() {
    let options = AppOptions {
        live_connections: 1,
        ..AppOptions::default()
    };
    let (_database, server) = server(options).await;
    let first = Socket::ready(server.address()).await;
    let headers = [("sec-websocket-protocol", "graphql-transport-ws")];
    let refused = Socket::try_open(server.address(), &headers).await;
    assert_eq!(refused.err(), Some(503));
    drop(first);
    while Socket::try_open(server.address(), &headers).await.is_err() {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn queries_and_mutations_are_answered_and_completed() {
    let (database, server) = server(AppOptions::default()).await;
    let mut socket = Socket::ready(server.address()).await;
    let mutation =
        "mutation($i: IngestEventInput!) { ingestEvent(input: $i) { status userErrors { code } } }";
    let input = json!({ "userId": "ana", "eventType": "login", "occurredAt": "2026-03-10T08:00:00Z" });
    socket.subscribe("m", mutation, json!({ "i": input })).await;
    let expected = json!({ "data": { "ingestEvent": { "status": "STORED", "userErrors": [] } } });
    assert_eq!(
        socket.hear().await.message(),
        json!({ "id": "m", "type": "next", "payload": expected })
    );
    assert_eq!(
        socket.hear().await.message(),
        json!({ "id": "m", "type": "complete" })
    );
    let query = "{ dau(from: \"2026-03-10\", to: \"2026-03-10\") { points { users } } }";
    socket.subscribe("m", query, json!({})).await;
    let answer = socket.hear().await.message();
    assert_eq!(
        answer["payload"]["data"]["dau"]["points"],
        json!([{ "users": 1 }])
    );
    assert_eq!(
        socket.hear().await.message()["type"],
        "complete",
        "an id is free again after complete"
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn documents_have_the_same_limits_as_elsewhere() {
    let (_database, server) = server(AppOptions::default()).await;
    let mut socket = Socket::ready(server.address()).await;
    let bomb = format!("{{a(b:{}", "[".repeat(10_000));
    let several = "subscription { eventAdded { eventId } activeToday { users } }";
    for (query, code) in [
        (bomb.as_str(), "GRAPHQL_LIMIT_EXCEEDED"),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        (
            "subscription { eventAdded { nothing } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (several, "GRAPHQL_VALIDATION_FAILED"),
        ("query($n: Int!) { __typename }", "BAD_USER_INPUT"),
    ] {
        socket.subscribe("1", query, json!({})).await;
        let message = socket.hear().await.message();
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")));
        let error = &message["payload"][0];
        assert_eq!(error["extensions"]["code"], code, "{query:.40}: {message}");
        assert!(error["extensions"]["requestId"].is_string());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_socket_has_at_most_twenty_operations() {
    let (_database, server) = server(AppOptions::default()).await;
    let mut socket = Socket::ready(server.address()).await;
    for number in 0..21 {
        let live = "subscription { eventAdded { eventId } }";
        socket.subscribe(&number.to_string(), live, json!({})).await;
    }
    let refusal = socket.hear().await.message();
    assert_eq!(
        (&refusal["type"], &refusal["id"]),
        (&json!("error"), &json!("20"))
    );
    let code = &refusal["payload"][0]["extensions"]["code"];
    assert_eq!(code, "GRAPHQL_LIMIT_EXCEEDED");
    socket.say(&json!({ "id": "3", "type": "complete" })).await;
    socket.subscribe("21", TYPENAME, json!({})).await;
    assert_eq!(socket.hear().await.message()["type"], "next");
    server.stop().await;
}

/// Nothing is left for a message while the body of a request, which may stall, holds the memory.
#[tokio::test]
async fn messages_take_memory_like_bodies() {
    let options = AppOptions {
        bodies_limit_bytes: 20_000,
        ..AppOptions::default()
    };
    let (_database, server) = server(options).await;
    let mut stalled = TcpStream::connect(server.address()).await.expect("a connection");
    let head = "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99999\r\n\r\n";
    let part = format!("{head}{}", " ".repeat(15_000));
    stalled
        .write_all(part.as_bytes())
        .await
        .expect("the server reads");
    let message = json!({ "id": "1", "type": "subscribe", "payload": { "query": TYPENAME, "variables": { "a": [{}, {}] } } });
    let deadline = Instant::now() + Duration::from_secs(5);
    // Until the body is there.
    let reason = loop {
        let mut socket = Socket::ready(server.address()).await;
        socket.say(&message).await;
        match socket.hear().await {
            Heard::Closed(code, reason) => {
                assert_eq!(code, 1013, "{reason}");
                break reason;
            }
            Heard::Message(_) => assert!(Instant::now() < deadline),
        }
    };
    assert!(reason.contains("20000 bytes of memory"), "{reason}");
    drop(stalled);
    server.stop().await;
}
