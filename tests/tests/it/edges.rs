//! The edges of the server: pages from elsewhere, floods, stalled and broken HTTP, what a hardened server tells, and the
//! time that a question may take.

use std::time::{Duration, Instant};

use chrono_tz::Tz;
use futures_util::future::{Either, select};
use hyper::Method;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;
use server::app::AppOptions;
use server::{AuthOptions, FixedKey, Introspection, Origin, Origins, Policy, Rate, RateOptions};
use store::{Store, StoreError, StoreOptions};
use tests::database::{Backend, TestDatabase};
use tests::events::instant;
use tests::http::{Answer, Client};
use tests::questions::active_users;
use tests::socket::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{NOW, Running};

on_both_databases!(a_question_that_takes_too_long_is_ended_in_the_database);

const JSON: (&str, &str) = ("content-type", "application/json");
const PING: &str = r#"{"query": "{ __typename }"}"#;

async fn start(options: AppOptions) -> (TestDatabase, Running) {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let server = Running::start_in(&database, Tz::UTC, options).await;
    (database, server)
}

async fn ping(client: &mut Client, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[JSON], headers].concat();
    client
        .send(Method::POST, "/graphql", &headers, PING)
        .await
        .expect("an answer")
}

fn code(answer: &Answer) -> String {
    let code = answer.json()["errors"][0]["extensions"]["code"].clone();
    code.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn pages_from_elsewhere_need_the_operators_word() {
    let origin = Origin::parse("https://app.example").expect("an origin");
    let options = AppOptions {
        cors_origins: Origins::new([origin]),
        auth: AuthOptions {
            policy: Policy::Always,
            fixed_key: Some(FixedKey::parse(&"k".repeat(32)).expect("long enough")),
            ..AuthOptions::default()
        },
        ..AppOptions::default()
    };
    let (_database, mut server) = start(options).await;
    let client = &mut server.client;
    let asking = [
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let friend = ("origin", "https://app.example");
    let preflight = client
        .send(
            Method::OPTIONS,
            "/graphql",
            &[&asking[..], &[friend]].concat(),
            "",
        )
        .await
        .expect("an answer");
    assert_eq!(preflight.status, 204, "{}", preflight.text());
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        "https://app.example"
    );
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, POST");
    assert!(
        preflight
            .header("access-control-allow-headers")
            .contains("authorization")
    );
    assert!(preflight.header("access-control-allow-credentials").is_empty());
    assert_eq!(preflight.header("vary"), "Origin");
    let refused = ping(client, &[friend]).await;
    assert_eq!(refused.status, 401, "a page needs a key like anybody");
    assert_eq!(
        refused.header("access-control-allow-origin"),
        "https://app.example"
    );
    for stranger in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:8443",
        "null",
    ] {
        let stranger = ("origin", stranger);
        let preflight = client
            .send(
                Method::OPTIONS,
                "/graphql",
                &[&asking[..], &[stranger]].concat(),
                "",
            )
            .await
            .expect("an answer");
        assert_eq!(preflight.status, 405);
        assert!(preflight.header("access-control-allow-origin").is_empty());
        let answer = ping(client, &[stranger]).await;
        assert!(answer.header("access-control-allow-origin").is_empty());
    }
    server.stop().await;
}

#[tokio::test]
async fn the_same_list_counts_for_sockets() {
    let options = AppOptions {
        cors_origins: Origins::new([Origin::parse("https://app.example").expect("an origin")]),
        ..AppOptions::default()
    };
    let (_database, server) = start(options).await;
    for (origin, status) in [("https://app.example", "101"), ("https://evil.example", "403")] {
        let handshake = format!(
            "GET /graphql HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
        );
        let said = raw(&server, handshake.as_bytes()).await;
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status} ")),
            "{origin}: {said}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn nobody_elsewhere_is_trusted_by_default() {
    let (_database, mut server) = start(AppOptions::default()).await;
    let answer = ping(&mut server.client, &[("origin", "https://app.example")]).await;
    assert!(answer.header("access-control-allow-origin").is_empty());
    let by_page = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
    ];
    let preflight = server
        .client
        .send(Method::OPTIONS, "/graphql", &by_page, "")
        .await;
    assert_eq!(preflight.expect("an answer").status, 405);
    server.stop().await;
}

fn two_at_once() -> Option<Rate> {
    Some(Rate {
        per_second: 1,
        burst: 2,
    })
}

