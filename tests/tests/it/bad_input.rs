//! What nobody would send: every request is answered soon, in JSON, and never as a fault of the server's; what is
//! stored is what was sent.

use std::time::{Duration, Instant};

use hyper::Method;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::{Map, Value, json};
use tests::database::{Backend, TestDatabase};
use tests::http::{Answer, Client};

use crate::app::Running;
use crate::checks::verify_is_clean;

on_both_databases!(hostile_text_is_stored_as_it_was_sent_or_refused_by_name);

/// Far more than any of these requests needs, also on a busy machine.
const SOON: Duration = Duration::from_secs(3);

const DOCUMENTS: [&str; 6] = [
    "mutation Send($input: IngestEventInput!) { ingestEvent(input: $input) { status event { eventId properties } userErrors { code message field } } }",
    "mutation { ingestEvents(input: { events: [{ userId: \"a\", eventType: \"b\", properties: { x: [1, 2.5, null, true] } }] }) { stored duplicates rejected rejections { index userErrors { code } } } }",
    "query Active($from: LocalDate!, $to: LocalDate!) { dau(from: $from, to: $to, windowDays: 7) { timezone points { date users newUsers complete } } }",
    "{ topEvents(from: \"2026-01-01\", to: \"2026-02-01\", limit: 5, rankBy: USERS) { rows { eventType events users share } totalEvents } }",
    "{ retention(from: \"2026-01-01\", to: \"2026-02-01\", period: WEEK, periods: 3, startEvent: \"a\") { cohorts { start size cells { retained rate complete } } } }",
    "query I { __schema { types { name fields { name args { name type { name ofType { name } } } } } } } fragment F on Query { __typename }",
];

/// A server, and the threads that it runs on.
struct Bench {
    runtime: tokio::runtime::Runtime,
    database: TestDatabase,
    server: Running,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads can be started");
        let database = runtime.block_on(TestDatabase::migrated(Backend::Sqlite));
        let server = runtime.block_on(Running::start(&database));
        Self {
            runtime,
            database,
            server,
        }
    }

    /// Sends each body that `bodies` makes; the server must bear it.
    fn check<Body: Strategy<Value = Vec<u8>>>(self, cases: u32, bodies: Body) {
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let found = TestRunner::new(config).run(&bodies, |body| {
            let mut client = self.server.another_client();
            self.runtime.block_on(bear(&mut client, body));
            Ok(())
        });
        if let Err(TestError::Fail(reason, body)) = found {
            panic!("{reason}: {}", String::from_utf8_lossy(&body));
        }
        let Self {
            runtime,
            database,
            server,
        } = self;
        runtime.block_on(async move {
            server.stop().await;
            verify_is_clean(&database.store().await).await;
        });
    }
}

/// The answer comes soon, is JSON with data or errors, and no fault of the server's.
async fn bear(client: &mut Client, body: Vec<u8>) {
    let headers = [("content-type", "application/json")];
    let started = Instant::now();
    let answer = client.send(Method::POST, "/graphql", &headers, body).await;
    check_answer(&answer.expect("an answer"), started);
}

#[track_caller]
fn check_answer(answer: &Answer, since: Instant) {
    let took = since.elapsed();
    let text = answer.text();
    assert!(took < SOON, "{took:?} for {text}");
    assert!(answer.status < 500, "{} {text}", answer.status);
    let json = answer.json();
    let has_data = json.get("data").is_some_and(Value::is_object);
    let errors = json["errors"].as_array().map_or(0, Vec::len);
    assert!(has_data || errors > 0, "{} {text}", answer.status);
    assert!(errors <= 10 && text.len() <= 512 * 1024, "{} bytes", text.len());
    for leak in ["\"INTERNAL\"", "panicked", "sqlx", "SqliteError", ".rs:"] {
        assert!(!text.contains(leak), "{leak} is in {text}");
    }
}

