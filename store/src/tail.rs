//! The tail of the log: events as they are stored, by whomever, for everybody who follows.
//!
//! Each event that is committed after [`Store::follow`] has returned comes once, in the order of commits as far as the
//! database tells; none that was committed before it was called. Whoever follows shares one reader and its pages. It
//! runs only while somebody follows, goes on from its position when the database was away, and holds a few pages in
//! memory: a follower that does not take them within [`PATIENCE`] is let go, and ingest never waits for any.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};
use tracing::{info, warn};

use crate::{Store, StoreError, StoredEvent, dialect::Dialect, tail_reader::TailReader, wake};

/// How many pages a follower may leave untaken before the others wait for it.
const PAGES: usize = 4;
/// How long the others wait for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The least time between two looks: one look takes many commits.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the log is looked at without being woken. SQLite's other processes cannot wake us, and a look costs them
/// nothing; on PostgreSQL only a lost notification is made up for.
const SQLITE_IDLE: Duration = Duration::from_millis(200);
const POSTGRES_IDLE: Duration = Duration::from_secs(1);
/// How long after a failure the database is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Events in the order in which they were stored, shared by all who follow.
pub type Page = Arc<[StoredEvent]>;

/// Why nothing more comes.
#[derive(Debug, Clone)]
pub enum TailEnd {
    /// The follower did not take what came; what followed is not known to it.
    TooSlow,
    /// The log can no longer be followed.
    Failed(StoreError),
}

/// Somebody's place at the tail.
#[derive(Debug)]
pub struct Follower {
    pages: mpsc::Receiver<Page>,
    end: Arc<Mutex<Option<TailEnd>>>,
}

impl Follower {
    /// The next events; waits for them.
    ///
    /// # Errors
    /// [`TailEnd`], from then on always. Events that came before it have been given out.
    pub async fn next(&mut self) -> Result<Page, TailEnd> {
        match self.pages.recv().await {
            Some(page) => Ok(page),
            None => {
                let end = lock(&self.end).clone();
                Err(end.unwrap_or(TailEnd::Failed(StoreError::Closed)))
            }
        }
    }
}

impl Store {
    /// Follows the log from now on.
    ///
    /// On PostgreSQL the first to follow waits until the transactions that are storing events have ended.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the database is out of reach, [`StoreError::Closed`] after [`Store::close`].
    pub async fn follow(&self) -> Result<Follower, StoreError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = lock(&self.inner.tail.state);
            if state.closed {
                return Err(StoreError::Closed);
            }
            state.joining.push(answer);
            if !state.running {
                state.running = true;
                state.task = Some(tokio::spawn(run(self.clone())));
            }
        }
        self.inner.tail.changed.notify_one();
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// What those who follow and the task that reads for them share.
#[derive(Default)]
pub(crate) struct Tail {
    state: Mutex<State>,
    /// Woken when somebody joins and when the store is closed.
    changed: Notify,
}

#[derive(Default)]
struct State {
    joining: Vec<oneshot::Sender<Result<Follower, StoreError>>>,
    running: bool,
    closed: bool,
    task: Option<JoinHandle<()>>,
}

