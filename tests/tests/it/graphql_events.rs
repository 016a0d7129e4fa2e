//! `events`, `event`, `user` and `eventTypes` as clients see them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use server::app::AppOptions;
use server::{AuthOptions, Policy};
use store::{OnStatement, Store, StoreOptions};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, events, named_id, numbered_events};

use crate::app::Running;

on_both_databases!(
    pages_lead_from_one_end_to_the_other_and_back,
    page_info_tells_what_lies_beyond,
    a_period_begins_with_from_and_ends_before_to,
    an_event_and_its_user_are_found,
    a_users_timeline_has_pages_of_its_own,
    event_types_have_pages,
    wrong_arguments_are_the_askers_fault,
    a_page_costs_its_length,
    facts_of_a_pages_users_are_one_statement,
    every_way_of_asking_gives_the_same,
);

/// A server on a store with these events.
async fn serving(database: &TestDatabase, stored: &[Event]) -> Running {
    let store = database.store().await;
    let parsed = stored.iter().map(Event::parsed).collect();
    store.ingest(parsed).await.expect("ingest works");
    Running::start_on(store, AppOptions::default()).await
}

/// The event ids of a page, in its order.
fn ids(page: &Value) -> Vec<String> {
    let id = |edge: &Value| edge["node"]["eventId"].as_str().expect("an id").to_owned();
    page["edges"].as_array().expect("edges").iter().map(id).collect()
}

const PAGE: &str =
    "edges { cursor node { eventId } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";

async fn pages_lead_from_one_end_to_the_other_and_back(database: TestDatabase) {
    let stored = numbered_events("page ", 23);
    let mut server = serving(&database, &stored).await;
    let newest_first: Vec<String> = stored
        .iter()
        .rev()
        .map(|event| event.event_id.to_string())
        .collect();
    let forwards = format!("query ($after: String) {{ events(first: 5, after: $after) {{ {PAGE} }} }}");
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = server.data(&forwards, json!({ "after": after })).await["events"].clone();
        assert_eq!(page["pageInfo"]["hasPreviousPage"], !found.is_empty());
        found.extend(ids(&page));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(found, newest_first);
    let backwards = format!("query ($before: String) {{ events(last: 5, before: $before) {{ {PAGE} }} }}");
    let (mut found, mut before) = (Vec::new(), Value::Null);
    loop {
        let page = server.data(&backwards, json!({ "before": before })).await["events"].clone();
        assert_eq!(page["pageInfo"]["hasNextPage"], !found.is_empty());
        found.splice(0..0, ids(&page));
        before = page["pageInfo"]["startCursor"].clone();
        if page["pageInfo"]["hasPreviousPage"] == false {
            break;
        }
    }
    assert_eq!(found, newest_first);
    server.stop().await;
}

async fn page_info_tells_what_lies_beyond(database: TestDatabase) {
    let stored = numbered_events("beyond ", 4);
    let mut server = serving(&database, &stored).await;
    let all = server
        .data(&format!("{{ events {{ {PAGE} }} }}"), json!({}))
        .await["events"]
        .clone();
    let cursor = |position: usize| {
        all["edges"][position]["cursor"]
            .as_str()
            .expect("a cursor")
            .to_owned()
    };
    for (arguments, entries, next, previous) in [
        (String::new(), 4, false, false),
        ("first: 0".to_owned(), 0, true, false),
        ("last: 0".to_owned(), 0, false, true),
        ("first: 4".to_owned(), 4, false, false),
        ("first: 3".to_owned(), 3, true, false),
        ("last: 3".to_owned(), 3, false, true),
        (format!("first: 9, after: \"{}\"", cursor(0)), 3, false, true),
        (format!("first: 9, after: \"{}\"", cursor(3)), 0, false, true),
        (format!("last: 9, before: \"{}\"", cursor(3)), 3, true, false),
        (format!("last: 9, before: \"{}\"", cursor(0)), 0, true, false),
        (format!("first: 9, before: \"{}\"", cursor(2)), 2, true, false),
        (format!("last: 9, after: \"{}\"", cursor(1)), 2, false, true),
        (format!("last: 1, after: \"{}\"", cursor(0)), 1, false, true),
        (
            format!("first: 9, after: \"{}\", before: \"{}\"", cursor(0), cursor(3)),
            2,
            true,
            true,
        ),
        (
            format!("first: 9, after: \"{}\", before: \"{}\"", cursor(2), cursor(1)),
            0,
            true,
            true,
        ),
    ] {
        let question = if arguments.is_empty() {
            arguments
        } else {
            format!("({arguments})")
        };
        let page = server
            .data(&format!("{{ events{question} {{ {PAGE} }} }}"), json!({}))
            .await["events"]
            .clone();
        let info = &page["pageInfo"];
        assert_eq!(
            (ids(&page).len(), &info["hasNextPage"], &info["hasPreviousPage"]),
            (entries, &json!(next), &json!(previous)),
            "{question}"
        );
        assert_eq!(info["startCursor"].is_null(), entries == 0, "{question}");
    }
    server.stop().await;
}

