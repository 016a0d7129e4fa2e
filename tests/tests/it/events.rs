//! The rules of lists: pages of events and event types, and what is known of users, against the naive recount.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value};
use store::{
    EventsPage, EventsQuestion, IngestOutcome, MAX_PAGE_BYTES, MAX_PAGE_MEMORY_BYTES, Order, Position, Store,
    StoredEvent,
};
use tests::database::TestDatabase;
use tests::events::{Event, named_id, numbered_events, parsed_events};
use tests::filters;
use tests::oracle::Oracle;
use tests::streams::Stream;

use crate::checks::{at_every_stage, ingest, store_all, verify_is_clean};
use crate::erase::erase;

on_both_databases!(
    pages_are_what_the_recount_says,
    paging_meets_every_event_once,
    nothing_is_left_out_while_events_come_in,
    an_empty_list_has_one_empty_page,
    a_page_ends_early_where_properties_are_large,
    a_page_ends_early_where_properties_take_memory,
    an_event_is_found_by_its_id,
    users_are_known_by_their_events,
    event_types_come_in_pages_by_name,
    event_types_count_what_is_not_folded,
    event_types_without_events_are_left_out,
);

/// Random events, of which many share their time with another one.
async fn filled(database: &TestDatabase, seed: u64, count: usize) -> (Store, Stream, Vec<Event>) {
    let mut stream = Stream::new(seed);
    let store = database.store_in(stream.zone).await;
    let mut stored: Vec<Event> = Vec::new();
    for _ in 0..count {
        let mut event = stream.event();
        if let Some(other) = stored.choose(&mut stream.random)
            && stream.random.random_bool(0.4)
        {
            event.occurred_at = other.occurred_at;
        }
        stored.push(event);
    }
    store_all(&store, &stored).await;
    (store, stream, stored)
}

/// A stored event as it was sent.
fn plain(stored: &StoredEvent) -> Event {
    Event {
        event_id: stored.event_id,
        user_id: stored.user_id.clone(),
        event_type: stored.event_type.clone(),
        occurred_at: stored.occurred_at,
        properties: stored.properties.clone(),
    }
}

/// An event as it is stored: each number in its one spelling.
fn as_stored(event: &Event) -> StoredEvent {
    StoredEvent::from(&event.parsed())
}

fn position(event: &Event) -> Position {
    Position {
        occurred_at: event.occurred_at,
        event_id: event.event_id,
    }
}

/// What the page should be.
fn expected(oracle: &Oracle, question: &EventsQuestion) -> (Vec<Event>, bool) {
    let mut events = oracle.events(|event| {
        question
            .user_id
            .as_ref()
            .is_none_or(|user| event.user_id == *user)
            && question
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(&as_stored(event)))
            && question.newer_than.is_none_or(|bound| position(event) > bound)
            && question.older_than.is_none_or(|bound| position(event) < bound)
    });
    if question.order == Order::OldestFirst {
        events.reverse();
    }
    let limit = question.limit as usize;
    let page = events
        .iter()
        .take(limit)
        .map(|event| plain(&as_stored(event)))
        .collect();
    (page, events.len() > limit)
}

async fn check_page(store: &Store, oracle: &Oracle, question: EventsQuestion) -> EventsPage {
    let page = store.events(question.clone()).await.expect("the store answers");
    let found: Vec<Event> = page.events.iter().map(plain).collect();
    assert_eq!((found, page.more), expected(oracle, &question), "{question:?}");
    page
}

fn random_question(stream: &mut Stream, stored: &[Event]) -> EventsQuestion {
    let mut question = EventsQuestion::new(if stream.random.random_bool(0.5) {
        Order::NewestFirst
    } else {
        Order::OldestFirst
    });
    question.limit = *[0, 1, 2, 5, 50, 1_000]
        .choose(&mut stream.random)
        .expect("not empty");
    let some_place = |stream: &mut Stream| {
        let event = stored.choose(&mut stream.random).expect("there are events");
        match stream.random.random_range(0..4) {
            0 => position(event),
            1 => position(event).next(),
            2 => position(event).previous(),
            _ => Position::first_of(
                event.occurred_at + TimeDelta::microseconds(stream.random.random_range(-2..3)),
            ),
        }
    };
    if stream.random.random_bool(0.5) {
        question.newer_than = Some(some_place(stream));
    }
    if stream.random.random_bool(0.5) {
        question.older_than = Some(some_place(stream));
    }
    if stream.random.random_bool(0.5) {
        let user = stored.choose(&mut stream.random).expect("there are events");
        question.user_id = Some(user.user_id.clone());
    }
    if stream.random.random_bool(0.5) {
        question.filter = Some(filters::filter(&mut stream.random, stored));
    }
    question
}

async fn pages_are_what_the_recount_says(database: TestDatabase) {
    let (store, mut stream, stored) = filled(&database, 2, 300).await;
    let oracle = Oracle::new(stream.zone, &stored);
    for _ in 0..120 {
        let question = random_question(&mut stream, &stored);
        check_page(&store, &oracle, question).await;
    }
}

