//! Erasure: afterwards everything is as if the user had never been.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::RngExt;
use rand::seq::IndexedRandom;
use store::new_event::{EventField, ViolationCode};
use store::{ErasedUser, Erasure, IngestOutcome, Store};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, arrival, events, numbered_events};
use tests::oracle::Oracle;
use tests::questions::active_users;
use tests::streams::{Expected, Stream, deliver};
use tokio::task::JoinSet;

use crate::checks::{ingest, store_all, verify_is_clean};
use crate::streams::{check_answers, kind};

on_both_databases!(
    an_erased_user_leaves_no_trace,
    erasing_a_user_who_is_not_there_deletes_nothing,
    a_blocked_user_is_refused_and_others_are_not,
    a_blocked_user_is_refused_by_a_store_that_was_open_before,
    a_user_who_is_not_blocked_may_come_again,
    an_event_type_that_only_the_user_had_is_gone_and_may_come_again,
    an_event_type_that_others_have_only_in_the_log_stays,
    ids_of_events_never_go_down,
    a_preview_tells_of_erased_users,
    erasure_and_ingest_of_the_same_user_at_once,
    many_erasures_do_not_starve_ingest,
    random_streams_with_erasures_seed_0,
    random_streams_with_erasures_seed_3,
    random_streams_with_erasures_seed_6,
);

/// Erases, and says how many events went.
pub(crate) async fn erase(store: &Store, user_id: &str, block_future: bool) -> u64 {
    let erasure = Erasure {
        user_id: user_id.to_owned(),
        block_future,
        now: arrival(),
    };
    let erased = store.erase_user(erasure, |_| {}).await;
    let ErasedUser { events_deleted } = erased.expect("erasure works");
    events_deleted
}

/// Everything that the database says about activity, whatever the ordinals are.
async fn state(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT name || ' ' || day || ': ' || events || ' ' || users || ' ' || new_users AS line \
               FROM activity JOIN facets ON facets.facet_id = activity.facet_id \
               UNION ALL SELECT 'type ' || name FROM facets WHERE kind = 'event_type' \
               UNION ALL SELECT 'user ' || user_id FROM users \
               UNION ALL SELECT 'event ' || user_id || ' ' || event_type || ' ' || occurred_at FROM events \
               ORDER BY line";
    let rows = database.rows(sql).await;
    rows.iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect()
}

/// Some of ana's events are alone on their day or of their type, some are among others', some are not folded yet.
const ANA_AND_OTHERS: &str = "
    2026-03-01T08:00Z ana login
    2026-03-01T08:10Z ana secret
    2026-03-02T08:00Z ana login
    2026-03-02T09:00Z bo login
    2026-03-03T09:00Z bo login
    2026-03-03T10:00Z ana click
    2026-03-03T10:00Z cy click
    2026-03-04T10:00Z ana login
    2026-03-04T10:01Z ana login
    2026-03-05T10:01Z ana login";

async fn an_erased_user_leaves_no_trace(database: TestDatabase) {
    for folded in [0, 3, 7, 100] {
        let erased = TestDatabase::migrated(database.backend()).await;
        let store = erased.store().await;
        ingest(&store, ANA_AND_OTHERS).await;
        store.fold(folded).await.expect("the fold works");
        assert_eq!(erase(&store, "ana", false).await, 7);
        store.fold_all().await.expect("the fold works");
        verify_is_clean(&store).await;

        let never = TestDatabase::migrated(database.backend()).await;
        let others = ANA_AND_OTHERS.lines().filter(|line| !line.contains("ana"));
        let store = never.store().await;
        ingest(&store, &others.collect::<Vec<_>>().join("\n")).await;
        store.fold_all().await.expect("the fold works");
        assert_eq!(
            state(&erased).await,
            state(&never).await,
            "{folded} rows were folded"
        );
    }
}

async fn erasing_a_user_who_is_not_there_deletes_nothing(database: TestDatabase) {
    let store = database.store().await;
    assert_eq!(erase(&store, "ana", false).await, 0);
    assert_eq!(database.number("SELECT COUNT(*) FROM erasures").await, 0);
    ingest(&store, "2026-03-01T08:00Z bo login").await;
    assert_eq!(erase(&store, "ana", true).await, 0);
    assert_eq!(erase(&store, "ana", true).await, 0);
    assert_eq!(database.number("SELECT COUNT(*) FROM erasures").await, 1);
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 1);
    verify_is_clean(&store).await;
}

