//! Many events at once go other ways into the tables than few: a hundred to a statement on SQLite; on PostgreSQL thousands by
//! `COPY`. Whatever their number, the same is stored and told.

use serde_json::{Map, Value};
use store::new_event::NewEvent;
use store::{IngestOutcome, Store, StoredEvent};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};
use tests::streams::{Expected, Stream, deliver};

use crate::checks::verify_is_clean;

on_both_databases!(
    a_batch_of_any_size_is_stored_as_small_ones_are,
    text_of_every_kind_comes_back_from_a_large_batch,
    the_largest_properties_come_back_from_a_large_batch,
    one_known_id_in_a_large_batch_harms_no_other,
    random_large_batches_are_told_and_stored_as_a_model_says,
);

/// Around the numbers at which the ways change: 100 on SQLite, 5,000 on PostgreSQL.
const SIZES: [usize; 7] = [1, 99, 100, 101, 250, 4_999, 5_000];
/// So many that PostgreSQL copies them.
const COPIED: usize = 5_000;

/// What a delimited text format would have to escape, and what databases and JSON have trouble with.
const TEXTS: [&str; 20] = [
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\\",
    "\\.",
    "\n\\.\n",
    "\\N",
    "\\\\N",
    "\\t",
    "a\tb\nc\\d,e\"f'g",
    "\u{1}\u{b}\u{1f}\u{7f}",
    "\u{2028}\u{feff}\u{fffd}",
    "e\u{301} é ﬁ 名前",
    "👩‍👩‍👧 🚆",
    "\\u0000",
    "null",
    "{}",
    "PGCOPY\n",
    "",
];

fn parsed(events: &[Event]) -> Vec<NewEvent> {
    events.iter().map(Event::parsed).collect()
}

async fn all_are_stored(store: &Store, new: Vec<NewEvent>) {
    let outcomes = store.ingest(new).await.expect("ingest works");
    assert!(
        outcomes.iter().all(|outcome| *outcome == IngestOutcome::Stored),
        "{outcomes:?}"
    );
}

/// Sent again, each is the duplicate of what was sent first: so it was stored as it was sent.
async fn all_come_back(store: &Store, new: Vec<NewEvent>) {
    let again = store.ingest(new.clone()).await.expect("ingest works");
    for (event, outcome) in new.iter().zip(again) {
        assert_eq!(
            outcome,
            IngestOutcome::Duplicate(Box::new(StoredEvent::from(event)))
        );
    }
}

/// Every value of every event, as the database shows it.
async fn contents(database: &TestDatabase) -> Vec<String> {
    let id = match database.backend() {
        Backend::Sqlite => "lower(hex(event_id))",
        Backend::Postgres => "replace(event_id::text, '-', '')",
    };
    let sql = format!(
        "SELECT {id} || '|' || user_id || '|' || event_type || '|' || occurred_at || '|' || received_at || '|' || \
         CAST(properties AS TEXT) FROM events ORDER BY 1"
    );
    let rows = database.rows(&sql).await;
    rows.iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect()
}

async fn a_batch_of_any_size_is_stored_as_small_ones_are(database: TestDatabase) {
    let other = TestDatabase::migrated(database.backend()).await;
    let (store, in_small_ones) = (database.store().await, other.store().await);
    for size in SIZES {
        let new = parsed(&numbered_events(&format!("{size} at once, "), size));
        for some in new.chunks(90) {
            all_are_stored(&in_small_ones, some.to_vec()).await;
        }
        all_are_stored(&store, new).await;
    }
    let stored = contents(&database).await;
    assert_eq!(stored.len(), SIZES.iter().sum::<usize>());
    assert_eq!(stored, contents(&other).await);
    verify_is_clean(&store).await;
}

async fn text_of_every_kind_comes_back_from_a_large_batch(database: TestDatabase) {
    let store = database.store().await;
    let mut events = numbered_events("text ", COPIED);
    for (number, event) in events.iter_mut().enumerate() {
        let text = TEXTS[number % TEXTS.len()];
        event.properties = Map::from_iter([
            (text.to_owned(), Value::from(text)),
            ("in a list".to_owned(), Value::from(vec![text, text])),
        ]);
        if !text.is_empty() && !text.contains(char::is_control) {
            event.user_id = text.to_owned();
            event.event_type = text.to_owned();
        }
    }
    all_are_stored(&store, parsed(&events)).await;
    all_come_back(&store, parsed(&events)).await;
    verify_is_clean(&store).await;
}

async fn the_largest_properties_come_back_from_a_large_batch(database: TestDatabase) {
    let store = database.store().await;
    let mut events = numbered_events("large ", COPIED);
    // Together with `{"a":""}` the most that is allowed, in each hundredth event.
    let longest = "\u{e9}".repeat((store::new_event::MAX_PROPERTIES_BYTES - 8) / 2);
    for event in events.iter_mut().step_by(100) {
        event.properties = Map::from_iter([("a".to_owned(), Value::from(longest.as_str()))]);
    }
    all_are_stored(&store, parsed(&events)).await;
    all_come_back(&store, parsed(&events)).await;
}

async fn one_known_id_in_a_large_batch_harms_no_other(database: TestDatabase) {
    let store = database.store().await;
    let events = numbered_events("known ", COPIED);
    let mut other = events[COPIED - 1].clone();
    other.user_id.push('!');
    all_are_stored(&store, vec![other.parsed()]).await;
    let outcomes = store.ingest(parsed(&events)).await.expect("ingest works");
    let (last, others) = outcomes.split_last().expect("there are some");
    assert!(others.iter().all(|outcome| *outcome == IngestOutcome::Stored));
    assert_eq!(*last, IngestOutcome::Conflict);
    // The transactions that follow a known id look for others first.
    all_are_stored(&store, parsed(&numbered_events("next ", 250))).await;
    assert_eq!(
        database.number("SELECT COUNT(*) FROM events").await,
        COPIED as i64 + 250
    );
    verify_is_clean(&store).await;
}

async fn random_large_batches_are_told_and_stored_as_a_model_says(database: TestDatabase) {
    check_seed(&database, 0).await;
    for seed in 1..3 {
        let database = TestDatabase::migrated(database.backend()).await;
        check_seed(&database, seed).await;
    }
}

async fn check_seed(database: &TestDatabase, seed: u64) {
    let mut stream = Stream::new(seed);
    let store = database.store_in(stream.zone).await;
    // The first batch repeats only itself, the second repeats the first as well.
    let mut first = stream.deliveries(700).concat();
    let second = first.split_off(450);
    let mut stored = Vec::new();
    for batch in [first, second] {
        let expected = deliver(&mut stored, &batch);
        let outcomes = store.ingest(parsed(&batch)).await.expect("ingest works");
        let told: Vec<Expected> = outcomes.iter().map(told).collect();
        assert_eq!(told, expected, "seed {seed}");
    }
    let count = database.number("SELECT COUNT(*) FROM events").await;
    assert_eq!(usize::try_from(count), Ok(stored.len()), "seed {seed}");
    all_come_back(&store, parsed(&stored)).await;
    verify_is_clean(&store).await;
}

fn told(outcome: &IngestOutcome) -> Expected {
    match outcome {
        IngestOutcome::Stored => Expected::Stored,
        IngestOutcome::Duplicate(_) => Expected::Duplicate,
        IngestOutcome::Conflict => Expected::Conflict,
        IngestOutcome::Refused(violation) => panic!("{violation:?}"),
    }
}
