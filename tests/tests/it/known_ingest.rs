//! Ingest mutations that are known take a shorter way than others. Whatever is sent, both ways store and answer the same.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tests::database::TestDatabase;
use tests::events::named_id;

use crate::app::Running;

on_both_databases!(known_mutations_answer_and_store_as_others_do);

/// The second of each pair is the same for clients, but not one of the plain documents.
const SINGLE: [&str; 2] = [
    "mutation ($input: IngestEventInput!) { e: ingestEvent(input: $input) { status __typename userErrors { code message field } } }",
    "mutation ($input: IngestEventInput!) { e: ingestEvent(input: $input) @include(if: true) { status __typename userErrors { code message field } } }",
];
const BATCH: [&str; 2] = [
    "mutation ($input: IngestEventsInput!) { ingestEvents(input: $input) { rejected stored duplicates rejections { index eventId userErrors { field code } } } }",
    "mutation ($input: IngestEventsInput!) { ingestEvents(input: $input) @include(if: true) { rejected stored duplicates rejections { index eventId userErrors { field code } } } }",
];

/// One of these, seldom one of the odd ones.
fn pick(random: &mut StdRng, usual: &[Value], odd: &[Value]) -> Value {
    let from = if random.random_bool(0.85) { usual } else { odd };
    from.choose(random).cloned().unwrap_or_default()
}

/// An event that is usually good.
fn event(random: &mut StdRng) -> Value {
    let ids = [1, 2, 3, 4, 5].map(|number| json!(named_id(&format!("id {number}")).to_string()));
    let mut event = json!({
        "userId": pick(random, &[json!("ana"), json!("bo"), json!("é")], &[json!(""), json!("x".repeat(300)), json!("a\u{0}b"), json!(1), json!(null)]),
        "eventType": pick(random, &[json!("login"), json!("click")], &[json!(""), json!("a\nb"), json!(["x"])]),
    });
    if random.random_bool(0.8) {
        event["eventId"] = pick(
            random,
            &ids,
            &[json!("no id"), json!(17), json!(null), json!(true)],
        );
    }
    if random.random_bool(0.7) {
        event["occurredAt"] = pick(
            random,
            &[
                json!("2026-03-01T08:00:00Z"),
                json!("2026-03-01T09:00:00.5+01:00"),
            ],
            &[
                json!("2026-03-01"),
                json!("2999-01-01T00:00:00Z"),
                json!("1960-01-01T00:00:00Z"),
                json!(5),
                json!(null),
            ],
        );
    }
    if random.random_bool(0.7) {
        event["properties"] = pick(
            random,
            &[
                json!({}),
                json!({ "a": [1, 2.50, -0.0, { "b": null }], "é": "\u{1F600}" }),
                json!({ "n": 1e20 }),
            ],
            &[json!(null), json!([]), json!("p"), json!({ "a": "\u{0}" })],
        );
    }
    if random.random_bool(0.03) {
        event["more"] = json!(1);
    }
    event
}

async fn known_mutations_answer_and_store_as_others_do(database: TestDatabase) {
    let other = TestDatabase::migrated(database.backend()).await;
    let mut servers = [Running::start(&database).await, Running::start(&other).await];
    let mut random = StdRng::seed_from_u64(7);
    for number in 0..160 {
        let single = number % 2 == 0;
        let documents = if single { SINGLE } else { BATCH };
        let input = match single {
            true => event(&mut random),
            false => {
                let count = random.random_range(0..8);
                json!({ "events": (0..count).map(|_| event(&mut random)).collect::<Vec<_>>() })
            }
        };
        let mut answers = Vec::new();
        for (server, document) in servers.iter_mut().zip(documents) {
            let answer = server.send(document, json!({ "input": input })).await;
            let mut json = answer.json();
            for error in json["errors"].as_array_mut().into_iter().flatten() {
                error["extensions"]["requestId"] = Value::Null;
                // The second document is longer.
                error["locations"] = Value::Null;
            }
            answers.push((answer.status, json));
        }
        assert_eq!(answers[0], answers[1], "{number}: {input}");
    }
    let contents = "SELECT COUNT(*) FROM events WHERE user_id = 'ana'";
    assert_eq!(database.number(contents).await, other.number(contents).await);
    assert!(database.number("SELECT COUNT(*) FROM events").await > 15);
    for server in servers {
        server.stop().await;
    }
}