fn is_refused(outcome: &IngestOutcome) -> bool {
    let IngestOutcome::Refused(violation) = outcome else {
        return false;
    };
    violation.code == ViolationCode::UserErased && violation.field == EventField::UserId
}

async fn a_blocked_user_is_refused_and_others_are_not(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, ANA_AND_OTHERS).await;
    assert_eq!(erase(&store, "ana", true).await, 7);
    for store in [&store, &database.store().await] {
        let outcomes = store_all(
            store,
            &events("2026-03-06T08:00Z ana never-seen\n2026-03-06T08:00Z bo login"),
        )
        .await;
        assert!(
            is_refused(&outcomes[0]) && !is_refused(&outcomes[1]),
            "{outcomes:?}"
        );
    }
    let types = "SELECT COUNT(*) FROM facets WHERE name = 'never-seen'";
    assert_eq!(database.number(types).await, 0, "a refused event brings no type");
    assert_eq!(
        database
            .number("SELECT COUNT(*) FROM users WHERE user_id = 'ana'")
            .await,
        0
    );
    let hash = database.rows("SELECT user_hash FROM erasures").await;
    let hash: Vec<u8> = hash[0].try_get_by_index(0).expect("bytes");
    assert_eq!(hash.len(), 32);
    verify_is_clean(&store).await;
}

async fn a_blocked_user_is_refused_by_a_store_that_was_open_before(database: TestDatabase) {
    let other_server = database.store().await;
    store_all(&other_server, &events("2026-03-01T08:00Z ana login #1")).await;
    erase(&database.store().await, "ana", true).await;
    let outcomes = store_all(&other_server, &events("2026-03-01T08:00Z ana login #1")).await;
    assert!(is_refused(&outcomes[0]), "{outcomes:?}");
    let outcomes = store_all(&other_server, &events("2026-03-01T08:00Z bo login #2")).await;
    assert_eq!(outcomes, [IngestOutcome::Stored]);
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 1);
    verify_is_clean(&other_server).await;
}

async fn a_user_who_is_not_blocked_may_come_again(database: TestDatabase) {
    let other_server = database.store().await;
    let sent = events(ANA_AND_OTHERS);
    store_all(&other_server, &sent).await;
    other_server.fold_all().await.expect("the fold works");
    erase(&database.store().await, "ana", false).await;
    let outcomes = store_all(&other_server, &sent).await;
    for (event, outcome) in sent.iter().zip(&outcomes) {
        let again = event.user_id == "ana";
        assert_eq!(*outcome == IngestOutcome::Stored, again, "{event:?}: {outcome:?}");
    }
    verify_is_clean(&other_server).await;
    other_server.fold_all().await.expect("the fold works");
    verify_is_clean(&other_server).await;
    let question = active_users("2026-02-27", "2026-03-08", 3);
    let found = other_server.active_users(question.clone(), arrival()).await;
    let oracle = Oracle::new(other_server.timezone(), &sent);
    assert_eq!(
        found.expect("the store answers"),
        oracle.active_users(&question, arrival())
    );
}

async fn an_event_type_that_only_the_user_had_is_gone_and_may_come_again(database: TestDatabase) {
    let [one, other] = [database.store().await, database.store().await];
    ingest(&one, "2026-03-01T08:00Z ana secret #1").await;
    ingest(&other, "2026-03-01T08:00Z ana secret #2").await;
    one.fold(1).await.expect("the fold works");
    erase(&one, "ana", false).await;
    let types = "SELECT COUNT(*) FROM facets WHERE kind = 'event_type'";
    assert_eq!(database.number(types).await, 0);
    // Both remember the type from before.
    ingest(&other, "2026-03-02T08:00Z bo secret #3").await;
    ingest(&one, "2026-03-02T08:00Z bo secret #4").await;
    one.fold_all().await.expect("the fold works");
    verify_is_clean(&one).await;
    assert_eq!(database.number(types).await, 1);
}

async fn an_event_type_that_others_have_only_in_the_log_stays(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, "2026-03-01T08:00Z ana rare #1").await;
    store.fold_all().await.expect("the fold works");
    ingest(&store, "2026-03-01T08:00Z bo rare #2").await;
    erase(&store, "ana", false).await;
    verify_is_clean(&store).await;
    store.fold_all().await.expect("the fold works");
    verify_is_clean(&store).await;
    assert_eq!(database.number("SELECT users FROM activity LIMIT 1").await, 1);
}

