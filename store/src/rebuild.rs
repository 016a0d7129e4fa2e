//! `rebuild`: the sets made anew from `events`, also into another reporting time zone, while a server may run.
//!
//! Everything happens in one transaction. It counts the events that its snapshot sees and deletes the log rows that
//! the same snapshot sees, so events that come in meanwhile keep their log rows and are folded afterwards. The folder
//! waits. Where the time zone changes, the days in new log rows would be wrong, so there ingest waits too; on SQLite it
//! always does, for the one write lock.

use std::sync::Arc;

use activity::{
    calendar::{Calendar, Day},
    fold::DayActivity,
    set::UserSet,
};
use chrono_tz::Tz;
use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, DatabaseTransaction, StreamTrait, TransactionTrait};

use crate::{
    Store,
    database::{Purpose, begin_snapshot, begin_write},
    dialect::{Column, Dialect},
    error::StoreError,
    fold::{lock_fold, lock_log, next_fold},
    recount::{Facets, Recounted, recount},
    settings::{self, Settings},
};

/// How many rows of sets are written by one statement: bounds the statement's size.
const ROWS_AT_ONCE: usize = 500;

/// Makes ordinals for users of events who have none.
const MEND_USERS: &str = "-- store: mend_users
INSERT INTO users (user_id)
SELECT DISTINCT events.user_id
FROM events
WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.user_id = events.user_id)
ORDER BY events.user_id
ON CONFLICT DO NOTHING";
const DELETE_LOG: &str = "-- store: delete_log
DELETE FROM activity_log";
const DELETE_ACTIVITY: &str = "-- store: delete_activity
DELETE FROM activity";
/// Reads the days before one without what is counted anew.
const DAYS_BEFORE: &str = "-- store: days_before
SELECT facets.kind, facets.name, activity.day, activity.events, activity.active
FROM activity
JOIN facets ON facets.facet_id = activity.facet_id
WHERE activity.day < $1";
const FACET_NAMES: &str = "-- store: facet_names
SELECT facet_id, kind, name
FROM facets";

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// How many events were counted.
    pub events: u64,
    /// How many rows of sets were written.
    pub rows: u64,
    /// The reporting time zone now.
    pub timezone: Tz,
}

