//! Events into the table: as if every id were new, which costs least, or careful of those that are known.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::Ordering,
};

use sea_orm::{ConnectionTrait, DatabaseTransaction, SqlErr};
use uuid::Uuid;

use crate::{
    Store,
    dialect::Column,
    error::StoreError,
    new_event::{NewEvent, Violation},
};

/// After a transaction met an id that was known, this many look for known ids before they insert: repeats come in rows,
/// from a client that sends again or an importer that runs again. All others insert at once, which costs less, and
/// start over if an id turns out to be known (PostgreSQL's log then has a line of it).
const CAREFUL_TRANSACTIONS: u32 = 64;

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
        transaction: &DatabaseTransaction,
        events: &[&NewEvent],
    ) -> Result<Option<HashSet<Uuid>>, StoreError> {
        let sql = &self.inner.sql.insert_new_events;
        let statement = self
            .inner
            .dialect
            .list_statement(sql, event_columns(events), vec![]);
        match transaction.execute_raw(statement).await {
            Ok(_) => Ok(Some(events.iter().map(|event| event.event_id).collect())),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Inserts the events that are not known, and returns their ids.
    pub(crate) async fn insert_events(
        &self,
        transaction: &DatabaseTransaction,
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
    let mut firsts: BTreeMap<Uuid, &NewEvent> = BTreeMap::new();
    for (position, event) in events.iter().enumerate() {
        if !refused.contains_key(&position) {
            firsts.entry(event.event_id).or_insert(event);
        }
    }
    firsts.into_values().collect()
}

/// Events as a list of rows.
fn event_columns(events: &[&NewEvent]) -> Vec<Column> {
    let text = |event: &&NewEvent| serde_json::to_string(&event.properties).unwrap_or_default();
    let occurred_at = |event: &&NewEvent| event.occurred_at.timestamp_micros();
    let received_at = |event: &&NewEvent| event.received_at.timestamp_micros();
    vec![
        Column::Uuid(events.iter().map(|event| event.event_id).collect()),
        Column::Text(events.iter().map(|event| event.user_id.clone()).collect()),
        Column::Text(events.iter().map(|event| event.event_type.clone()).collect()),
        Column::BigInt(events.iter().map(occurred_at).collect()),
        Column::Json(events.iter().map(text).collect()),
        Column::BigInt(events.iter().map(received_at).collect()),
    ]
}
