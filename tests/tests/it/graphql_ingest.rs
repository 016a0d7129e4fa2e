//! `ingestEvent` and `ingestEvents` as clients see them.

use serde_json::{Value, json};
use tests::database::TestDatabase;
use tests::events::{Event, events, numbered_events};

use crate::app::Running;

on_both_databases!(
    one_event_is_stored_and_shown,
    the_same_event_again_is_a_duplicate,
    other_content_under_a_known_id_is_rejected,
    an_event_without_id_and_time_gets_both,
    each_broken_rule_is_named_with_its_field,
    good_events_are_kept_when_others_are_rejected,
    a_batch_has_one_to_two_thousand_events,
    numbers_and_texts_come_back_as_they_were_sent,
    a_number_that_would_change_is_refused,
);

const INGEST: &str = "mutation ($input: IngestEventInput!) { ingestEvent(input: $input) { \
     status event { eventId eventType occurredAt receivedAt properties user { userId } } \
     userErrors { code field message } } }";

const INGEST_MANY: &str = "mutation ($events: [IngestEventInput!]!) { ingestEvents(input: { events: $events }) { \
     stored duplicates rejected rejections { index eventId userErrors { code field } } } }";

fn login() -> Event {
    events("2026-03-01T08:00Z ana login #one").remove(0)
}

async fn ingest(server: &mut Running, input: Value) -> Value {
    server.data(INGEST, json!({ "input": input })).await["ingestEvent"].clone()
}

async fn ingest_many(server: &mut Running, events: &[Value]) -> Value {
    server.data(INGEST_MANY, json!({ "events": events })).await["ingestEvents"].clone()
}

async fn one_event_is_stored_and_shown(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let payload = ingest(&mut server, login().input()).await;
    let expected = json!({
        "status": "STORED",
        "event": {
            "eventId": login().event_id.to_string(),
            "eventType": "login",
            "occurredAt": "2026-03-01T08:00:00Z",
            "receivedAt": "2026-03-10T12:00:00Z",
            "properties": {},
            "user": { "userId": "ana" },
        },
        "userErrors": [],
    });
    assert_eq!(payload, expected);
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 1);
    server.stop().await;
}

async fn the_same_event_again_is_a_duplicate(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let first = ingest(&mut server, login().input()).await;
    let mut again = login().input();
    again["eventId"] = json!(login().event_id.to_string().to_uppercase());
    again["occurredAt"] = json!("2026-03-01T09:00:00.000+01:00");
    let again = ingest(&mut server, again).await;
    assert_eq!(again["status"], "DUPLICATE");
    assert_eq!(again["event"], first["event"]);
    server.stop().await;
}

async fn other_content_under_a_known_id_is_rejected(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    ingest(&mut server, login().input()).await;
    let other = Event {
        event_type: "click".to_owned(),
        ..login()
    };
    let payload = ingest(&mut server, other.input()).await;
    assert_eq!(
        (&payload["status"], &payload["event"]),
        (&json!("REJECTED"), &Value::Null)
    );
    assert_eq!(payload["userErrors"][0]["code"], "EVENT_ID_CONFLICT");
    assert_eq!(ingest(&mut server, login().input()).await["status"], "DUPLICATE");
    server.stop().await;
}

async fn an_event_without_id_and_time_gets_both(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let payload = ingest(&mut server, json!({ "userId": "ana", "eventType": "login" })).await;
    assert_eq!(payload["status"], "STORED");
    assert_eq!(payload["event"]["occurredAt"], "2026-03-10T12:00:00Z");
    let id = payload["event"]["eventId"].as_str().expect("an id").to_owned();
    assert_eq!(id.as_bytes()[14], b'7', "{id} is not a UUIDv7");
    // A retry that names the id it was given, and still no time.
    let again = ingest(
        &mut server,
        json!({ "eventId": id, "userId": "ana", "eventType": "login" }),
    )
    .await;
    assert_eq!(again["status"], "DUPLICATE");
    server.stop().await;
}