#[tokio::test]
async fn an_address_may_send_so_much_and_no_more() {
    let options = AppOptions {
        rates: RateOptions {
            per_address: two_at_once(),
            per_key: None,
        },
        trusted_proxies: 1,
        ..AppOptions::default()
    };
    let (_database, mut server) = start(options).await;
    let client = &mut server.client;
    for _ in 0..5 {
        assert_eq!(ping(client, &[]).await.status, 200, "this machine is not limited");
    }
    let busy = [("x-forwarded-for", "6.6.6.6, 203.0.113.5")];
    for _ in 0..2 {
        assert_eq!(ping(client, &busy).await.status, 200);
    }
    let spoofing = [("x-forwarded-for", "7.7.7.7, 203.0.113.5")];
    for headers in [busy, spoofing] {
        let answer = ping(client, &headers).await;
        assert_eq!((answer.status, code(&answer).as_str()), (429, "RATE_LIMITED"));
        assert_eq!(answer.json()["errors"][0]["extensions"]["retryable"], true);
        assert_eq!(answer.header("retry-after"), "1");
    }
    let health = client.send(Method::GET, "/healthz", &busy, "").await;
    assert_eq!(health.expect("an answer").status, 200);
    assert_eq!(
        ping(client, &[("x-forwarded-for", "203.0.113.6")]).await.status,
        200
    );
    server.stop().await;
}

/// A socket of an address that may send two requests at once: one is its handshake.
#[tokio::test]
async fn operations_on_a_socket_count_like_requests() {
    let options = AppOptions {
        rates: RateOptions {
            per_address: two_at_once(),
            per_key: None,
        },
        trusted_proxies: 1,
        ..AppOptions::default()
    };
    let (_database, server) = start(options).await;
    let headers = [
        ("sec-websocket-protocol", "graphql-transport-ws"),
        ("x-forwarded-for", "203.0.113.5"),
    ];
    let mut socket = Socket::try_open(server.address(), &headers)
        .await
        .expect("a socket");
    socket.say(&json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await.message()["type"], "connection_ack");
    socket.subscribe("1", "{ __typename }", json!({})).await;
    assert_eq!(socket.hear().await.message()["type"], "next");
    assert_eq!(socket.hear().await.message()["type"], "complete");
    socket.subscribe("2", "{ __typename }", json!({})).await;
    let refused = socket.hear().await.message();
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("2")));
    let error = &refused["payload"][0];
    assert_eq!(error["extensions"]["code"], "RATE_LIMITED");
    let message =
        "too many requests from your address: 1 a second and 2 at once are allowed; try again after 1 s";
    assert_eq!(error["message"], message);
    server.stop().await;
}

#[tokio::test]
async fn an_address_has_so_many_sockets_and_no_more() {
    let options = AppOptions {
        live_connections: 8,
        trusted_proxies: 1,
        ..AppOptions::default()
    };
    let (_database, server) = start(options).await;
    let open = async |address: &str| {
        let headers = [
            ("sec-websocket-protocol", "graphql-transport-ws"),
            ("x-forwarded-for", address),
        ];
        Socket::try_open(server.address(), &headers).await
    };
    let first = open("203.0.113.5").await.expect("a quarter of all");
    let _second = open("203.0.113.5").await.expect("a quarter of all");
    assert_eq!(open("203.0.113.5").await.err(), Some(503));
    let _other = open("203.0.113.6").await.expect("others are not held up");
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Err(status) = open("203.0.113.5").await {
        assert!(status == 503 && Instant::now() < deadline, "{status}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_408() {
    let options = AppOptions {
        body_piece_timeout: Duration::from_millis(50),
        ..AppOptions::default()
    };
    let (_database, server) = start(options).await;
    let part = "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    let said = raw(&server, part.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!(
        said.contains("connection: close") && said.contains("\"TIMEOUT\""),
        "{said}"
    );
    assert!(
        said.contains("the next piece of the body did not arrive within 0.05 s"),
        "{said}"
    );
    server.stop().await;
}

/// While the first event waits for a table that somebody has locked, there is no room for a second one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_answered_503_at_once() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let options = AppOptions {
        queue_events: 1,
        ..AppOptions::default()
    };
    let server = Running::start_in(&database, Tz::UTC, options).await;
    let connection = database.connect().await;
    let lock = connection.begin().await.expect("a transaction");
    let locked = lock
        .execute_unprepared("LOCK TABLE events IN EXCLUSIVE MODE")
        .await;
    locked.expect("nobody else is there");
    let address = server.address();
    let send = async move || {
        let mutation =
            "mutation { ingestEvent(input: { userId: \"ana\", eventType: \"login\" }) { status } }";
        let answer = Client::new(address).graphql(mutation, &json!({})).await;
        answer.expect("an answer")
    };
    // Whichever comes second is refused; the other one waits.
    let (first, second) = (Box::pin(send()), Box::pin(send()));
    let (refused, waiting) = match select(first, second).await {
        Either::Left(parts) => (parts.0, Either::Left(parts.1)),
        Either::Right(parts) => (parts.0, Either::Right(parts.1)),
    };
    assert_eq!((refused.status, code(&refused).as_str()), (503, "OVERLOADED"));
    assert_eq!(refused.header("retry-after"), "1");
    let error = refused.json()["errors"][0].clone();
    assert_eq!(
        error["message"],
        "1 events are waiting to be stored, the most at a time; try again"
    );
    lock.rollback().await.expect("the lock is given back");
    let stored = waiting.await;
    assert_eq!(
        stored.json()["data"]["ingestEvent"]["status"],
        "STORED",
        "{}",
        stored.text()
    );
    server.stop().await;
}