async fn a_period_begins_with_from_and_ends_before_to(database: TestDatabase) {
    let stored = events(
        "2026-03-01T08:00Z ana a #1
         2026-03-01T08:00:00.000001Z ana a #2
         2026-03-01T09:00Z ana a #3
         2026-03-01T09:00Z ana a #4
         2026-03-01T10:00Z ana a #5",
    );
    let mut server = serving(&database, &stored).await;
    for (period, expected) in [
        ("from: \"2026-03-01T08:00:00Z\"", 5),
        ("from: \"2026-03-01T08:00:00.000001Z\"", 4),
        ("from: \"2026-03-01T08:00:00.000002Z\"", 3),
        ("to: \"2026-03-01T09:00:00Z\"", 2),
        ("to: \"2026-03-01T09:00:00.000001Z\"", 4),
        ("from: \"2026-03-01T09:00:00Z\", to: \"2026-03-01T10:00:00Z\"", 2),
        (
            "from: \"2026-03-01T11:00:00+02:00\", to: \"2026-03-01T09:00:00Z\"",
            0,
        ),
        ("from: \"2027-01-01T00:00:00Z\"", 0),
    ] {
        let query = format!("{{ events({period}) {{ {PAGE} }} }}");
        let page = server.data(&query, json!({})).await["events"].clone();
        assert_eq!(ids(&page).len(), expected, "{period}");
        // Beyond a page lies what is in the period, and nothing else.
        assert_eq!(page["pageInfo"]["hasNextPage"], false, "{period}");
        let Some(last) = page["pageInfo"]["endCursor"].as_str() else {
            continue;
        };
        let query = format!("{{ events({period}, last: 9, before: \"{last}\") {{ {PAGE} }} }}");
        let page = server.data(&query, json!({})).await["events"].clone();
        assert_eq!(ids(&page).len(), expected - 1, "{period}");
        assert_eq!(page["pageInfo"]["hasNextPage"], true, "{period}");
        assert_eq!(page["pageInfo"]["hasPreviousPage"], false, "{period}");
    }
    server.stop().await;
}

async fn an_event_and_its_user_are_found(database: TestDatabase) {
    let stored =
        events("2026-03-01T08:00Z ana open #1\n2026-03-02T08:00Z ana buy #2\n2026-03-03T08:00Z bo buy #3");
    let mut server = serving(&database, &stored).await;
    let fields = "eventType occurredAt properties user { userId firstSeen lastSeen eventCount }";
    let ana = json!({ "userId": "ana", "firstSeen": "2026-03-01T08:00:00Z",
                      "lastSeen": "2026-03-02T08:00:00Z", "eventCount": 2 });
    let expected =
        json!({ "eventType": "open", "occurredAt": "2026-03-01T08:00:00Z", "properties": {}, "user": ana });
    let id = named_id("#1");
    for spelling in [
        id.to_string(),
        id.to_string().to_uppercase(),
        id.simple().to_string(),
    ] {
        let query = format!("{{ event(eventId: \"{spelling}\") {{ {fields} }} }}");
        assert_eq!(
            server.data(&query, json!({})).await["event"],
            expected,
            "{spelling}"
        );
    }
    let query = format!(
        "{{ event(eventId: \"{}\") {{ {fields} }} user(userId: \"nobody\") {{ userId }} }}",
        named_id("nobody's")
    );
    assert_eq!(
        server.data(&query, json!({})).await,
        json!({ "event": null, "user": null })
    );
    let query = "{ user(userId: \"ana\") { userId firstSeen lastSeen eventCount } }";
    assert_eq!(server.data(query, json!({})).await["user"], ana);
    let query = "mutation { ingestEvent(input: { userId: \"ana\", eventType: \"open\", occurredAt: \
                 \"2026-03-05T08:00:00Z\" }) { event { user { lastSeen eventCount } } } }";
    let user = &server.data(query, json!({})).await["ingestEvent"]["event"]["user"];
    assert_eq!(
        *user,
        json!({ "lastSeen": "2026-03-05T08:00:00Z", "eventCount": 3 })
    );
    server.stop().await;
}

