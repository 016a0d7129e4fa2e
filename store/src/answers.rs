//! Answers kept until something changes.
//!
//! Everything an answer depends on has a number: the last fold, the generation of the time zone, and the day that "now" lies
//! on (which decides what is complete). While the log is empty, the same three numbers mean the same answer, so one small
//! statement tells whether a kept answer is still exact, also where another server did the writing.

use std::{hash::Hash, sync::Arc};

use activity::{
    active_users::ActiveUsersPoint, calendar::Day, retention::Retention, reuse::Earlier,
    top_events::TopEvents,
};
use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;
use sea_orm::ConnectionTrait;

use crate::{
    ActiveUsersQuestion, RetentionQuestion, Store, StoreError, TopEventsQuestion, frame::Frame, settings,
};

/// How many answers of each kind are kept: more than the charts of a busy team have.
const KEPT: usize = 256;
/// Answers of more values than this are not kept: bounds the memory of all of them.
pub(crate) const LARGEST: usize = 4_000;

/// What an answer was computed from: the last fold and the generation of the time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    fold: i64,
    generation: i64,
}

impl Basis {
    /// The basis of what is computed from `frame`; none if the log held something of it.
    pub(crate) fn of(frame: &Frame) -> Option<Self> {
        frame.is_folded().then_some(Self {
            fold: frame.fold,
            generation: frame.generation,
        })
    }
}

/// Kept answers of one kind of question, each with its basis and the day on which it was asked.
pub(crate) struct Kept<Q, A>(Cache<Q, (Basis, Day, A)>);

impl<Q: Hash + Eq + Clone, A: Size + Clone> Kept<Q, A> {
    fn new() -> Self {
        Self(Cache::new(KEPT))
    }

    /// The kept answer if nothing has changed since, otherwise what `computing` gives, kept if it has a basis.
    pub(crate) async fn answer(
        &self,
        store: &Store,
        question: &Q,
        now: DateTime<Utc>,
        computing: impl Future<Output = Result<(Option<Basis>, A), StoreError>>,
    ) -> Result<A, StoreError> {
        let today = store.settings().calendar.day_of(now);
        if let Some((basis, asked_on, answer)) = self.0.get(question)
            && asked_on == today
        {
            if store.basis().await? == Some(basis) {
                return Ok(answer);
            }
            // It never holds again: what the log holds leaves it with another fold. So the next one need not ask.
            self.0.remove(question);
        }
        let (basis, answer) = computing.await?;
        if let Some(basis) = basis.filter(|_| answer.size() <= LARGEST) {
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

/// Reads the numbers that answers depend on, and whether the log is empty.
pub(crate) const BASIS: &str = "-- store: basis
SELECT key, value, (SELECT COUNT(*) FROM (SELECT seq FROM activity_log ORDER BY seq LIMIT 1) AS oldest) AS unfolded
FROM settings
WHERE key IN ('fold', 'generation')";

impl Store {
    /// What answers are computed from at this moment; none while the log holds something.
    async fn basis(&self) -> Result<Option<Basis>, StoreError> {
        let mut basis = Basis {
            fold: 0,
            generation: 0,
        };
        for row in self
            .inner
            .read
            .query_all_raw(self.inner.dialect.statement(BASIS, vec![]))
            .await?
        {
            if row.try_get_by_index::<i64>(2)? > 0 {
                return Ok(None);
            }
            let value = row.try_get_by_index::<String>(1)?.parse();
            let value = value.map_err(|_| StoreError::internal("a setting is not a number"))?;
            match row.try_get_by_index::<String>(0)?.as_str() {
                settings::FOLD => basis.fold = value,
                _ => basis.generation = value,
            }
        }
        Ok(Some(basis))
    }
}
