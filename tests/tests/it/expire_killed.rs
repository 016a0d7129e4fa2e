//! `kohorta expire` killed with SIGKILL in the middle of its work.

use activity::active_users::ActiveUsersPoint;
use activity::calendar::Period;
use activity::retention::Retention;
use activity::top_events::{Rank, TopEvents};
use store::{IngestOutcome, Store};
use tests::database::TestDatabase;
use tests::events::{arrival, events, numbered_events};
use tests::kohorta::{KohortaOptions, kill_at, run};
use tests::questions::{active_users, retention, top_events};

use crate::checks::{nobody_is_at_work, store_all, verify_is_clean};

on_both_databases!(killed_in_the_middle_and_run_again_it_comes_to_its_end);

/// Four transactions of an expiry have to do with these, and a few days stay.
const EVENTS: usize = 22_000;
const BEFORE: &str = "2026-01-15";

/// Numbers of the days that expire and of those that stay.
async fn numbers(store: &Store) -> (Vec<ActiveUsersPoint>, TopEvents, Retention) {
    let (from, to) = ("2025-12-31", "2026-01-18");
    (
        store
            .active_users(active_users(from, to, 3), arrival())
            .await
            .expect("the store answers"),
        store
            .top_events(top_events(from, to, 4, Rank::Events))
            .await
            .expect("the store answers"),
        store
            .retention(retention(from, to, Period::Day, 7), arrival())
            .await
            .expect("the store answers"),
    )
}

async fn left(database: &TestDatabase) -> i64 {
    // 2026-01-15T00:00Z in microseconds.
    let sql = "SELECT COUNT(*) FROM events WHERE occurred_at < 1768435200000000";
    database.number(sql).await
}

async fn killed_in_the_middle_and_run_again_it_comes_to_its_end(database: TestDatabase) {
    let running = database.store().await;
    for chunk in numbered_events("to expire ", EVENTS).chunks(2_000) {
        store_all(&running, chunk).await;
    }
    let expected = numbers(&running).await;
    let before = left(&database).await;
    assert_eq!(before, 14 * 24 * 60);

    let options = KohortaOptions {
        arguments: ["expire", "--before", BEFORE, "--database-url", database.url()]
            .map(str::to_owned)
            .to_vec(),
        ..KohortaOptions::default()
    };
    kill_at(&options, "deleting").expect("it is killed");
    nobody_is_at_work(&database).await;
    let after = left(&database).await;
    assert!(0 < after && after < before, "{after} of {before} are left");
    for store in [&running, &database.store().await] {
        verify_is_clean(store).await;
        assert_eq!(numbers(store).await, expected);
    }
    // A server takes what is new meanwhile and refuses what is older than the horizon.
    let sent = events("2026-01-14T08:00Z ana login #1\n2026-01-20T08:00Z ana login #2");
    let outcomes = store_all(&running, &sent).await;
    assert!(matches!(outcomes[0], IngestOutcome::Refused(_)), "{outcomes:?}");
    assert_eq!(outcomes[1], IngestOutcome::Stored);

    let output = run(&options).expect("kohorta runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("deleted {after} events from before {BEFORE}; their numbers stand\n")
    );
    assert_eq!(left(&database).await, 0);
    for store in [&running, &database.store().await] {
        verify_is_clean(store).await;
        assert_eq!(numbers(store).await, expected);
    }
    running.rebuild(None, |_| {}).await.expect("rebuild works");
    assert_eq!(numbers(&running).await, expected);
}
