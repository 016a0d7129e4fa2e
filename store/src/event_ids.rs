//! Ids of events never go down, although SQLite gives the highest one again once its row is deleted.
//!
//! Whoever follows `events` by id (live subscriptions) would miss an event that comes under an id it has passed. So what
//! deletes the newest rows notes which ids it made free, and ingest gives the next events ids beyond those. PostgreSQL
//! counts ids by itself and never gives one twice.

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::{dialect::Dialect, error::StoreError};

/// Ids above `after`, up to `up_to`: none of them belongs to a row, and none must be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetiredIds {
    pub(crate) after: i64,
    pub(crate) up_to: i64,
}

/// Lifts new events out of the retired ids. New ids begin beyond all others, so no two rows ever share one.
const LIFT_IDS: &str = "-- store: lift_ids
UPDATE events
SET id = id - $1 + (SELECT MAX(MAX(id), $2) FROM events)
WHERE id > $1 AND id <= $2";

impl RetiredIds {
    /// Reads them as they are stored: two numbers.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (after, up_to) = text.split_once(' ')?;
        Some(Self {
            after: after.parse().ok()?,
            up_to: up_to.parse().ok()?,
        })
    }
}

/// Gives events that were just inserted ids beyond the retired ones.
pub(crate) async fn lift_ids(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    retired: RetiredIds,
) -> Result<(), StoreError> {
    let values = vec![retired.after.into(), retired.up_to.into()];
    transaction
        .execute_raw(dialect.statement(LIFT_IDS, values))
        .await?;
    Ok(())
}