/// Every event of the list, page by page.
async fn read_all(store: &Store, mut question: EventsQuestion) -> Vec<StoredEvent> {
    let mut all: Vec<StoredEvent> = Vec::new();
    loop {
        let page = store.events(question.clone()).await.expect("the store answers");
        if let Some(last) = page.events.last() {
            question = match question.order {
                Order::NewestFirst => question.older_than(Position::from(last)),
                Order::OldestFirst => question.newer_than(Position::from(last)),
            };
        }
        all.extend(page.events);
        if !page.more {
            return all;
        }
    }
}

async fn paging_meets_every_event_once(database: TestDatabase) {
    let (store, stream, stored) = filled(&database, 4, 200).await;
    let oracle = Oracle::new(stream.zone, &stored);
    for (order, limit) in [
        (Order::NewestFirst, 7),
        (Order::OldestFirst, 7),
        (Order::NewestFirst, 1),
    ] {
        let question = EventsQuestion {
            limit,
            ..EventsQuestion::new(order)
        };
        let mut found: Vec<Event> = read_all(&store, question).await.iter().map(plain).collect();
        if order == Order::OldestFirst {
            found.reverse();
        }
        let all: Vec<Event> = oracle
            .events(|_| true)
            .into_iter()
            .map(|event| plain(&as_stored(event)))
            .collect();
        assert_eq!(found, all, "{order:?} by {limit}");
    }
}

async fn nothing_is_left_out_while_events_come_in(database: TestDatabase) {
    let (store, mut stream, stored) = filled(&database, 6, 200).await;
    let before: BTreeSet<Position> = stored.iter().map(position).collect();
    let later: Vec<Event> = (0..400).map(|_| stream.event()).collect();
    let done = Arc::new(AtomicBool::new(false));
    let (writing, finished) = (store.clone(), Arc::clone(&done));
    let writer = tokio::spawn(async move {
        for event in &later {
            store_all(&writing, std::slice::from_ref(event)).await;
        }
        finished.store(true, Ordering::Relaxed);
    });
    while !done.load(Ordering::Relaxed) {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let question = EventsQuestion {
                limit: 13,
                ..EventsQuestion::new(order)
            };
            let found: Vec<Position> = read_all(&store, question)
                .await
                .iter()
                .map(Position::from)
                .collect();
            let ascending = found.windows(2).all(|pair| pair[0] < pair[1]);
            let descending = found.windows(2).all(|pair| pair[0] > pair[1]);
            assert!(
                if order == Order::OldestFirst {
                    ascending
                } else {
                    descending
                },
                "out of order or twice"
            );
            let found: BTreeSet<Position> = found.into_iter().collect();
            assert!(before.is_subset(&found), "an event was left out");
        }
    }
    writer.await.expect("the writer works");
}

async fn an_empty_list_has_one_empty_page(database: TestDatabase) {
    let store = database.store().await;
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let question = EventsQuestion {
            limit: 10,
            ..EventsQuestion::new(order)
        };
        let empty = EventsPage {
            events: Vec::new(),
            more: false,
        };
        assert_eq!(store.events(question).await.expect("the store answers"), empty);
    }
    let page = store
        .event_types(String::new(), 10)
        .await
        .expect("the store answers");
    assert!(page.event_types.is_empty() && !page.more);
}

async fn a_page_ends_early_where_properties_are_large(database: TestDatabase) {
    let store = database.store().await;
    let text = Value::String("x".repeat(60 * 1024));
    let count = MAX_PAGE_BYTES / (60 * 1024) + 20;
    let mut large = numbered_events("large ", count);
    for event in &mut large {
        event.properties = Map::from_iter([("text".to_owned(), text.clone())]);
    }
    for part in large.chunks(40) {
        store_all(&store, part).await;
    }
    let question = EventsQuestion {
        limit: 1_000,
        ..EventsQuestion::new(Order::NewestFirst)
    };
    let first = store.events(question.clone()).await.expect("the store answers");
    assert!(first.more && first.events.len() < count && first.events.len() > 100);
    assert_eq!(read_all(&store, question).await.len(), count);
}

async fn a_page_ends_early_where_properties_take_memory(database: TestDatabase) {
    let store = database.store().await;
    let mut small = numbered_events("small ", 20);
    for event in &mut small {
        let objects = vec![Value::Object(Map::new()); 8_000];
        event.properties = Map::from_iter([("a".to_owned(), Value::Array(objects))]);
    }
    store_all(&store, &small).await;
    let question = EventsQuestion {
        limit: 1_000,
        ..EventsQuestion::new(Order::NewestFirst)
    };
    let first = store.events(question.clone()).await.expect("the store answers");
    let expected = MAX_PAGE_MEMORY_BYTES.div_ceil(8_000 * 664);
    assert!(
        first.more && first.events.len().abs_diff(expected) <= 1,
        "{}",
        first.events.len()
    );
    assert_eq!(read_all(&store, question).await.len(), 20);
}