async fn ids_of_events_never_go_down(database: TestDatabase) {
    let [one, other] = [database.store().await, database.store().await];
    let highest = || database.number("SELECT MAX(id) FROM events");
    let mut number = 0;
    let mut more = |user: &str, count: usize| -> Vec<Event> {
        number += 1;
        let renamed = |event| Event {
            user_id: user.to_owned(),
            ..event
        };
        numbered_events(&format!("{number} "), count)
            .into_iter()
            .map(renamed)
            .collect()
    };
    store_all(&one, &more("bo", 5)).await;
    store_all(&one, &more("ana", 3)).await;
    let before = highest().await;
    erase(&one, "ana", false).await;
    // More events than ids are free, by a store that was not told.
    store_all(&other, &more("cy", 10)).await;
    let rows = "SELECT COUNT(*) FROM events WHERE user_id = 'cy' AND id <= ";
    assert_eq!(database.number(&format!("{rows}{before}")).await, 0);
    let before = highest().await;
    for user in ["cy", "bo"] {
        erase(&other, user, false).await;
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 0);
    for (store, user) in [
        (&one, "di"),
        (&other, "ed"),
        (&one, "flo"),
        (&database.store().await, "gil"),
    ] {
        store_all(store, &more(user, 4)).await;
    }
    assert_eq!(
        database
            .number(&format!("SELECT COUNT(*) FROM events WHERE id > {before}"))
            .await,
        16
    );
    verify_is_clean(&one).await;
}

async fn a_preview_tells_of_erased_users(database: TestDatabase) {
    let store = database.store().await;
    erase(&database.store().await, "ana", true).await;
    let sent = events("2026-03-01T08:00Z ana login\n2026-03-01T08:00Z bo login");
    let outcomes = store.preview(sent.iter().map(Event::parsed).collect()).await;
    let outcomes = outcomes.expect("a preview works");
    assert!(is_refused(&outcomes[0]), "{outcomes:?}");
    assert_eq!(outcomes[1], IngestOutcome::Stored);
}

/// Whoever is acknowledged before an erasure is gone after it; whoever is refused is not there; the sets are right.
async fn erasure_and_ingest_of_the_same_user_at_once(database: TestDatabase) {
    let stores = [database.store().await, database.store().await];
    let done = Arc::new(AtomicBool::new(false));
    let stored = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..4_usize {
        let (store, done, stored) = (stores[writer % 2].clone(), Arc::clone(&done), Arc::clone(&stored));
        writers.spawn(async move {
            let mut batch = 0;
            while !done.load(Ordering::SeqCst) {
                let mut events = numbered_events(&format!("{writer} {batch} "), 4);
                for event in &mut events[..2] {
                    "ana".clone_into(&mut event.user_id);
                    event.event_type = format!("type of {writer}");
                }
                for outcome in store_all(&store, &events).await {
                    match outcome {
                        IngestOutcome::Stored => stored.fetch_add(1, Ordering::SeqCst),
                        refused if is_refused(&refused) => 0,
                        other => panic!("{other:?}"),
                    };
                }
                batch += 1;
                if batch % 5 == 0 {
                    store.fold(20).await.expect("the fold works");
                }
            }
        });
    }
    let mut deleted = 0;
    for round in 0..8 {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        deleted += erase(&stores[round % 2], "ana", false).await;
    }
    deleted += erase(&stores[0], "ana", true).await;
    done.store(true, Ordering::SeqCst);
    writers.join_all().await;
    assert!(deleted > 0, "they met");
    let left = database.number("SELECT COUNT(*) FROM events").await;
    assert_eq!(left.unsigned_abs() + deleted, stored.load(Ordering::SeqCst));
    for sql in [
        "SELECT COUNT(*) FROM events WHERE user_id = 'ana'",
        "SELECT COUNT(*) FROM users WHERE user_id = 'ana'",
    ] {
        assert_eq!(database.number(sql).await, 0, "{sql}");
    }
    verify_is_clean(&stores[1]).await;
    stores[1].fold_all().await.expect("the fold works");
    verify_is_clean(&stores[0]).await;
}

