//! Subscriptions: each stored event once to everybody who asked, today's count as it changes, and nobody who reads slowly
//! in the way of others.

use std::time::{Duration, Instant};

use chrono_tz::Tz;
use serde_json::{Value, json};
use server::app::AppOptions;
use store::Store;
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, fat_events, numbered_events};
use tests::socket::{Heard, Socket};

use crate::app::Running;
use crate::checks::store_all;

on_both_databases!(
    each_stored_event_comes_once_to_every_subscriber,
    only_events_that_pass_the_filter_come,
    todays_count_comes_at_once_and_when_it_changes,
);

const LIVE: &str = "subscription { eventAdded { eventId userId: user { userId } } }";

/// More than any step of these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn hear(socket: &mut Socket) -> Heard {
    tokio::time::timeout(PATIENCE, socket.hear())
        .await
        .expect("the server says something")
}

/// Subscribes and returns once the subscription has begun: nothing in the protocol says so, but its first event does.
async fn follow(socket: &mut Socket, store: &Store, name: &str, query: &str) {
    socket.subscribe(name, query, json!({})).await;
    let mut stored = Vec::new();
    for round in 0.. {
        let probe = numbered_events(&format!("probe {name} {round} "), 1);
        store_all(store, &probe).await;
        stored.push(probe[0].event_id.to_string());
        let wait = Duration::from_millis(500);
        if let Ok(heard) = tokio::time::timeout(wait, socket.hear()).await {
            let mut id = event_id(&heard.message());
            while Some(&id) != stored.last() {
                id = event_id(&hear(socket).await.message());
            }
            return;
        }
    }
}

fn event_id(message: &Value) -> String {
    let id = &message["payload"]["data"]["eventAdded"]["eventId"];
    id.as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
}

async fn each_stored_event_comes_once_to_every_subscriber(database: TestDatabase) {
    let elsewhere = database.store().await;
    let server = Running::start(&database).await;
    let mut sockets = Vec::new();
    let queries = [LIVE, LIVE, "subscription { eventAdded { eventId eventType } }"];
    for (number, query) in queries.into_iter().enumerate() {
        let mut socket = Socket::ready(server.address()).await;
        follow(&mut socket, &elsewhere, &format!("s{number}"), query).await;
        sockets.push(socket);
    }
    // The probes of those who came later.
    for (number, socket) in sockets.iter_mut().enumerate() {
        let mark = numbered_events(&format!("mark {number} "), 1);
        store_all(&elsewhere, &mark).await;
        while event_id(&hear(socket).await.message()) != mark[0].event_id.to_string() {}
    }
    let events = numbered_events("live ", 300);
    let mut client = server.another_client();
    for (number, batch) in events.chunks(10).enumerate() {
        if number % 2 == 0 {
            store_all(&elsewhere, batch).await;
            continue;
        }
        let inputs: Vec<Value> = batch.iter().map(Event::input).collect();
        let mutation =
            "mutation($e: [IngestEventInput!]!) { ingestEvents(input: { events: $e }) { stored } }";
        let answer = client.graphql(mutation, &json!({ "e": inputs })).await;
        assert_eq!(answer.expect("an answer").status, 200);
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        let mut ids = Vec::new();
        while ids.len() < events.len() {
            let id = event_id(&hear(socket).await.message());
            let later_mark = numbered_events(&format!("mark {} ", number + 1), 1);
            let last_mark = numbered_events(&format!("mark {} ", number + 2), 1);
            if id != later_mark[0].event_id.to_string() && id != last_mark[0].event_id.to_string() {
                ids.push(id);
            }
        }
        ids.sort();
        let mut expected: Vec<String> = events.iter().map(|event| event.event_id.to_string()).collect();
        expected.sort();
        assert_eq!(ids, expected);
        socket
            .say(&json!({ "id": format!("s{number}"), "type": "complete" }))
            .await;
        socket.say(&json!({ "type": "ping" })).await;
        assert_eq!(hear(socket).await.message(), json!({ "type": "pong" }));
    }
    server.stop().await;
}

