//! The tail of the log: who follows gets each stored event once, whoever stored it, whatever the database does.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, TransactionTrait};
use store::{Erasure, Follower, IngestOutcome, Store, StoreError, StoreOptions, TailEnd};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, arrival, numbered_events};
use tokio::task::JoinSet;
use uuid::Uuid;

on_both_databases!(
    each_stored_event_comes_once_whoever_stored_it,
    what_was_stored_before_does_not_come,
    who_takes_nothing_is_let_go_and_the_others_go_on,
    closing_the_store_ends_the_tail,
    many_pages_come_in_the_order_of_the_log,
    events_after_an_erasure_come_once,
);

/// More than any step of these tests takes; it is only waited for where one has failed.
const PATIENCE: Duration = Duration::from_secs(60);

async fn ingest(store: &Store, events: &[Event]) {
    let parsed = events.iter().map(Event::parsed).collect();
    store.ingest(parsed).await.expect("ingest works");
}

/// The ids of the next `count` events.
async fn take(follower: &mut Follower, count: usize) -> Vec<Uuid> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let page = tokio::time::timeout(PATIENCE, follower.next())
            .await
            .unwrap_or_else(|_| panic!("{} of {count} events came", taken.len()))
            .expect("the tail goes on");
        taken.extend(page.iter().map(|event| event.event_id));
    }
    taken
}

fn ids(events: &[Event]) -> Vec<Uuid> {
    events.iter().map(|event| event.event_id).collect()
}

async fn each_stored_event_comes_once_whoever_stored_it(database: TestDatabase) {
    let stores = [
        database.store().await,
        database.store().await,
        database.store().await,
    ];
    let events = numbered_events("tail ", 400);
    let mut following = JoinSet::new();
    for store in &stores[..2] {
        let mut follower = store.follow().await.expect("the log can be followed");
        let count = events.len() + 1;
        following.spawn(async move { take(&mut follower, count).await });
    }
    let mut tasks = JoinSet::new();
    for (writer, store) in stores.iter().cycle().take(6).cloned().enumerate() {
        let mut mine = events.clone();
        let mut random = StdRng::seed_from_u64(writer as u64);
        mine.shuffle(&mut random);
        tasks.spawn(async move {
            let mut stored = 0;
            while !mine.is_empty() {
                let size = random.random_range(1..40_usize).min(mine.len());
                let batch: Vec<Event> = mine.drain(..size).collect();
                let parsed = batch.iter().map(Event::parsed).collect();
                let outcomes = store.ingest(parsed).await.expect("ingest works");
                stored += outcomes
                    .iter()
                    .filter(|outcome| **outcome == IngestOutcome::Stored)
                    .count();
            }
            stored
        });
    }
    let raw = database.connect().await;
    tasks.spawn(async move {
        for number in 0..20 {
            roll_back(&raw, number).await;
        }
        0
    });
    let stored: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(stored, events.len());
    let last = numbered_events("the last ", 1);
    ingest(&stores[2], &last).await;
    for mut taken in following.join_all().await {
        assert_eq!(taken.pop(), Some(last[0].event_id), "nothing comes twice");
        let different: BTreeSet<Uuid> = taken.into_iter().collect();
        assert_eq!(different, ids(&events).into_iter().collect());
    }
}

/// A transaction that takes ids and is rolled back.
async fn roll_back(connection: &DatabaseConnection, number: u32) {
    let transaction = connection.begin().await.expect("a transaction");
    // SQLite may turn it away because another one writes; then it has stored nothing either.
    let _ = transaction
        .execute_unprepared(&insert(connection.get_database_backend(), number))
        .await;
    let _ = transaction.rollback().await;
}

/// An event past the store, of which only the tail will ever know.
fn insert(backend: DbBackend, number: u32) -> String {
    let id = raw_id(number).simple();
    let id = match backend {
        DbBackend::Postgres => format!("'{id}'"),
        _ => format!("x'{id}'"),
    };
    format!(
        "INSERT INTO events (event_id, user_id, event_type, occurred_at, properties, received_at) \
         VALUES ({id}, 'raw', 'raw', 0, '{{}}', 0)"
    )
}

fn raw_id(number: u32) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(number))
}

async fn what_was_stored_before_does_not_come(database: TestDatabase) {
    let store = database.store().await;
    let events = numbered_events("before and after ", 3);
    ingest(&store, &events[..1]).await;
    let mut first = store.follow().await.expect("the log can be followed");
    ingest(&store, &events[1..2]).await;
    let mut second = store.follow().await.expect("the log can be followed");
    ingest(&store, &events[2..]).await;
    assert_eq!(take(&mut first, 2).await, ids(&events[1..]));
    assert_eq!(take(&mut second, 1).await, ids(&events[2..]));
    drop((first, second));
    let mut third = store.follow().await.expect("the log can be followed again");
    let more = numbered_events("later ", 1);
    ingest(&store, &more).await;
    assert_eq!(take(&mut third, 1).await, ids(&more));
}

