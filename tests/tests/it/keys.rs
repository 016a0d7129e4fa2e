//! API keys: what is kept of them, who gets in, and what each scope opens.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use hyper::Method;
use serde_json::{Value, json};
use server::app::AppOptions;
use server::{AuthOptions, FixedKey, Policy};
use store::{ApiKey, NewKey, Scope, Store, StoreError, StoreOptions};
use tests::database::{Backend, TestDatabase};
use tests::events::instant;
use tests::http::{Answer, Client};
use tests::socket::{Heard, Socket};

use crate::app::{NOW, Running};

on_both_databases!(
    keys_are_kept_as_they_were_made,
    names_are_given_once,
    impossible_keys_are_refused,
    live_keys_are_bounded,
    revoked_keys_stay_revoked,
    the_last_use_never_goes_back,
    a_key_opens_the_server_until_it_is_revoked,
    uses_are_written_down,
);

const FIXED: &str = "a-fixed-key-of-the-environment-and-long-enough";
const READ: &str = "{ topEvents(from: \"2026-01-01\", to: \"2026-01-01\") { totalEvents } }";
const WRITE: &str = "mutation { ingestEvent(input: { userId: \"ana\", eventType: \"login\" }) { status } }";

fn now() -> DateTime<Utc> {
    instant(NOW)
}

fn new_key(name: &str, scope: Scope) -> NewKey {
    NewKey {
        name: name.to_owned(),
        scope,
        hash: hash_of(name),
        expires_at: None,
    }
}

/// Any 32 bytes that differ from name to name.
fn hash_of(name: &str) -> [u8; 32] {
    let mut hash = [7; 32];
    hash[..name.len().min(32)].copy_from_slice(&name.as_bytes()[..name.len().min(32)]);
    hash
}

async fn create(database: &TestDatabase, key: NewKey) -> Result<(), StoreError> {
    store::create_key(&database.connect().await, key, now()).await
}

async fn revoke(database: &TestDatabase, name: &str) -> Result<(), StoreError> {
    store::revoke_key(&database.connect().await, name, now()).await
}

async fn all(database: &TestDatabase) -> Vec<ApiKey> {
    store::all_keys(&database.connect().await)
        .await
        .expect("keys can be read")
}

async fn keys_are_kept_as_they_were_made(database: TestDatabase) {
    let store = database.store().await;
    let live = store.live_keys().await.expect("keys can be read");
    assert!(live.keys.is_empty() && !live.wanted);
    let end = instant("2027-01-01T00:00:00Z");
    let key = NewKey {
        expires_at: Some(end),
        ..new_key("web-1.front_end", Scope::Ingest)
    };
    create(&database, key).await.expect("a good key");
    create(&database, new_key("grafana", Scope::Query))
        .await
        .expect("a good key");
    let live = store.live_keys().await.expect("keys can be read");
    assert!(live.wanted);
    assert_eq!(live.keys, all(&database).await);
    let first = &live.keys[0];
    assert_eq!(
        (
            first.name.as_str(),
            first.scope,
            first.hash,
            first.created_at,
            first.expires_at
        ),
        (
            "web-1.front_end",
            Scope::Ingest,
            hash_of("web-1.front_end"),
            now(),
            Some(end)
        )
    );
    assert_eq!((first.revoked_at, first.last_used_at), (None, None));
    assert!(first.has_expired(end) && !first.has_expired(end - chrono::TimeDelta::microseconds(1)));
    assert!(!live.keys[1].has_expired(DateTime::<Utc>::MAX_UTC));
}

async fn names_are_given_once(database: TestDatabase) {
    create(&database, new_key("web", Scope::Ingest))
        .await
        .expect("a good key");
    revoke(&database, "web").await.expect("there is such a key");
    let again = create(&database, new_key("web", Scope::Admin)).await;
    assert!(
        matches!(&again, Err(StoreError::Invalid { field: "name", reason }) if reason.contains("taken")),
        "{again:?}"
    );
}

