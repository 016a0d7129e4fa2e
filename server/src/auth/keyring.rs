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
