//! Random streams against the naive recount: late events, duplicates, conflicts, hostile names, zones whose clocks
//! jump; folded at random moments, asked in between.
//!
//! A failure names the seed; `check_seed` with that seed alone repeats it. `KOHORTA_TEST_ROUNDS=50` makes fifty streams
//! of each zone instead of one.

use activity::calendar::{Day, Period};
use activity::retention::{Criterion, Entry};
use activity::top_events::Rank;
use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use rand::seq::IndexedRandom;
use store::filter::Filter;
use store::{ActiveUsersQuestion, IngestOutcome, RetentionQuestion, Store, TopEventsQuestion};
use tests::database::TestDatabase;
use tests::events::Event;
use tests::filters;
use tests::oracle::Oracle;
use tests::streams::{Expected, Stream, deliver};

use crate::checks::verify_is_clean;

on_both_databases!(
    utc, new_york, santiago, lord_howe, kolkata, casablanca, st_johns, apia
);

/// How many different events a stream has: enough for users and types to meet on many days.
const EVENTS: usize = 220;

async fn utc(database: TestDatabase) {
    check_zone(&database, 0).await;
}

async fn new_york(database: TestDatabase) {
    check_zone(&database, 1).await;
}

async fn santiago(database: TestDatabase) {
    check_zone(&database, 2).await;
}

async fn lord_howe(database: TestDatabase) {
    check_zone(&database, 3).await;
}

async fn kolkata(database: TestDatabase) {
    check_zone(&database, 4).await;
}

async fn casablanca(database: TestDatabase) {
    check_zone(&database, 5).await;
}

async fn st_johns(database: TestDatabase) {
    check_zone(&database, 6).await;
}

async fn apia(database: TestDatabase) {
    check_zone(&database, 7).await;
}

/// The streams of the zone that `seed` stands for, each in a database of its own.
async fn check_zone(database: &TestDatabase, seed: u64) {
    let rounds = std::env::var("KOHORTA_TEST_ROUNDS").map_or(1, |rounds| rounds.parse().expect("a number"));
    check_seed(database, seed).await;
    for round in 1..rounds {
        let database = TestDatabase::migrated(database.backend()).await;
        check_seed(&database, seed + round * Stream::ZONES).await;
    }
}

/// The stream of `seed`, delivered batch by batch; a question of every kind now and then, many at the end.
async fn check_seed(database: &TestDatabase, seed: u64) {
    let mut stream = Stream::new(seed);
    let store = database.store_in(stream.zone).await;
    let mut stored: Vec<Event> = Vec::new();
    for delivery in stream.deliveries(EVENTS) {
        let expected = deliver(&mut stored, &delivery);
        let outcomes = store
            .ingest(delivery.iter().map(Event::parsed).collect())
            .await
            .expect("ingest works");
        let outcomes: Vec<Expected> = outcomes.iter().map(kind).collect();
        assert_eq!(outcomes, expected, "seed {seed}");
        if stream.random.random_bool(0.5) {
            let rows = stream.random.random_range(1..30);
            store.fold(rows).await.expect("the fold works");
        }
        if stream.random.random_bool(0.2) {
            check_answers(&store, &mut stream, &stored).await;
        }
    }
    for _ in 0..4 {
        check_answers(&store, &mut stream, &stored).await;
    }
    verify_is_clean(&store).await;
    store.fold_all().await.expect("the fold works");
    for _ in 0..8 {
        check_answers(&store, &mut stream, &stored).await;
    }
    verify_is_clean(&store).await;
}

pub(crate) fn kind(outcome: &IngestOutcome) -> Expected {
    match outcome {
        IngestOutcome::Stored => Expected::Stored,
        IngestOutcome::Duplicate(_) => Expected::Duplicate,
        IngestOutcome::Conflict => Expected::Conflict,
        IngestOutcome::Refused(violation) => panic!("refused: {violation:?}"),
    }
}

