//! Cursors are words that clients hand back unread. Whatever they hand back, the answer is a page, or it says which argument
//! is wrong; and a cursor of one list means nothing in a list of something else.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::{Value, json};
use tests::database::{Backend, TestDatabase};
use tests::http::Client;

use crate::app::Running;

const PAGE: &str = "{ edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }";

/// Every argument that takes a cursor, alone and beside another one.
const LISTS: [(&str, &str); 8] = [
    ("/events", "events(first: 2, after: $cursor)"),
    ("/events", "events(last: 2, after: $cursor)"),
    ("/events", "events(first: 2, before: $cursor)"),
    ("/events", "events(last: 2, before: $cursor)"),
    ("/events", "events(after: $cursor, before: $cursor)"),
    (
        "/user/events",
        "user(userId: \"ana\") { events(first: 2, after: $cursor)",
    ),
    (
        "/user/events",
        "user(userId: \"ana\") { events(last: 2, before: $cursor)",
    ),
    ("/eventTypes", "eventTypes(first: 2, after: $cursor)"),
];

fn question(list: &str) -> String {
    let end = if list.starts_with("user") { "} }" } else { "}" };
    format!("query ($cursor: String) {{ {list} {PAGE} {end}")
}

/// A server with a few events of two types.
async fn serving(backend: Backend) -> (TestDatabase, Running) {
    let database = TestDatabase::migrated(backend).await;
    let mut server = Running::start(&database).await;
    let events: Vec<Value> = (0..6)
        .map(|number| {
            json!({
                "userId": if number % 2 == 0 { "ana" } else { "ben" },
                "eventType": if number < 3 { "login" } else { "購入" },
                "occurredAt": format!("2026-03-0{}T08:00:00Z", number + 1),
            })
        })
        .collect();
    let send = "mutation ($input: IngestEventsInput!) { ingestEvents(input: $input) { stored } }";
    let data = server.data(send, json!({ "input": { "events": events } })).await;
    assert_eq!(data["ingestEvents"]["stored"], 6);
    (database, server)
}

/// A page, or an error of the asker's that names the argument.
async fn check(client: &mut Client, (path, list): (&str, &str), cursor: &str) {
    let variables = json!({ "cursor": cursor });
    let answer = client.graphql(&question(list), &variables).await;
    let answer = answer.expect("an answer");
    let json = answer.json();
    let error = &json["errors"][0];
    if error.is_null() {
        let page = json["data"].pointer(path).unwrap_or(&Value::Null);
        assert!(page["edges"].is_array(), "{list} {cursor:?}: {}", answer.text());
        return;
    }
    assert_eq!(
        (answer.status, &error["extensions"]["code"]),
        (200, &json!("BAD_USER_INPUT")),
        "{list} {cursor:?}: {}",
        answer.text()
    );
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        (message.starts_with("after ") || message.starts_with("before ")) && message.contains("cursor"),
        "{list} {cursor:?}: {message}"
    );
}

/// As cursors are written.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().enumerate().fold(0_u32, |bits, (place, byte)| {
            bits | (u32::from(*byte) << (16 - 8 * place))
        });
        for place in 0..=part.len() {
            let letter = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(LETTERS[letter as usize]));
        }
    }
    text
}

/// Cursors that were never given out, many of them nearly right.
fn cursors() -> impl Strategy<Value = String> {
    let event = |micros: i64, id: u128| {
        let bytes = [[1].as_slice(), &micros.to_be_bytes(), &id.to_be_bytes()].concat();
        base64(&bytes)
    };
    // What a calendar of some 260,000 years on either side can say.
    let moments = -8_334_601_228_800_000_000_i64..8_210_266_876_799_999_999;
    let names = prop_oneof!["\\PC{1,40}", any::<String>()];
    prop_oneof![
        1 => any::<String>(),
        1 => "[A-Za-z0-9_=-]{0,400}",
        1 => vec(any::<u8>(), 0..80).prop_map(|bytes| base64(&bytes)),
        2 => (1_u8..4, vec(any::<u8>(), 0..40)).prop_map(|(kind, bytes)| base64(&[&[kind], bytes.as_slice()].concat())),
        3 => (any::<i64>(), any::<u128>()).prop_map(move |(micros, id)| event(micros, id)),
        3 => (moments, any::<u128>()).prop_map(move |(micros, id)| event(micros, id)),
        3 => names.prop_map(|name| base64(&[&[2], name.as_bytes()].concat())),
    ]
}

fn any_cursor_is_borne(backend: Backend) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be started");
    let (_database, server) = runtime.block_on(serving(backend));
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let requests = (0..LISTS.len(), cursors());
    let found = TestRunner::new(config).run(&requests, |(list, cursor)| {
        let mut client = server.another_client();
        runtime.block_on(check(&mut client, LISTS[list], &cursor));
        Ok(())
    });
    if let Err(TestError::Fail(reason, (list, cursor))) = found {
        panic!("{reason}: {} with {cursor:?}", LISTS[list].1);
    }
    runtime.block_on(server.stop());
}

#[test]
fn any_cursor_is_borne_on_sqlite() {
    any_cursor_is_borne(Backend::Sqlite);
}

#[test]
fn any_cursor_is_borne_on_postgres() {
    any_cursor_is_borne(Backend::Postgres);
}

/// The cursors of a page.
async fn given(server: &mut Running, (path, list): (&str, &str)) -> Vec<String> {
    let data = server.data(&question(list), json!({ "cursor": null })).await;
    let edges = data.pointer(path).expect("a page")["edges"].clone();
    let cursor = |edge: &Value| edge["cursor"].as_str().expect("a cursor").to_owned();
    edges.as_array().expect("edges").iter().map(cursor).collect()
}

#[tokio::test]
async fn a_cursor_belongs_to_lists_of_its_kind() {
    let (_database, mut server) = serving(Backend::Sqlite).await;
    let [all, of_user, types] = [LISTS[0], LISTS[5], LISTS[7]];
    let event = given(&mut server, all).await.remove(1);
    let name = given(&mut server, types).await.remove(0);
    for (list, cursor, is_page) in [
        (all, &event, true),
        // Places in the order of all events are places in the order of a user's.
        (of_user, &event, true),
        (types, &event, false),
        (types, &name, true),
        (all, &name, false),
        (of_user, &name, false),
    ] {
        let answer = server.send(&question(list.1), json!({ "cursor": cursor })).await;
        assert_eq!(answer.json()["errors"].is_null(), is_page, "{}", answer.text());
        check(&mut server.client, list, cursor).await;
    }
    server.stop().await;
}

#[test]
fn cursors_are_written_in_letters_that_addresses_bear() {
    for (bytes, text) in [
        (b"".as_slice(), ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"\xfb\xff\xbf", "-_-_"),
    ] {
        assert_eq!(base64(bytes), text);
    }
}
