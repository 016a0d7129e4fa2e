//! What an import has done so far.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use store::IngestOutcome;

/// Counters that every part of an import adds to.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Bytes of files, as they lie on disk.
    pub(crate) bytes: Arc<AtomicU64>,
    /// Rows that came out of files, good or bad.
    pub(crate) read: AtomicU64,
    pub(crate) stored: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) rejected: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) read: u64,
    pub(crate) stored: u64,
    pub(crate) duplicates: u64,
    pub(crate) conflicts: u64,
    pub(crate) rejected: u64,
}

impl Tally {
    /// Rows of which it is known what became of them.
    pub(crate) fn settled(&self) -> u64 {
        self.stored + self.duplicates + self.conflicts + self.rejected
    }

    /// Counts `outcome`.
    pub(crate) fn count(&mut self, outcome: &IngestOutcome) {
        match outcome {
            IngestOutcome::Stored => self.stored += 1,
            IngestOutcome::Duplicate(_) => self.duplicates += 1,
            IngestOutcome::Conflict => self.conflicts += 1,
            IngestOutcome::Refused(_) => self.rejected += 1,
        }
    }
}

impl Counts {
    /// Adds `tally`.
    pub(crate) fn add(&self, tally: Tally) {
        for (counter, count) in [
            (&self.read, tally.read),
            (&self.stored, tally.stored),
            (&self.duplicates, tally.duplicates),
            (&self.conflicts, tally.conflicts),
            (&self.rejected, tally.rejected),
        ] {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// The counters now.
    pub(crate) fn tally(&self) -> Tally {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            read: value(&self.read),
            stored: value(&self.stored),
            duplicates: value(&self.duplicates),
            conflicts: value(&self.conflicts),
            rejected: value(&self.rejected),
        }
    }
}
