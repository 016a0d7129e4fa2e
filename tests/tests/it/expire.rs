//! Expiry: events of days long past go, their numbers stay.

use activity::calendar::Day;
use activity::retention::Retention;
use chrono::{DateTime, Utc};
use rand::RngExt;
use store::new_event::{EventField, ViolationCode};
use store::{IngestOutcome, RetentionQuestion, Store, StoreError};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, arrival, events, numbered_events};
use tests::kohorta::{KohortaOptions, run};
use tests::oracle::{Oracle, local_day};
use tests::questions::{active_users, day, retention};
use tests::streams::{Expected, Stream, deliver};

use crate::checks::{ingest, show_cohorts, store_all, verify_is_clean};
use crate::erase::erase;
use crate::streams::{kind, random_now, random_range, random_retention};

on_both_databases!(
    numbers_of_the_past_stand,
    late_events_and_retries_of_expired_events_are_too_old,
    a_store_that_was_open_before_learns_the_horizon_at_once,
    what_is_not_folded_yet_is_folded_first,
    a_day_that_cannot_be_the_horizon_is_refused,
    counting_first_changes_nothing,
    an_order_that_nothing_tells_any_more_is_never_guessed,
    an_order_that_this_store_once_knew_is_not_told_either,
    verify_finds_damage_before_the_horizon,
    rebuild_keeps_the_days_before_the_horizon,
    a_user_is_erased_from_expired_days_as_well,
    what_was_cut_short_is_finished_by_the_next_run,
    ids_of_expired_events_are_not_given_again,
    random_streams_with_expiry_seed_1,
    random_streams_with_expiry_seed_2,
    random_streams_with_expiry_seed_5,
);

async fn expire(store: &Store, before: &str) -> u64 {
    store
        .expire(day(before), arrival(), |_| {})
        .await
        .expect("expiry works")
}

fn is_too_old(outcome: &IngestOutcome) -> bool {
    let IngestOutcome::Refused(violation) = outcome else {
        return false;
    };
    violation.code == ViolationCode::TooOld && violation.field == EventField::OccurredAt
}

const FOUR_DAYS: &str = "
    2026-03-01T08:00Z ana login
    2026-03-01T09:00Z ana open
    2026-03-02T23:59:59Z bo login
    2026-03-03T00:00Z ana login
    2026-03-03T10:00Z cy login
    2026-03-04T10:00Z bo open";

async fn check_numbers(store: &Store, stored: &[Event]) {
    let oracle = Oracle::new(store.timezone(), stored);
    let question = active_users("2026-02-27", "2026-03-06", 3);
    let found = store.active_users(question.clone(), arrival()).await;
    assert_eq!(
        found.expect("the store answers"),
        oracle.active_users(&question, arrival())
    );
    let question = retention("2026-03-01", "2026-03-04", activity::calendar::Period::Day, 3);
    let found = store.retention(question.clone(), arrival()).await;
    assert_eq!(
        found.expect("the store answers"),
        oracle.retention(&question, arrival())
    );
    verify_is_clean(store).await;
}

async fn numbers_of_the_past_stand(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, FOUR_DAYS).await;
    assert_eq!(expire(&store, "2026-03-03").await, 3);
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 3);
    assert_eq!(
        store.horizon().await.expect("it is known"),
        Some(day("2026-03-03"))
    );
    let mut stored = events(FOUR_DAYS);
    check_numbers(&store, &stored).await;
    // Ana and bo came before: sets know it, events do no more.
    let more =
        events("2026-03-03T00:00Z bo open #1\n2026-03-05T00:00Z ana login #2\n2026-03-05T00:00Z di login #3");
    store_all(&store, &more).await;
    stored.extend(more);
    check_numbers(&store, &stored).await;
    store.fold_all().await.expect("the fold works");
    check_numbers(&store, &stored).await;
    assert_eq!(expire(&store, "2026-03-05").await, 4);
    check_numbers(&database.store().await, &stored).await;
    assert_eq!(expire(&store, "2026-03-05").await, 0);
}

