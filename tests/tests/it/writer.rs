//! The rules of group commit: callers share transactions and nothing else. Neither a bad event nor a caller that
//! goes away touches its neighbours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Map, Value};
use store::{IngestOutcome, Observer, QueueLimit, StoreError, Writer, WriterOptions};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};
use tokio::task::JoinSet;

use crate::checks::verify_is_clean;

on_both_databases!(
    every_caller_gets_its_own_answer,
    callers_that_wait_share_a_transaction,
    one_event_that_the_database_refuses_fails_alone,
    a_full_queue_refuses_at_once_and_loses_nothing,
    events_that_are_large_fill_the_queue_sooner,
    a_caller_that_goes_away_loses_and_doubles_nothing,
    closing_finishes_what_was_accepted,
);

/// Counts transactions.
#[derive(Default)]
struct Transactions(AtomicUsize);

impl Observer for Transactions {
    fn committed(&self, _: usize, _: Duration) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn folded(&self, _: u64, _: Duration, _: Duration) {}
}

async fn every_caller_gets_its_own_answer(database: TestDatabase) {
    let store = database.store().await;
    let writer = Writer::start(store.clone(), WriterOptions::default());
    let events = numbered_events("caller ", 60);
    let mut callers = JoinSet::new();
    for (number, event) in events.iter().enumerate() {
        let (writer, new) = (writer.clone(), event.parsed());
        let repeated = number % 3 == 0;
        let batch = if repeated {
            vec![new.clone(), new]
        } else {
            vec![new]
        };
        callers.spawn(async move { (repeated, writer.submit(batch).await.expect("the writer takes it")) });
    }
    for (repeated, answers) in callers.join_all().await {
        assert!(matches!(answers[0], Ok(IngestOutcome::Stored)), "{answers:?}");
        assert_eq!(answers.len(), if repeated { 2 } else { 1 });
        assert!(
            !repeated || matches!(answers[1], Ok(IngestOutcome::Duplicate(_))),
            "{answers:?}"
        );
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 60);
    assert_eq!(writer.queued_events(), 0);
    verify_is_clean(&store).await;
}

async fn callers_that_wait_share_a_transaction(database: TestDatabase) {
    let store = database.store().await;
    let transactions = Arc::new(Transactions::default());
    let options = WriterOptions {
        observer: transactions.clone(),
        ..WriterOptions::default()
    };
    let writer = Writer::start(store, options);
    // While somebody else holds the table, everybody queues; then at most two transactions take them all. A second writer takes
    // part only where more of them wait.
    let blocker = database.connect().await;
    let held = blocker.begin().await.expect("a transaction begins");
    let lock = match database.backend() {
        Backend::Sqlite => "DELETE FROM settings WHERE key = 'none'",
        Backend::Postgres => "LOCK TABLE events IN ACCESS EXCLUSIVE MODE",
    };
    held.execute_unprepared(lock)
        .await
        .expect("the table can be held");
    let mut callers = JoinSet::new();
    for event in numbered_events("waiting ", 40) {
        let (writer, new) = (writer.clone(), event.parsed());
        callers.spawn(async move { writer.submit(vec![new]).await });
    }
    while writer.queued_events() < 40 {
        tokio::task::yield_now().await;
    }
    held.commit().await.expect("the table is free again");
    for answers in callers.join_all().await {
        assert!(matches!(
            answers.expect("the writer takes it")[0],
            Ok(IngestOutcome::Stored)
        ));
    }
    let transactions = transactions.0.load(Ordering::SeqCst);
    assert!(
        (1..=2).contains(&transactions),
        "{transactions} transactions for 40 callers"
    );
}

async fn one_event_that_the_database_refuses_fails_alone(database: TestDatabase) {
    let store = database.store().await;
    let refusal = match database.backend() {
        Backend::Sqlite => {
            "CREATE TRIGGER refusal BEFORE INSERT ON events WHEN NEW.user_id = 'refused' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        }
        Backend::Postgres => "ALTER TABLE events ADD CONSTRAINT refusal CHECK (user_id <> 'refused')",
    };
    database.execute(refusal).await;
    let writer = Writer::start(
        store.clone(),
        WriterOptions {
            writers: 1,
            ..WriterOptions::default()
        },
    );
    let mut events = numbered_events("neighbour ", 50);
    for bad in [0, 17, 49] {
        events[bad].user_id = "refused".to_owned();
    }
    let answers = writer
        .submit(events.iter().map(Event::parsed).collect())
        .await
        .expect("the writer takes it");
    for (event, answer) in events.iter().zip(&answers) {
        match answer {
            Ok(outcome) => assert_eq!(
                (outcome, event.user_id != "refused"),
                (&IngestOutcome::Stored, true)
            ),
            Err(error) => assert_eq!(event.user_id, "refused", "{error:?}"),
        }
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 47);
    verify_is_clean(&store).await;
}

async fn a_full_queue_refuses_at_once_and_loses_nothing(database: TestDatabase) {
    let store = database.store().await;
    let options = WriterOptions {
        queue_events: 8,
        writers: 1,
        ..WriterOptions::default()
    };
    let writer = Writer::start(store.clone(), options);
    let mut callers = JoinSet::new();
    for event in numbered_events("full ", 200) {
        let writer = writer.clone();
        callers.spawn(async move { (event.event_id, writer.submit(vec![event.parsed()]).await) });
    }
    let mut accepted = 0;
    for (_, answer) in callers.join_all().await {
        match answer {
            Ok(answers) => {
                assert!(matches!(answers[0], Ok(IngestOutcome::Stored)), "{answers:?}");
                accepted += 1;
            }
            Err(error) => {
                let limit = QueueLimit::Events(8);
                assert!(
                    matches!(error, StoreError::Overloaded { limit: met } if met == limit),
                    "{error:?}"
                );
            }
        }
    }
    assert!((8..=200).contains(&accepted), "{accepted} accepted");
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, accepted);
    assert_eq!(writer.queued_events(), 0);
    verify_is_clean(&store).await;
}

