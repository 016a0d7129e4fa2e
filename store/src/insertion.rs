//! Events into the table: as if every id were new, which costs least, or careful of those that are known.
//!
//! As new, many events go the way that is cheapest in each database: on PostgreSQL by `COPY`, on SQLite as the parameters
//! of statements for a fixed number of rows. What is left over, few events and careful transactions go as one list
//! ([`crate::dialect`]), whose statement is the same whatever the number. All ways store the same.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
};

use futures_util::future::join;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, SqlErr, Statement, Value};
use uuid::Uuid;

use crate::{
    Store,
    copied_events::{COPY_EVENTS, copied_events},
    dialect::Column,
    error::StoreError,
    new_event::{NewEvent, Violation},
    write_transaction::WriteTransaction,
};

/// After a transaction met an id that was known, this many look for known ids before they insert: repeats come in rows,
/// from a client that sends again or an importer that runs again. All others insert at once, which costs less, and
/// start over if an id turns out to be known (PostgreSQL's log then has a line of it).
const CAREFUL_TRANSACTIONS: u32 = 64;
/// From how many events on they are copied. `COPY` costs less for each event than a list, but the driver leaves TCP's small
/// packets to wait for one another (Nagle's algorithm), so the end of each `COPY` arrives 40 ms late.
pub(crate) const COPY_FROM: usize = 5_000;
/// Events in one statement on SQLite: enough that the way to SQLite's thread counts for little.
pub(crate) const SQLITE_ROWS: usize = 100;

/// How events are inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insertion {
    /// As if none of their ids were known.
    AllNew,
    /// Those whose ids are not known.
    Careful,
}

impl Store {
    /// How the next transaction inserts.
    pub(crate) fn insertion(&self) -> Insertion {
        match self.inner.careful_transactions.load(Ordering::Relaxed) {
            0 => Insertion::AllNew,
            _ => Insertion::Careful,
        }
    }

    /// Inserts events of which none should be known, and returns their ids; nothing if one is, and then the transaction
    /// can only be rolled back.
    pub(crate) async fn insert_new_events(
        &self,
        transaction: &WriteTransaction,
        events: &[&NewEvent],
    ) -> Result<Option<HashSet<Uuid>>, StoreError> {
        let inserted = match transaction {
            WriteTransaction::Sqlite(transaction) => self.insert_rows(transaction, events).await,
            WriteTransaction::Postgres(transaction) if events.len() >= COPY_FROM => {
                let data = copied_events(events);
                transaction.copy_in(COPY_EVENTS, &data).await.map(|_| ())
            }
            WriteTransaction::Postgres(_) => self.insert_list(transaction, events).await,
        };
        match inserted {
            Ok(()) => Ok(Some(events.iter().map(|event| event.event_id).collect())),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// [`SQLITE_ROWS`] events at a time, and what is left over as a list. While SQLite's own thread works on one statement,
    /// the next one is made here.
    async fn insert_rows(
        &self,
        transaction: &DatabaseTransaction,
        events: &[&NewEvent],
    ) -> Result<(), DbErr> {
        let (groups, rest) = events.as_chunks::<SQLITE_ROWS>();
        let mut groups = groups.iter();
        let mut made = groups.next().map(|group| self.rows_statement(group));
        while let Some(statement) = made {
            let making = async { groups.next().map(|group| self.rows_statement(group)) };
            let (executed, next) = join(transaction.execute_raw(statement), making).await;
            executed?;
            made = next;
        }
        self.insert_list(transaction, rest).await
    }

    fn rows_statement(&self, group: &[&NewEvent; SQLITE_ROWS]) -> Statement {
        let values = group.iter().flat_map(|event| event_values(event)).collect();
        self.inner
            .dialect
            .statement(&self.inner.sql.insert_event_rows, values)
    }

    async fn insert_list(
        &self,
        transaction: &impl ConnectionTrait,
        events: &[&NewEvent],
    ) -> Result<(), DbErr> {
        if events.is_empty() {
            return Ok(());
        }
        let sql = &self.inner.sql.insert_new_events;
        let statement = self
            .inner
            .dialect
            .list_statement(sql, event_columns(events), vec![]);
        transaction.execute_raw(statement).await.map(|_| ())
    }

    /// Inserts the events that are not known, and returns their ids.
    pub(crate) async fn insert_events(
        &self,
        transaction: &WriteTransaction,
        events: &[&NewEvent],
    ) -> Result<HashSet<Uuid>, StoreError> {
        let sql = &self.inner.sql.insert_events;
        let statement = self
            .inner
            .dialect
            .list_statement(sql, event_columns(events), vec![]);
        let rows = transaction.query_all_raw(statement).await?;
        let ids: Result<HashSet<Uuid>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
        let ids = ids?;
        self.remember_repeats(ids.len() < events.len());
        Ok(ids)
    }

    /// Decides how the next transactions insert.
    fn remember_repeats(&self, some_known: bool) {
        let careful = &self.inner.careful_transactions;
        let next = |left: u32| match some_known {
            true => Some(CAREFUL_TRANSACTIONS),
            false => left.checked_sub(1),
        };
        // Without one left there is nothing to subtract from.
        let _ = careful.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

/// The first event with each id, sorted by id, without those that are refused.
pub(crate) fn first_of_each_id<'a>(
    events: &'a [NewEvent],
    refused: &HashMap<usize, Violation>,
) -> Vec<&'a NewEvent> {
    let admitted = events
        .iter()
        .enumerate()
        .filter(|(position, _)| !refused.contains_key(position));
    let mut firsts: Vec<&NewEvent> = admitted.map(|(_, event)| event).collect();
    // Events with one id keep their order, and the first of them stays.
    firsts.sort_by_key(|event| event.event_id);
    firsts.dedup_by_key(|event| event.event_id);
    firsts
}

/// The values of one row, in the order of the columns.
fn event_values(event: &NewEvent) -> [Value; 6] {
    [
        event.event_id.into(),
        event.user_id.as_str().into(),
        event.event_type.as_str().into(),
        event.occurred_at.timestamp_micros().into(),
        event.properties.as_str().into(),
        event.received_at.timestamp_micros().into(),
    ]
}

/// Events as a list of rows.
pub(crate) fn event_columns(events: &[&NewEvent]) -> Vec<Column> {
    let occurred_at = |event: &&NewEvent| event.occurred_at.timestamp_micros();
    let received_at = |event: &&NewEvent| event.received_at.timestamp_micros();
    vec![
        Column::Uuid(events.iter().map(|event| event.event_id).collect()),
        Column::Text(events.iter().map(|event| event.user_id.clone()).collect()),
        Column::Text(events.iter().map(|event| event.event_type.clone()).collect()),
        Column::BigInt(events.iter().map(occurred_at).collect()),
        Column::Json(events.iter().map(|event| event.properties.clone()).collect()),
        Column::BigInt(events.iter().map(received_at).collect()),
    ]
}
