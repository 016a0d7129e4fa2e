//! What a filter means is the same in Rust and in both databases.
//!
//! A failure names the seed; `KOHORTA_TEST_ROUNDS=50` tries fifty times as many.

use std::collections::HashMap;

use rand::SeedableRng;
use rand::rngs::StdRng;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::{Map, Value, json};
use store::StoredEvent;
use store::filter::{Filter, ValueTest};
use tests::database::TestDatabase;
use tests::events::{Event, named_id};
use tests::filters;
use tests::streams::Stream;
use uuid::Uuid;

on_both_databases!(
    the_database_passes_the_events_that_the_definition_passes,
    every_property_is_found_by_its_path_and_value,
    doubles_keep_their_order,
);

/// The events in the database, and a connection past the store.
struct Filled {
    connection: DatabaseConnection,
    events: HashMap<Uuid, StoredEvent>,
}

impl Filled {
    async fn with(database: &TestDatabase, events: &[Event]) -> Self {
        let store = database.store().await;
        let parsed: Vec<_> = events.iter().map(Event::parsed).collect();
        let stored = parsed
            .iter()
            .map(|event| (event.event_id(), StoredEvent::from(event)));
        let stored = stored.collect();
        store.ingest(parsed).await.expect("ingest works");
        store.close().await;
        Self {
            connection: database.connect().await,
            events: stored,
        }
    }

    /// Compares what the database passes with the definition; a test that is neither true nor false passes as neither.
    async fn check(&self, filter: &Filter, context: &str) {
        let backend = self.connection.get_database_backend();
        let (condition, values) = filter.condition(backend, 1);
        let sql = format!(
            "SELECT events.event_id, CASE WHEN {condition} THEN 1 WHEN NOT {condition} THEN 0 ELSE 2 END FROM events"
        );
        let statement = Statement::from_sql_and_values(backend, &sql, values);
        let rows = self.connection.query_all_raw(statement).await;
        let rows = rows.unwrap_or_else(|error| panic!("{context}: {filter:?}\n{sql}\n{error}"));
        assert_eq!(rows.len(), self.events.len());
        for row in rows {
            let id: Uuid = row.try_get_by_index(0).expect("an id");
            let passes: i32 = row.try_get_by_index(1).expect("a number");
            let event = &self.events[&id];
            let expected = i32::from(filter.matches(event));
            assert_eq!(
                passes, expected,
                "{context}: {filter:?}\n{:?}\n{sql}",
                event.properties
            );
        }
    }
}

fn event(number: usize, properties: Map<String, Value>) -> Event {
    let event = Stream::new(number as u64).event();
    Event {
        event_id: named_id(&number.to_string()),
        properties,
        ..event
    }
}

fn hostile_events(seed: u64, count: usize) -> (StdRng, Vec<Event>) {
    let mut random = StdRng::seed_from_u64(seed);
    let events = (0..count)
        .map(|number| event(number, filters::properties(&mut random)))
        .collect();
    (random, events)
}

async fn the_database_passes_the_events_that_the_definition_passes(database: TestDatabase) {
    let rounds = std::env::var("KOHORTA_TEST_ROUNDS").map_or(1, |rounds| rounds.parse().expect("a number"));
    for seed in 0..rounds {
        let database = TestDatabase::migrated(database.backend()).await;
        let (mut random, events) = hostile_events(seed, 120);
        let filled = Filled::with(&database, &events).await;
        for number in 0..150 {
            let filter = filters::filter(&mut random, &events);
            filled
                .check(&filter, &format!("seed {seed}, filter {number}"))
                .await;
        }
    }
}

async fn every_property_is_found_by_its_path_and_value(database: TestDatabase) {
    let (_, events) = hostile_events(1_000, 60);
    let filled = Filled::with(&database, &events).await;
    for event in filled.events.values() {
        for (path, value) in places(&event.properties) {
            let filter = Filter::Property {
                path,
                test: ValueTest::Eq(value),
            };
            assert!(filter.matches(event), "{filter:?}");
            filled.check(&filter, "its own value").await;
        }
    }
}

/// Every path into properties with what is there.
fn places(map: &Map<String, Value>) -> Vec<(Vec<String>, Value)> {
    let mut found = Vec::new();
    for (key, value) in map {
        found.push((vec![key.clone()], value.clone()));
        for (path, value) in value.as_object().map(places).unwrap_or_default() {
            found.push(([vec![key.clone()], path].concat(), value));
        }
    }
    found
}

async fn doubles_keep_their_order(database: TestDatabase) {
    use rand::RngExt;
    let mut random = StdRng::seed_from_u64(7);
    let doubles: Vec<f64> = (0..400)
        .map(|number| match number % 4 {
            0 => f64::from_bits(random.random()),
            1 => random.random_range(-1.0..1.0),
            2 => f64::from(random.random_range(0..1_000_000)) / 100.0,
            _ => random.random_range(0.0..1e19),
        })
        .filter(|double| double.is_finite())
        .collect();
    let events: Vec<Event> = doubles
        .iter()
        .flat_map(|double| [double.next_down(), *double, double.next_up()])
        .enumerate()
        .map(|(number, double)| event(number, Map::from_iter([("n".to_owned(), json!(double))])))
        .collect();
    let filled = Filled::with(&database, &events).await;
    for double in doubles.iter().step_by(8) {
        let Value::Number(bound) = json!(double) else {
            continue;
        };
        for test in [
            ValueTest::Gt(bound.clone()),
            ValueTest::Gte(bound.clone()),
            ValueTest::Eq(json!(double)),
        ] {
            let filter = Filter::Property {
                path: vec!["n".to_owned()],
                test,
            };
            filled
                .check(&filter.checked().expect("a valid filter"), "a double")
                .await;
        }
    }
}