#[tokio::test]
async fn forwarded_addresses_count_for_nothing_unless_a_proxy_is_trusted() {
    let options = AppOptions {
        rates: RateOptions {
            per_address: two_at_once(),
            per_key: None,
        },
        ..AppOptions::default()
    };
    let (_database, mut server) = start(options).await;
    for _ in 0..5 {
        let answer = ping(&mut server.client, &[("x-forwarded-for", "203.0.113.5")]).await;
        assert_eq!(answer.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_key_may_send_so_much_and_no_more() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let connection = database.connect().await;
    for (name, hash) in [("a", KEY_A), ("b", KEY_B)] {
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).expect("digits");
            *byte = u8::from_str_radix(pair, 16).expect("digits");
        }
        let key = store::NewKey {
            name: name.to_owned(),
            scope: store::Scope::Admin,
            hash: bytes,
            expires_at: None,
        };
        store::create_key(&connection, key, instant(NOW))
            .await
            .expect("a good key");
    }
    let options = AppOptions {
        rates: RateOptions {
            per_address: None,
            per_key: two_at_once(),
        },
        protect_metrics: true,
        ..AppOptions::default()
    };
    let mut server = Running::start_in(&database, Tz::UTC, options).await;
    let client = &mut server.client;
    let first = [("authorization", "Bearer a")];
    for _ in 0..2 {
        assert_eq!(ping(client, &first).await.status, 200);
    }
    let answer = ping(client, &first).await;
    assert_eq!((answer.status, code(&answer).as_str()), (429, "RATE_LIMITED"));
    assert_eq!(
        answer.json()["errors"][0]["message"],
        "too many requests with this API key: 1 a second and 2 at once are allowed; try again after 1 s"
    );
    for path in ["/metrics", "/export"] {
        let answer = client
            .send(Method::GET, path, &first, "")
            .await
            .expect("an answer");
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (429, "RATE_LIMITED"),
            "{path}"
        );
    }
    assert_eq!(ping(client, &[("authorization", "Bearer b")]).await.status, 200);
    server.stop().await;
}

const KEY_A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
const KEY_B: &str = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";

#[tokio::test]
async fn a_hardened_server_tells_little() {
    let options = AppOptions {
        introspection: Introspection::Off,
        ..AppOptions::default()
    };
    let (_database, mut server) = start(options).await;
    for (query, forbidden) in [
        ("{ __schema { queryType { name } } }", "\"Query\""),
        (
            "{ __type(name: \"Query\") { name fields { name } } }",
            "topEvents",
        ),
        (
            "{ ...F } fragment F on Query { __schema { queryType { name } } }",
            "\"Query\"",
        ),
        ("{ topEvent }", "topEvents"),
        (
            "{ topEvents(form: \"2026-01-01\") { totalEvents } }",
            "Did you mean",
        ),
        ("mutation { ingestEvnt }", "ingestEvent"),
        ("{ serverInfo { version } }", env!("CARGO_PKG_VERSION")),
    ] {
        let answer = server.send(query, json!({})).await;
        assert!(!answer.text().contains(forbidden), "{query}: {}", answer.text());
    }
    let info = server
        .data("{ serverInfo { version limits { maxBodyBytes } } }", json!({}))
        .await;
    assert_eq!(info["serverInfo"]["version"], "hidden");
    server.stop().await;
}

