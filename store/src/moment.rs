//! What every question begins with: one small statement that reads, at one moment, the numbers on which everything stored
//! depends, and what the log has that this process has not read yet.
//!
//! Between two folds the log only grows, and its rows never change. So what was read of it is kept, and the statement reads
//! on from there. Rows are not committed in the order of their numbers: a number that was skipped may turn up later, and is
//! asked for until the next fold. Whatever takes rows out of the log or changes stored rows (a fold, an erasure, an expiry, a
//! rebuild) has another number, and then everything is read anew. So it is where the last row that is known is gone: then the
//! database has gone back in time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use activity::{calendar::Day, fold::FacetDelta};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::{
    Store,
    activity_log::delta_of_row,
    dialect::{Column, ColumnType, Columns, Dialect},
    error::StoreError,
    settings,
};

/// How often a question starts over because the reporting time zone changed under it.
const MAX_RESTARTS: u32 = 3;
/// More rows of the log than this are not kept: a folder that runs leaves fewer.
const MOST_ROWS: usize = 20_000;
/// More skipped numbers than this are not asked for again and again; then the log is read anew each time.
const MOST_MISSING: usize = 1_024;
/// The bound of what is kept of the log, in bytes of its sets.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

const SEQ_COLUMNS: Columns = &[("seq", ColumnType::BigInt)];

/// What answers are computed from. The same basis means the same answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The number of the last fold.
    pub(crate) fold: i64,
    /// The number of what else changes stored rows or their meaning.
    pub(crate) generation: i64,
    /// What the log holds; 0 is nothing.
    log: u64,
}

impl Basis {
    /// Whether the stored rows are the same.
    pub(crate) fn has_rows_of(&self, other: &Self) -> bool {
        self.fold == other.fold && self.generation == other.generation
    }
}

/// The database at one moment, but for its stored rows, which [`Basis`] numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) basis: Basis,
    /// The name of the reporting time zone.
    timezone: String,
    /// The first day that still has its events.
    pub(crate) horizon: Option<Day>,
    pub(crate) log: Log,
}

impl Moment {
    /// Adds a setting as [`moment_sql`] reads it.
    fn add_setting(&mut self, row: &QueryResult) -> Result<(), StoreError> {
        let value: String = row.try_get_by_index(2)?;
        let number = || {
            let number = value.parse();
            number.map_err(|_| StoreError::internal("a setting is not a number"))
        };
        match row.try_get_by_index::<String>(1)?.as_str() {
            settings::FOLD => self.basis.fold = number()?,
            settings::GENERATION => self.basis.generation = number()?,
            settings::HORIZON => self.horizon = Some(settings::parse_day(&value)?),
            _ => self.timezone = value,
        }
        Ok(())
    }
}

/// What the log holds, put together by event type and day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    rows: usize,
    /// What the sets of its rows took in the database.
    bytes: u64,
    numbers: Numbers,
    everybody: Arc<FacetDelta>,
    by_type: BTreeMap<Arc<str>, Arc<FacetDelta>>,
}

impl Log {
    /// What it holds of an event type, or of everybody.
    pub(crate) fn facet(&self, name: Option<&str>) -> Option<&Arc<FacetDelta>> {
        match name {
            Some(name) => self.by_type.get(name),
            None => (self.rows > 0).then_some(&self.everybody),
        }
    }

    /// The event types of which it holds something.
    pub(crate) fn types(&self) -> impl Iterator<Item = &str> {
        self.by_type.keys().map(|name| &**name)
    }

    /// Adds a row as [`moment_sql`] reads it.
    fn add(&mut self, seq: i64, row: &QueryResult) -> Result<(), StoreError> {
        let event_type: String = row.try_get_by_index(1)?;
        let day = Day::new(row.try_get_by_index(3)?);
        let users: Option<Vec<u8>> = row.try_get_by_index(6)?;
        let delta = delta_of_row(
            row.try_get_by_index(4)?,
            row.try_get_by_index(5)?,
            users.as_deref(),
        )?;
        self.rows += 1;
        self.bytes += users.map_or(0, |set| set.len() as u64);
        self.numbers.add(seq);
        let add_to = |facet: &mut Arc<FacetDelta>| {
            Arc::make_mut(facet).entry(day).or_default().add(&delta);
        };
        add_to(&mut self.everybody);
        match self.by_type.get_mut(event_type.as_str()) {
            Some(facet) => add_to(facet),
            None => add_to(self.by_type.entry(event_type.into()).or_default()),
        }
        Ok(())
    }

