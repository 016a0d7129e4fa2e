//! The keys of the database, held in memory.
//!
//! All live keys are read every few seconds, so a request never waits for the database to learn who asks, and strangers
//! with made-up keys cost it next to nothing: a key that is not known makes the ring read again, at most once a second. While
//! the database is away, what was read last counts for some minutes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use store::{ApiKey, KeyHash, Scope, Store, StoreError};
use tokio::sync::Mutex;

use super::Holder;
use crate::clock::Clock;
use crate::limits::{KEY_USE_PRECISION, KEYS_READ_AGAIN, KEYS_READ_TIMEOUT, KEYS_TRUSTED};
use crate::logging::chain;

/// The keys of the database.
pub(super) struct Keyring {
    store: Store,
    clock: Clock,
    held: RwLock<Option<Held>>,
    /// When the last attempt to read them began; locked while that is under way.
    last_attempt: Mutex<Option<Instant>>,
}

/// What was read.
struct Held {
    keys: HashMap<KeyHash, HeldKey>,
    wanted: bool,
    read_at: Instant,
}

struct HeldKey {
    key: ApiKey,
    /// When it was last used here, in microseconds since 1970; 0 if it was not.
    used_at: Arc<AtomicI64>,
}

/// What the ring knows about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It is good.
    Found(Holder, Scope),
    /// It is past its end.
    Expired,
    /// It is not there, or no key was shown.
    Unknown,
    /// There is no key in the database, and never was one.
    NoKeys,
    /// Nothing was read yet.
    Unread,
    /// What was read is too old to count.
    Stale,
}

impl Keyring {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            held: RwLock::new(None),
            last_attempt: Mutex::new(None),
        }
    }

    /// What is known about the key with this hash, and notes its use.
    pub(super) fn look_up(&self, shown: Option<&KeyHash>) -> Lookup {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = held.as_ref() else {
            return Lookup::Unread;
        };
        if held.read_at.elapsed() > KEYS_TRUSTED {
            return Lookup::Stale;
        }
        if !held.wanted {
            return Lookup::NoKeys;
        }
        let Some(found) = shown.and_then(|hash| held.keys.get(hash)) else {
            return Lookup::Unknown;
        };
        let now = self.clock.now();
        if found.key.has_expired(now) {
            return Lookup::Expired;
        }
        found.used_at.store(now.timestamp_micros(), Ordering::Relaxed);
        Lookup::Found(Holder::Key(found.key.id), found.key.scope)
    }

    /// Waits until the keys were read at all: by the reading under way, as when the server has just started, or else as by
    /// [`Self::read_soon`]. Returns within about two seconds, whether they could be read or not.
    pub(super) async fn read_first(&self) {
        let reading = async {
            // Whoever reads holds the lock.
            drop(self.last_attempt.lock().await);
            if self.is_unread() {
                self.read_soon().await;
            }
        };
        // Whether they were read is for the caller to see.
        let _ = tokio::time::timeout(KEYS_READ_TIMEOUT, reading).await;
    }

    fn is_unread(&self) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.is_none()
    }

    /// Waits until the keys were read once more, which happens at most once a second and for all who wait. Returns within
    /// about two seconds, whether they could be read or not.
    pub(super) async fn read_soon(&self) {
        let asked_at = Instant::now();
        let reading = async {
            let mut last_attempt = self.last_attempt.lock().await;
            if let Some(at) = *last_attempt {
                if at >= asked_at {
                    return;
                }
                tokio::time::sleep(KEYS_READ_AGAIN.saturating_sub(at.elapsed())).await;
            }
            // Counts also if it is cut off.
            *last_attempt = Some(Instant::now());
            log_failure(self.read().await);
        };
        // What is cut off here holds no connection: the store reads in a task of its own.
        let _ = tokio::time::timeout(KEYS_READ_TIMEOUT, reading).await;
    }

    /// Reads the keys and writes down their last uses, again and again.
    pub(super) async fn keep_fresh(&self, every: Duration) {
        loop {
            let mut last_attempt = self.last_attempt.lock().await;
            *last_attempt = Some(Instant::now());
            log_failure(self.read().await);
            drop(last_attempt);
            let uses = self.uses_to_note();
            if !uses.is_empty()
                && let Err(error) = self.store.note_key_uses(uses).await
            {
                tracing::debug!(error = chain(&error), "the last use of keys is not written yet");
            }
            tokio::time::sleep(every).await;
        }
    }

    async fn read(&self) -> Result<(), StoreError> {
        let read_at = Instant::now();
        let live = self.store.live_keys().await?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let mut known: HashMap<i64, Arc<AtomicI64>> = held
            .take()
            .into_iter()
            .flat_map(|held| held.keys.into_values())
            .map(|known| (known.key.id, known.used_at))
            .collect();
        let keys = live.keys.into_iter().map(|key| {
            let used_at = known.remove(&key.id).unwrap_or_default();
            (key.hash, HeldKey { key, used_at })
        });
        *held = Some(Held {
            keys: keys.collect(),
            wanted: live.wanted,
            read_at,
        });
        Ok(())
    }

    /// The last uses that the database does not know well enough.
    fn uses_to_note(&self) -> Vec<(i64, DateTime<Utc>)> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let keys = held.iter().flat_map(|held| held.keys.values());
        keys.filter_map(|held| {
            let micros = held.used_at.load(Ordering::Relaxed);
            let used_at = DateTime::from_timestamp_micros(micros).filter(|_| micros > 0)?;
            let due = held
                .key
                .last_used_at
                .is_none_or(|noted| used_at - noted >= KEY_USE_PRECISION);
            due.then_some((held.key.id, used_at))
        })
        .collect()
    }
}

fn log_failure(outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::warn!(error = chain(&error), "the API keys cannot be read");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use store::{Store, StoreOptions};

    use super::{Keyring, Lookup};
    use crate::clock::Clock;

    /// Who asks while the server reads its keys for the first time waits for that reading, and not for another one a second
    /// later.
    #[tokio::test]
    async fn the_first_who_ask_wait_for_the_first_reading_only() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let url = format!("sqlite://{}", folder.path().join("keys.db").display());
        let connection = store::connect(&url).await.expect("a new file is opened");
        migration::migrate(&connection).await.expect("the schema is made");
        let store = Store::open(StoreOptions::new(url.as_str()))
            .await
            .expect("the store opens");
        let ring = Arc::new(Keyring::new(store, Clock::System));

        let mut reading = ring.last_attempt.lock().await;
        let began = Instant::now();
        *reading = Some(began);
        let asking = tokio::spawn({
            let ring = ring.clone();
            async move { ring.read_first().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!asking.is_finished(), "it waits for the reading under way");
        ring.read().await.expect("the keys are read");
        drop(reading);
        asking.await.expect("it returns");

        assert_eq!(
            *ring.last_attempt.lock().await,
            Some(began),
            "nothing was read again"
        );
        assert_eq!(ring.look_up(None), Lookup::NoKeys);
    }
}