#[tokio::test]
async fn limits_that_clients_meet_are_told() {
    let options = AppOptions {
        body_limit_bytes: 123_456,
        request_timeout: Duration::from_secs(7),
        ..AppOptions::default()
    };
    let (_database, mut server) = start(options).await;
    let question = "{ serverInfo { limits { maxBatchEvents maxEventBytes maxPropertyDepth maxRangeDays maxQueryDepth \
        maxQueryComplexity maxQueryAliases maxDocumentBytes maxBodyBytes maxWindowDays maxTopEvents \
        maxRetentionPeriods maxFutureSeconds requestTimeoutSeconds maxQueryDirectives maxQueryFragments \
        maxDocumentTokens maxDocumentNesting maxDocumentNameBytes maxAnswerBytes maxPageSize maxRetentionCells \
        maxEventTypes maxExports maxSocketMessageBytes maxSocketOperations } } }";
    let limits = server.data(question, json!({})).await["serverInfo"]["limits"].clone();
    for (name, value) in [
        ("maxBatchEvents", 2_000),
        ("maxBodyBytes", 123_456),
        ("maxFutureSeconds", 3_600),
        ("requestTimeoutSeconds", 7),
        ("maxQueryAliases", 30),
        ("maxQueryDirectives", 10),
        ("maxQueryFragments", 10),
        ("maxDocumentTokens", 2_000),
        ("maxDocumentNesting", 64),
        ("maxDocumentNameBytes", 128),
        ("maxAnswerBytes", 33_554_432),
        ("maxPageSize", 1_000),
        ("maxRetentionCells", 50_000),
        ("maxEventTypes", 10_000),
        ("maxExports", 2),
        ("maxSocketMessageBytes", 65_536),
        ("maxSocketOperations", 20),
    ] {
        assert_eq!(limits[name], value, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn integers_beyond_32_bits_are_refused_by_the_name_of_their_argument() {
    let (_database, mut server) = start(AppOptions::default()).await;
    let range = "from: \"2026-01-01\", to: \"2026-01-01\"";
    let literal = format!("{{ dau({range}, windowDays: 3000000000) {{ timezone }} }}");
    let variable = format!("query ($n: Int!) {{ topEvents({range}, limit: $n) {{ totalEvents }} }}");
    for (query, variables, name) in [
        (literal.as_str(), json!({}), "windowDays"),
        (variable.as_str(), json!({ "n": 3_000_000_000_u32 }), "limit"),
    ] {
        let answer = server.send(query, variables).await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{}", answer.text());
        let message = error["message"].as_str().expect("a message");
        assert!(
            message.contains(name) && message.contains("2147483647"),
            "{message}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn text_that_is_no_unicode_is_refused() {
    let (_database, mut server) = start(AppOptions::default()).await;
    for body in [
        br#"{"query": "{ __typename }", "variables": {"a": "\ud800"}}"#.as_slice(),
        br#"{"query": "{ __typename }", "variables": {"a": "\udc00\ud800"}}"#,
        b"{\"query\": \"{ __typename }\", \"variables\": {\"a\": \"\xed\xa0\x80\"}}",
        b"\xff\xfe{\x00}\x00",
    ] {
        let answer = server
            .client
            .send(Method::POST, "/graphql", &[JSON], body.to_vec())
            .await;
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "BAD_REQUEST"),
            "{}",
            answer.text()
        );
        for word in ["serde", "Error(", "panicked", ".rs"] {
            assert!(!answer.text().contains(word), "{}", answer.text());
        }
    }
    server.stop().await;
}

/// Sends bytes as they are, and gives what comes back until the server closes or says nothing for a while.
async fn raw(server: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address())
        .await
        .expect("the server accepts");
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn broken_and_ambiguous_http_is_refused() {
    let (_database, server) = start(AppOptions::default()).await;
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let post = "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    for (what, request) in [
        (
            "two lengths",
            format!("{post}content-length: 2\r\ncontent-length: 30\r\n\r\n{{}}{smuggled}"),
        ),
        ("no length", format!("{post}content-length: -1\r\n\r\n{smuggled}")),
        (
            "odd coding",
            format!("{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "bad chunk",
            format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n{smuggled}"),
        ),
        (
            "a space before the colon",
            format!("GET / HTTP/1.1\r\nhost : localhost\r\n\r\n{smuggled}"),
        ),
        (
            "a naked line feed in a header",
            "GET / HTTP/1.1\r\nhost: a\rb\r\n\r\n".to_owned(),
        ),
        (
            "two hosts",
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned()),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (
            "long headers",
            format!(
                "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
                "x".repeat(1_000_000)
            ),
        ),
        (
            "many headers",
            format!(
                "GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n",
                "a: b\r\n".repeat(1_000)
            ),
        ),
        (
            "long path",
            format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(100_000)),
        ),
    ] {
        let said = raw(&server, request.as_bytes()).await;
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4"),
            "{what}: {said}"
        );
        assert!(
            !said.contains("\"status\":\"ok\""),
            "{what} lets a second request through: {said}"
        );
    }
    assert_eq!(ping(&mut server.another_client(), &[]).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_stall_do_not_stop_others() {
    let (_database, server) = start(AppOptions::default()).await;
    let mut stalled = Vec::new();
    for number in 0..1_000 {
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("the server accepts");
        let part = match number % 3 {
            0 => "GET / HTTP/1.1\r\nhost",
            1 => {
                "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
            }
            _ => "",
        };
        stream.write_all(part.as_bytes()).await.expect("the server reads");
        stalled.push(stream);
    }
    let started = Instant::now();
    assert_eq!(ping(&mut server.another_client(), &[]).await.status, 200);
    assert!(
        started.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        started.elapsed()
    );
    drop(stalled);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costly_documents_are_refused_while_others_are_served() {
    let (_database, mut server) = start(AppOptions::default()).await;
    let bomb = |levels: usize| {
        let mut text = "{...F0}".to_owned();
        for level in 0..levels {
            text.push_str(&format!(
                "fragment F{level} on Query{{...F{0} ...F{0}}}",
                level + 1
            ));
        }
        text + &format!("fragment F{levels} on Query{{__typename}}")
    };
    let aliases = format!(
        "{{{}}}",
        (0..31).map(|n| format!("a{n}:__typename ")).collect::<String>()
    );
    let costly = format!(
        "{{{}}}",
        (0..21)
            .map(|n| format!("a{n}: dau(from: \"2026-01-01\", to: \"2026-01-01\") {{ timezone }} "))
            .collect::<String>()
    );
    for query in [
        format!("{{ a(b: {}1{}) }}", "[".repeat(5_000), "]".repeat(5_000)),
        bomb(28),
        aliases,
        costly,
        format!("{{ __typename #{} }}", "x".repeat(70_000)),
    ] {
        let started = Instant::now();
        let answer = server.send(&query, json!({})).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "GRAPHQL_LIMIT_EXCEEDED")
        );
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(ping(&mut server.client, &[]).await.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn addresses_of_databases_that_cannot_be_are_named() {
    for url in [
        "sqlite://x.db?mode=sideways",
        "sqlite://x.db?cache=none",
        "sqlite://x.db?unknown=1",
    ] {
        let error = store::connect(url).await.expect_err("no such database");
        assert!(
            matches!(&error, StoreError::Invalid { field: "database url", reason } if reason.contains("not an SQLite")),
            "{url}: {error:?}"
        );
    }
}

async fn a_question_that_takes_too_long_is_ended_in_the_database(database: TestDatabase) {
    database
        .execute(
            "INSERT INTO activity_log (day, event_type, user_no, events) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) \
             SELECT 20000, 'login', i, 1 FROM n",
        )
        .await;
    // Day 20,000.
    let question = || active_users("2024-10-04", "2024-10-04", 1);
    let options = StoreOptions {
        question_timeout: Duration::from_millis(1),
        ..StoreOptions::new(database.url())
    };
    let hasty = Store::open(options).await.expect("the store opens");
    let answer = hasty.active_users(question(), instant(NOW)).await;
    assert!(matches!(answer, Err(StoreError::Timeout(_))), "{answer:?}");
    let patient = database.store().await;
    let answer = patient.active_users(question(), instant(NOW)).await;
    assert!(answer.is_ok(), "{answer:?}");
}
