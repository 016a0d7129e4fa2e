//! Answers kept until something changes.
//!
//! Everything an answer depends on has a number: the last fold, the generation of the time zone, what the log holds, and the
//! day that "now" lies on (which decides what is complete). The same numbers mean the same answer, so the one small
//! statement that reads the moment tells whether a kept answer is still exact, also where another server did the writing.

use std::{hash::Hash, sync::Arc};

use activity::{
    active_users::ActiveUsersPoint, calendar::Day, retention::Retention, reuse::Earlier,
    top_events::TopEvents,
};
use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;

use crate::{
    ActiveUsersQuestion, RetentionQuestion, Store, StoreError, TopEventsQuestion,
    moment::{Basis, Moment},
};

/// How many answers of each kind are kept: more than the charts of a busy team have.
const KEPT: usize = 256;
/// Answers of more values than this are not kept: bounds the memory of all of them.
pub(crate) const LARGEST: usize = 4_000;

/// Kept answers of one kind of question, each with its basis and the day on which it was asked.
pub(crate) struct Kept<Q, A>(Cache<Q, (Basis, Day, A)>);

impl<Q: Hash + Eq + Clone, A: Size + Clone> Kept<Q, A> {
    fn new() -> Self {
        Self(Cache::new(KEPT))
    }

    /// The kept answer if nothing has changed since, otherwise what `computing` gives for the present moment, kept with what
    /// it was computed from.
    pub(crate) async fn answer<Computing>(
        &self,
        store: &Store,
        question: &Q,
        now: DateTime<Utc>,
        computing: impl FnOnce(Arc<Moment>) -> Computing,
    ) -> Result<A, StoreError>
    where
        Computing: Future<Output = Result<(Basis, A), StoreError>>,
    {
        let moment = store.moment().await?;
        let today = store.settings().calendar.day_of(now);
        if let Some((basis, asked_on, answer)) = self.0.get(question)
            && asked_on == today
            && basis == moment.basis
        {
            return Ok(answer);
        }
        let (basis, answer) = computing(Arc::clone(&moment)).await?;
        // One of another moment is not seen again while the log holds anything: a snapshot reads a log of its own.
        if basis == moment.basis && answer.size() <= LARGEST {
            // Once more: while computing, the store may have noticed that the time zone is another one.
            let today = store.settings().calendar.day_of(now);
            self.0.insert(question.clone(), (basis, today, answer.clone()));
        }
        Ok(answer)
    }
}

/// An answer's number of values.
pub(crate) trait Size {
    fn size(&self) -> usize;
}

impl Size for Vec<ActiveUsersPoint> {
    fn size(&self) -> usize {
        self.len()
    }
}

impl Size for TopEvents {
    fn size(&self) -> usize {
        self.rows.len()
    }
}

impl Size for Retention {
    fn size(&self) -> usize {
        self.cohorts.len() * self.pooled.len()
    }
}

/// How many retentions are kept to compute the next ones from.
const EARLIER: usize = 64;

/// Kept answers of every kind.
pub(crate) struct Answers {
    pub(crate) active_users: Kept<ActiveUsersQuestion, Vec<ActiveUsersPoint>>,
    pub(crate) top_events: Kept<TopEventsQuestion, TopEvents>,
    pub(crate) retention: Kept<RetentionQuestion, Retention>,
    /// What still holds of a retention while events come in.
    pub(crate) earlier_retention: Cache<RetentionQuestion, Arc<Earlier>>,
}

impl Answers {
    pub(crate) fn new() -> Self {
        Self {
            active_users: Kept::new(),
            top_events: Kept::new(),
            retention: Kept::new(),
            earlier_retention: Cache::new(EARLIER),
        }
    }
}