async fn a_users_timeline_has_pages_of_its_own(database: TestDatabase) {
    let stored = numbered_events("timeline ", 200);
    let mut server = serving(&database, &stored).await;
    let newest_first: Vec<String> = stored
        .iter()
        .rev()
        .filter(|event| event.user_id == "user-5")
        .map(|event| event.event_id.to_string())
        .collect();
    assert_eq!(newest_first.len(), 3);
    let query = format!("{{ user(userId: \"user-5\") {{ events(first: 2) {{ {PAGE} }} }} }}");
    let page = server.data(&query, json!({})).await["user"]["events"].clone();
    assert_eq!(ids(&page), newest_first[..2]);
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let after = page["pageInfo"]["endCursor"].as_str().expect("a cursor");
    let query =
        format!("{{ user(userId: \"user-5\") {{ events(first: 2, after: \"{after}\") {{ {PAGE} }} }} }}");
    let page = server.data(&query, json!({})).await["user"]["events"].clone();
    assert_eq!(ids(&page), newest_first[2..]);
    assert_eq!(page["pageInfo"]["hasNextPage"], false);
    assert_eq!(page["pageInfo"]["hasPreviousPage"], true);
    let query = format!("{{ user(userId: \"user-5\") {{ events(last: 1) {{ {PAGE} }} }} }}");
    let page = server.data(&query, json!({})).await["user"]["events"].clone();
    assert_eq!(ids(&page), newest_first[2..]);
    server.stop().await;
}