impl Tail {
    /// Lets everybody go and returns when the reader's connection is closed.
    pub(crate) async fn close(&self) {
        let task = {
            let mut state = lock(&self.state);
            state.closed = true;
            state.task.take()
        };
        self.changed.notify_one();
        if let Some(task) = task {
            // It ends by itself; that it died is no hindrance to closing.
            let _ = task.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One follower, seen from the reader.
struct Place {
    pages: mpsc::Sender<Page>,
    end: Arc<Mutex<Option<TailEnd>>>,
}

/// Reads for everybody until nobody follows or the store is closed.
async fn run(store: Store) {
    let tail = &store.inner.tail;
    let mut commits = store.inner.commits.subscribe();
    let others = Arc::new(Notify::new());
    let mut listening = JoinSet::new();
    let idle = match store.inner.dialect {
        Dialect::Sqlite => SQLITE_IDLE,
        Dialect::Postgres => {
            listening.spawn(wake::listen(store.clone(), others.clone()));
            POSTGRES_IDLE
        }
    };
    let mut places: Vec<Place> = Vec::new();
    let mut reader: Option<TailReader> = None;
    let mut away = false;
    loop {
        commits.borrow_and_update();
        let pause = match turn(&store, &mut reader, &mut places).await {
            Ok(()) => {
                if std::mem::take(&mut away) {
                    info!("the log of events is followed again");
                }
                idle
            }
            Err(error) if error.is_transient() => {
                if !std::mem::replace(&mut away, true) {
                    warn!(%error, "the log of events cannot be read, trying again");
                }
                if let Some(reader) = &mut reader {
                    reader.reconnect(&store).await;
                }
                RETRY
            }
            Err(error) => {
                warn!(%error, "the log of events cannot be followed any more");
                for place in places.drain(..) {
                    *lock(&place.end) = Some(TailEnd::Failed(error.clone()));
                }
                reader = None;
                RETRY
            }
        };
        places.retain(|place| !place.pages.is_closed());
        {
            let mut state = lock(&tail.state);
            if state.closed || (places.is_empty() && state.joining.is_empty()) {
                state.running = false;
                state.joining.clear();
                break;
            }
        }
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            _ = commits.changed(), if !away => {}
            () = others.notified() => {}
            () = tail.changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    drop(places);
    if let Some(reader) = reader {
        reader.close().await;
    }
}

/// One look: gives what was stored since the last one to those who follow, and lets those in who came before it.
async fn turn(
    store: &Store,
    reader: &mut Option<TailReader>,
    places: &mut Vec<Place>,
) -> Result<(), StoreError> {
    let mut joining = Vec::new();
    let result = read(store, reader, places, &mut joining).await;
    let joining = if result.is_ok() {
        joining
    } else {
        joining.append(&mut lock(&store.inner.tail.state).joining);
        joining
    };
    for answer in joining {
        let answered = match &result {
            Ok(()) => {
                let (sender, pages) = mpsc::channel(PAGES);
                let end = Arc::default();
                places.push(Place {
                    pages: sender,
                    end: Arc::clone(&end),
                });
                answer.send(Ok(Follower { pages, end }))
            }
            Err(error) => answer.send(Err(error.clone())),
        };
        // Whoever does not wait for the answer any more leaves a closed place behind, which is cleared away.
        drop(answered);
    }
    result
}

async fn read(
    store: &Store,
    reader: &mut Option<TailReader>,
    places: &mut Vec<Place>,
    joining: &mut Vec<oneshot::Sender<Result<Follower, StoreError>>>,
) -> Result<(), StoreError> {
    let reader = match reader {
        Some(reader) => {
            // What a failure has left unread.
            drain(reader, places).await?;
            reader
        }
        None => reader.insert(TailReader::open(store).await?),
    };
    joining.append(&mut lock(&store.inner.tail.state).joining);
    reader.look().await?;
    drain(reader, places).await
}

async fn drain(reader: &mut TailReader, places: &mut Vec<Place>) -> Result<(), StoreError> {
    loop {
        let events = reader.page().await?;
        if events.is_empty() {
            return Ok(());
        }
        deliver(events.into(), places).await;
    }
}

/// Gives a page to everybody; lets those go who do not take it in time.
async fn deliver(page: Page, places: &mut Vec<Place>) {
    let sending = places.drain(..).map(|place| {
        let page = Arc::clone(&page);
        async move {
            match tokio::time::timeout(PATIENCE, place.pages.send(page)).await {
                Ok(Ok(())) => Some(place),
                Ok(Err(_)) => None,
                Err(_) => {
                    *lock(&place.end) = Some(TailEnd::TooSlow);
                    None
                }
            }
        }
    });
    let kept = join_all(sending).await;
    places.extend(kept.into_iter().flatten());
}