fn body(query: &str, variables: &Value) -> Vec<u8> {
    json!({ "query": query, "variables": variables })
        .to_string()
        .into_bytes()
}

/// Texts that are hard on somebody.
fn hostile_texts() -> Vec<String> {
    let texts = [
        "",
        " ",
        "\0",
        "a\0b",
        "\u{202e}desrever\u{2066}",
        "\u{feff}mark",
        "e\u{301}",
        "é",
        "👩‍👩‍👧‍👦",
        "\u{10ffff}",
        "\u{fffd}",
        "\u{1b}[31mred",
        "line\r\nbreak",
        "' OR 1=1 --",
        "\"; DROP TABLE events; --",
        "%_\\",
        "${jndi:ldap://x}",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "NULL",
        "__proto__",
        "\u{7f}\u{80}\u{9f}",
    ];
    let mut texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    texts.extend(["a", "é", "👩"].map(|letter| letter.repeat(256)));
    texts.extend(["a", "👩"].map(|letter| letter.repeat(300)));
    texts.push("[".repeat(1 << 20));
    texts
}

fn json_values() -> impl Strategy<Value = Value> {
    let texts = hostile_texts();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..texts.len() - 1).prop_map(move |number| Value::from(texts[number].clone())),
        "[a-zA-Z0-9:. -]{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((names(), inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Names that mean something, and others.
fn names() -> impl Strategy<Value = String> {
    let known = [
        "query",
        "variables",
        "operationName",
        "extensions",
        "input",
        "events",
        "eventId",
        "userId",
        "eventType",
        "occurredAt",
        "properties",
        "from",
        "to",
        "limit",
    ];
    prop_oneof![
        4 => (0..known.len()).prop_map(move |number| known[number].to_owned()),
        1 => "\\PC{0,8}",
    ]
}

/// A document that was good, with pieces taken out and put in.
fn damaged_documents() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "\"",
        "\"\"\"",
        "$",
        "@",
        "!",
        ":",
        "...",
        "|",
        "&",
        "#",
        ",",
        "\\u0000",
        "\\ud800",
        "\\u{110000}",
        "\0",
        "\u{202e}",
        "query",
        "mutation",
        "subscription",
        "fragment F on Query",
        "on",
        "null",
        "true",
        "1e999",
        "-0",
        "99999999999999999999",
        "@skip(if: true)",
        "@include(if: $v)",
        "...F",
        "__typename",
        "input",
        "[[[[",
        "{a:{a:{a:",
    ];
    let edit = (any::<u16>(), 0_usize..12, 0..pieces.len(), 0_usize..3);
    (0..DOCUMENTS.len(), vec(edit, 1..6)).prop_map(move |(number, edits)| {
        let mut text: Vec<char> = DOCUMENTS[number].chars().collect();
        for (position, taken, piece, times) in edits {
            let at = usize::from(position) % (text.len() + 1);
            let end = (at + taken).min(text.len());
            text.splice(at..end, pieces[piece].repeat(times).chars());
        }
        text.into_iter().collect()
    })
}

#[test]
fn any_bytes_are_borne() {
    let bytes = vec(any::<u8>(), 0..600);
    let text = "\\PC{0,200}".prop_map(String::into_bytes);
    Bench::new().check(200, prop_oneof![bytes, text]);
}

#[test]
fn any_json_is_borne() {
    Bench::new().check(
        200,
        json_values().prop_map(|value| value.to_string().into_bytes()),
    );
}

#[test]
fn any_variables_are_borne() {
    let requests = (
        0..DOCUMENTS.len(),
        json_values(),
        vec((names(), json_values()), 0..4),
    );
    let bodies = requests.prop_map(|(number, input, others)| {
        let mut variables = Map::from_iter([("input".to_owned(), input)]);
        variables.extend(others);
        body(DOCUMENTS[number], &Value::Object(variables))
    });
    Bench::new().check(250, bodies);
}

