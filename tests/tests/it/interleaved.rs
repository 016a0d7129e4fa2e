//! Questions at any moment while users are erased, days expire and the reporting time zone changes: every answer is right
//! for some moment between its question and itself, and none is an error.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use activity::calendar::Day;
use activity::top_events::Rank;
use chrono::{DateTime, Days, Utc};
use chrono_tz::Tz;
use rand::RngExt;
use rand::seq::IndexedRandom;
use store::filter::Filter;
use store::{ActiveUsersQuestion, IngestOutcome, Store, StoreError, TopEventsQuestion};
use tests::database::TestDatabase;
use tests::events::{Event, arrival};
use tests::filters;
use tests::oracle::{Oracle, local_day};
use tests::streams::Stream;
use tokio::task::JoinSet;

use crate::checks::{store_all, verify_is_clean};
use crate::erase::erase;
use crate::streams::{random_now, random_range, random_retention};

on_both_databases!(
    erasures_and_changes_of_the_time_zone_between_questions,
    expiry_between_questions,
);

/// How many changes there are in one run, one after the other.
const CHANGES: usize = 36;
const ZONES: [Tz; 4] = [
    Tz::UTC,
    Tz::America__New_York,
    Tz::Asia__Kolkata,
    Tz::Pacific__Auckland,
];

/// What the database holds at one moment.
#[derive(Clone)]
struct State {
    zone: Tz,
    stored: Vec<Event>,
}

/// All that the database has held, and will hold when the present change is done.
struct History {
    states: Mutex<Vec<State>>,
    /// The position of the state that surely has begun.
    reached: AtomicUsize,
    over: AtomicBool,
    /// Whether days expire: then some questions have no answer any more, and are told so.
    expiring: bool,
}