/// One random question of each kind.
pub(crate) async fn check_answers(store: &Store, stream: &mut Stream, stored: &[Event]) {
    let oracle = Oracle::new(stream.zone, stored);
    let now = random_now(stream);
    let context = format!("seed {}, {} events stored, now {now}", stream.seed, stored.len());

    let (from, to) = random_range(stream);
    let window_days = *[1, 1, 7, 28, 30, 366]
        .choose(&mut stream.random)
        .expect("not empty");
    let question = ActiveUsersQuestion {
        from,
        to,
        window_days,
        filter: random_filter(stream, stored),
    };
    let found = store
        .active_users(question.clone(), now)
        .await
        .expect("the store answers");
    assert_eq!(
        found,
        oracle.active_users(&question, now),
        "{context}: {question:?}"
    );

    let (from, to) = random_range(stream);
    let rank = if stream.random.random_bool(0.5) {
        Rank::Events
    } else {
        Rank::Users
    };
    let question = TopEventsQuestion {
        from,
        to,
        limit: stream.random.random_range(1..=12),
        rank,
        filter: random_filter(stream, stored),
    };
    let found = store
        .top_events(question.clone())
        .await
        .expect("the store answers");
    assert_eq!(found, oracle.top_events(&question), "{context}: {question:?}");

    let found = store.event_types(String::new(), 1_000).await;
    let found = found.expect("the store answers").event_types;
    assert_eq!(found, oracle.event_types(), "{context}: event types");

    let question = random_retention(stream);
    let found = store
        .retention(question.clone(), now)
        .await
        .expect("the store answers");
    assert_eq!(found, oracle.retention(&question, now), "{context}: {question:?}");
    check_invariants(store, &question, now, &context).await;
}

/// What must hold between two answers, whatever the data.
async fn check_invariants(store: &Store, question: &RetentionQuestion, now: DateTime<Utc>, context: &str) {
    let with = |criterion| RetentionQuestion {
        criterion,
        ..question.clone()
    };
    let on = store
        .retention(with(Criterion::On), now)
        .await
        .expect("the store answers");
    let on_or_after = store
        .retention(with(Criterion::OnOrAfter), now)
        .await
        .expect("the store answers");
    for (on, on_or_after) in on.cohorts.iter().zip(&on_or_after.cohorts) {
        let mut before = on_or_after.size;
        for (exactly, at_least) in on.cells.iter().zip(&on_or_after.cells) {
            assert!(
                exactly.retained <= at_least.retained,
                "{context}: ON above ON_OR_AFTER"
            );
            assert!(
                at_least.retained <= before,
                "{context}: ON_OR_AFTER rises, or is above the size"
            );
            before = at_least.retained;
        }
    }
    let mut counts = Vec::new();
    for window_days in [1, 7, 30] {
        let question = ActiveUsersQuestion {
            from: question.from,
            to: question.to,
            window_days,
            filter: None,
        };
        counts.push(
            store
                .active_users(question, now)
                .await
                .expect("the store answers"),
        );
    }
    for (daily, (weekly, monthly)) in counts[0].iter().zip(counts[1].iter().zip(&counts[2])) {
        let ordered = daily.users <= weekly.users && weekly.users <= monthly.users;
        assert!(ordered, "{context}: DAU ≤ WAU ≤ MAU");
    }
}

pub(crate) fn random_retention(stream: &mut Stream) -> RetentionQuestion {
    let (from, to) = random_range(stream);
    let period = *[Period::Day, Period::Week, Period::Month]
        .choose(&mut stream.random)
        .expect("not empty");
    let some_type = |stream: &mut Stream| stream.random.random_bool(0.6).then(|| stream.event_type());
    let start_event = some_type(stream);
    let return_event = if stream.random.random_bool(0.2) {
        start_event.clone()
    } else {
        some_type(stream)
    };
    RetentionQuestion {
        from,
        to,
        period,
        periods: stream.random.random_range(0..=6),
        start_event,
        return_event,
        entry: if stream.random.random_bool(0.5) {
            Entry::FirstEver
        } else {
            Entry::Recurring
        },
        criterion: if stream.random.random_bool(0.5) {
            Criterion::On
        } else {
            Criterion::OnOrAfter
        },
    }
}

/// Often none, else one of all kinds or one of event types alone, which takes another way to the answer.
fn random_filter(stream: &mut Stream, stored: &[Event]) -> Option<Filter> {
    if stored.is_empty() {
        return None;
    }
    match stream.random.random_range(0..3) {
        0 => None,
        1 => Some(filters::type_filter(&mut stream.random, stored)),
        _ => Some(filters::filter(&mut stream.random, stored)),
    }
}

/// Up to three weeks, sometimes a single day.
pub(crate) fn random_range(stream: &mut Stream) -> (Day, Day) {
    let from = stream.day();
    let to = from + TimeDelta::days(stream.random.random_range(0..=21));
    (Day::from_date(from), Day::from_date(to))
}

/// Often inside the stream, so that the last days are not complete.
pub(crate) fn random_now(stream: &mut Stream) -> DateTime<Utc> {
    let start = stream.from.and_time(chrono::NaiveTime::MIN).and_utc();
    start + TimeDelta::minutes(stream.random.random_range(0..100 * 24 * 60))
}