#[test]
fn damaged_documents_are_borne() {
    let variables = json!({ "from": "2026-01-01", "to": "2026-01-31" });
    Bench::new().check(
        400,
        damaged_documents().prop_map(move |text| body(&text, &variables)),
    );
}

/// Rows 2, 3, 4, 6, 7 and 9 of what our own stack does to us unless we stop it, over HTTP: small requests that once
/// ended the process or kept it busy. A ping beside them is answered as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_at_once_and_harm_nobody() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let mut server = Running::start(&database).await;
    let nested = |open: &str, close: &str| format!("{{a(b:{}1{})}}", open.repeat(2_000), close.repeat(2_000));
    let doubling: String = (0..28)
        .map(|level| format!("fragment F{level} on Query{{...F{0} ...F{0}}}", level + 1))
        .collect();
    let aliases: String = (0..10_000)
        .map(|number| format!("a{number}:__typename "))
        .collect();
    let directives = "@a ".repeat(3_000);
    let bombs = [
        nested("[", "]"),
        nested("{a:", "}"),
        format!("query($v:Int={}){{__typename}}", "[".repeat(7_500)),
        format!("{{__typename @a(b:{})}}", "[".repeat(2_000)),
        format!("{{...F0}} {doubling} fragment F28 on Query{{__typename}}"),
        format!("{{{aliases}}}"),
        format!("{{__typename {directives}}}"),
        "[".repeat(1 << 20),
    ];
    for bomb in &bombs {
        let started = Instant::now();
        let answer = server.send(bomb, json!({})).await;
        check_answer(&answer, started);
        assert!(answer.text().len() < 8 * 1024, "{} bytes", answer.text().len());
        let code = answer.json()["errors"][0]["extensions"]["code"].clone();
        assert_eq!(code, "GRAPHQL_LIMIT_EXCEEDED", "{bomb:.100}");
        let ping = server.send("{ __typename }", json!({})).await;
        assert_eq!(ping.status, 200);
    }
    // So many values are refused before they are read; what is left is read and makes no sense.
    for (raw, status, code) in [
        ("[".repeat(1 << 20), 413, "PAYLOAD_TOO_LARGE"),
        ("{\"a\":".repeat(200_000), 413, "PAYLOAD_TOO_LARGE"),
        ("[".repeat(100_000), 400, "BAD_REQUEST"),
        ("{\"a\":".repeat(20_000), 400, "BAD_REQUEST"),
        (
            format!("[{PING}{}]", format!(",{PING}").repeat(4_999)),
            400,
            "BAD_REQUEST",
        ),
    ] {
        let started = Instant::now();
        let headers = [("content-type", "application/json")];
        let answer = server.client.send(Method::POST, "/graphql", &headers, raw).await;
        let answer = answer.expect("an answer");
        check_answer(&answer, started);
        assert_eq!(
            (
                answer.status,
                answer.json()["errors"][0]["extensions"]["code"].as_str()
            ),
            (status, Some(code))
        );
    }
    server.stop().await;
}

const PING: &str = r#"{"query":"{__typename}"}"#;

