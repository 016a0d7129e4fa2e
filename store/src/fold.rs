//! One fold: a batch of the log taken into the sets, in one transaction.
//!
//! One folder works at a time (PostgreSQL: an advisory lock; SQLite: its write lock). Killed at any point, a fold has
//! either happened or not. What changes is decided by the pure function [`activity::fold::fold`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use activity::{
    calendar::Day,
    fold::{DayActivity, DayDelta, FacetActivity, FacetDelta, fold},
    set::UserSet,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use tracing::debug;

use crate::{
    Store,
    activity_log::delta_of_row,
    cache::SetKey,
    database::begin_write,
    dialect::{Column, Dialect},
    error::StoreError,
    fold_sql::{NEXT_FOLD, ROW_BYTES},
    sets::{Keeping, WantedSets},
};

/// The advisory lock of the one folder on PostgreSQL; `rebuild` holds it too.
pub(crate) const FOLD_LOCK: i64 = 0x6b6f_686f_0002;

/// After how many folded rows the log is vacuumed on PostgreSQL. Its own vacuum comes once a minute at most, and until then every
/// question reads past the rows that are gone, with their sets: some megabytes here, at full speed many times that.
const VACUUM_AFTER_ROWS: u64 = 5_000;
/// How many rows of the log maintenance folds at once.
const ROWS_AT_ONCE: u64 = 100_000;
/// How many bytes of the log one fold takes, give or take a row: rows have sets of any size, and this bounds its memory whatever
/// its sets are. They take a few times as much when they are put together.
const BYTES_AT_ONCE: u64 = 8 * 1024 * 1024;

/// What a fold did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FoldReport {
    /// How many rows of the log were taken.
    pub rows: u64,
    /// Whether it was as much as one fold takes, so that there may be more.
    pub more: bool,
    /// Whether another folder was at work, so that nothing was done.
    pub busy: bool,
}

/// New events by facet; `None` is everybody's.
pub(crate) type Deltas = BTreeMap<Option<String>, FacetDelta>;

/// Adds one row of the log to the facet of everybody and to that of its event type.
pub(crate) fn add_to_deltas(deltas: &mut Deltas, event_type: String, day: Day, row: &DayDelta) {
    for facet in [None, Some(event_type)] {
        deltas.entry(facet).or_default().entry(day).or_default().add(row);
    }
}

/// A user's ordinal as a member of sets.
pub(crate) fn ordinal(user_no: i64) -> Result<u32, StoreError> {
    u32::try_from(user_no).map_err(|_| StoreError::internal("a user's ordinal is beyond 2^32"))
}

/// A count as it is stored.
pub(crate) fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A facet that changes: its rows from the earliest new day on, and what it was before.
struct ChangingFacet {
    facet: i32,
    activity: FacetActivity,
    changed: BTreeSet<Day>,
    seen_before: u64,
}

/// A fold that is not committed yet.
pub(crate) struct Folded {
    rows: u64,
    more: bool,
    version: i64,
    facets: Vec<ChangingFacet>,
}

impl Store {
    /// Takes up to `max_rows` rows of the log into the sets, less if their sets are large.
    ///
    /// # Errors
    /// Nothing has changed then; the same call may work later if the error is transient.
    pub async fn fold(&self, max_rows: u64) -> Result<FoldReport, StoreError> {
        let store = self.clone();
        self.spawn(async move {
            let report = store.fold_once(max_rows).await?;
            store.vacuum_log(report.rows).await;
            Ok(report)
        })
        .await
    }

    /// Vacuums the log on PostgreSQL once enough rows were taken since the last time.
    async fn vacuum_log(&self, rows: u64) {
        let taken = self.inner.folded_since_vacuum.fetch_add(rows, Ordering::Relaxed) + rows;
        if self.inner.dialect == Dialect::Sqlite || taken < VACUUM_AFTER_ROWS {
            return;
        }
        self.inner.folded_since_vacuum.store(0, Ordering::Relaxed);
        if let Err(error) = self.inner.write.execute_unprepared("VACUUM activity_log").await {
            debug!(%error, "the log was not vacuumed, the next time will do");
        }
    }

