//! Sets kept in memory, bounded in bytes.
//!
//! A set is known by what it belongs to and its version, the number of the fold that wrote it. Versions are never
//! reused, so an entry can be old but never wrong: a reader that needs another version loads it and replaces the entry.

use std::sync::Arc;

use activity::{calendar::Day, retention::Entry, set::UserSet};
use quick_cache::{Weighter, sync::Cache};

/// What a cached entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SetKey {
    /// `active` and `joined` of a facet on a day.
    Day { facet: i32, day: Day },
    /// `seen` of a facet.
    Seen { facet: i32 },
    /// The union of `active` of a facet over some days, both included. Its version is the highest one of their rows and
    /// how many rows they are: whatever changes a row gives it a higher version than any before.
    Union { facet: i32, from: Day, to: Day },
    /// Who of those who may enter on a day had an event of `return_facet` at or after the first one of `start_facet`.
    SameDay {
        start_facet: i32,
        return_facet: i32,
        entry: Entry,
        day: Day,
    },
}

/// The version of a cached entry; two numbers where it is made of two rows.
pub(crate) type Version = (i64, i64);

/// `active` and `joined`, or one set twice.
#[derive(Clone, Debug)]
pub(crate) struct CachedSets {
    version: Version,
    bytes: u64,
    pub(crate) active: Arc<UserSet>,
    pub(crate) joined: Arc<UserSet>,
}

impl CachedSets {
    pub(crate) fn new(version: Version, active: Arc<UserSet>, joined: Arc<UserSet>) -> Self {
        let joined_bytes = if Arc::ptr_eq(&active, &joined) {
            0
        } else {
            joined.memory_bytes()
        };
        Self {
            version,
            bytes: active.memory_bytes() + joined_bytes + 128,
            active,
            joined,
        }
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<SetKey, CachedSets> for ByBytes {
    fn weight(&self, _: &SetKey, sets: &CachedSets) -> u64 {
        sets.bytes
    }
}

/// The cache.
pub(crate) struct SetCache {
    entries: Cache<SetKey, CachedSets, ByBytes>,
}

impl SetCache {
    pub(crate) fn new(bytes: u64) -> Self {
        // The estimate only sizes the first tables; sets are some kilobytes each.
        let estimated_entries = usize::try_from(bytes / 8192)
            .unwrap_or(usize::MAX)
            .clamp(64, 65_536);
        Self {
            entries: Cache::with_weighter(estimated_entries, bytes, ByBytes),
        }
    }

    /// The entry, if it is there in exactly this version.
    pub(crate) fn get(&self, key: SetKey, version: Version) -> Option<CachedSets> {
        self.entries.get(&key).filter(|sets| sets.version == version)
    }

    /// Keeps an entry, in place of any other version of it.
    pub(crate) fn insert(
        &self,
        key: SetKey,
        version: Version,
        active: Arc<UserSet>,
        joined: Arc<UserSet>,
    ) -> CachedSets {
        let sets = CachedSets::new(version, active, joined);
        self.entries.insert(key, sets.clone());
        sets
    }
}