async fn impossible_keys_are_refused(database: TestDatabase) {
    for name in ["", "a b", "ü", "-x", "a/b", "a\n", &"x".repeat(65)] {
        let outcome = create(&database, new_key(name, Scope::Query)).await;
        assert!(
            matches!(outcome, Err(StoreError::Invalid { field: "name", .. })),
            "{name:?} gave {outcome:?}"
        );
    }
    let past = NewKey {
        expires_at: Some(now()),
        ..new_key("late", Scope::Query)
    };
    let outcome = create(&database, past).await;
    assert!(
        matches!(outcome, Err(StoreError::Invalid { field: "expiry", .. })),
        "{outcome:?}"
    );
    create(&database, new_key(&"x".repeat(64), Scope::Query))
        .await
        .expect("the longest name");
}

async fn live_keys_are_bounded(database: TestDatabase) {
    let bytes = match database.backend() {
        Backend::Sqlite => "CAST('k' || i AS BLOB)",
        Backend::Postgres => "convert_to('k' || i, 'UTF8')",
    };
    let most = store::MAX_LIVE_KEYS;
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most}) \
         INSERT INTO api_keys (name, scope, hash, created_at) SELECT 'k' || i, 'ingest', {bytes}, 0 FROM n"
    );
    database.execute(&fill).await;
    let one_more = create(&database, new_key("one-more", Scope::Query)).await;
    assert!(matches!(&one_more, Err(StoreError::Invalid { reason, .. }) if reason.contains("1000")));
    revoke(&database, "k7").await.expect("there is such a key");
    create(&database, new_key("one-more", Scope::Query))
        .await
        .expect("a revoked key makes room");
}

async fn revoked_keys_stay_revoked(database: TestDatabase) {
    let store = database.store().await;
    create(&database, new_key("web", Scope::Ingest))
        .await
        .expect("a good key");
    revoke(&database, "web").await.expect("there is such a key");
    for name in ["web", "nobody"] {
        let outcome = revoke(&database, name).await;
        assert!(matches!(outcome, Err(StoreError::Invalid { field: "name", .. })));
    }
    let live = store.live_keys().await.expect("keys can be read");
    assert!(live.keys.is_empty(), "{live:?}");
    assert!(
        live.wanted,
        "the last key gone must not open the server to everybody"
    );
    assert_eq!(all(&database).await[0].revoked_at, Some(now()));
}

async fn the_last_use_never_goes_back(database: TestDatabase) {
    let store = database.store().await;
    create(&database, new_key("web", Scope::Ingest))
        .await
        .expect("a good key");
    let id = all(&database).await[0].id;
    let later = now() + chrono::TimeDelta::hours(1);
    for at in [now(), later, now()] {
        store
            .note_key_uses(vec![(id, at)])
            .await
            .expect("uses can be written");
    }
    assert_eq!(all(&database).await[0].last_used_at, Some(later));
}

/// A server that asks for keys as `policy` says, and reads them often.
async fn guarded(database: &TestDatabase, policy: Policy, fixed_key: Option<&str>) -> Running {
    let options = AppOptions {
        auth: AuthOptions {
            policy,
            fixed_key: fixed_key.map(|text| FixedKey::parse(text).expect("long enough")),
            refresh: Duration::from_millis(20),
        },
        protect_metrics: true,
        ..AppOptions::default()
    };
    Running::start_in(database, Tz::UTC, options).await
}

/// The SHA-256 of `text`, as `printf text | sha256sum` gives it, for the few keys of these tests.
fn sha256(digits: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).expect("digits");
        *byte = u8::from_str_radix(pair, 16).expect("hexadecimal digits");
    }
    hash
}

/// One key of each scope, and one that has expired.
async fn with_keys(database: &TestDatabase) {
    for (name, digits, scope, expires_at) in [
        ("ingest", INGEST_HASH, Scope::Ingest, None),
        ("query", QUERY_HASH, Scope::Query, None),
        ("admin", ADMIN_HASH, Scope::Admin, None),
        ("old", OLD_HASH, Scope::Admin, Some(now())),
    ] {
        let key = NewKey {
            name: name.to_owned(),
            scope,
            hash: sha256(digits),
            expires_at,
        };
        let made_at = now() - chrono::TimeDelta::days(1);
        store::create_key(&database.connect().await, key, made_at)
            .await
            .expect("a good key");
    }
}

