//! Today's active users, of all events or of those that pass a filter, counted once for all who watch the same.
//!
//! The count is taken as soon as somebody watches and then every second, for as long as somebody does; a question that
//! takes long is asked less often. Whoever watches gets the count at once and every change of it. While the database is
//! away the last count stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use activity::active_users::ActiveUsersPoint;
use activity::calendar::Calendar;
use store::filter::Filter;
use store::{ActiveUsersQuestion, Store, StoreError};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::limits::{MAX_TODAY_COUNTS, TODAY_INTERVAL, TODAY_REST};

type Count = Option<Result<ActiveUsersPoint, StoreError>>;
/// The counts that are taken, by their filter, for as long as somebody watches.
type Counting = HashMap<Option<Filter>, Weak<watch::Sender<Count>>>;

/// Today's count and those who watch it.
#[derive(Clone)]
pub(crate) struct Today {
    store: Store,
    clock: Clock,
    counting: Arc<Mutex<Counting>>,
}

/// Somebody who watches.
pub(crate) struct Watching {
    count: watch::Receiver<Count>,
    /// As long as somebody has it, the count is taken.
    _counting: Arc<watch::Sender<Count>>,
}

impl Today {
    pub(crate) fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            counting: Arc::default(),
        }
    }

    /// Watches the count of the events that pass `filter` from now on. None if too many different ones are watched.
    pub(crate) fn watch(&self, filter: Option<Filter>) -> Option<Watching> {
        let mut counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match counting.get(&filter).and_then(Weak::upgrade) {
            Some(sender) => sender,
            None => {
                counting.retain(|_, counts| counts.strong_count() > 0);
                if counting.len() >= MAX_TODAY_COUNTS {
                    return None;
                }
                let sender = Arc::new(watch::Sender::new(None));
                counting.insert(filter.clone(), Arc::downgrade(&sender));
                tokio::spawn(self.clone().count_on(filter, Arc::downgrade(&sender)));
                sender
            }
        };
        let mut count = sender.subscribe();
        count.mark_changed();
        Some(Watching {
            count,
            _counting: sender,
        })
    }

    async fn count_on(self, filter: Option<Filter>, counts: Weak<watch::Sender<Count>>) {
        loop {
            let started = Instant::now();
            let counted = self.count(filter.clone()).await;
            let took = started.elapsed();
            let Some(counts) = counts.upgrade() else {
                return;
            };
            counts.send_if_modified(|last| replace(last, counted));
            drop(counts);
            tokio::time::sleep(pause_after(took)).await;
        }
    }

    async fn count(&self, filter: Option<Filter>) -> Result<ActiveUsersPoint, StoreError> {
        let now = self.clock.now();
        let day = Calendar::new(self.store.timezone()).day_of(now);
        let question = ActiveUsersQuestion {
            from: day,
            to: day,
            window_days: 1,
            filter,
        };
        let point = self.store.active_users(question, now).await?.pop();
        point.ok_or(StoreError::Closed)
    }
}

/// Whether a new count says something new: failures do, but only to those who have seen no count yet.
fn replace(last: &mut Count, counted: Result<ActiveUsersPoint, StoreError>) -> bool {
    match (&last, &counted) {
        (Some(Ok(known)), Ok(point)) if known == point => return false,
        (Some(Ok(_)), Err(_)) => return false,
        _ => {}
    }
    *last = Some(counted);
    true
}

fn pause_after(took: Duration) -> Duration {
    TODAY_INTERVAL.max(took * TODAY_REST)
}

impl Watching {
    /// The count, when it has changed since the last call.
    pub(crate) async fn next(&mut self) -> Option<Result<ActiveUsersPoint, StoreError>> {
        loop {
            self.count.changed().await.ok()?;
            if let Some(count) = self.count.borrow_and_update().clone() {
                return Some(count);
            }
        }
    }
}
