//! What questions have read of the stored rows, kept until the next fold.
//!
//! The counts of a range of days change with a fold, an erasure, a rebuild or an expiry, and each of those has another number
//! (the fold's, or the generation). While events come in, a question so reads the log and nothing else, but for the first one
//! after each fold.

use std::sync::{
    Arc,
    atomic::{AtomicI32, Ordering},
};

use activity::calendar::{Day, DayRange};
use quick_cache::{Weighter, sync::Cache};

use crate::{
    frame::{FacetFrame, FrameRequest},
    moment::Basis,
};

/// The bound of what is kept, in bytes: some hundred questions about a month of every event type.
const KEPT_BYTES: u64 = 8 * 1024 * 1024;
/// More rows than this are not kept, nor copied for it: a year of every event type of a busy team has fewer.
const MOST_ROWS: usize = 16_384;
/// What a row takes, and a facet beside its rows.
const ROW_BYTES: u64 = 64;
const FACET_BYTES: u64 = 256;

/// The facets of a request with their stored rows.
#[derive(Clone)]
pub(crate) struct StoredRows {
    /// The fold and the generation that they are of.
    pub(crate) basis: Basis,
    /// The days whose rows were read.
    pub(crate) days: DayRange,
    /// Without anything of the log.
    pub(crate) facets: Vec<FacetFrame>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<FrameRequest, Arc<StoredRows>> for ByBytes {
    fn weight(&self, request: &FrameRequest, kept: &Arc<StoredRows>) -> u64 {
        let names: usize = request.names.iter().map(|name| name.len() + 64).sum();
        FACET_BYTES * (1 + kept.facets.len() as u64)
            + ROW_BYTES * count_rows(&kept.facets) as u64
            + names as u64
    }
}

fn count_rows(facets: &[FacetFrame]) -> usize {
    facets.iter().map(|facet| facet.rows.len()).sum()
}

/// What is kept of all questions.
pub(crate) struct KeptRows {
    by_request: Cache<FrameRequest, Arc<StoredRows>, ByBytes>,
    /// The latest day that any of them had, which only decides how much is read at once.
    latest_day: AtomicI32,
}

impl KeptRows {
    pub(crate) fn new() -> Self {
        const ESTIMATED_REQUESTS: usize = 128;
        Self {
            by_request: Cache::with_weighter(ESTIMATED_REQUESTS, KEPT_BYTES, ByBytes),
            latest_day: AtomicI32::new(i32::MIN),
        }
    }

    pub(crate) fn get(&self, request: &FrameRequest) -> Option<Arc<StoredRows>> {
        self.by_request.get(request)
    }

    /// Keeps what was read.
    pub(crate) fn keep(&self, request: &FrameRequest, read: &StoredRows) {
        let latest = read
            .facets
            .iter()
            .filter_map(|facet| facet.rows.keys().next_back());
        if let Some(latest) = latest.max() {
            self.latest_day.fetch_max(latest.number(), Ordering::Relaxed);
        }
        if count_rows(&read.facets) <= MOST_ROWS {
            self.by_request.insert(request.clone(), Arc::new(read.clone()));
        }
    }

    pub(crate) fn latest_day(&self) -> Day {
        Day::new(self.latest_day.load(Ordering::Relaxed))
    }
}