const INGEST: &str = "kohorta_ingest_1";
const QUERY: &str = "kohorta_query_1";
const ADMIN: &str = "kohorta_admin_1";
const OLD: &str = "kohorta_admin_0";
const INGEST_HASH: &str = "9c4552d6f54f351a79da543cb154561d1821977d6a20da9c50ceeaa0b531ffbe";
const QUERY_HASH: &str = "fe5906e12c7b243e2b6ecc88d917798c4eb855810435d723b19a664db172952f";
const ADMIN_HASH: &str = "b3e630bc6de2037dda891132d862df1d88f51bda49c41434081a5f4c78dfa40f";
const OLD_HASH: &str = "a747820c07d34bb79fcb23af968b93fccd46562c8a2bb4ef5063b76272ebcb5c";

async fn ask(client: &mut Client, authorization: Option<&str>, query: &str) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    let body = json!({ "query": query }).to_string();
    client
        .send(Method::POST, "/graphql", &headers, body)
        .await
        .expect("an answer")
}

async fn ask_with(client: &mut Client, key: &str, query: &str) -> Answer {
    ask(client, Some(&format!("Bearer {key}")), query).await
}

fn code(answer: &Answer) -> String {
    let code = answer.json()["errors"][0]["extensions"]["code"].clone();
    code.as_str().unwrap_or_default().to_owned()
}