async fn late_events_and_retries_of_expired_events_are_too_old(database: TestDatabase) {
    let store = database.store().await;
    let sent = events(FOUR_DAYS);
    store_all(&store, &sent).await;
    expire(&store, "2026-03-03").await;
    let outcomes = store_all(&store, &sent).await;
    assert!(outcomes[..3].iter().all(is_too_old), "{outcomes:?}");
    let again = |outcome: &IngestOutcome| matches!(outcome, IngestOutcome::Duplicate(_));
    assert!(outcomes[3..].iter().all(again), "{outcomes:?}");
    let late = events("2026-03-02T23:59:59.999999Z di new-type\n2026-03-03T00:00Z di login");
    let preview = store.preview(late.iter().map(Event::parsed).collect()).await;
    let outcomes = store_all(&store, &late).await;
    assert_eq!(preview.expect("a preview works"), outcomes);
    assert!(is_too_old(&outcomes[0]), "{outcomes:?}");
    assert_eq!(outcomes[1], IngestOutcome::Stored);
    let IngestOutcome::Refused(violation) = &outcomes[0] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(
        violation.message,
        "lies before 2026-03-03; the events of earlier days have expired, and none is taken"
    );
    verify_is_clean(&store).await;
}

async fn a_store_that_was_open_before_learns_the_horizon_at_once(database: TestDatabase) {
    let [running, expiring] = [database.store().await, database.store().await];
    ingest(&running, FOUR_DAYS).await;
    expire(&expiring, "2026-03-03").await;
    let late = events("2026-03-02T08:00Z di login #1\n2026-03-03T08:00Z di login #2");
    let outcomes = store_all(&running, &late).await;
    assert!(is_too_old(&outcomes[0]), "{outcomes:?}");
    assert_eq!(outcomes[1], IngestOutcome::Stored);
    verify_is_clean(&running).await;
}

async fn what_is_not_folded_yet_is_folded_first(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, FOUR_DAYS).await;
    store.fold(1).await.expect("the fold works");
    expire(&store, "2026-03-04").await;
    assert_eq!(database.number("SELECT COUNT(*) FROM activity_log").await, 0);
    check_numbers(&store, &events(FOUR_DAYS)).await;
}

async fn a_day_that_cannot_be_the_horizon_is_refused(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, FOUR_DAYS).await;
    let refused = async |before: &str, now: DateTime<Utc>, why: &str| {
        let error = store
            .expire(day(before), now, |_| {})
            .await
            .expect_err("it is refused");
        let count = store
            .expirable(day(before), now)
            .await
            .expect_err("it is refused");
        assert!(
            matches!(&error, StoreError::Invalid { field: "before", .. }),
            "{error:?}"
        );
        assert_eq!(
            (error.to_string(), count.to_string()),
            (why.to_owned(), why.to_owned())
        );
    };
    refused(
        "2027-01-02",
        arrival(),
        "invalid before: 2027-01-02 lies in the future: today is 2027-01-01, the latest day that can be given",
    )
    .await;
    assert_eq!(store.horizon().await.expect("it is known"), None);
    expire(&store, "2026-03-03").await;
    refused(
        "2026-03-02",
        arrival(),
        "invalid before: 2026-03-02 lies before 2026-03-03: the events of all days before that one have expired already",
    )
    .await;
    assert_eq!(expire(&store, "2027-01-01").await, 3);
    check_numbers(&store, &events(FOUR_DAYS)).await;
}

async fn counting_first_changes_nothing(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, FOUR_DAYS).await;
    let count = store.expirable(day("2026-03-03"), arrival()).await;
    assert_eq!(count.expect("it can be counted"), 3);
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 6);
    assert_eq!(store.horizon().await.expect("it is known"), None);
}

fn signup_and_open(from: &str, to: &str) -> RetentionQuestion {
    RetentionQuestion {
        start_event: Some("signup".to_owned()),
        return_event: Some("open".to_owned()),
        ..retention(from, to, activity::calendar::Period::Day, 1)
    }
}