/// Row 10, and S8: what JSON or GraphQL cannot say exactly is refused, never changed.
#[tokio::test]
async fn what_cannot_be_kept_exactly_is_refused() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let mut server = Running::start(&database).await;
    let with = |properties: &str| {
        let query = "mutation ($input: IngestEventInput!) { ingestEvent(input: $input) { status } }";
        let query = Value::from(query);
        format!(
            r#"{{"query":{query},"variables":{{"input":{{"userId":"a","eventType":"b","properties":{{"x":{properties}}}}}}}}}"#
        )
    };
    let literal = |text: &str| {
        let query = format!(
            "mutation {{ ingestEvent(input: {{ userId: \"a\", eventType: \"b\", properties: {{ x: {text} }} }}) {{ status }} }}"
        );
        json!({ "query": query }).to_string()
    };
    let bodies = [
        with("12345678901234567890123"),
        with("1e400"),
        with("0.1234567890123456789012345"),
        with(r#""\ud800""#),
        with(r#""\udc00\ud800""#),
        literal("12345678901234567890123"),
        literal(r#""\uD800""#),
        literal(r#""\u{110000}""#),
    ];
    let headers = [("content-type", "application/json")];
    for body in bodies {
        let started = Instant::now();
        let answer = server
            .client
            .send(Method::POST, "/graphql", &headers, body.clone())
            .await;
        let answer = answer.expect("an answer");
        check_answer(&answer, started);
        assert!(answer.json()["errors"].is_array(), "{body}: {}", answer.text());
    }
    let broken = [b"{\"query\":\"{a(b:\\\"".as_slice(), b"\xff\xfe\"})}\"}"].concat();
    let answer = server
        .client
        .send(Method::POST, "/graphql", &headers, broken)
        .await;
    assert_eq!(answer.expect("an answer").status, 400, "bad UTF-8 is bad JSON");
    server.stop().await;
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 0);
}

async fn hostile_text_is_stored_as_it_was_sent_or_refused_by_name(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let query = "mutation ($input: IngestEventInput!) { ingestEvent(input: $input) { status \
         event { user { userId } eventType properties } userErrors { code message field } } }";
    let (mut stored, mut asked) = (0, 0);
    for text in hostile_texts() {
        for field in ["userId", "eventType", "property", "key", "eventId", "occurredAt"] {
            let mut input = json!({ "userId": "ana", "eventType": "login", "properties": {} });
            match field {
                "property" => input["properties"]["x"] = json!({ "y": [text] }),
                "key" => input["properties"][text.as_str()] = json!(1),
                field => input[field] = json!(text),
            }
            let started = Instant::now();
            let answer = server.send(query, json!({ "input": input })).await;
            check_answer(&answer, started);
            let payload = &answer.json()["data"]["ingestEvent"];
            let shown: String = text.chars().take(20).collect();
            if payload["status"] == "STORED" {
                stored += 1;
                let event = &payload["event"];
                let stored = [
                    &event["user"]["userId"],
                    &event["eventType"],
                    &event["properties"],
                ];
                let sent = [&input["userId"], &input["eventType"], &input["properties"]];
                assert_eq!(stored, sent, "{field} {shown:?}");
                continue;
            }
            let answered = answer.text();
            assert!(
                answered.len() < 4_000,
                "{field} {shown:?}: {} bytes",
                answered.len()
            );
            let refused = !payload["userErrors"].as_array().is_none_or(Vec::is_empty)
                || answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT";
            assert!(refused, "{field} {shown:?}: {answered}");
            let named = match field {
                "property" | "key" => "properties",
                field => field,
            };
            assert!(answered.contains(named), "{field} {shown:?}: {answered}");
        }
        // As a filter it finds nothing or is refused; it never harms.
        let ask = "query ($name: String!) { dau(from: \"2026-03-09\", to: \"2026-03-10\", filter: { any: [ \
             { eventType: { eq: $name } }, { userId: { contains: $name } }, { eventType: { startsWith: $name } }, \
             { property: { path: [$name], is: { exists: true } } }, \
             { property: { path: [\"x\"], is: { contains: $name } } } ] }) { points { users } } }";
        let started = Instant::now();
        let answer = server.send(ask, json!({ "name": text })).await;
        check_answer(&answer, started);
        let found = answer.json()["data"]["dau"]["points"].is_array();
        let refused = answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT";
        asked += usize::from(found);
        assert!(found || refused, "{text:.20}: {}", answer.text());
    }
    assert!(
        stored > 60,
        "{stored} of the hostile texts are harmless and must be stored"
    );
    assert!(asked > 10, "{asked} of them are filters like any other");
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, stored);
    server.stop().await;
    verify_is_clean(&database.store().await).await;
}