/// Asks again and again until the answer has `status`: servers notice what happens to keys after a moment.
async fn wait_for(client: &mut Client, key: &str, status: u16) {
    for _ in 0..500 {
        if ask_with(client, key, READ).await.status == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the status never became {status}");
}

async fn a_key_opens_the_server_until_it_is_revoked(database: TestDatabase) {
    let mut server = guarded(&database, Policy::OnceThereAreKeys, None).await;
    let client = &mut server.client;
    assert_eq!(ask(client, None, READ).await.status, 200, "there is no key yet");
    assert_eq!(ask_with(client, "anything", READ).await.status, 200);
    with_keys(&database).await;
    wait_for(client, "anything", 401).await;
    assert_eq!(ask(client, None, READ).await.status, 401);
    assert_eq!(ask_with(client, QUERY, READ).await.status, 200);
    for name in ["ingest", "query", "admin", "old"] {
        revoke(&database, name).await.expect("there is such a key");
    }
    wait_for(client, QUERY, 401).await;
    assert_eq!(
        ask(client, None, READ).await.status,
        401,
        "once keys, always keys"
    );
    server.stop().await;
}

async fn uses_are_written_down(database: TestDatabase) {
    with_keys(&database).await;
    let mut server = guarded(&database, Policy::Always, None).await;
    for _ in 0..50 {
        ask_with(&mut server.client, QUERY, READ).await;
    }
    for attempt in 0.. {
        let used = all(&database).await[1].last_used_at;
        if used == Some(now()) {
            break;
        }
        assert!(attempt < 500, "{used:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let unused = all(&database).await[0].last_used_at;
    assert_eq!(unused, None);
    server.stop().await;
}

#[tokio::test]
async fn who_has_no_good_key_is_told_how() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    with_keys(&database).await;
    let mut server = guarded(&database, Policy::Always, Some(FIXED)).await;
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    for (authorization, words, challenge) in [
        (None, "wants an API key", "Bearer realm=\"kohorta\""),
        (bearer("kohorta_query_2"), "no such", "invalid_token"),
        (bearer(&QUERY.to_uppercase()), "no such", "invalid_token"),
        (bearer(OLD), "expired", "invalid_token"),
        (bearer(&"x".repeat(300)), "form", "invalid_request"),
        (Some(String::new()), "form", "invalid_request"),
        (Some("Bearer ".to_owned()), "form", "invalid_request"),
        (Some(QUERY.to_owned()), "form", "invalid_request"),
        (Some(format!("Basic {QUERY}")), "form", "invalid_request"),
    ] {
        let answer = ask(&mut server.client, authorization.as_deref(), READ).await;
        assert_eq!((answer.status, code(&answer).as_str()), (401, "UNAUTHENTICATED"));
        assert!(
            answer.text().contains(words),
            "{authorization:?}: {}",
            answer.text()
        );
        let given = answer.header("www-authenticate");
        assert!(
            given.starts_with("Bearer ") && given.contains(challenge),
            "{given}"
        );
    }
    let twice = [
        ("content-type", "application/json"),
        ("authorization", "Bearer kohorta_query_1"),
        ("authorization", "Bearer kohorta_query_1"),
    ];
    let body = json!({ "query": READ }).to_string();
    let answer = server.client.send(Method::POST, "/graphql", &twice, body).await;
    assert_eq!(answer.expect("an answer").status, 401);
    for good in [QUERY, ADMIN, FIXED] {
        assert_eq!(
            ask_with(&mut server.client, good, READ).await.status,
            200,
            "{good}"
        );
    }
    let answer = ask(&mut server.client, Some(&format!("bearer   {QUERY}")), READ).await;
    assert_eq!(answer.status, 200, "schemes have no case");
    server.stop().await;
}

#[tokio::test]
async fn health_is_for_everybody_and_metrics_for_those_who_may_ask() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    with_keys(&database).await;
    let mut server = guarded(&database, Policy::Always, None).await;
    let client = &mut server.client;
    for path in ["/healthz", "/livez", "/", "/graphiql"] {
        let answer = client.get(path).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
    }
    for path in ["/healthz", "/livez"] {
        let said = client.get(path).await.expect("an answer").json();
        let said: Vec<&String> = said.as_object().expect("an object").keys().collect();
        assert!(
            said == ["database", "status"] || said == ["status"],
            "{path} tells {said:?}"
        );
    }
    ask(client, None, READ).await;
    for (key, status) in [
        (None, 401),
        (Some("Bearer kohorta_ingest_1"), 403),
        (Some("Bearer kohorta_query_1"), 200),
    ] {
        let headers: Vec<_> = key.map(|key| ("authorization", key)).into_iter().collect();
        let answer = client.send(Method::GET, "/metrics", &headers, "").await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 200 {
            let text = answer.text();
            for reason in ["missing", "unknown", "forbidden"] {
                assert!(
                    text.contains(&format!("kohorta_denied_total{{reason=\"{reason}\"}}")),
                    "{text}"
                );
            }
            assert!(
                !text.contains("kohorta_denied_total{reason=\"missing\"} 0"),
                "{text}"
            );
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn without_auth_nobody_is_asked() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    with_keys(&database).await;
    let mut server = guarded(&database, Policy::Never, None).await;
    let client = &mut server.client;
    for authorization in [None, Some("Bearer nonsense"), Some("Basic of-the-gate-in-front")] {
        assert_eq!(ask(client, authorization, READ).await.status, 200);
        assert_eq!(ask(client, authorization, WRITE).await.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_without_keys_that_always_asks_lets_nobody_in_but_the_operator() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let mut server = guarded(&database, Policy::Always, Some(FIXED)).await;
    let client = &mut server.client;
    assert_eq!(ask(client, None, READ).await.status, 401);
    assert_eq!(ask_with(client, "kohorta_admin_1", READ).await.status, 401);
    assert_eq!(ask_with(client, FIXED, WRITE).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_neither_opens_the_gate_nor_shuts_it() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    with_keys(&database).await;
    let (mut network, url) = database.behind_proxy().await;
    let store = Store::open(StoreOptions::new(url))
        .await
        .expect("the store opens");
    let options = AppOptions {
        auth: AuthOptions {
            refresh: Duration::from_millis(20),
            ..AuthOptions::default()
        },
        ..AppOptions::default()
    };
    let mut server = Running::start_on(store, options).await;
    let trivial = "{ serverInfo { limits { maxBatchEvents } } }";
    assert_eq!(ask_with(&mut server.client, QUERY, trivial).await.status, 200);
    network.cut().await;
    for _ in 0..3 {
        assert_eq!(ask_with(&mut server.client, QUERY, trivial).await.status, 200);
        assert_eq!(ask(&mut server.client, None, trivial).await.status, 401);
    }
    let started = std::time::Instant::now();
    assert_eq!(
        ask_with(&mut server.client, "stranger", trivial).await.status,
        401
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "strangers do not wait long"
    );
    network.mend().await;
    revoke(&database, "query").await.expect("there is such a key");
    for attempt in 0.. {
        if ask_with(&mut server.client, QUERY, trivial).await.status == 401 {
            break;
        }
        assert!(attempt < 1_000, "a revoked key still opens the server");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn each_scope_opens_what_it_says() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    with_keys(&database).await;
    let mut server = guarded(&database, Policy::Always, None).await;
    let client = &mut server.client;
    let aliased = format!(
        "{{ ...All }} fragment All on Query {{ mine: {} }}",
        &READ[1..READ.len() - 1]
    );
    let schema = "{ __schema { queryType { name } } }";
    let hidden = "{ ...All } fragment All on Query { x: __schema { queryType { name } } }";
    let limits = "{ __typename serverInfo { limits { maxBatchEvents } } }";
    let version = "{ serverInfo { version } }";
    for (query, ingest, query_status) in [
        (READ, 403, 200),
        (aliased.as_str(), 403, 200),
        (schema, 403, 200),
        (version, 403, 200),
        (limits, 200, 200),
        (WRITE, 200, 403),
    ] {
        for (key, status) in [(INGEST, ingest), (QUERY, query_status), (ADMIN, 200)] {
            let answer = ask_with(client, key, query).await;
            assert_eq!(answer.status, status, "{key} {query}: {}", answer.text());
            if status == 403 {
                assert_eq!(code(&answer), "FORBIDDEN");
                assert!(answer.text().contains("scope"), "{}", answer.text());
            }
        }
    }
    let answer = ask_with(client, INGEST, hidden).await;
    assert!(!answer.text().contains("\"Query\""), "{}", answer.text());
    let answer = ask_with(client, QUERY, &format!("{WRITE} query Other {READ}")).await;
    assert_ne!(answer.json()["data"]["ingestEvent"]["status"], "STORED");
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 2);
    server.stop().await;
}

/// A document that was executed before takes a shorter way; who may go it is asked all the same.
#[tokio::test]
async fn a_known_mutation_needs_its_scope_each_time() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    with_keys(&database).await;
    let mut server = guarded(&database, Policy::Always, None).await;
    let body = json!({
        "query": "mutation($i: IngestEventInput!) { ingestEvent(input: $i) { status } }",
        "variables": { "i": { "userId": "ana", "eventType": "login" } },
    });
    for (key, status) in [
        (INGEST, 200),
        (INGEST, 200),
        (QUERY, 403),
        (ADMIN, 200),
        (QUERY, 403),
    ] {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ];
        let answer = server
            .client
            .send(Method::POST, "/graphql", &headers, body.to_string())
            .await
            .expect("the server answers");
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 3);
    server.stop().await;
}

#[tokio::test]
async fn an_export_needs_the_scope_admin() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    with_keys(&database).await;
    let mut server = guarded(&database, Policy::Always, None).await;
    for (key, status, refusal) in [
        (None, 401, "UNAUTHENTICATED"),
        (Some("kohorta_admin_2"), 401, "UNAUTHENTICATED"),
        (Some(OLD), 401, "UNAUTHENTICATED"),
        (Some(INGEST), 403, "FORBIDDEN"),
        (Some(QUERY), 403, "FORBIDDEN"),
        (Some(ADMIN), 200, ""),
    ] {
        let authorization = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<(&str, &str)> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let answer = server.client.send(Method::GET, "/export", &headers, "").await;
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (status, refusal),
            "{key:?}"
        );
        assert_eq!(
            answer.header("www-authenticate").is_empty(),
            status != 401,
            "{key:?}"
        );
        if status == 403 {
            assert!(answer.text().contains("needs an API key with the scope admin"));
        }
    }
    server.stop().await;
}

const FIELDS: &str = "fields { name args { name defaultValue type { ...T } } type { ...T } }";
/// What a socket is answered with `key` in `connection_init`.
async fn begin(server: &Running, key: Option<&str>) -> (Socket, Heard) {
    let mut socket = Socket::open(server.address()).await;
    let payload = key.map_or(
        json!({}),
        |key| json!({ "Authorization": format!("Bearer {key}") }),
    );
    socket
        .say(&json!({ "type": "connection_init", "payload": payload }))
        .await;
    let heard = socket.hear().await;
    (socket, heard)
}

#[tokio::test]
async fn sockets_are_opened_by_keys_and_closed_when_these_are_revoked() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    with_keys(&database).await;
    let server = guarded(&database, Policy::Always, None).await;
    for key in [None, Some("kohorta_query_2"), Some(OLD)] {
        let (_, heard) = begin(&server, key).await;
        assert_eq!(heard.code(), 4403, "{key:?}");
    }
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    let refused = Socket::try_open(server.address(), &[protocol, ("authorization", "Bearer x")]).await;
    assert_eq!(refused.err(), Some(401));
    let shown = format!("Bearer {QUERY}");
    let mut opened = Socket::try_open(server.address(), &[protocol, ("authorization", &shown)])
        .await
        .expect("a key in the handshake will do");
    opened.say(&json!({ "type": "connection_init" })).await;
    assert_eq!(opened.hear().await.message()["type"], "connection_ack");
    for payload in [
        json!({ "authorization": shown }),
        json!({ "headers": { "Authorization": shown } }),
    ] {
        let mut socket = Socket::open(server.address()).await;
        let init = json!({ "type": "connection_init", "payload": payload });
        socket.say(&init).await;
        assert_eq!(socket.hear().await.message()["type"], "connection_ack", "{init}");
    }
    let mut other = Socket::open(server.address()).await;
    other
        .say(&json!({ "type": "connection_init", "payload": { "token": shown } }))
        .await;
    assert_eq!(other.hear().await.code(), 4403, "nothing else counts");
    let subscriptions = [
        "subscription { eventAdded { eventId } }",
        "subscription { activeToday { users } }",
    ];
    let (mut ingesting, heard) = begin(&server, Some(INGEST)).await;
    assert_eq!(heard.message()["type"], "connection_ack");
    for subscription in subscriptions {
        ingesting.subscribe("1", subscription, json!({})).await;
        let refusal = ingesting.hear().await.message();
        assert_eq!(refusal["type"], "error", "{refusal}");
        let code = &refusal["payload"][0]["extensions"]["code"];
        assert_eq!(code, "FORBIDDEN", "{subscription}: {refusal}");
    }
    let (mut asking, heard) = begin(&server, Some(QUERY)).await;
    assert_eq!(heard.message()["type"], "connection_ack");
    asking.subscribe("1", subscriptions[1], json!({})).await;
    assert_eq!(asking.hear().await.message()["type"], "next");
    revoke(&database, "query").await.expect("the key is there");
    let mut client = server.another_client();
    wait_for(&mut client, QUERY, 401).await;
    asking.subscribe("2", subscriptions[1], json!({})).await;
    assert_eq!(asking.hear().await.code(), 4403);
    let headers = [
        ("content-type", "application/json"),
        ("accept", "text/event-stream"),
    ];
    let body = json!({ "query": subscriptions[1] }).to_string();
    let answer = client
        .send(Method::POST, "/graphql", &headers, body)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 401);
    server.stop().await;
}

