//! New events go into PostgreSQL in one statement where everything is as expected. Whatever is not, and whatever happens on the
//! way, what is stored and told is the same as without.

use std::time::Duration;

use store::{IngestOutcome, Store, StoreOptions};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};
use tokio::task::JoinSet;

use crate::checks::verify_is_clean;

on_both_databases!(
    newcomers_of_two_servers_at_once_get_one_ordinal,
    one_id_sent_to_two_servers_at_once_is_stored_once,
    types_that_another_server_has_made_are_counted,
);

async fn ingest(store: Store, events: Vec<Event>) -> Vec<IngestOutcome> {
    let new = events.iter().map(Event::parsed).collect();
    store.ingest(new).await.expect("ingest works")
}

async fn newcomers_of_two_servers_at_once_get_one_ordinal(database: TestDatabase) {
    let stores = [database.store().await, database.store().await];
    // A type that is known, so that nothing else stands in the way.
    for store in &stores {
        ingest(store.clone(), numbered_events("first ", 1)).await;
    }
    for round in 0..20 {
        let mut both = JoinSet::new();
        for (server, store) in stores.iter().enumerate() {
            let mut events = numbered_events(&format!("round {round} of {server}, "), 6);
            for (number, event) in events.iter_mut().enumerate() {
                event.user_id = format!("user {} of round {round}", number % 3);
            }
            both.spawn(ingest(store.clone(), events));
        }
        for outcomes in both.join_all().await {
            assert_eq!(outcomes, vec![IngestOutcome::Stored; 6]);
        }
    }
    let names = "SELECT COUNT(*) FROM users WHERE user_id LIKE 'user % of round %'";
    assert_eq!(database.number(names).await, 60);
    verify_is_clean(&stores[0]).await;
}

async fn one_id_sent_to_two_servers_at_once_is_stored_once(database: TestDatabase) {
    let stores = [database.store().await, database.store().await];
    ingest(stores[0].clone(), numbered_events("first ", 1)).await;
    for round in 0..20 {
        let mut both = JoinSet::new();
        for store in &stores {
            both.spawn(ingest(
                store.clone(),
                numbered_events(&format!("round {round}, "), 3),
            ));
        }
        let outcomes = both.join_all().await.concat();
        let stored = outcomes
            .iter()
            .filter(|outcome| **outcome == IngestOutcome::Stored);
        assert_eq!(stored.count(), 3, "{outcomes:?}");
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 61);
    verify_is_clean(&stores[0]).await;
}

async fn types_that_another_server_has_made_are_counted(database: TestDatabase) {
    let stores = [database.store().await, database.store().await];
    for round in 0..5 {
        for (server, store) in stores.iter().enumerate() {
            let mut events = numbered_events(&format!("round {round} of {server}, "), 4);
            for (number, event) in events.iter_mut().enumerate() {
                event.event_type = format!("type {}", (number + round) % 5);
            }
            ingest(store.clone(), events).await;
        }
    }
    assert_eq!(
        database
            .number("SELECT COUNT(*) FROM facets WHERE kind = 'event_type'")
            .await,
        5
    );
    verify_is_clean(&stores[0]).await;
}

/// A network that breaks after a statement was sent and before it was answered. The lock keeps the statement from ending, as
/// a slow disk would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_whose_answer_got_lost_are_told_as_stored_and_stored_once() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut proxy, url) = database.behind_proxy().await;
    let store = Store::open(StoreOptions::new(url))
        .await
        .expect("the store opens");
    ingest(store.clone(), numbered_events("first ", 1)).await;
    let holder = database.connect().await;
    for round in 0..3 {
        let events = numbered_events(&format!("round {round}, "), 3);
        let held = sea_orm::TransactionTrait::begin(&holder)
            .await
            .expect("a transaction begins");
        let lock = "LOCK TABLE events IN ACCESS EXCLUSIVE MODE";
        sea_orm::ConnectionTrait::execute_unprepared(&held, lock)
            .await
            .expect("the table can be held");
        let ingesting = tokio::spawn(ingest(store.clone(), events));
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while database.number(waiting).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        proxy.cut().await;
        proxy.mend().await;
        held.commit().await.expect("the table is free again");
        let outcomes = ingesting.await.expect("the task ends");
        assert_eq!(outcomes, vec![IngestOutcome::Stored; 3]);
    }
    let total = 1 + 3 * 3;
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, total);
    verify_is_clean(&store).await;
}