async fn who_takes_nothing_is_let_go_and_the_others_go_on(database: TestDatabase) {
    let store = database.store().await;
    let mut lazy = store.follow().await.expect("the log can be followed");
    let mut eager = store.follow().await.expect("the log can be followed");
    let events = numbered_events("lazy ", 10);
    for event in events.chunks(1) {
        ingest(&store, event).await;
        assert_eq!(take(&mut eager, 1).await, ids(event));
    }
    let mut taken = Vec::new();
    let end = loop {
        match lazy.next().await {
            Ok(page) => taken.extend(page.iter().map(|event| event.event_id)),
            Err(end) => break end,
        }
    };
    assert!(matches!(end, TailEnd::TooSlow), "{end:?}");
    assert!(taken.len() < events.len());
    assert_eq!(
        taken,
        ids(&events)[..taken.len()],
        "what came is whole up to its end"
    );
}

async fn closing_the_store_ends_the_tail(database: TestDatabase) {
    let store = database.store().await;
    let mut follower = store.follow().await.expect("the log can be followed");
    store.close().await;
    let end = follower.next().await;
    assert!(matches!(end, Err(TailEnd::Failed(StoreError::Closed))), "{end:?}");
    let refused = store.follow().await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
}

async fn many_pages_come_in_the_order_of_the_log(database: TestDatabase) {
    let store = database.store().await;
    let mut follower = store.follow().await.expect("the log can be followed");
    let events = numbered_events("pages ", 1_500);
    ingest(&store, &events).await;
    let taken = take(&mut follower, events.len()).await;
    assert_eq!(taken.len(), events.len());
    let different: BTreeSet<Uuid> = taken.into_iter().collect();
    assert_eq!(different, ids(&events).into_iter().collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_commit_late_are_not_missed() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let store = database.store().await;
    let mut follower = store.follow().await.expect("the log can be followed");
    let connections = [database.connect().await, database.connect().await];
    let mut open = Vec::new();
    for (number, connection) in (0..).zip(&connections) {
        let transaction = connection.begin().await.expect("a transaction");
        transaction
            .execute_unprepared(&insert(DbBackend::Postgres, number))
            .await
            .expect("a row");
        open.push(transaction);
    }
    // Their ids are lower than all of these, which come in many looks.
    let events = numbered_events("overtaking ", 30);
    for event in events.chunks(1) {
        ingest(&store, event).await;
        assert_eq!(take(&mut follower, 1).await, ids(event));
    }
    for (number, transaction) in (0..).zip(open) {
        transaction.commit().await.expect("a commit");
        assert_eq!(take(&mut follower, 1).await, [raw_id(number)]);
        let more = numbered_events(&format!("between {number} "), 1);
        ingest(&store, &more).await;
        assert_eq!(take(&mut follower, 1).await, ids(&more));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_away_is_followed_where_it_was_left() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut network, url) = database.behind_proxy().await;
    let far = Store::open(StoreOptions::new(url))
        .await
        .expect("the store opens");
    let near = database.store().await;
    let mut follower = far.follow().await.expect("the log can be followed");
    let mut expected = Vec::new();
    for round in 0..3 {
        let events = numbered_events(&format!("away {round} "), 30);
        ingest(&near, &events[..10]).await;
        if round == 1 {
            expected.extend(take(&mut follower, 10).await);
        }
        network.cut().await;
        ingest(&near, &events[10..20]).await;
        network.mend().await;
        ingest(&near, &events[20..]).await;
        let missing = if round == 1 { 20 } else { 30 };
        expected.extend(take(&mut follower, missing).await);
        let known: BTreeSet<Uuid> = expected.iter().copied().collect();
        assert_eq!(
            (known.len(), expected.len()),
            (30 * (round + 1), 30 * (round + 1))
        );
        assert!(ids(&events).iter().all(|id| known.contains(id)));
    }
}

async fn events_after_an_erasure_come_once(database: TestDatabase) {
    let store = database.store().await;
    let events = tests::events::events(
        "2026-03-01T08:00Z ana login #1\n2026-03-01T09:00Z bo login #2\n2026-03-01T10:00Z bo login #3",
    );
    let mut follower = store.follow().await.expect("the log can be followed");
    for event in events.chunks(1) {
        ingest(&store, event).await;
    }
    assert_eq!(take(&mut follower, 3).await.len(), 3);
    let erasure = Erasure {
        user_id: "bo".to_owned(),
        block_future: false,
        now: arrival(),
    };
    store.erase_user(erasure, |_| {}).await.expect("bo is erased");
    let more = tests::events::events("2026-03-02T08:00Z ana login #4\n2026-03-02T09:00Z cy login #5");
    ingest(&store, &more).await;
    let taken: BTreeSet<Uuid> = take(&mut follower, 2).await.into_iter().collect();
    assert_eq!(taken, ids(&more).into_iter().collect());
}