async fn each_broken_rule_is_named_with_its_field(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let deep = (0..16).fold(json!(1), |inner, _| json!({ "in": inner }));
    for (field, value, code) in [
        ("userId", json!(""), "INVALID"),
        ("userId", json!("x".repeat(257)), "INVALID"),
        ("eventType", json!("a\nb"), "INVALID"),
        ("occurredAt", json!("1969-12-31T23:59:59.999999Z"), "TOO_OLD"),
        (
            "occurredAt",
            json!("2026-03-10T13:00:00.000001Z"),
            "FUTURE_TIMESTAMP",
        ),
        (
            "properties",
            json!({ "text": "x".repeat(64 * 1024) }),
            "TOO_LARGE",
        ),
        ("properties", json!({ "one more": deep }), "TOO_DEEP"),
        ("properties", json!({ "a": ["\u{0}"] }), "INVALID"),
    ] {
        let mut input = login().input();
        input[field] = value;
        let payload = ingest(&mut server, input).await;
        assert_eq!(payload["status"], "REJECTED", "{field} {code}");
        let error = &payload["userErrors"][0];
        assert_eq!(
            (&error["code"], &error["field"][1]),
            (&json!(code), &json!(field)),
            "{payload}"
        );
    }
    let mut input = login().input();
    input["occurredAt"] = json!("2026-03-10T13:00:00Z");
    input["userId"] = json!("x".repeat(256));
    input["properties"] = deep;
    assert_eq!(
        ingest(&mut server, input).await["status"],
        "STORED",
        "the limits themselves are allowed"
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 1);
    server.stop().await;
}

async fn good_events_are_kept_when_others_are_rejected(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let mut inputs: Vec<Value> = numbered_events("batch ", 6).iter().map(Event::input).collect();
    inputs[1]["userId"] = json!("");
    inputs[3]["occurredAt"] = json!("2030-01-01T00:00:00Z");
    inputs.push(inputs[0].clone());
    inputs.push(inputs[2].clone());
    inputs[7]["eventType"] = json!("another");
    let payload = ingest_many(&mut server, &inputs).await;
    assert_eq!(
        [&payload["stored"], &payload["duplicates"], &payload["rejected"]],
        [4, 1, 3]
    );
    let rejection = |position: usize| {
        let rejection = &payload["rejections"][position];
        let code = rejection["userErrors"][0]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (
            rejection["index"].as_u64().unwrap_or_default(),
            rejection["eventId"] == inputs[1]["eventId"],
            code,
        )
    };
    assert_eq!(rejection(0), (1, true, "INVALID".to_owned()));
    assert_eq!(rejection(1), (3, false, "FUTURE_TIMESTAMP".to_owned()));
    assert_eq!(rejection(2), (7, false, "EVENT_ID_CONFLICT".to_owned()));
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 4);
    server.stop().await;
}

async fn a_batch_has_one_to_two_thousand_events(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let inputs: Vec<Value> = numbered_events("large batch ", 2_001)
        .iter()
        .map(Event::input)
        .collect();
    for wrong in [&inputs[..0], &inputs[..]] {
        let answer = server.send(INGEST_MANY, json!({ "events": wrong })).await;
        assert_eq!(
            answer.json()["errors"][0]["extensions"]["code"],
            "BAD_USER_INPUT",
            "{}",
            answer.text()
        );
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 0);
    assert_eq!(ingest_many(&mut server, &inputs[..2_000]).await["stored"], 2_000);
    assert_eq!(ingest_many(&mut server, &inputs[1..]).await["duplicates"], 1_999);
    server.stop().await;
}

async fn numbers_and_texts_come_back_as_they_were_sent(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let mut input = login().input();
    input["properties"] = json!({
        "integers": [0, -1, i64::MIN, i64::MAX, u64::MAX, 9_007_199_254_740_993_u64],
        "fractions": [0.1, 11.77, 1e-7, 5e-324, 1.797_693_134_862_315_7e308],
        "text": "e\u{301} é 👩‍👩‍👧 \u{202e} \" \\ \n",
        "nothing": [null, {}, [], "", false],
    });
    let sent = input["properties"].clone();
    assert_eq!(
        ingest(&mut server, input.clone()).await["event"]["properties"],
        sent
    );
    let again = ingest(&mut server, input).await;
    assert_eq!(
        (&again["status"], &again["event"]["properties"]),
        (&json!("DUPLICATE"), &sent)
    );
    server.stop().await;
}

async fn a_number_that_would_change_is_refused(database: TestDatabase) {
    let mut server = Running::start(&database).await;
    let headers = [("content-type", "application/json")];
    for properties in [
        r#"{"n": 12345678901234567890123}"#,
        r#"{"n": 1e999}"#,
        r#"{"n": 0.1000000000000000055}"#,
    ] {
        let input = format!(r#"{{"userId": "ana", "eventType": "login", "properties": {properties}}}"#);
        let body = format!(r#"{{"query": "{INGEST}", "variables": {{"input": {input}}}}}"#);
        let answer = server
            .client
            .send(hyper::Method::POST, "/graphql", &headers, body)
            .await;
        let answer = answer.expect("the server answers");
        assert!(
            answer.status == 400 || answer.json().get("errors").is_some(),
            "{properties}: {}",
            answer.text()
        );
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 0);
    server.stop().await;
}