const TYPE: &str =
    "fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// Walks the schema: a field at the top of it that somebody forgot to guard is found here.
#[tokio::test]
async fn every_root_field_is_guarded() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    with_keys(&database).await;
    let server = guarded(&database, Policy::Always, None).await;
    let mut client = server.another_client();
    let client = &mut client;
    let question = format!(
        "{{ __schema {{ queryType {{ {FIELDS} }} mutationType {{ {FIELDS} }} subscriptionType {{ {FIELDS} }} \
         types {{ name kind enumValues {{ name }} inputFields {{ name defaultValue type {{ ...T }} }} }} }} }} {TYPE}"
    );
    let answer = ask_with(client, ADMIN, &question).await;
    let schema = answer.json()["data"]["__schema"].clone();
    let types = schema["types"].as_array().expect("types").clone();
    let mut seen = Vec::new();
    for (operation, root) in [("query", "queryType"), ("mutation", "mutationType")] {
        for field in schema[root]["fields"].as_array().expect("fields") {
            let name = field["name"].as_str().expect("a name").to_owned();
            let document = format!("{operation} {{ {} }}", call(field, &types));
            let wrong_keys: &[&str] = match (operation, name.as_str()) {
                (_, "serverInfo") => &[],
                ("query", _) => &[INGEST],
                (_, "ingestEvent" | "ingestEvents") => &[QUERY],
                _ => &[INGEST, QUERY],
            };
            for key in wrong_keys {
                let answer = ask_with(client, key, &document).await;
                assert_eq!(
                    code(&answer),
                    "FORBIDDEN",
                    "{name} has no guard: {}",
                    answer.text()
                );
            }
            let answer = ask(client, None, &document).await;
            assert_eq!(answer.status, 401, "{name} needs no key: {}", answer.text());
            // The refusals come from the guard, not from a document that nobody may send. What was erased was never there.
            let answer = ask_with(client, ADMIN, &document).await;
            assert_ne!(code(&answer), "FORBIDDEN", "{document} is not for anybody");
            seen.push(name);
        }
    }
    let subscriptions = schema["subscriptionType"]["fields"].as_array().expect("fields");
    for field in subscriptions {
        let document = format!("subscription {{ {} }}", call(field, &types));
        let headers = [
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
            ("authorization", "Bearer kohorta_ingest_1"),
        ];
        let body = json!({ "query": document }).to_string();
        let mut stranger = server.another_client();
        let asking = stranger.send(Method::POST, "/graphql", &headers, body);
        let answer = tokio::time::timeout(Duration::from_secs(10), asking).await;
        let answer = answer
            .unwrap_or_else(|_| panic!("{document} has no guard"))
            .expect("an answer");
        assert!(
            answer.text().contains("FORBIDDEN"),
            "{document} has no guard: {}",
            answer.text()
        );
        seen.push(field["name"].as_str().expect("a name").to_owned());
    }
    // What introspection does not show would not have been tried.
    let mut of_file = root_fields(include_str!("../../../schema.graphql"));
    of_file.sort();
    seen.sort();
    assert_eq!(seen, of_file);
    for name in [
        "dau",
        "serverInfo",
        "ingestEvent",
        "eraseUser",
        "eventAdded",
        "activeToday",
    ] {
        assert!(seen.contains(&name.to_owned()), "{name} is not in {seen:?}");
    }
    server.stop().await;
}

