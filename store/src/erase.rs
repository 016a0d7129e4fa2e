//! Erasure: every trace of a user removed in one transaction.
//!
//! Removed are the user's events, the ordinal, and the ordinal's place in the log and in every set, also in those of
//! days whose events have expired; and with them the event types that nobody else ever had. What is left is
//! what would be there had the user never been, with one exception: of days whose events have expired nobody knows any
//! more how many events were the user's, so where others were active too, the number of events stands.
//!
//! A row of the log says of several users only how many events they had together, so the log is folded first: then
//! the user is in the sets and nowhere else, and how many events are to go is known from the events.
//!
//! On PostgreSQL the folder waits for the whole of it, and ingest for the end: the bulk of the events is deleted and most of
//! the log folded before the log is locked, so that no event of the user can come in between. On SQLite the write lock does
//! both. The generation rises, so that ingest learns of it before its next commit (see `rules.rs` and `ordinals.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use activity::{
    calendar::Day,
    erase::{take_out, take_out_of_set},
    fold::DayActivity,
    set::UserSet,
};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, DatabaseTransaction, StreamTrait};

use crate::{
    Store,
    contention::despite_contention,
    database::{Purpose, begin_write},
    dialect::Column,
    erase_sql::{
        ACTIVE_BEFORE, ERASE_USER, SEEN_OF_ALL, USER_NO, delete_facets, delete_rows, erase_events,
        rows_of_sets,
    },
    erased_users,
    error::StoreError,
    event_ids::{highest_given, retire_ids},
    fold::{lock_fold, lock_log, next_fold, ordinal},
    settings::{self, Settings},
};

/// How many events are deleted by one statement: bounds its memory, and says how often progress is told.
const EVENTS_AT_ONCE: i64 = 10_000;
/// How many rows of sets are in memory at once.
const ROWS_AT_ONCE: usize = 200;

/// Whom to erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The user.
    pub user_id: String,
    /// Whether later events of the user are refused: a tombstone stays, a salted hash of the user id.
    pub block_future: bool,
    /// When it happens.
    pub now: DateTime<Utc>,
}

/// What an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedUser {
    /// How many events were deleted; 0 for a user who is not there.
    pub events_deleted: u64,
}

/// What is found out about the user's events while they are deleted.
#[derive(Default)]
struct Found {
    events: u64,
    /// How many the sets count, by event type and day.
    counted: BTreeMap<(String, Day), u64>,
}

/// A facet that the user is in.
struct FacetOfUser {
    /// The event type; `None` is everybody.
    name: Option<String>,
    facet: i32,
    /// Who was ever in it, the user no more.
    seen: Arc<UserSet>,
}

