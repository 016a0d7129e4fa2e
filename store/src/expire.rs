//! Expiry: the events of days before a horizon are deleted, the sets of those days stay.
//!
//! First the horizon is set, in one transaction with the fold of everything that the log holds, so that the sets of the
//! days before are complete; from its commit on no event of those days is taken any more, whoever sends it. Then events
//! are deleted in short transactions, which a run that was cut short is followed by a second one to finish. Numbers of the
//! past keep standing, for they come from sets. The horizon never goes back.

use std::time::Duration;

use activity::calendar::{Calendar, Day};
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection};

use crate::{
    Store,
    contention::despite_contention,
    database::{Purpose, begin_write},
    error::StoreError,
    event_ids::{highest_given, retire_ids},
    expire_sql::{EXPIRABLE, expire_events},
    fold::{lock_fold, lock_log},
    settings::{self, Settings},
};

/// How many events one transaction deletes: ingest waits for no longer than that takes.
const EVENTS_AT_ONCE: i64 = 5_000;
/// How long other writers are let in between two of them; SQLite does not let them in by itself.
const PAUSE: Duration = Duration::from_millis(10);

impl Store {
    /// The first day that still has its events; none where nothing has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time.
    pub async fn horizon(&self) -> Result<Option<Day>, StoreError> {
        let store = self.clone();
        self.spawn(async move { Ok(settings::read(&store.inner.read).await?.horizon) })
            .await
    }

    /// How many events [`Store::expire`] would delete, without changing anything.
    ///
    /// # Errors
    /// As [`Store::expire`].
    pub async fn expirable(&self, before: Day, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let store = self.clone();
        self.spawn(async move {
            let pool = store.open_pool(Purpose::Maintenance, 1).await?;
            let settings = settings::read(&pool).await?;
            check(before, settings, now)?;
            let end = end_micros(settings.calendar, before);
            let statement = store.inner.dialect.statement(EXPIRABLE, vec![end.into()]);
            let row = pool.query_one_raw(statement).await?;
            let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
            let _ = pool.close().await;
            Ok(count.unsigned_abs())
        })
        .await
    }

    /// Deletes the events of the days before `before` and returns how many went; their numbers stand. Called again, it
    /// finishes what an earlier call began.
    ///
    /// `progress` is told how many events are deleted. A server may run meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a day after today, or before the present horizon: nothing has changed then. Otherwise
    /// what was deleted is gone, and the same call goes on.
    pub async fn expire(
        &self,
        before: Day,
        now: DateTime<Utc>,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<u64, StoreError> {
        let store = self.clone();
        self.spawn(async move {
            let pool = store.open_pool(Purpose::Maintenance, 1).await?;
            let settings = settings::read(&pool).await?;
            check(before, settings, now)?;
            // Most of the log is folded before anybody has to wait for it.
            store.fold_all().await?;
            despite_contention(|| store.set_horizon(&pool, before, now)).await?;
            let end = end_micros(settings.calendar, before);
            let (mut from, mut deleted) = (i64::MIN, 0);
            loop {
                let (events, latest) = despite_contention(|| store.delete_oldest(&pool, from, end)).await?;
                if events == 0 {
                    break;
                }
                deleted += events;
                from = latest;
                progress(deleted);
                tokio::time::sleep(PAUSE).await;
            }
            let _ = pool.close().await;
            store.reload_rules(&store.inner.write).await?;
            Ok(deleted)
        })
        .await
    }

    /// Folds all that the log holds and sets the horizon, in one transaction that no ingest straddles.
    async fn set_horizon(
        &self,
        pool: &DatabaseConnection,
        before: Day,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let dialect = self.inner.dialect;
        let transaction = begin_write(pool).await?;
        lock_fold(&transaction, dialect).await?;
        lock_log(&transaction, dialect).await?;
        let settings = settings::read(&transaction).await?;
        check(before, settings, now)?;
        self.fold_rest_in(&transaction).await?;
        if settings.horizon != Some(before) {
            settings::write(&transaction, settings::HORIZON, before.number().to_string()).await?;
            settings::next_generation(&transaction, dialect).await?;
        }
        transaction.commit().await?;
        self.check_file()
    }

    /// Deletes the oldest events between two moments; returns how many, and when the latest of them happened.
    async fn delete_oldest(
        &self,
        pool: &DatabaseConnection,
        from: i64,
        end: i64,
    ) -> Result<(u64, i64), StoreError> {
        let dialect = self.inner.dialect;
        let transaction = begin_write(pool).await?;
        // Two runs at once would count each other's events as gone, and an erasure's as well.
        lock_fold(&transaction, dialect).await?;
        let highest = highest_given(&transaction, dialect).await?;
        let values = vec![from.into(), end.into(), EVENTS_AT_ONCE.into()];
        let rows = transaction
            .query_all_raw(dialect.statement(&expire_events(dialect), values))
            .await?;
        let mut latest = from;
        for row in &rows {
            latest = latest.max(row.try_get_by_index(0)?);
        }
        if retire_ids(&transaction, dialect, highest).await? {
            settings::next_generation(&transaction, dialect).await?;
        }
        transaction.commit().await?;
        Ok((rows.len() as u64, latest))
    }
}

/// Whether the events before this day may expire now.
fn check(before: Day, settings: Settings, now: DateTime<Utc>) -> Result<(), StoreError> {
    let invalid = |reason| {
        Err(StoreError::Invalid {
            field: "before",
            reason,
        })
    };
    let today = settings.calendar.day_of(now);
    if before > today {
        return invalid(format!(
            "{before} lies in the future: today is {today}, the latest day that can be given"
        ));
    }
    match settings.horizon {
        Some(horizon) if before < horizon => invalid(format!(
            "{before} lies before {horizon}: the events of all days before that one have expired already"
        )),
        _ => Ok(()),
    }
}

fn end_micros(calendar: Calendar, before: Day) -> i64 {
    calendar.start_of(before).timestamp_micros()
}