/// The names of the fields at the top of a schema, as its text has them.
fn root_fields(schema: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut within = false;
    let mut quoting = false;
    for line in schema.lines() {
        if line.trim_start().starts_with("\"\"\"") {
            quoting = !quoting;
        } else if line.starts_with("type ") {
            within = ["Query", "Mutation", "Subscription"]
                .iter()
                .any(|root| line.starts_with(&format!("type {root} ")));
        } else if line == "}" {
            within = false;
        } else if let Some(field) = line.strip_prefix("  ")
            && within
            && !quoting
        {
            // Arguments are indented further, and what closes them is no name.
            let name = field.split(|letter: char| !letter.is_ascii_alphanumeric()).next();
            names.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    names
}

/// A field with everything that it demands.
fn call(field: &Value, types: &[Value]) -> String {
    let arguments = demanded(&field["args"], types);
    let name = field["name"].as_str().expect("a name");
    let selection = match named(&field["type"])["kind"].as_str() {
        Some("OBJECT" | "INTERFACE" | "UNION") => " { __typename }",
        _ => "",
    };
    if arguments.is_empty() {
        return format!("{name}{selection}");
    }
    format!("{name}({}){selection}", arguments.join(", "))
}

/// Values for those arguments or members that must be there.
fn demanded(list: &Value, types: &[Value]) -> Vec<String> {
    let list = list.as_array().expect("a list");
    let needed = list
        .iter()
        .filter(|one| one["type"]["kind"] == "NON_NULL" && one["defaultValue"].is_null());
    needed
        .map(|one| {
            format!(
                "{}: {}",
                one["name"].as_str().expect("a name"),
                value(&one["type"], types)
            )
        })
        .collect()
}

fn value(of_type: &Value, types: &[Value]) -> String {
    let name = of_type["name"].as_str().unwrap_or_default();
    let definition = types.iter().find(|one| one["name"] == name);
    match of_type["kind"].as_str().expect("a kind") {
        "NON_NULL" => value(&of_type["ofType"], types),
        "LIST" => format!("[{}]", value(&of_type["ofType"], types)),
        "ENUM" => definition.expect("the type")["enumValues"][0]["name"]
            .as_str()
            .expect("a name")
            .to_owned(),
        "INPUT_OBJECT" => {
            let members = demanded(&definition.expect("the type")["inputFields"], types);
            format!("{{ {} }}", members.join(", "))
        }
        _ => match name {
            "Int" | "Float" | "JSON" | "Count" => "1".to_owned(),
            "Boolean" => "true".to_owned(),
            "JSONObject" => "{}".to_owned(),
            "DateTime" => "\"2026-01-01T00:00:00Z\"".to_owned(),
            "LocalDate" => "\"2026-01-01\"".to_owned(),
            "UUID" => "\"0190a5f0-3c1b-7d52-8a1e-6f1c2b3d4e5f\"".to_owned(),
            _ => "\"UTC\"".to_owned(),
        },
    }
}

/// The type inside of lists and exclamation marks.
fn named(of_type: &Value) -> &Value {
    match &of_type["ofType"] {
        Value::Null => of_type,
        inner => named(inner),
    }
}