    /// Folds until the log is empty, waiting for another folder if there is one, and returns how many rows were taken.
    ///
    /// # Errors
    /// As [`Store::fold`]; what was folded before stays folded.
    pub async fn fold_all(&self) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let report = self.fold(ROWS_AT_ONCE).await?;
            total += report.rows;
            match report {
                FoldReport { busy: true, .. } => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                FoldReport { rows: 0, .. } => return Ok(total),
                FoldReport { .. } => {}
            }
        }
    }

    async fn fold_once(&self, max_rows: u64) -> Result<FoldReport, StoreError> {
        let transaction = begin_write(&self.inner.write).await?;
        if self.inner.dialect == Dialect::Postgres {
            let sql = "SELECT pg_try_advisory_xact_lock($1)";
            let lock = self.inner.dialect.statement(sql, vec![FOLD_LOCK.into()]);
            let locked = transaction.query_one_raw(lock).await?;
            if !locked.map_or(Ok(false), |row| row.try_get_by_index::<bool>(0))? {
                transaction.rollback().await?;
                return Ok(FoldReport {
                    busy: true,
                    ..FoldReport::default()
                });
            }
        }
        let folded = self.fold_in(&transaction, max_rows, Keeping::InMemory).await?;
        let Some(folded) = folded else {
            transaction.rollback().await?;
            return Ok(FoldReport::default());
        };
        transaction.commit().await?;
        let report = FoldReport {
            rows: folded.rows,
            more: folded.more,
            busy: false,
        };
        self.keep(folded);
        Ok(report)
    }

    /// Folds all that the log holds at this moment. The transaction has the lock of the fold; unless it has that of the log too,
    /// others go on appending.
    pub(crate) async fn fold_rest_in(&self, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
        // Each part reads what those before it have written, and nobody knows yet whether that will be committed.
        let mut more = true;
        while more {
            let part = self.fold_in(transaction, ROWS_AT_ONCE, Keeping::Nowhere).await?;
            more = part.is_some_and(|part| part.more);
        }
        Ok(())
    }

    /// The fold inside of a transaction, which has the lock of the fold; none if the log is empty.
    async fn fold_in(
        &self,
        transaction: &DatabaseTransaction,
        max_rows: u64,
        keeping: Keeping,
    ) -> Result<Option<Folded>, StoreError> {
        let limits = vec![stored_count(max_rows).into(), stored_count(BYTES_AT_ONCE).into()];
        let statement = self.inner.dialect.statement(&self.inner.sql.take_log, limits);
        let rows = transaction.query_all_raw(statement).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let taken = rows.len() as u64;
        let (deltas, bytes) = deltas_of(&rows)?;
        drop(rows);
        let mut facets = self.load_facets(transaction, &deltas, keeping).await?;
        for (name, facet) in &mut facets {
            facet.changed = fold(&mut facet.activity, &deltas[name]);
        }
        let version = next_fold(transaction, self.inner.dialect).await?;
        self.write_facets(transaction, facets.values(), version).await?;
        Ok(Some(Folded {
            rows: taken,
            more: taken >= max_rows || bytes >= BYTES_AT_ONCE,
            version,
            facets: facets.into_values().collect(),
        }))
    }

    /// Loads every facet of `deltas` with its rows from the earliest new day on.
    async fn load_facets(
        &self,
        transaction: &DatabaseTransaction,
        deltas: &Deltas,
        keeping: Keeping,
    ) -> Result<BTreeMap<Option<String>, ChangingFacet>, StoreError> {
        let dialect = self.inner.dialect;
        let names = vec![Column::Text(deltas.keys().flatten().cloned().collect())];
        let statement = dialect.list_statement(&self.inner.sql.facets_of_log, names, vec![]);
        let mut wanted = WantedSets::default();
        let mut ids = BTreeMap::new();
        for row in transaction.query_all_raw(statement).await? {
            let facet: i32 = row.try_get_by_index(0)?;
            let kind: String = row.try_get_by_index(1)?;
            ids.insert(
                (kind != "all").then_some(row.try_get_by_index::<String>(2)?),
                facet,
            );
            wanted.seen.insert(facet, row.try_get_by_index(3)?);
        }
        if let Some(missing) = deltas.keys().find(|name| !ids.contains_key(*name)) {
            return Err(StoreError::internal(format!(
                "there is no facet for event type {missing:?}"
            )));
        }
        let first_days =
            |name: &Option<String>| deltas[name].keys().next().map_or(i32::MAX, |day| day.number());
        let columns = vec![
            Column::Integer(ids.values().copied().collect()),
            Column::Integer(ids.keys().map(first_days).collect()),
        ];
        let statement = dialect.list_statement(&self.inner.sql.activity_from, columns, vec![]);
        let mut events = BTreeMap::new();
        for row in transaction.query_all_raw(statement).await? {
            let key = (
                row.try_get_by_index::<i32>(0)?,
                Day::new(row.try_get_by_index(1)?),
            );
            events.insert(key, row.try_get_by_index::<i64>(2)?.unsigned_abs());
            wanted.days.insert(key, row.try_get_by_index(3)?);
        }
        let loaded = self.load_sets(transaction, &wanted, keeping).await?;
        let changing = |(name, facet): (Option<String>, i32)| {
            let seen = loaded.seen.get(&facet).cloned().unwrap_or_default();
            let seen_before = seen.len();
            let rows = events.range((facet, Day::new(i32::MIN))..=(facet, Day::new(i32::MAX)));
            let days = rows.filter_map(|(key, events)| {
                let sets = loaded.days.get(key)?;
                let (active, joined) = (Arc::clone(&sets.active), Arc::clone(&sets.joined));
                Some((
                    key.1,
                    DayActivity {
                        events: *events,
                        active,
                        joined,
                    },
                ))
            });
            let activity = FacetActivity {
                seen,
                days: days.collect(),
            };
            (
                name,
                ChangingFacet {
                    facet,
                    activity,
                    changed: BTreeSet::new(),
                    seen_before,
                },
            )
        };
        Ok(ids.into_iter().map(changing).collect())
    }

    async fn write_facets(
        &self,
        transaction: &DatabaseTransaction,
        facets: impl Iterator<Item = &ChangingFacet> + Clone,
        version: i64,
    ) -> Result<(), StoreError> {
        let rows = facets.clone().flat_map(|facet| {
            facet
                .changed
                .iter()
                .filter_map(|day| Some((facet.facet, *day, facet.activity.days.get(day)?)))
        });
        self.write_activity(transaction, rows.collect(), version).await?;
        let grown = facets.filter(|facet| facet.activity.seen.len() != facet.seen_before);
        let seen = grown.map(|facet| (facet.facet, facet.activity.seen.as_ref()));
        self.write_seen(transaction, seen.collect(), version).await
    }

    /// Writes rows of sets with this version.
    pub(crate) async fn write_activity(
        &self,
        transaction: &DatabaseTransaction,
        rows: Vec<(i32, Day, &DayActivity)>,
        version: i64,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = vec![
            Column::Integer(rows.iter().map(|row| row.0).collect()),
            Column::Integer(rows.iter().map(|row| row.1.number()).collect()),
            Column::BigInt(rows.iter().map(|row| stored_count(row.2.events)).collect()),
            Column::BigInt(rows.iter().map(|row| stored_count(row.2.active.len())).collect()),
            Column::BigInt(rows.iter().map(|row| stored_count(row.2.joined.len())).collect()),
            Column::Bytes(rows.iter().map(|row| row.2.active.to_bytes()).collect()),
            Column::Bytes(rows.iter().map(|row| row.2.joined.to_bytes()).collect()),
        ];
        let sql = &self.inner.sql.write_activity;
        let statement = self
            .inner
            .dialect
            .list_statement(sql, columns, vec![version.into()]);
        transaction.execute_raw(statement).await?;
        Ok(())
    }

    /// Writes who was ever seen, with this version.
    pub(crate) async fn write_seen(
        &self,
        transaction: &DatabaseTransaction,
        seen: Vec<(i32, &UserSet)>,
        version: i64,
    ) -> Result<(), StoreError> {
        if seen.is_empty() {
            return Ok(());
        }
        let columns = vec![
            Column::Integer(seen.iter().map(|row| row.0).collect()),
            Column::Bytes(seen.iter().map(|row| row.1.to_bytes()).collect()),
        ];
        let sql = &self.inner.sql.write_facets;
        let statement = self
            .inner
            .dialect
            .list_statement(sql, columns, vec![version.into()]);
        transaction.execute_raw(statement).await?;
        Ok(())
    }

    /// Keeps in the cache what was just committed: the next fold and the next questions want exactly that.
    pub(crate) fn keep(&self, folded: Folded) {
        let version = folded.version;
        for facet in folded.facets {
            for day in &facet.changed {
                if let Some(row) = facet.activity.days.get(day) {
                    let key = SetKey::Day {
                        facet: facet.facet,
                        day: *day,
                    };
                    let (active, joined) = (Arc::clone(&row.active), Arc::clone(&row.joined));
                    self.inner.cache.insert(key, (version, 0), active, joined);
                }
            }
            if facet.activity.seen.len() != facet.seen_before {
                self.keep_seen(facet.facet, version, &facet.activity.seen);
            }
        }
    }
}

