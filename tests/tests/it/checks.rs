//! The checks that several subjects share: a store before the fold, in the middle of it, and after it must say the
//! same.

use std::future::Future;
use std::time::{Duration, Instant};

use activity::active_users::ActiveUsersPoint;
use activity::retention::{Cohort, Retention};
use activity::top_events::TopEvents;
use store::{IngestOutcome, Store};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, parsed_events};

/// Stores the events of `text`, which must all be new, and leaves the fold to the caller.
pub(crate) async fn ingest(store: &Store, text: &str) {
    let outcomes = store.ingest(parsed_events(text)).await.expect("ingest works");
    assert!(
        outcomes.iter().all(|outcome| *outcome == IngestOutcome::Stored),
        "{outcomes:?}"
    );
}

/// Stores these events, in one transaction, and says what became of each.
pub(crate) async fn store_all(store: &Store, events: &[Event]) -> Vec<IngestOutcome> {
    let parsed = events.iter().map(Event::parsed).collect();
    store.ingest(parsed).await.expect("ingest works")
}

/// Asks the same before any fold, in the middle of it, and when all is folded.
pub(crate) async fn at_every_stage<F, Answer>(store: &Store, ask: F)
where
    F: Fn(&'static str) -> Answer,
    Answer: Future<Output = ()>,
{
    ask("before the fold").await;
    store.fold(2).await.expect("the fold works");
    ask("after two rows").await;
    store.fold_all().await.expect("the fold works");
    ask("after the fold").await;
    verify_is_clean(store).await;
}

/// `kohorta verify` has nothing to say.
pub(crate) async fn verify_is_clean(store: &Store) {
    let differences = store.verify(|_| {}).await.expect("verify works");
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Waits until nobody is at work in the database any more: PostgreSQL may still finish what a client that is gone began.
pub(crate) async fn nobody_is_at_work(database: &TestDatabase) {
    if database.backend() == Backend::Sqlite {
        return;
    }
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'";
    let started = Instant::now();
    while database.number(sql).await > 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "a session goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One line per day: `2026-03-01 users new`, with `…` where the day is not complete.
pub(crate) fn show_points(points: &[ActiveUsersPoint]) -> String {
    let line = |point: &ActiveUsersPoint| {
        let open = if point.complete { "" } else { " …" };
        format!("{} {} {}{open}", point.day.date(), point.users, point.new_users)
    };
    points.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One line per type, `type events users`, then `total events, others, users`.
pub(crate) fn show_top(top: &TopEvents) -> String {
    let mut lines: Vec<String> = top
        .rows
        .iter()
        .map(|row| format!("{} {} {}", row.event_type, row.events, row.users))
        .collect();
    lines.push(format!(
        "total {} other {} users {}",
        top.total_events, top.other_events, top.total_users
    ));
    lines.join("\n")
}

/// One line per cohort: `2024-03-04: 2 [1,1]`, with `…` behind a cell that is not complete.
pub(crate) fn show_cohorts(retention: &Retention) -> String {
    let line = |cohort: &Cohort| {
        let cell = |(retained, complete)| {
            if complete {
                format!("{retained}")
            } else {
                format!("{retained}…")
            }
        };
        let cells: Vec<String> = cohort
            .cells
            .iter()
            .map(|found| cell((found.retained, found.complete)))
            .collect();
        format!("{}: {} [{}]", cohort.start.date(), cohort.size, cells.join(","))
    };
    retention.cohorts.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Lines without the indentation that they have in a test's source.
pub(crate) fn lines(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}