async fn only_events_that_pass_the_filter_come(database: TestDatabase) {
    let store = database.store().await;
    let server = Running::start(&database).await;
    let mut socket = Socket::ready(server.address()).await;
    let any = "{ any: [{ eventType: { in: [\"type-0\", \"type-3\"] } }, { property: { path: [\"number\"], is: { eq: 7 } } }] }";
    let query = format!("subscription {{ eventAdded(filter: {any}) {{ eventId eventType properties }} }}");
    // The probe has type-0 and passes.
    follow(&mut socket, &store, "filtered", &query).await;
    store_all(&store, &numbered_events("filtered ", 20)).await;
    store_all(&store, &numbered_events("the last ", 1)).await;
    let mut numbers = Vec::new();
    loop {
        let message = hear(&mut socket).await.message();
        let event = &message["payload"]["data"]["eventAdded"];
        if event_id(&message) == numbered_events("the last ", 1)[0].event_id.to_string() {
            break;
        }
        numbers.push(event["properties"]["number"].as_u64().expect("a number"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 3, 5, 7, 8, 10, 13, 15, 18]);
    let wrong = "subscription { eventAdded(filter: { eventType: { in: [] } }) { eventId } }";
    socket.subscribe("wrong", wrong, json!({})).await;
    let refusal = hear(&mut socket).await.message();
    assert_eq!(
        refusal["payload"][0]["extensions"]["code"], "BAD_USER_INPUT",
        "{refusal}"
    );
    server.stop().await;
}

async fn todays_count_comes_at_once_and_when_it_changes(database: TestDatabase) {
    let elsewhere = database.store().await;
    let mut server = Running::start(&database).await;
    let query = "subscription { activeToday { date users newUsers complete } }";
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut socket = Socket::ready(server.address()).await;
        socket.subscribe("t", query, json!({})).await;
        sockets.push(socket);
    }
    let point =
        |users: u64| json!({ "date": "2026-03-10", "users": users, "newUsers": users, "complete": false });
    for socket in &mut sockets {
        let first = hear(socket).await.message();
        assert_eq!(first["payload"]["data"]["activeToday"], point(0));
    }
    let of_opens = "subscription { activeToday(filter: { eventType: { eq: \"open\" } }) { date users newUsers complete } }";
    let mut filtered = Socket::ready(server.address()).await;
    filtered.subscribe("t", of_opens, json!({})).await;
    let first = hear(&mut filtered).await.message();
    assert_eq!(first["payload"]["data"]["activeToday"], point(0));
    for (users, line) in [
        (1, "2026-03-10T08:00Z ana login #first"),
        (2, "2026-03-10T09:00Z bo login #second"),
    ] {
        store_all(&elsewhere, &tests::events::events(line)).await;
        for socket in &mut sockets {
            let next = hear(socket).await.message();
            assert_eq!(next["payload"]["data"]["activeToday"], point(users));
        }
        let dau =
            "{ dau(from: \"2026-03-10\", to: \"2026-03-10\") { points { date users newUsers complete } } }";
        assert_eq!(
            server.data(dau, json!({})).await["dau"]["points"][0],
            point(users)
        );
    }
    // Whom only other events made active is not in it.
    store_all(
        &elsewhere,
        &tests::events::events("2026-03-10T10:00Z ana open #third"),
    )
    .await;
    let next = hear(&mut filtered).await.message();
    assert_eq!(next["payload"]["data"]["activeToday"], point(1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_closed_and_nobody_else_notices() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let store = database.store().await;
    let server = Running::start(&database).await;
    let query = "subscription { eventAdded { eventId properties } }";
    let mut slow = Socket::ready(server.address()).await;
    follow(&mut slow, &store, "slow", query).await;
    let mut quick = Socket::ready(server.address()).await;
    follow(&mut quick, &store, "quick", query).await;
    // More than the queue and the buffers of the system take.
    let count = 280;
    let expected = count;
    let reading = tokio::spawn(async move {
        let mut heard = 0;
        while heard < expected {
            let message = hear(&mut quick).await.message();
            heard += usize::from(message["payload"]["data"]["eventAdded"]["properties"]["fat"].is_string());
        }
        quick
    });
    let started = Instant::now();
    for chunk in fat_events("fat ", count).chunks(20) {
        store_all(&store, chunk).await;
    }
    assert!(
        started.elapsed() < PATIENCE,
        "ingest never waits for who reads slowly"
    );
    reading.await.expect("the quick reader gets everything");
    let mut last = Value::Null;
    let (code, reason) = loop {
        match hear(&mut slow).await {
            Heard::Message(message) => last = message,
            Heard::Closed(code, reason) => break (code, reason),
        }
    };
    assert_eq!(code, 4410, "{reason}");
    assert!(reason.contains("Slow reader"), "{reason}");
    assert_eq!(last["type"], "error");
    assert_eq!(last["payload"][0]["extensions"]["code"], "SLOW_READER");
    server.stop().await;
}

#[tokio::test]
async fn results_have_their_fields_in_the_order_asked() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let store = database.store().await;
    let server = Running::start(&database).await;
    let mut socket = Socket::ready(server.address()).await;
    // What is known of the user is read from the database, later than all else is ready.
    let fields = "user { eventCount userId } properties eventId";
    let query = format!("subscription {{ eventAdded {{ {fields} }} }}");
    follow(&mut socket, &store, "ordered", &query).await;
    let event = Event {
        user_id: "somebody".to_owned(),
        ..numbered_events("ordered ", 1).remove(0)
    };
    let event_id = event.event_id.to_string();
    store_all(&store, &[event]).await;
    let text = loop {
        let text = socket.hear_text().await;
        if text.contains("somebody") {
            break text;
        }
    };
    let expected = format!(
        "{{\"id\":\"ordered\",\"type\":\"next\",\"payload\":{{\"data\":{{\"eventAdded\":{{\
         \"user\":{{\"eventCount\":1,\"userId\":\"somebody\"}},\"properties\":{{\"number\":0}},\"eventId\":\"{event_id}\"}}}}}}}}"
    );
    assert_eq!(text, expected);
    let query = format!("{{ event(eventId: \"{event_id}\") {{ {fields} }} dau: __typename }}");
    socket.subscribe("q", &query, json!({})).await;
    let answer = socket.hear_text().await;
    let order = [
        "\"event\"",
        "\"user\"",
        "\"properties\"",
        "\"eventId\"",
        "\"dau\"",
    ];
    let places = order.map(|key| answer.find(key));
    assert!(places.is_sorted() && places[0].is_some(), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn when_the_server_stops_sockets_are_told_and_hold_nothing_up() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let server = Running::start_in(&database, Tz::UTC, AppOptions::default()).await;
    let mut idle = Socket::open(server.address()).await;
    let mut busy = Socket::ready(server.address()).await;
    busy.subscribe("1", LIVE, json!({})).await;
    let started = Instant::now();
    let ((), idle_end, busy_end) = tokio::join!(server.stop(), hear(&mut idle), hear(&mut busy));
    assert_eq!((idle_end.code(), busy_end.code()), (1001, 1001));
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_to_a_database_that_is_away_says_so() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut network, url) = database.behind_proxy().await;
    let store = Store::open(store::StoreOptions::new(url))
        .await
        .expect("the store opens");
    let server = Running::start_on(store, AppOptions::default()).await;
    let near = database.store().await;
    let mut early = Socket::ready(server.address()).await;
    follow(&mut early, &near, "early", LIVE).await;
    network.cut().await;
    let mut late = Socket::ready(server.address()).await;
    late.subscribe(
        "1",
        "subscription { eventAdded { eventId receivedAt } }",
        json!({}),
    )
    .await;
    let refusal = hear(&mut late).await.message();
    assert_eq!(refusal["type"], "error", "{refusal}");
    assert_eq!(refusal["payload"][0]["extensions"]["code"], "UNAVAILABLE");
    let events = numbered_events("meanwhile ", 5);
    store_all(&near, &events).await;
    network.mend().await;
    for _ in &events {
        let id = event_id(&hear(&mut early).await.message());
        assert!(events.iter().any(|event| event.event_id.to_string() == id));
    }
    server.stop().await;
}