async fn many_erasures_do_not_starve_ingest(database: TestDatabase) {
    /// More than are stored in the time that SQLite makes the other one wait, however fast the disk.
    const MOST_EVENTS: usize = 20_000;
    let [writing, erasing] = [database.store().await, database.store().await];
    let erasures = Arc::new(AtomicU64::new(0));
    let task = {
        let erasures = Arc::clone(&erasures);
        tokio::spawn(async move {
            for number in 0.. {
                erase(&erasing, &format!("nobody {number}"), true).await;
                erasures.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    // Neither waits for the other to be through: there are events before, between and after erasures.
    for (number, event) in numbered_events("beside erasures ", MOST_EVENTS)
        .into_iter()
        .enumerate()
    {
        let outcomes = store_all(&writing, &[event]).await;
        assert_eq!(outcomes, [IngestOutcome::Stored]);
        if number + 1 >= 40 && erasures.load(Ordering::SeqCst) > 1 {
            break;
        }
    }
    assert!(!task.is_finished(), "no erasure has failed");
    task.abort();
    assert!(erasures.load(Ordering::SeqCst) > 1, "erasing goes on");
}

async fn random_streams_with_erasures_seed_0(database: TestDatabase) {
    check_seed(&database, 0).await;
}

async fn random_streams_with_erasures_seed_3(database: TestDatabase) {
    check_seed(&database, 3).await;
}

async fn random_streams_with_erasures_seed_6(database: TestDatabase) {
    check_seed(&database, 6).await;
}

/// A random stream to two servers, one of which erases users at random moments; every answer, of both, is what the
/// oracle says without those users.
async fn check_seed(database: &TestDatabase, seed: u64) {
    let mut stream = Stream::new(seed);
    let stores = [database.store_in(stream.zone).await, database.store().await];
    let mut stored: Vec<Event> = Vec::new();
    let mut blocked: BTreeSet<String> = BTreeSet::new();
    for delivery in stream.deliveries(220) {
        let store = stores.choose(&mut stream.random).expect("not empty");
        let outcomes = store_all(store, &delivery).await;
        let (refused, taken): (Vec<_>, Vec<_>) = delivery
            .into_iter()
            .zip(outcomes)
            .partition(|(event, _)| blocked.contains(&event.user_id));
        assert!(
            refused.iter().all(|(_, outcome)| is_refused(outcome)),
            "seed {seed}"
        );
        let (taken, outcomes): (Vec<Event>, Vec<IngestOutcome>) = taken.into_iter().unzip();
        let expected = deliver(&mut stored, &taken);
        let outcomes: Vec<Expected> = outcomes.iter().map(kind).collect();
        assert_eq!(outcomes, expected, "seed {seed}");
        if stream.random.random_bool(0.5) {
            let rows = stream.random.random_range(1..30);
            store.fold(rows).await.expect("the fold works");
        }
        if stream.random.random_bool(0.4) {
            let user_id = stream.event().user_id;
            let block = stream.random.random_bool(0.15);
            let own = stored.iter().filter(|event| event.user_id == user_id).count();
            assert_eq!(
                erase(store, &user_id, block).await,
                own as u64,
                "seed {seed}: {user_id:?}"
            );
            stored.retain(|event| event.user_id != user_id);
            if block {
                blocked.insert(user_id);
            }
            verify_is_clean(store).await;
        }
        if stream.random.random_bool(0.2) {
            check_answers(store, &mut stream, &stored).await;
        }
    }
    for store in &stores {
        check_answers(store, &mut stream, &stored).await;
        store.fold_all().await.expect("the fold works");
        check_answers(store, &mut stream, &stored).await;
        verify_is_clean(store).await;
    }
    check_types(database, &stored).await;
}

/// No event type is left that nobody has, apart from those of refused events.
async fn check_types(database: &TestDatabase, stored: &[Event]) {
    let empty = match database.backend() {
        Backend::Sqlite => "x''",
        Backend::Postgres => "'\\x'",
    };
    let sql = format!("SELECT name FROM facets WHERE kind = 'event_type' AND seen <> {empty}");
    let rows = database.rows(&sql).await;
    let found: BTreeSet<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect();
    let expected: BTreeSet<String> = stored.iter().map(|event| event.event_type.clone()).collect();
    assert_eq!(found, expected);
}