impl Store {
    /// Makes every set anew from `events`, in another reporting time zone where one is given. Who was active on days
    /// whose events have expired stays as it is.
    ///
    /// `progress` is told how many events are counted.
    ///
    /// # Errors
    /// Nothing has changed then. [`StoreError::Mismatch`] where events have expired and the time zone is another one.
    pub async fn rebuild(
        &self,
        timezone: Option<Tz>,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<RebuildReport, StoreError> {
        let store = self.clone();
        self.spawn(async move {
            let pool = store.open_pool(Purpose::Maintenance, 2).await?;
            let report = match store.inner.dialect {
                Dialect::Sqlite => {
                    store
                        .rebuild_in(begin_write(&pool).await?, timezone, &progress)
                        .await?
                }
                Dialect::Postgres => {
                    // Held by a transaction of its own: waiting for it must not begin the snapshot.
                    let guard = pool.begin().await?;
                    lock_fold(&guard, Dialect::Postgres).await?;
                    let report = store
                        .rebuild_in(begin_snapshot(&pool).await?, timezone, &progress)
                        .await?;
                    guard.commit().await?;
                    report
                }
            };
            let _ = pool.close().await;
            store.reload_rules(&store.inner.write).await?;
            Ok(report)
        })
        .await
    }

    async fn rebuild_in(
        &self,
        transaction: DatabaseTransaction,
        timezone: Option<Tz>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<RebuildReport, StoreError> {
        let dialect = self.inner.dialect;
        let current = self.settings();
        let target = timezone.unwrap_or(current.calendar.timezone());
        if target != current.calendar.timezone() {
            // Before the first statement that takes the snapshot.
            lock_log(&transaction, dialect).await?;
        }
        let settings = settings::read(&transaction).await?;
        if settings.calendar != current.calendar {
            return Err(StoreError::Mismatch(
                "the reporting time zone was changed by somebody else at this moment, run it again"
                    .to_owned(),
            ));
        }
        transaction
            .execute_raw(dialect.statement(MEND_USERS, vec![]))
            .await?;
        let stored = self.stored_days(&transaction, settings, target).await?;
        let target_settings = Settings {
            calendar: Calendar::new(target),
            ..settings
        };
        let recounted = recount(&transaction, dialect, target_settings, &stored, progress).await?;
        transaction
            .execute_raw(dialect.statement(DELETE_LOG, vec![]))
            .await?;
        transaction
            .execute_raw(dialect.statement(DELETE_ACTIVITY, vec![]))
            .await?;
        let rows = self.write_recounted(&transaction, &recounted).await?;
        if target != current.calendar.timezone() {
            settings::write(&transaction, settings::TIMEZONE, target.name().to_owned()).await?;
            settings::next_generation(&transaction, dialect).await?;
        }
        transaction.commit().await?;
        Ok(RebuildReport {
            events: recounted.events,
            rows,
            timezone: target,
        })
    }

    /// Who was active on the days whose events have expired: what is made anew begins with them.
    async fn stored_days(
        &self,
        transaction: &DatabaseTransaction,
        settings: Settings,
        target: Tz,
    ) -> Result<Facets, StoreError> {
        let Some(horizon) = settings.horizon else {
            return Ok(Facets::new());
        };
        if target != settings.calendar.timezone() {
            return Err(StoreError::Mismatch(format!(
                "the events before {horizon} have expired, so the days before cannot be made anew in another time zone"
            )));
        }
        let mut facets = Facets::new();
        let statement = self
            .inner
            .dialect
            .statement(DAYS_BEFORE, vec![horizon.number().into()]);
        let mut rows = transaction.stream_raw(statement).await?;
        while let Some(row) = rows.try_next().await? {
            let kind: String = row.try_get_by_index(0)?;
            let name = (kind != "all").then_some(row.try_get_by_index::<String>(1)?);
            let day = Day::new(row.try_get_by_index(2)?);
            let active = UserSet::from_bytes(&row.try_get_by_index::<Vec<u8>>(4)?).map_err(|damage| {
                StoreError::Mismatch(format!(
                    "a set of {day} is damaged ({damage}), and the events before {horizon} have expired, so it cannot \
                     be made anew: go back to a backup"
                ))
            })?;
            let sets = DayActivity {
                events: row.try_get_by_index::<i64>(3)?.unsigned_abs(),
                active: Arc::new(active),
                ..DayActivity::default()
            };
            facets.entry(name).or_default().days.insert(day, sets);
        }
        Ok(facets)
    }

    async fn write_recounted(
        &self,
        transaction: &DatabaseTransaction,
        recounted: &Recounted,
    ) -> Result<u64, StoreError> {
        let dialect = self.inner.dialect;
        let version = next_fold(transaction, dialect).await?;
        let names: Vec<String> = recounted.facets.keys().flatten().cloned().collect();
        let statement =
            dialect.list_statement(&self.inner.sql.insert_types, vec![Column::Text(names)], vec![]);
        transaction.execute_raw(statement).await?;
        let nobody = UserSet::default();
        let mut written = 0;
        for row in transaction
            .query_all_raw(dialect.statement(FACET_NAMES, vec![]))
            .await?
        {
            let facet: i32 = row.try_get_by_index(0)?;
            let kind: String = row.try_get_by_index(1)?;
            let name = (kind != "all").then_some(row.try_get_by_index::<String>(2)?);
            let Some(activity) = recounted.facets.get(&name) else {
                self.write_seen(transaction, vec![(facet, &nobody)], version)
                    .await?;
                continue;
            };
            let rows: Vec<(i32, _, &DayActivity)> = activity
                .days
                .iter()
                .map(|(day, row)| (facet, *day, row))
                .collect();
            for part in rows.chunks(ROWS_AT_ONCE) {
                self.write_activity(transaction, part.to_vec(), version).await?;
            }
            self.write_seen(transaction, vec![(facet, activity.seen.as_ref())], version)
                .await?;
            written += rows.len() as u64;
        }
        Ok(written)
    }
}
