//! Several writers, readers and folders at once, in one store and in two on one database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use store::{IngestOutcome, Store, Writer, WriterOptions};
use tests::database::TestDatabase;
use tests::events::{Event, arrival, numbered_events};
use tests::oracle::Oracle;
use tests::questions::active_users;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::checks::verify_is_clean;

on_both_databases!(
    overlapping_batches_in_any_order_store_each_event_once,
    the_same_id_from_forty_callers_is_stored_by_one,
    different_contents_under_one_id_leave_one_of_them,
    answers_hold_every_acknowledged_event_while_it_is_folded,
);

/// Two stores on one database, as two servers are.
async fn two_stores(database: &TestDatabase) -> [Store; 2] {
    [database.store().await, database.store().await]
}

async fn overlapping_batches_in_any_order_store_each_event_once(database: TestDatabase) {
    let stores = two_stores(&database).await;
    let events = numbered_events("overlap ", 300);
    let mut tasks = JoinSet::new();
    for writer in 0..8_usize {
        let store = stores[writer % 2].clone();
        let mut mine = events.clone();
        mine.shuffle(&mut StdRng::seed_from_u64(writer as u64));
        tasks.spawn(async move {
            let mut stored: Vec<Uuid> = Vec::new();
            for batch in mine.chunks(60) {
                let outcomes = store
                    .ingest(batch.iter().map(Event::parsed).collect())
                    .await
                    .expect("ingest works");
                for (event, outcome) in batch.iter().zip(outcomes) {
                    match outcome {
                        IngestOutcome::Stored => stored.push(event.event_id),
                        IngestOutcome::Duplicate(_) => {}
                        other => panic!("{event:?}: {other:?}"),
                    }
                }
            }
            stored
        });
    }
    for store in stores.clone() {
        tasks.spawn(async move {
            for _ in 0..20 {
                store.fold(25).await.expect("the fold works");
            }
            Vec::new()
        });
    }
    let stored: Vec<Uuid> = tasks.join_all().await.into_iter().flatten().collect();
    let different: BTreeSet<Uuid> = stored.iter().copied().collect();
    assert_eq!(
        (stored.len(), different.len()),
        (events.len(), events.len()),
        "each is STORED to one caller"
    );
    assert_eq!(
        database.number("SELECT COUNT(*) FROM events").await,
        events.len() as i64
    );
    stores[0].fold_all().await.expect("the fold works");
    for store in &stores {
        verify_is_clean(store).await;
        check_active_users(store, &events).await;
    }
}

async fn the_same_id_from_forty_callers_is_stored_by_one(database: TestDatabase) {
    let stores = two_stores(&database).await;
    let writers = stores
        .clone()
        .map(|store| Writer::start(store, WriterOptions::default()));
    for event in numbered_events("one of forty ", 5) {
        let mut callers = JoinSet::new();
        for caller in 0..40 {
            let (writer, new) = (writers[caller % 2].clone(), event.parsed());
            callers.spawn(async move {
                writer
                    .submit(vec![new])
                    .await
                    .expect("the writer takes it")
                    .remove(0)
            });
        }
        let answers = callers.join_all().await;
        let stored = answers
            .iter()
            .filter(|answer| matches!(answer, Ok(IngestOutcome::Stored)))
            .count();
        let doubled = answers
            .iter()
            .filter(|answer| matches!(answer, Ok(IngestOutcome::Duplicate(_))))
            .count();
        assert_eq!((stored, doubled), (1, 39));
    }
    verify_is_clean(&stores[0]).await;
}

async fn different_contents_under_one_id_leave_one_of_them(database: TestDatabase) {
    let stores = two_stores(&database).await;
    let event = numbered_events("rivals ", 1).remove(0);
    let mut callers = JoinSet::new();
    for caller in 0..10_usize {
        let store = stores[caller % 2].clone();
        let mine = Event {
            user_id: format!("rival {caller}"),
            ..event.clone()
        };
        callers.spawn(async move {
            (
                caller,
                store
                    .ingest(vec![mine.parsed()])
                    .await
                    .expect("ingest works")
                    .remove(0),
            )
        });
    }
    let mut winners = Vec::new();
    for (caller, outcome) in callers.join_all().await {
        match outcome {
            IngestOutcome::Stored => winners.push(format!("rival {caller}")),
            IngestOutcome::Conflict => {}
            other => panic!("{other:?}"),
        }
    }
    let rows = database.rows("SELECT user_id FROM events").await;
    let stored: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).expect("a user"))
        .collect();
    assert_eq!(winners, stored);
    verify_is_clean(&stores[0]).await;
}

async fn answers_hold_every_acknowledged_event_while_it_is_folded(database: TestDatabase) {
    let [writing, reading] = two_stores(&database).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for store in [writing.clone(), reading.clone()] {
        let done = Arc::clone(&done);
        tasks.spawn(async move {
            let mut random = StdRng::seed_from_u64(3);
            while !done.load(Ordering::SeqCst) {
                store
                    .fold(random.random_range(1..40))
                    .await
                    .expect("the fold works");
                tokio::task::yield_now().await;
            }
        });
    }
    let events = numbered_events("seen at once ", 400);
    let mut stored: Vec<Event> = Vec::new();
    for batch in events.chunks(20) {
        writing
            .ingest(batch.iter().map(Event::parsed).collect())
            .await
            .expect("ingest works");
        stored.extend(batch.iter().cloned());
        check_active_users(&writing, &stored).await;
        check_active_users(&reading, &stored).await;
    }
    done.store(true, Ordering::SeqCst);
    tasks.join_all().await;
    verify_is_clean(&reading).await;
}

async fn check_active_users(store: &Store, stored: &[Event]) {
    let question = active_users("2025-12-31", "2026-01-02", 1);
    let found = store
        .active_users(question.clone(), arrival())
        .await
        .expect("the store answers");
    assert_eq!(
        found,
        Oracle::new(Tz::UTC, stored).active_users(&question, arrival())
    );
}