async fn an_order_that_nothing_tells_any_more_is_never_guessed(database: TestDatabase) {
    let store = database.store().await;
    let text = "
        2026-03-01T08:00Z ana signup
        2026-03-01T09:00Z bo open
        2026-03-02T08:00Z cy signup
        2026-03-02T07:00Z cy open
        2026-03-03T08:00Z di open
        2026-03-03T09:00Z di signup
        2026-03-04T09:00Z di open";
    ingest(&store, text).await;
    store.fold_all().await.expect("the fold works");
    let question = signup_and_open("2026-03-01", "2026-03-03");
    let before = store
        .retention(question.clone(), arrival())
        .await
        .expect("the store answers");
    assert_eq!(
        show_cohorts(&before),
        "2026-03-01: 1 [0,0]\n2026-03-02: 1 [0,0]\n2026-03-03: 1 [0,1]"
    );
    // On the first day nobody had both events.
    expire(&store, "2026-03-02").await;
    let found = store.retention(question.clone(), arrival()).await;
    assert_eq!(found.expect("the store answers"), before);
    expire(&store, "2026-03-03").await;
    for store in [&store, &database.store().await] {
        let error = store
            .retention(question.clone(), arrival())
            .await
            .expect_err("nobody knows");
        assert!(
            matches!(&error, StoreError::Invalid { field: "from", reason } if reason.contains("ask from 2026-03-03 on")),
            "{error:?}"
        );
        for (from, to) in [("2026-03-01", "2026-03-01"), ("2026-03-03", "2026-03-03")] {
            let question = signup_and_open(from, to);
            let found = store.retention(question.clone(), arrival()).await;
            let oracle = Oracle::new(store.timezone(), &events(text));
            assert_eq!(
                found.expect("the store answers"),
                oracle.retention(&question, arrival())
            );
        }
    }
}

/// Whoever computed an answer while the order could still be read gives it no longer than others do.
async fn an_order_that_this_store_once_knew_is_not_told_either(database: TestDatabase) {
    let store = database.store().await;
    let text = "
        2026-03-01T08:00Z ana signup
        2026-03-01T09:00Z ana open
        2026-03-02T08:00Z bo signup";
    ingest(&store, text).await;
    store.fold_all().await.expect("the fold works");
    let question = signup_and_open("2026-03-01", "2026-03-02");
    let before = store.retention(question.clone(), arrival()).await;
    assert_eq!(
        show_cohorts(&before.expect("the store answers")),
        "2026-03-01: 1 [1,0]\n2026-03-02: 1 [0,0]"
    );
    expire(&store, "2026-03-02").await;
    for store in [&store, &database.store().await] {
        let found = store.retention(question.clone(), arrival()).await;
        assert!(
            matches!(&found, Err(StoreError::Invalid { field: "from", .. })),
            "{found:?}"
        );
    }
}

async fn verify_finds_damage_before_the_horizon(database: TestDatabase) {
    for damage in [
        "UPDATE activity SET events = events + 1 WHERE facet_id = 1 AND day = (SELECT MIN(day) FROM activity)",
        "UPDATE activity SET new_users = new_users + 1 WHERE facet_id = 1 AND day = (SELECT MIN(day) FROM activity)",
        "UPDATE activity SET users = 1, active = (SELECT later.active FROM activity AS later WHERE later.facet_id = 1 \
         AND later.day = (SELECT MAX(day) FROM activity)) WHERE facet_id = 1 AND day = (SELECT MIN(day) FROM activity)",
        "DELETE FROM activity WHERE facet_id = 1 AND day = (SELECT MIN(day) FROM activity)",
        "DELETE FROM users WHERE user_id = 'only long ago'",
    ] {
        let database = TestDatabase::migrated(database.backend()).await;
        let store = database.store().await;
        ingest(&store, FOUR_DAYS).await;
        ingest(&store, "2026-03-01T07:00Z only-long-ago login #1").await;
        expire(&store, "2026-03-03").await;
        verify_is_clean(&store).await;
        let damage = damage.replace("only long ago", "only-long-ago");
        assert!(database.execute(&damage).await > 0, "{damage} changed nothing");
        let differences = store.verify(|_| {}).await.expect("verify works");
        assert!(!differences.is_empty(), "{damage} went unnoticed");
    }
}

async fn rebuild_keeps_the_days_before_the_horizon(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, FOUR_DAYS).await;
    expire(&store, "2026-03-03").await;
    ingest(&store, "2026-03-05T07:00Z di login #1").await;
    let mut stored = events(FOUR_DAYS);
    stored.extend(events("2026-03-05T07:00Z di login #1"));
    // What is damaged and can be made anew is: who joined, and who was ever there.
    database.execute("UPDATE activity SET new_users = 0").await;
    store.rebuild(None, |_| {}).await.expect("rebuild works");
    check_numbers(&store, &stored).await;
    assert_eq!(expire(&store, "2026-03-04").await, 2);
    store.rebuild(None, |_| {}).await.expect("rebuild works");
    check_numbers(&store, &stored).await;
    let error = store
        .rebuild(Some(chrono_tz::Tz::Asia__Kolkata), |_| {})
        .await
        .expect_err("the days are gone");
    assert_eq!(
        error.to_string(),
        "the events before 2026-03-04 have expired, so the days before cannot be made anew in another time zone"
    );
    let garbage = match database.backend() {
        Backend::Sqlite => "x'deadbeef'",
        Backend::Postgres => "'\\xdeadbeef'",
    };
    let sql = format!("UPDATE activity SET active = {garbage} WHERE day = (SELECT MIN(day) FROM activity)");
    database.execute(&sql).await;
    let error = store
        .rebuild(None, |_| {})
        .await
        .expect_err("nothing tells who it was");
    assert!(error.to_string().contains("go back to a backup"), "{error}");
}