/// Waits until no folder, rebuild, erasure or expiry is under way, and keeps them away until the transaction ends. On SQLite the
/// write lock does that already.
pub(crate) async fn lock_fold(transaction: &DatabaseTransaction, dialect: Dialect) -> Result<(), StoreError> {
    if dialect == Dialect::Postgres {
        let sql = "SELECT pg_advisory_xact_lock($1)";
        transaction
            .execute_raw(dialect.statement(sql, vec![FOLD_LOCK.into()]))
            .await?;
    }
    Ok(())
}

/// Waits until every ingest that has appended to the log is committed, and keeps others from appending until the
/// transaction ends. On SQLite the write lock does that already.
pub(crate) async fn lock_log(transaction: &DatabaseTransaction, dialect: Dialect) -> Result<(), StoreError> {
    if dialect == Dialect::Postgres {
        transaction
            .execute_unprepared("LOCK TABLE activity_log IN SHARE ROW EXCLUSIVE MODE")
            .await?;
    }
    Ok(())
}

/// Draws the next number of a fold; the row stays locked until the transaction ends.
pub(crate) async fn next_fold(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
) -> Result<i64, StoreError> {
    let row = transaction
        .query_one_raw(dialect.statement(NEXT_FOLD, vec![]))
        .await?;
    let value: String = row.map_or(Ok(String::new()), |row| row.try_get_by_index(0))?;
    value
        .parse()
        .map_err(|_| StoreError::internal("the setting fold is not a number"))
}

/// What rows of the log say, and how large they are.
fn deltas_of(rows: &[QueryResult]) -> Result<(Deltas, u64), StoreError> {
    let (mut deltas, mut bytes) = (Deltas::new(), 0);
    for row in rows {
        let users: Option<Vec<u8>> = row.try_get_by_index(4)?;
        bytes += ROW_BYTES + users.as_ref().map_or(0, |set| set.len() as u64);
        let delta = delta_of_row(
            row.try_get_by_index(2)?,
            row.try_get_by_index(3)?,
            users.as_deref(),
        )?;
        let day = Day::new(row.try_get_by_index(0)?);
        add_to_deltas(&mut deltas, row.try_get_by_index(1)?, day, &delta);
    }
    Ok((deltas, bytes))
}