    fn is_small(&self) -> bool {
        self.rows <= MOST_ROWS && self.bytes <= MOST_BYTES && !self.numbers.too_many_missing
    }
}

/// The numbers (`seq`) of the rows that were read: all from the first to the last but those that are missing.
#[derive(Clone, Debug, Default, PartialEq)]
struct Numbers {
    ends: Option<(i64, i64)>,
    missing: BTreeSet<i64>,
    /// Then `missing` has not all of them.
    too_many_missing: bool,
}

impl Numbers {
    fn has(&self, seq: i64) -> bool {
        self.ends.is_some_and(|(first, last)| first <= seq && seq <= last) && !self.missing.contains(&seq)
    }

    fn add(&mut self, seq: i64) {
        let Some((first, last)) = self.ends else {
            self.ends = Some((seq, seq));
            return;
        };
        self.missing.remove(&seq);
        self.ends = Some((first.min(seq), last.max(seq)));
        let between = if seq > last {
            last.saturating_add(1)..seq
        } else {
            seq.saturating_add(1)..first
        };
        let skipped = usize::try_from(between.end.saturating_sub(between.start)).unwrap_or(0);
        if self.missing.len().saturating_add(skipped) > MOST_MISSING {
            self.too_many_missing = true;
        } else {
            self.missing.extend(between);
        }
    }
}

/// The latest moment that is known, which the next question reads on from.
#[derive(Default)]
pub(crate) struct LatestMoment {
    known: Mutex<Option<Arc<Moment>>>,
    /// Numbers what was read of the log; none is given twice.
    logs: AtomicU64,
}

impl LatestMoment {
    fn get(&self) -> Option<Arc<Moment>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a moment, unless one that has all of it and more is kept already.
    fn keep(&self, moment: &Arc<Moment>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two moments between the same folds, the later one has what the other has.
        let is_later = known
            .as_ref()
            .is_some_and(|known| known.basis.has_rows_of(&moment.basis) && known.log.rows > moment.log.rows);
        if !is_later {
            *known = moment.log.is_small().then(|| Arc::clone(moment));
        }
    }