impl Store {
    /// Removes every trace of a user, and where asked refuses the user's later events. Doing it again changes nothing.
    ///
    /// `progress` is told how many events are deleted; nothing of it is to be seen before the end. The cost follows
    /// the user's events and, once events have expired, the sets of everybody on the days before.
    ///
    /// # Errors
    /// Nothing has changed then; the same call may work later if the error is transient.
    pub async fn erase_user(
        &self,
        erasure: Erasure,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<ErasedUser, StoreError> {
        let store = self.clone();
        self.spawn(async move { despite_contention(|| store.erase_once(&erasure, &progress)).await })
            .await
    }

    async fn erase_once(
        &self,
        erasure: &Erasure,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<ErasedUser, StoreError> {
        let pool = self.open_pool(Purpose::Maintenance, 1).await?;
        let transaction = begin_write(&pool).await?;
        let erased = self.erase_in(&transaction, erasure, progress).await?;
        transaction.commit().await?;
        self.check_file()?;
        let _ = pool.close().await;
        self.reload_rules(&self.inner.write).await?;
        Ok(erased)
    }

    async fn erase_in(
        &self,
        transaction: &DatabaseTransaction,
        erasure: &Erasure,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<ErasedUser, StoreError> {
        let dialect = self.inner.dialect;
        lock_fold(transaction, dialect).await?;
        // Nobody changes the time zone or the horizon without the lock of the fold.
        let settings = settings::read(transaction).await?;
        let highest = highest_given(transaction, dialect).await?;
        let mut found = Found::default();
        let user_id = &erasure.user_id;
        self.delete_events(transaction, settings, user_id, &mut found, progress)
            .await?;
        if found.events > 0 {
            self.fold_rest_in(transaction).await?;
        }
        lock_log(transaction, dialect).await?;
        self.delete_events(transaction, settings, user_id, &mut found, progress)
            .await?;
        let ids_are_news = retire_ids(transaction, dialect, highest).await?;
        let known = self
            .erase_ordinal(transaction, settings, user_id, &mut found)
            .await?;
        let user_hash = self.admission().erased.hash(user_id);
        let to_block = erasure.block_future && !erased_users::is_there(transaction, user_hash).await?;
        if known || found.events > 0 || ids_are_news || to_block {
            let generation = settings::next_generation(transaction, dialect).await?;
            if to_block {
                let erased_at = erasure.now.timestamp_micros();
                erased_users::write(transaction, user_hash, erased_at, generation).await?;
            }
        }
        Ok(ErasedUser {
            events_deleted: found.events,
        })
    }

    /// Deletes the events that are there, a part at a time.
    async fn delete_events(
        &self,
        transaction: &DatabaseTransaction,
        settings: Settings,
        user_id: &str,
        found: &mut Found,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), StoreError> {
        let dialect = self.inner.dialect;
        let sql = erase_events(dialect);
        let mut from = i64::MIN;
        loop {
            let values = vec![user_id.into(), from.into(), EVENTS_AT_ONCE.into()];
            let rows = transaction.query_all_raw(dialect.statement(&sql, values)).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                let micros: i64 = row.try_get_by_index(1)?;
                let occurred_at = DateTime::from_timestamp_micros(micros)
                    .ok_or_else(|| StoreError::internal("a stored time is out of range"))?;
                let key = (row.try_get_by_index(0)?, settings.calendar.day_of(occurred_at));
                *found.counted.entry(key).or_default() += 1;
                from = from.max(micros);
            }
            found.events += rows.len() as u64;
            progress(found.events);
        }
    }

    /// Folds what the log holds, and removes the ordinal from every set and from the table of users; false if there is none.
    async fn erase_ordinal(
        &self,
        transaction: &DatabaseTransaction,
        settings: Settings,
        user_id: &str,
        found: &mut Found,
    ) -> Result<bool, StoreError> {
        let dialect = self.inner.dialect;
        let row = transaction
            .query_one_raw(dialect.statement(USER_NO, vec![user_id.into()]))
            .await?;
        let Some(row) = row else {
            return Ok(false);
        };
        let user_no: i64 = row.try_get_by_index(0)?;
        let user = ordinal(user_no)?;
        self.fold_rest_in(transaction).await?;
        let facets = self.facets_of_user(transaction, user).await?;
        let expired = self.expired_days(transaction, settings.horizon, user).await?;
        if let Some(horizon) = settings.horizon {
            found.counted.retain(|(_, day), _| *day >= horizon);
        }
        let version = next_fold(transaction, dialect).await?;
        self.erase_from_days(transaction, user, &facets, found, &expired, version)
            .await?;
        self.erase_from_facets(transaction, facets, version).await?;
        transaction
            .execute_raw(dialect.statement(ERASE_USER, vec![user_no.into()]))
            .await?;
        Ok(true)
    }

    /// The facets that the user was ever in, and those that nobody is in, which refused events have left; everybody's is the
    /// last one.
    async fn facets_of_user(
        &self,
        transaction: &DatabaseTransaction,
        user: u32,
    ) -> Result<Vec<FacetOfUser>, StoreError> {
        let mut facets = Vec::new();
        let mut rows = transaction
            .stream_raw(self.inner.dialect.statement(SEEN_OF_ALL, vec![]))
            .await?;
        while let Some(row) = rows.try_next().await? {
            let kind: String = row.try_get_by_index(1)?;
            let name = (kind != "all").then_some(row.try_get_by_index::<String>(2)?);
            let mut seen = Arc::new(UserSet::from_bytes(&row.try_get_by_index::<Vec<u8>>(3)?)?);
            if take_out_of_set(&mut seen, user) || seen.is_empty() {
                let facet = row.try_get_by_index(0)?;
                facets.push(FacetOfUser { name, facet, seen });
            }
        }
        facets.sort_by_key(|facet| facet.name.is_none());
        Ok(facets)
    }

    /// The days before `horizon` on which the user was active: their events are gone, their sets stand.
    async fn expired_days(
        &self,
        transaction: &DatabaseTransaction,
        horizon: Option<Day>,
        user: u32,
    ) -> Result<BTreeSet<Day>, StoreError> {
        let mut days = BTreeSet::new();
        let Some(horizon) = horizon else {
            return Ok(days);
        };
        let values = vec![horizon.number().into()];
        let mut rows = transaction
            .stream_raw(self.inner.dialect.statement(ACTIVE_BEFORE, values))
            .await?;
        while let Some(row) = rows.try_next().await? {
            if UserSet::from_bytes(&row.try_get_by_index::<Vec<u8>>(1)?)?.contains(user) {
                days.insert(Day::new(row.try_get_by_index(0)?));
            }
        }
        Ok(days)
    }

    /// Takes the user out of the sets of days, event types first: what goes of them goes of everybody's as well.
    async fn erase_from_days(
        &self,
        transaction: &DatabaseTransaction,
        user: u32,
        facets: &[FacetOfUser],
        found: &Found,
        expired: &BTreeSet<Day>,
        version: i64,
    ) -> Result<(), StoreError> {
        let mut gone: BTreeMap<Day, u64> = BTreeMap::new();
        for facet in facets {
            let days: BTreeMap<Day, u64> = match &facet.name {
                Some(name) => {
                    let first = (name.clone(), Day::new(i32::MIN));
                    let last = (name.clone(), Day::new(i32::MAX));
                    let counted = found.counted.range(first..=last);
                    let counted = counted.map(|((_, day), events)| (*day, *events));
                    expired.iter().map(|day| (*day, 0)).chain(counted).collect()
                }
                None => {
                    let of_types = gone.iter().map(|(day, events)| (*day, *events));
                    expired.iter().map(|day| (*day, 0)).chain(of_types).collect()
                }
            };
            let days: Vec<(Day, u64)> = days.into_iter().collect();
            for part in days.chunks(ROWS_AT_ONCE) {
                self.erase_from_rows(transaction, user, facet.facet, part, version, &mut gone)
                    .await?;
            }
        }
        Ok(())
    }

    /// Takes the user out of some rows of a facet, and adds to `gone` how many events went with it.
    async fn erase_from_rows(
        &self,
        transaction: &DatabaseTransaction,
        user: u32,
        facet: i32,
        days: &[(Day, u64)],
        version: i64,
        gone: &mut BTreeMap<Day, u64>,
    ) -> Result<(), StoreError> {
        let dialect = self.inner.dialect;
        let columns = vec![
            Column::Integer(vec![facet; days.len()]),
            Column::Integer(days.iter().map(|(day, _)| day.number()).collect()),
        ];
        let statement = dialect.list_statement(&rows_of_sets(dialect), columns, vec![]);
        let own: BTreeMap<Day, u64> = days.iter().copied().collect();
        let mut changed: Vec<(Day, DayActivity)> = Vec::with_capacity(days.len());
        for row in transaction.query_all_raw(statement).await? {
            let day = Day::new(row.try_get_by_index(1)?);
            let mut sets = DayActivity {
                events: row.try_get_by_index::<i64>(2)?.unsigned_abs(),
                active: Arc::new(UserSet::from_bytes(&row.try_get_by_index::<Vec<u8>>(3)?)?),
                joined: Arc::new(UserSet::from_bytes(&row.try_get_by_index::<Vec<u8>>(4)?)?),
            };
            if sets.active.contains(user) {
                let events = own.get(&day).copied().unwrap_or_default();
                *gone.entry(day).or_default() += take_out(&mut sets, user, events);
                changed.push((day, sets));
            }
        }
        let empty: Vec<i32> = changed
            .iter()
            .filter(|(_, sets)| sets.active.is_empty())
            .map(|(day, _)| day.number())
            .collect();
        if !empty.is_empty() {
            let columns = vec![Column::Integer(vec![facet; empty.len()]), Column::Integer(empty)];
            let statement = dialect.list_statement(&delete_rows(dialect), columns, vec![]);
            transaction.execute_raw(statement).await?;
        }
        let left = changed.iter().filter(|(_, sets)| !sets.active.is_empty());
        let left = left.map(|(day, sets)| (facet, *day, sets)).collect();
        self.write_activity(transaction, left, version).await
    }

    /// Writes who was ever in the facets, and removes event types that nobody else ever had.
    async fn erase_from_facets(
        &self,
        transaction: &DatabaseTransaction,
        facets: Vec<FacetOfUser>,
        version: i64,
    ) -> Result<(), StoreError> {
        let dialect = self.inner.dialect;
        let is_gone = |facet: &&FacetOfUser| facet.name.is_some() && facet.seen.is_empty();
        let gone: Vec<i32> = facets.iter().filter(is_gone).map(|facet| facet.facet).collect();
        let left = facets.iter().filter(|facet| !is_gone(facet));
        let left = left.map(|facet| (facet.facet, facet.seen.as_ref())).collect();
        self.write_seen(transaction, left, version).await?;
        if !gone.is_empty() {
            let columns = vec![Column::Integer(gone)];
            let statement = dialect.list_statement(&delete_facets(dialect), columns, vec![]);
            transaction.execute_raw(statement).await?;
        }
        Ok(())
    }
}