async fn event_types_have_pages(database: TestDatabase) {
    let stored = events(
        "2026-03-01T08:00Z ana b
         2026-03-02T08:00Z bo b
         2026-03-01T08:00Z ana B
         2026-03-01T08:00Z ana a",
    );
    let mut server = serving(&database, &stored).await;
    let query = "query ($after: String) { eventTypes(first: 2, after: $after) { \
                 nodes { name firstDay lastDay events users } edges { cursor node { name } } \
                 pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let page = server.data(query, json!({})).await["eventTypes"].clone();
    let row = |name: &str, last: &str, count| json!({ "name": name, "firstDay": "2026-03-01", "lastDay": last, "events": count, "users": count });
    assert_eq!(
        page["nodes"],
        json!([row("B", "2026-03-01", 1), row("a", "2026-03-01", 1)])
    );
    assert_eq!(page["edges"][1]["node"]["name"], "a");
    let info = &page["pageInfo"];
    assert_eq!(
        (&info["hasNextPage"], &info["hasPreviousPage"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(info["endCursor"], page["edges"][1]["cursor"]);
    let page = server.data(query, json!({ "after": info["endCursor"] })).await["eventTypes"].clone();
    assert_eq!(page["nodes"], json!([row("b", "2026-03-02", 2)]));
    let info = &page["pageInfo"];
    assert_eq!(
        (&info["hasNextPage"], &info["hasPreviousPage"]),
        (&json!(false), &json!(true))
    );
    server.stop().await;
}

async fn wrong_arguments_are_the_askers_fault(database: TestDatabase) {
    let mut server = serving(&database, &numbered_events("wrong ", 3)).await;
    let page = server
        .data(
            "{ events { pageInfo { endCursor } } eventTypes { pageInfo { endCursor } } }",
            json!({}),
        )
        .await;
    let event_cursor = page["events"]["pageInfo"]["endCursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    let type_cursor = page["eventTypes"]["pageInfo"]["endCursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    let nothing = "{ pageInfo { endCursor } }";
    for (question, named) in [
        (format!("events(first: 1, last: 1) {nothing}"), "last"),
        (format!("events(first: -1) {nothing}"), "first"),
        (format!("events(last: -1) {nothing}"), "last"),
        (format!("events(first: 1001) {nothing}"), "first"),
        (format!("events(after: \"\") {nothing}"), "after"),
        (format!("events(after: \"{type_cursor}\") {nothing}"), "after"),
        (format!("events(before: \"{event_cursor}A\") {nothing}"), "before"),
        (
            format!("events(before: \"{}\") {nothing}", "A".repeat(34)),
            "before",
        ),
        (format!("events(from: \"2026-03-01\") {nothing}"), "from"),
        (format!("events(to: \"yesterday\") {nothing}"), "to"),
        (
            format!("events(from: \"2026-03-02T00:00:00Z\", to: \"2026-03-01T00:00:00Z\") {nothing}"),
            "from",
        ),
        (format!("eventTypes(first: -1) {nothing}"), "first"),
        (format!("eventTypes(first: 1001) {nothing}"), "first"),
        (
            format!("eventTypes(after: \"{event_cursor}\") {nothing}"),
            "after",
        ),
        ("event(eventId: \"1\") { eventId }".to_owned(), "eventId"),
        ("user(userId: \"\") { userId }".to_owned(), "userId"),
        ("user(userId: \"a\\u0000b\") { userId }".to_owned(), "userId"),
        (
            format!("user(userId: \"{}\") {{ userId }}", "x".repeat(257)),
            "userId",
        ),
        (
            format!("user(userId: \"user-1\") {{ events(first: 1, last: 1) {nothing} }}"),
            "last",
        ),
    ] {
        let answer = server.send(&format!("{{ {question} }}"), json!({})).await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!(
            error["extensions"]["code"],
            "BAD_USER_INPUT",
            "{question}: {}",
            answer.text()
        );
        let message = error["message"].as_str().expect("a message");
        assert!(message.starts_with(named), "{question}: {message}");
    }
    server.stop().await;
}

async fn a_page_costs_its_length(database: TestDatabase) {
    let mut server = serving(&database, &numbered_events("cost ", 30)).await;
    let full = "edges { cursor node { eventId eventType user { userId firstSeen lastSeen eventCount } occurredAt \
                receivedAt properties } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";
    server
        .data(&format!("{{ events(first: 1000) {{ {full} }} }}"), json!({}))
        .await;
    let timeline = "nodes { user { events(first: 10) { nodes { eventId } } } }";
    server
        .data(&format!("{{ events(first: 100) {{ {timeline} }} }}"), json!({}))
        .await;
    for costly in [
        format!("events(first: 1000) {{ {timeline} }}"),
        format!("a: events(first: 1000) {{ {full} }} b: events(first: 1000) {{ {full} }}"),
        format!("user(userId: \"user-1\") {{ events(last: 1000) {{ {timeline} }} }}"),
    ] {
        let answer = server.send(&format!("{{ {costly} }}"), json!({})).await;
        let code = answer.json()["errors"][0]["extensions"]["code"].clone();
        assert_eq!(code, "GRAPHQL_LIMIT_EXCEEDED", "{costly}: {}", answer.text());
    }
    server.stop().await;
}

/// The statements that a store ran, by name.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<BTreeMap<String, usize>>>);

impl Statements {
    async fn store(&self, database: &TestDatabase) -> Store {
        let counts = self.clone();
        let mut options = StoreOptions::new(database.url());
        options.on_statement = Some(OnStatement::new(move |name, _| {
            *counts.counts().entry(name.to_owned()).or_default() += 1;
        }));
        Store::open(options).await.expect("the store opens")
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What ran since the last call.
    fn taken(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut *self.counts()).into_iter().collect()
    }
}

async fn facts_of_a_pages_users_are_one_statement(database: TestDatabase) {
    let statements = Statements::default();
    let store = statements.store(&database).await;
    let parsed = numbered_events("constant ", 300)
        .iter()
        .map(Event::parsed)
        .collect();
    store.ingest(parsed).await.expect("ingest works");
    let mut server = Running::start_on(store, AppOptions::default()).await;
    let one = |name: &str| (name.to_owned(), 1);
    let facts = "user { userId firstSeen lastSeen eventCount }";
    for (query, expected) in [
        ("{ events(first: 100) { nodes { eventId user { userId } } } }".to_owned(), vec![one("events_newest_first")]),
        (
            format!("{{ events(first: 100) {{ nodes {{ {facts} }} }} }}"),
            vec![one("events_newest_first"), one("user_facts")],
        ),
        (
            format!("{{ events(last: 100) {{ edges {{ node {{ {facts} }} }} pageInfo {{ hasNextPage }} }} }}"),
            vec![one("events_oldest_first"), one("user_facts")],
        ),
        (
            "{ events(first: 100) { nodes { ...F } } } fragment F on Event { user { ... on User { eventCount } } }".to_owned(),
            vec![one("events_newest_first"), one("user_facts")],
        ),
        (
            "{ user(userId: \"user-1\") { userId eventCount lastSeen events { nodes { user { eventCount } } } } }".to_owned(),
            vec![("user_events_newest_first".to_owned(), 1), ("user_facts".to_owned(), 2)],
        ),
    ] {
        statements.taken();
        server.data(&query, json!({})).await;
        let found: Vec<(String, usize)> = statements
            .taken()
            .into_iter()
            .filter(|(name, _)| name.contains("events") || name.contains("user"))
            .collect();
        assert_eq!(found, expected, "{query}");
    }
    server.stop().await;
}

async fn every_way_of_asking_gives_the_same(database: TestDatabase) {
    let stored =
        events("2026-03-01T08:00Z ana open #1\n2026-03-02T08:00Z ana buy #2\n2026-03-03T08:00Z bo buy #3");
    let mut server = serving(&database, &stored).await;
    let fields = "eventId eventType occurredAt properties user { userId eventCount __typename } __typename";
    let plain = format!("edges {{ cursor __typename node {{ {fields} }} }}");
    let spread = "edges { cursor __typename node { ...F } }";
    let fragment = format!("fragment F on Event {{ {fields} }}");
    let query = format!("{{ plain: events {{ {plain} }} spread: events {{ {spread} }} }} {fragment}");
    let data = server.data(&query, json!({})).await;
    assert_eq!(data["plain"], data["spread"]);
    assert_eq!(data["plain"]["edges"][0]["__typename"], "EventEdge");
    assert_eq!(data["plain"]["edges"][1]["node"]["user"]["eventCount"], 2);
    let nodes = format!("{{ events {{ nodes {{ {fields} }} edges {{ node {{ {fields} }} }} }} }}");
    let data = server.data(&nodes, json!({})).await["events"].clone();
    let of_edges: Vec<&Value> = data["edges"]
        .as_array()
        .expect("edges")
        .iter()
        .map(|edge| &edge["node"])
        .collect();
    assert_eq!(
        data["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .collect::<Vec<_>>(),
        of_edges
    );
    server.stop().await;
}

/// Fields that may be null are null where they fail; the rest of the answer stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_field_that_may_be_null_leaves_the_others() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut proxy, url) = database.behind_proxy().await;
    let store = Store::open(StoreOptions::new(url))
        .await
        .expect("the store opens");
    // Keys stand in the database, which will be away.
    let auth = AuthOptions {
        policy: Policy::Never,
        ..AuthOptions::default()
    };
    let options = AppOptions {
        auth,
        ..AppOptions::default()
    };
    let mut server = Running::start_on(store, options).await;
    proxy.cut().await;
    let query =
        "{ serverInfo { database } event(eventId: \"00000000-0000-0000-0000-000000000000\") { eventId } }";
    let answer = server.send(query, json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(
        body["data"],
        json!({ "serverInfo": { "database": "PostgreSQL" }, "event": null })
    );
    assert_eq!(body["errors"][0]["path"], json!(["event"]));
    assert_eq!(body["errors"][0]["extensions"]["code"], "UNAVAILABLE");
    let query = "{ user(userId: \"ana\") { userId } }";
    let answer = server.send(query, json!({})).await;
    assert_eq!(answer.status, 503, "nothing was answered: {}", answer.text());
    assert_eq!(answer.json()["data"], json!({ "user": null }));
    let query = "{ serverInfo { database } events { nodes { eventId } } }";
    let answer = server.send(query, json!({})).await;
    assert_eq!(answer.json()["data"], Value::Null, "{}", answer.text());
    proxy.mend().await;
    server.stop().await;
}

/// What is read from the database is ready later than what is at hand.
#[tokio::test]
async fn fields_stand_in_the_order_asked_at_every_depth() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let stored = events("2026-03-01T08:00Z ana login #1");
    let mut server = serving(&database, &stored).await;
    let id = stored[0].event_id;
    let query = format!(
        "{{ one: event(eventId: \"{id}\") {{ ...F eventType }} \
         events(first: 1) {{ pageInfo {{ hasNextPage }} edges {{ node {{ user {{ userId lastSeen }} eventType }} }} }} }} \
         fragment F on Event {{ user {{ eventCount events(first: 1) {{ nodes {{ eventType }} }} userId }} properties }}"
    );
    let answer = server.send(&query, json!({})).await;
    assert_eq!(
        answer.text(),
        "{\"data\":{\"one\":{\"user\":{\"eventCount\":1,\"events\":{\"nodes\":[{\"eventType\":\"login\"}]},\
         \"userId\":\"ana\"},\"properties\":{},\"eventType\":\"login\"},\
         \"events\":{\"pageInfo\":{\"hasNextPage\":false},\"edges\":[{\"node\":{\"user\":{\"userId\":\"ana\",\
         \"lastSeen\":\"2026-03-01T08:00:00Z\"},\"eventType\":\"login\"}}]}}}"
    );
    server.stop().await;
}