async fn events_that_are_large_fill_the_queue_sooner(database: TestDatabase) {
    let store = database.store().await;
    let options = WriterOptions {
        queue_bytes: 100_000,
        writers: 1,
        ..WriterOptions::default()
    };
    let writer = Writer::start(store.clone(), options);
    let mut events = numbered_events("large ", 20);
    for event in &mut events {
        let text = Value::String("x".repeat(40_000));
        event.properties = Map::from_iter([("text".to_owned(), text)]);
    }
    // All are submitted before the writer has a chance to take one.
    let submitting = events.iter().map(|event| writer.submit(vec![event.parsed()]));
    let answers = join_all(submitting).await;
    let stored = answers.iter().filter(|answer| answer.is_ok()).count() as i64;
    assert!((2..20).contains(&stored), "{stored} stored");
    for error in answers.into_iter().filter_map(Result::err) {
        assert_eq!(
            error.to_string(),
            "overloaded: events of 100000 bytes are waiting to be stored, the most at a time"
        );
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, stored);
    // What is larger than the queue waits in it alone.
    let all = numbered_events("all ", 3).into_iter().map(|mut event| {
        event.properties = events[0].properties.clone();
        event.parsed()
    });
    let answers = writer.submit(all.collect()).await.expect("the queue is empty");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// `reliability.md` measured this against drivers of the day: a caller that was dropped while its transaction began
/// made later callers' acknowledged events vanish.
async fn a_caller_that_goes_away_loses_and_doubles_nothing(database: TestDatabase) {
    let store = database.store().await;
    let writer = Writer::start(store.clone(), WriterOptions::default());
    let mut random = StdRng::seed_from_u64(11);
    let mut callers = JoinSet::new();
    for event in numbered_events("hang up ", 300) {
        let (writer, store) = (writer.clone(), store.clone());
        let patience = random.random_bool(0.6).then(|| random.random_range(0..40_u32));
        let directly = random.random_bool(0.3);
        callers.spawn(async move {
            let new = vec![event.parsed()];
            let storing = async {
                if directly {
                    return store.ingest(new).await.map(drop);
                }
                writer.submit(new).await.map(drop)
            };
            let acknowledged = match patience {
                None => storing.await.is_ok(),
                Some(polls) => polled(storing, polls).await.is_some_and(|answer| answer.is_ok()),
            };
            acknowledged.then_some(event)
        });
    }
    let acknowledged: Vec<Event> = callers.join_all().await.into_iter().flatten().collect();
    writer.close().await;
    assert!(
        acknowledged.len() >= 60,
        "only {} were acknowledged",
        acknowledged.len()
    );
    let again = store
        .ingest(acknowledged.iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    for (event, outcome) in acknowledged.iter().zip(&again) {
        assert!(
            matches!(outcome, IngestOutcome::Duplicate(_)),
            "{event:?} was acknowledged and is lost"
        );
    }
    verify_is_clean(&store).await;
    if database.backend() == Backend::Postgres {
        let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND state LIKE 'idle in transaction%'";
        assert_eq!(
            database.number(sql).await,
            0,
            "a session was left in a transaction"
        );
    }
}

/// Polls `future` at most `polls` times and then drops it, as a connection that breaks does.
async fn polled<T>(future: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        if let std::task::Poll::Ready(answer) = future.as_mut().poll(context) {
            return std::task::Poll::Ready(Some(answer));
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await
}

async fn closing_finishes_what_was_accepted(database: TestDatabase) {
    let store = database.store().await;
    let writer = Writer::start(store.clone(), WriterOptions::default());
    let mut callers = JoinSet::new();
    for event in numbered_events("closing ", 100) {
        let writer = writer.clone();
        callers.spawn(async move { writer.submit(vec![event.parsed()]).await });
    }
    tokio::task::yield_now().await;
    writer.close().await;
    let answers = callers.join_all().await;
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    for answer in answers {
        match answer {
            Ok(answers) => assert!(matches!(answers[0], Ok(IngestOutcome::Stored)), "{answers:?}"),
            Err(error) => assert!(matches!(error, StoreError::Closed), "{error:?}"),
        }
    }
    assert_eq!(
        database.number("SELECT COUNT(*) FROM events").await,
        stored as i64
    );
    let late = numbered_events("late ", 1).remove(0).parsed();
    assert!(matches!(writer.submit(vec![late]).await, Err(StoreError::Closed)));
    verify_is_clean(&store).await;
}