async fn a_user_is_erased_from_expired_days_as_well(database: TestDatabase) {
    let store = database.store().await;
    let text = "
        2026-03-01T08:00Z ana login
        2026-03-01T09:00Z ana secret
        2026-03-01T09:00Z bo login
        2026-03-02T09:00Z ana login
        2026-03-02T09:01Z ana open
        2026-03-03T09:01Z ana open
        2026-03-03T09:01Z cy open";
    ingest(&store, text).await;
    expire(&store, "2026-03-03").await;
    assert_eq!(erase(&store, "ana", false).await, 1);
    verify_is_clean(&store).await;
    let rows = database
        .rows(
            "SELECT kind || ' ' || name || ' ' || (day - 20513) || ': ' || events || ' ' || users || ' ' || new_users AS line \
             FROM activity JOIN facets ON facets.facet_id = activity.facet_id ORDER BY line",
        )
        .await;
    let rows: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect();
    // Of the logins on the first day nothing tells how many were ana's; those of secret were all hers.
    assert_eq!(
        rows,
        [
            "all  0: 2 1 1",
            "all  2: 1 1 1",
            "event_type login 0: 2 1 1",
            "event_type open 2: 1 1 1",
        ]
    );
    let types = "SELECT COUNT(*) FROM facets WHERE name = 'secret'";
    assert_eq!(database.number(types).await, 0);
    store.rebuild(None, |_| {}).await.expect("rebuild works");
    verify_is_clean(&store).await;
    assert_eq!(erase(&store, "bo", true).await, 0);
    assert_eq!(erase(&store, "cy", true).await, 1);
    for table in ["events", "users", "activity"] {
        assert_eq!(
            database.number(&format!("SELECT COUNT(*) FROM {table}")).await,
            0,
            "{table}"
        );
    }
    verify_is_clean(&store).await;
}

/// As a run leaves it that was killed after a part of its work: the horizon is set, some events are gone.
async fn what_was_cut_short_is_finished_by_the_next_run(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, FOUR_DAYS).await;
    expire(&store, "2026-03-02").await;
    let number = day("2026-03-04").number();
    database
        .execute(&format!(
            "UPDATE settings SET value = '{number}' WHERE key = 'horizon'"
        ))
        .await;
    database
        .execute("UPDATE settings SET value = '99' WHERE key = 'generation'")
        .await;
    database
        .execute("DELETE FROM events WHERE user_id = 'bo' AND event_type = 'login'")
        .await;
    check_numbers(&store, &events(FOUR_DAYS)).await;
    store.rebuild(None, |_| {}).await.expect("rebuild works");
    check_numbers(&store, &events(FOUR_DAYS)).await;
    assert_eq!(expire(&store, "2026-03-04").await, 2);
    check_numbers(&store, &events(FOUR_DAYS)).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 1);
}

async fn ids_of_expired_events_are_not_given_again(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, "2026-03-05T08:00Z ana login #1").await;
    // Imported late, they have the highest ids.
    ingest(&store, FOUR_DAYS).await;
    let highest = database.number("SELECT MAX(id) FROM events").await;
    expire(&store, "2026-03-05").await;
    ingest(&store, "2026-03-05T09:00Z ana login #2").await;
    assert!(database.number("SELECT MAX(id) FROM events").await > highest);
}

async fn random_streams_with_expiry_seed_1(database: TestDatabase) {
    check_seed(&database, 1).await;
}

async fn random_streams_with_expiry_seed_2(database: TestDatabase) {
    check_seed(&database, 2).await;
}

async fn random_streams_with_expiry_seed_5(database: TestDatabase) {
    check_seed(&database, 5).await;
}