async fn an_event_is_found_by_its_id(database: TestDatabase) {
    let (store, _, stored) = filled(&database, 1, 20).await;
    for event in &stored {
        let found = store.event(event.event_id).await.expect("the store answers");
        assert_eq!(found.as_ref().map(plain).as_ref(), Some(event));
    }
    let none = store
        .event(named_id("nobody's"))
        .await
        .expect("the store answers");
    assert_eq!(none, None);
}

async fn users_are_known_by_their_events(database: TestDatabase) {
    let (store, stream, stored) = filled(&database, 3, 200).await;
    let oracle = Oracle::new(stream.zone, &stored);
    let users: BTreeSet<String> = stored.iter().map(|event| event.user_id.clone()).collect();
    let asked: Vec<String> = users.iter().cloned().chain(["nobody".to_owned()]).collect();
    let facts = store.user_facts(asked).await.expect("the store answers");
    assert_eq!(facts.len(), users.len());
    for user in &users {
        assert_eq!(facts.get(user).copied(), oracle.user_facts(user), "{user:?}");
    }
    assert!(
        store
            .user_facts(Vec::new())
            .await
            .expect("the store answers")
            .is_empty()
    );
}

async fn event_types_come_in_pages_by_name(database: TestDatabase) {
    let (store, stream, stored) = filled(&database, 5, 150).await;
    let all = Oracle::new(stream.zone, &stored).event_types();
    at_every_stage(&store, |stage| {
        let (store, all) = (&store, &all);
        async move {
            for limit in [1, 2, 1_000] {
                let mut found = Vec::new();
                loop {
                    let after = found
                        .last()
                        .map_or(String::new(), |last: &store::EventType| last.name.clone());
                    let page = store.event_types(after, limit).await.expect("the store answers");
                    found.extend(page.event_types);
                    if !page.more {
                        break;
                    }
                }
                assert_eq!(&found, all, "{stage}, by {limit}");
            }
        }
    })
    .await;
}

async fn event_types_count_what_is_not_folded(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, "2026-03-02T08:00Z ana open\n2026-03-03T08:00Z bo open").await;
    store.fold_all().await.expect("the fold works");
    let shown = async || {
        let page = store
            .event_types(String::new(), 10)
            .await
            .expect("the store answers");
        let line = |event_type: &store::EventType| {
            let (first, last) = (event_type.first_day.date(), event_type.last_day.date());
            format!(
                "{} {first} {last} {} {}",
                event_type.name, event_type.events, event_type.users
            )
        };
        page.event_types.iter().map(line).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(shown().await, "open 2026-03-02 2026-03-03 2 2");
    // One known user, one new one, an earlier and a later day, and a type that no fold has seen.
    let more = "2026-03-01T08:00Z ana open #1
                2026-03-04T08:00Z cy open #2
                2026-03-04T08:00Z cy open #3
                2026-03-04T09:00Z cy buy #4";
    ingest(&store, more).await;
    let expected = "buy 2026-03-04 2026-03-04 1 1, open 2026-03-01 2026-03-04 5 3";
    assert_eq!(shown().await, expected);
    let another = database.store().await;
    let cold = another
        .event_types(String::new(), 10)
        .await
        .expect("the store answers");
    assert_eq!(cold.event_types.len(), 2, "also where no set is in memory");
    store.fold_all().await.expect("the fold works");
    assert_eq!(shown().await, expected);
}

/// A refused event can bring its type with it, which then has no event.
async fn event_types_without_events_are_left_out(database: TestDatabase) {
    let [store, other] = [database.store().await, database.store().await];
    ingest(
        &store,
        "2026-03-01T08:00Z ana login #1\n2026-03-01T09:00Z bo secret #2",
    )
    .await;
    let rival = parsed_events("2026-03-01T08:00Z ana unheard-of #1");
    let outcomes = other.ingest(rival).await.expect("ingest works");
    assert_eq!(outcomes, [IngestOutcome::Conflict]);
    let names = async |limit| {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().cloned().unwrap_or_default();
            let page = store.event_types(after, limit).await.expect("the store answers");
            names.extend(page.event_types.into_iter().map(|event_type| event_type.name));
            if !page.more {
                return names.join(" ");
            }
        }
    };
    for limit in [1, 10] {
        assert_eq!(names(limit).await, "login secret");
    }
    verify_is_clean(&store).await;
    store.fold_all().await.expect("the fold works");
    assert_eq!(names(1).await, "login secret");
    verify_is_clean(&store).await;
    assert_eq!(erase(&store, "bo", false).await, 1);
    assert_eq!(names(1).await, "login");
    verify_is_clean(&store).await;
    let stored = "SELECT COUNT(*) FROM facets WHERE kind = 'event_type'";
    assert_eq!(
        database.number(stored).await,
        1,
        "an erasure clears up what nobody has"
    );
    // Whoever remembers the type from before takes events of it again.
    ingest(&other, "2026-03-02T08:00Z cy unheard-of #3").await;
    assert_eq!(names(1).await, "login unheard-of");
    verify_is_clean(&store).await;
    store.rebuild(None, |_| {}).await.expect("rebuild works");
    assert_eq!(names(1).await, "login unheard-of");
    verify_is_clean(&store).await;
}