impl History {
    fn new(zone: Tz, expiring: bool) -> Arc<Self> {
        let first = State {
            zone,
            stored: Vec::new(),
        };
        Arc::new(Self {
            states: Mutex::new(vec![first]),
            reached: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            expiring,
        })
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state after every change that has begun.
    fn latest(&self) -> State {
        self.states().last().cloned().expect("there is a first one")
    }

    /// Does what leads to `next`.
    async fn change(&self, next: State, doing: impl Future<Output = ()>) {
        self.states().push(next);
        doing.await;
        self.reached.fetch_add(1, Ordering::SeqCst);
    }

    /// An answer to a question that was asked when `reached` was the latest state must be that of a state since then.
    fn check(&self, reached: usize, what: &str, is_right: impl Fn(&Oracle) -> bool) {
        let states = self.states()[reached..].to_vec();
        let right = states
            .iter()
            .any(|state| is_right(&Oracle::new(state.zone, &state.stored)));
        assert!(right, "wrong for each of {} states: {what}", states.len());
    }
}

/// Asks until all changes are done, and says how often.
async fn ask_on(history: Arc<History>, store: Store, mut stream: Stream) -> usize {
    let mut asked = 0;
    while !history.over.load(Ordering::SeqCst) {
        let now = random_now(&mut stream);
        let reached = history.reached.load(Ordering::SeqCst);
        match stream.random.random_range(0..5) {
            0 => ask_active_users(&history, reached, &store, &mut stream, now).await,
            1 => ask_top_events(&history, reached, &store, &mut stream).await,
            2 => ask_retention(&history, reached, &store, &mut stream, now).await,
            3 => {
                let found = store.event_types(String::new(), 1_000).await;
                let found = found.expect("event types").event_types;
                history.check(reached, &format!("{found:?}"), |oracle| {
                    oracle.event_types() == found
                });
            }
            _ if history.expiring => {}
            _ => {
                let user_id = stream.event().user_id;
                let found = store.user_facts(vec![user_id.clone()]).await.expect("facts");
                let found = found.get(&user_id).copied();
                let what = format!("{user_id:?}: {found:?}");
                history.check(reached, &what, |oracle| oracle.user_facts(&user_id) == found);
            }
        }
        asked += 1;
        tokio::task::yield_now().await;
    }
    asked
}

/// None, one of event types alone, or one that reads events, which know nothing of days that have expired.
fn random_filter(history: &History, stream: &mut Stream) -> Option<Filter> {
    let stored = history.latest().stored;
    match stream.random.random_range(0..3) {
        _ if stored.is_empty() => None,
        0 => None,
        1 if !history.expiring => Some(filters::filter(&mut stream.random, &stored)),
        _ => Some(filters::type_filter(&mut stream.random, &stored)),
    }
}

async fn ask_active_users(
    history: &History,
    reached: usize,
    store: &Store,
    stream: &mut Stream,
    now: DateTime<Utc>,
) {
    let (from, to) = random_range(stream);
    let question = ActiveUsersQuestion {
        from,
        to,
        window_days: stream.random.random_range(1..9),
        filter: random_filter(history, stream),
    };
    let found = store.active_users(question.clone(), now).await;
    let found = found.unwrap_or_else(|error| panic!("{question:?}: {error:?}"));
    history.check(reached, &format!("{question:?} at {now}: {found:?}"), |oracle| {
        oracle.active_users(&question, now) == found
    });
}

async fn ask_top_events(history: &History, reached: usize, store: &Store, stream: &mut Stream) {
    let (from, to) = random_range(stream);
    let question = TopEventsQuestion {
        from,
        to,
        limit: 4,
        rank: Rank::Users,
        filter: random_filter(history, stream),
    };
    let found = store.top_events(question.clone()).await;
    let found = found.unwrap_or_else(|error| panic!("{question:?}: {error:?}"));
    history.check(reached, &format!("{question:?}: {found:?}"), |oracle| {
        oracle.top_events(&question) == found
    });
}

async fn ask_retention(
    history: &History,
    reached: usize,
    store: &Store,
    stream: &mut Stream,
    now: DateTime<Utc>,
) {
    let question = random_retention(stream);
    let found = match store.retention(question.clone(), now).await {
        Ok(found) => found,
        // The order on a day whose events have expired.
        Err(StoreError::Invalid { field: "from", .. }) if history.expiring => return,
        Err(error) => panic!("{question:?}: {error:?}"),
    };
    history.check(reached, &format!("{question:?} at {now}: {found:?}"), |oracle| {
        oracle.retention(&question, now) == found
    });
}

/// Two servers, on each of which two clients ask while the first one changes what there is.
async fn beside_questions(
    database: &TestDatabase,
    history: &Arc<History>,
    seed: u64,
    changing: impl AsyncFnOnce(&[Store; 2], &mut Stream),
) {
    let stores = [
        database.store_in(history.latest().zone).await,
        database.store().await,
    ];
    let mut asking = JoinSet::new();
    for client in 1..=4 {
        let store = stores[client % 2].clone();
        let stream = Stream::new(seed + Stream::ZONES * client as u64);
        asking.spawn(ask_on(Arc::clone(history), store, stream));
    }
    changing(&stores, &mut Stream::new(seed)).await;
    history.over.store(true, Ordering::SeqCst);
    for asked in asking.join_all().await {
        assert!(asked > 0);
    }
    for store in &stores {
        verify_is_clean(store).await;
    }
}

/// Stores a few events, all of them new, on either server.
async fn store_some(history: &History, stores: &[Store; 2], stream: &mut Stream, first: Option<Day>) {
    let mut state = history.latest();
    let mut events: Vec<Event> = (0..12).map(|_| stream.event()).collect();
    if let Some(first) = first {
        events.retain(|event| local_day(state.zone, event.occurred_at) >= first.date());
    }
    state.stored.extend(events.iter().cloned());
    let store = stores.choose(&mut stream.random).expect("there are two");
    let storing = async {
        let outcomes = store_all(store, &events).await;
        let stored = outcomes.iter().all(|outcome| *outcome == IngestOutcome::Stored);
        assert!(stored, "{outcomes:?}");
    };
    history.change(state, storing).await;
    if stream.random.random_bool(0.6) {
        store
            .fold(stream.random.random_range(1..40))
            .await
            .expect("the fold works");
    }
}

async fn pause(stream: &mut Stream) {
    let pause = Duration::from_millis(stream.random.random_range(0..12));
    tokio::time::sleep(pause).await;
}

async fn erasures_and_changes_of_the_time_zone_between_questions(database: TestDatabase) {
    let history = History::new(ZONES[0], false);
    let changing = async |stores: &[Store; 2], stream: &mut Stream| {
        for _ in 0..CHANGES {
            let mut state = history.latest();
            match stream.random.random_range(0..4) {
                0 if !state.stored.is_empty() => {
                    let event = state.stored.choose(&mut stream.random);
                    let user_id = event.expect("there is one").user_id.clone();
                    state.stored.retain(|event| event.user_id != user_id);
                    let erasing = async {
                        erase(&stores[0], &user_id, false).await;
                    };
                    history.change(state, erasing).await;
                }
                1 => {
                    state.zone = *ZONES.choose(&mut stream.random).expect("there are some");
                    let zone = state.zone;
                    let rebuilding = async {
                        let rebuilt = stores[0].rebuild(Some(zone), |_| {}).await;
                        rebuilt.expect("rebuild works");
                    };
                    history.change(state, rebuilding).await;
                }
                _ => store_some(&history, stores, stream, None).await,
            }
            pause(stream).await;
        }
    };
    beside_questions(&database, &history, 1, changing).await;
}

async fn expiry_between_questions(database: TestDatabase) {
    let seed = 3;
    let history = History::new(Stream::new(seed).zone, true);
    let changing = async |stores: &[Store; 2], stream: &mut Stream| {
        let mut first = Day::from_date(stream.from - Days::new(3));
        for _ in 0..CHANGES {
            if stream.random.random_bool(0.4) {
                first = first.plus(stream.random.random_range(0..6));
                // Numbers stay as they are.
                let state = history.latest();
                let expiring = async {
                    let expired = stores[0].expire(first, arrival(), |_| {}).await;
                    expired.expect("expiry works");
                };
                history.change(state, expiring).await;
            } else {
                store_some(&history, stores, stream, Some(first)).await;
            }
            pause(stream).await;
        }
    };
    beside_questions(&database, &history, seed, changing).await;
}