/// A random stream while events expire at random moments: every answer is what the oracle says of all events that were
/// ever stored, or, where it depends on an order that is gone, an error.
async fn check_seed(database: &TestDatabase, seed: u64) {
    let mut stream = Stream::new(seed);
    let store = database.store_in(stream.zone).await;
    let mut stored: Vec<Event> = Vec::new();
    let mut horizon = stream.from - chrono::Days::new(10);
    for delivery in stream.deliveries(220) {
        let outcomes = store_all(&store, &delivery).await;
        let zone = stream.zone;
        let (old, taken): (Vec<_>, Vec<_>) = delivery
            .into_iter()
            .zip(outcomes)
            .partition(|(event, _)| local_day(zone, event.occurred_at) < horizon);
        assert!(old.iter().all(|(_, outcome)| is_too_old(outcome)), "seed {seed}");
        let (taken, outcomes): (Vec<Event>, Vec<IngestOutcome>) = taken.into_iter().unzip();
        let expected = deliver(&mut stored, &taken);
        let outcomes: Vec<Expected> = outcomes.iter().map(kind).collect();
        assert_eq!(outcomes, expected, "seed {seed}");
        if stream.random.random_bool(0.5) {
            let rows = stream.random.random_range(1..30);
            store.fold(rows).await.expect("the fold works");
        }
        if stream.random.random_bool(0.3) {
            let later = horizon + chrono::Days::new(stream.random.random_range(0..12));
            horizon = later.min(stream.to);
            store
                .expire(Day::from_date(horizon), arrival(), |_| {})
                .await
                .expect("expiry works");
            verify_is_clean(&store).await;
        }
        if stream.random.random_bool(0.3) {
            check_answers(&store, &mut stream, &stored).await;
        }
    }
    store.rebuild(None, |_| {}).await.expect("rebuild works");
    for _ in 0..8 {
        check_answers(&store, &mut stream, &stored).await;
    }
    verify_is_clean(&store).await;
}

async fn check_answers(store: &Store, stream: &mut Stream, stored: &[Event]) {
    let oracle = Oracle::new(stream.zone, stored);
    let now = random_now(stream);
    let seed = stream.seed;
    let (from, to) = random_range(stream);
    let question = store::ActiveUsersQuestion {
        from,
        to,
        window_days: stream.random.random_range(1..40),
        filter: None,
    };
    let found = store
        .active_users(question.clone(), now)
        .await
        .expect("the store answers");
    assert_eq!(
        found,
        oracle.active_users(&question, now),
        "seed {seed}: {question:?}"
    );
    let question = store::TopEventsQuestion {
        from,
        to,
        limit: 5,
        rank: activity::top_events::Rank::Users,
        filter: None,
    };
    let found = store
        .top_events(question.clone())
        .await
        .expect("the store answers");
    assert_eq!(found, oracle.top_events(&question), "seed {seed}: {question:?}");
    for _ in 0..3 {
        let question = random_retention(stream);
        let expected: Retention = oracle.retention(&question, now);
        match store.retention(question.clone(), now).await {
            Ok(found) => assert_eq!(found, expected, "seed {seed}: {question:?}"),
            Err(StoreError::Invalid { field: "from", .. }) => {
                let typed = question.start_event.is_some() && question.return_event.is_some();
                assert!(
                    typed && question.start_event != question.return_event,
                    "{question:?}"
                );
            }
            Err(error) => panic!("seed {seed}: {question:?}: {error}"),
        }
    }
}

fn kohorta(database: &TestDatabase, arguments: &[&str]) -> (String, String, Option<i32>) {
    let arguments = [arguments, &["--database-url", database.url()]].concat();
    let output = run(&KohortaOptions {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..KohortaOptions::default()
    });
    let output = output.expect("kohorta runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_says_what_it_would_delete_and_what_it_did() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let database = TestDatabase::migrated(backend).await;
        let store = database.store().await;
        store_all(&store, &numbered_events("days ", 6_000)).await;
        let (out, log, _) = kohorta(&database, &["expire", "--before", "2026-01-05", "--dry-run"]);
        assert_eq!(
            out, "5760 events from before 2026-01-05 would be deleted\n",
            "{log}"
        );
        assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 6_000);
        let (out, log, code) = kohorta(&database, &["expire", "--before", "2026-01-05"]);
        assert_eq!(
            out,
            "deleted 5760 events from before 2026-01-05; their numbers stand\n"
        );
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("5000"), "progress is told: {log}");
        let (_, log, code) = kohorta(&database, &["expire", "--before", "2026-01-04"]);
        assert_eq!(code, Some(1));
        assert!(log.contains("2026-01-04 lies before 2026-01-05"), "{log}");
        let (out, _, code) = kohorta(&database, &["verify"]);
        assert_eq!(code, Some(0), "{out}");
    }
}