    fn next_log(&self) -> u64 {
        self.logs.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Store {
    /// The present moment. Whatever was acknowledged before this was called is in it.
    pub(crate) async fn moment(&self) -> Result<Arc<Moment>, StoreError> {
        let moments = &self.inner.moments;
        for _ in 0..MAX_RESTARTS {
            let known = moments.get();
            let mut moment = self.read_moment(&self.inner.read, known.as_ref()).await?;
            if moment.is_none() {
                moment = self.read_moment(&self.inner.read, None).await?;
            }
            if let Some(moment) = self.in_our_time_zone(moment).await? {
                if !known.is_some_and(|known| Arc::ptr_eq(&known, &moment)) {
                    moments.keep(&moment);
                }
                return Ok(moment);
            }
        }
        Err(changing_time_zone())
    }

    /// The moment that `snapshot` sees.
    pub(crate) async fn moment_in(&self, snapshot: &impl ConnectionTrait) -> Result<Arc<Moment>, StoreError> {
        for _ in 0..MAX_RESTARTS {
            let moment = self.read_moment(snapshot, None).await?;
            if let Some(moment) = self.in_our_time_zone(moment).await? {
                return Ok(moment);
            }
        }
        Err(changing_time_zone())
    }

    /// The moment if its days are days of the time zone that this store goes by, which otherwise is read again.
    async fn in_our_time_zone(&self, moment: Option<Arc<Moment>>) -> Result<Option<Arc<Moment>>, StoreError> {
        let moment = moment.filter(|moment| moment.timezone == self.timezone().name());
        if moment.is_none() {
            self.reload_rules(&self.inner.write).await?;
        }
        Ok(moment)
    }

    /// Reads on from what is known. `None` if the database turns out not to have that any more.
    async fn read_moment(
        &self,
        connection: &impl ConnectionTrait,
        known: Option<&Arc<Moment>>,
    ) -> Result<Option<Arc<Moment>>, StoreError> {
        let (missing, single) = match known {
            Some(known) => {
                let numbers = &known.log.numbers;
                let (first, last) = numbers.ends.unwrap_or((i64::MAX, i64::MAX));
                let basis = known.basis;
                let single = vec![
                    first.into(),
                    last.into(),
                    basis.fold.to_string().into(),
                    basis.generation.to_string().into(),
                ];
                (numbers.missing.iter().copied().collect(), single)
            }
            None => {
                let nothing = || String::new().into();
                (
                    Vec::new(),
                    vec![i64::MAX.into(), i64::MAX.into(), nothing(), nothing()],
                )
            }
        };
        let missing = vec![Column::BigInt(missing)];
        let statement = self
            .inner
            .dialect
            .list_statement(&self.inner.sql.moment, missing, single);
        let mut found = Moment::default();
        let mut rows = Vec::new();
        for row in connection.query_all_raw(statement).await? {
            match row.try_get_by_index::<Option<i64>>(0)? {
                Some(seq) => rows.push((seq, row)),
                None => found.add_setting(&row)?,
            }
        }
        rows.sort_unstable_by_key(|row| row.0);
        if let Some(known) = known.filter(|known| known.basis.has_rows_of(&found.basis)) {
            let numbers = &known.log.numbers;
            if let Some((_, last)) = numbers.ends
                && rows.binary_search_by_key(&last, |row| row.0).is_err()
            {
                return Ok(None);
            }
            rows.retain(|row| !numbers.has(row.0));
            if rows.is_empty() {
                return Ok(Some(Arc::clone(known)));
            }
            found.log = known.log.clone();
        }
        for (seq, row) in rows {
            found.log.add(seq, &row)?;
        }
        if found.log.rows > 0 {
            found.basis.log = self.inner.moments.next_log();
        }
        Ok(Some(Arc::new(found)))
    }
}

fn changing_time_zone() -> StoreError {
    StoreError::Mismatch("the reporting time zone of this database keeps changing".to_owned())
}

/// Reads the settings that answers depend on, and the log: all of it where the fold or the generation is not the one that the caller
/// names, otherwise what is not between two numbers, what is missing between them, and the last one.
pub(crate) fn moment_sql(dialect: Dialect) -> String {
    let missing = dialect.rows("missing", SEQ_COLUMNS);
    let [first, last, fold, generation] = [0, 1, 2, 3].map(|nth| dialect.parameter(SEQ_COLUMNS, nth));
    format!(
        "-- store: moment
SELECT NULL AS seq, key AS name, value, 0 AS day, 0 AS user_no, 0 AS events, NULL AS users
FROM settings
WHERE key IN ('fold', 'generation', 'timezone', 'horizon')
UNION ALL
SELECT seq, event_type, '', day, user_no, events, users
FROM activity_log
WHERE seq >= {last}
  OR seq < {first}
  OR seq IN (SELECT missing.seq FROM {missing})
  OR EXISTS (
    SELECT 1
    FROM settings
    WHERE (key = 'fold' AND value <> {fold}) OR (key = 'generation' AND value <> {generation})
  )"
    )
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, prelude::proptest, prop_assert_eq};

    use super::{MOST_MISSING, Numbers, moment_sql};
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        insta::assert_snapshot!("moment_sqlite", moment_sql(Dialect::Sqlite));
        insta::assert_snapshot!("moment_postgres", moment_sql(Dialect::Postgres));
    }

    #[test]
    fn a_wide_gap_is_not_written_down() {
        let mut numbers = Numbers::default();
        numbers.add(1);
        numbers.add(i64::MAX);
        assert!(numbers.too_many_missing && numbers.missing.is_empty());
        let mut numbers = Numbers::default();
        numbers.add(10);
        numbers.add(11 + MOST_MISSING as i64);
        assert!(!numbers.too_many_missing && numbers.missing.len() == MOST_MISSING);
    }

    proptest! {
        #[test]
        fn numbers_are_those_that_were_added_in_any_order(
            early in btree_set(0..60_i64, 0..40),
            late in btree_set(0..60_i64, 0..40),
        ) {
            let mut numbers = Numbers::default();
            for seq in early.iter().chain(late.difference(&early)) {
                numbers.add(*seq);
            }
            for seq in -1..61 {
                let added = early.contains(&seq) || late.contains(&seq);
                prop_assert_eq!(numbers.has(seq), added);
            }
        }
    }
}
