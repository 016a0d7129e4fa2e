//! Ids of events never go down, although SQLite gives the highest one again once its row is deleted.
//!
//! Whoever follows `events` by id (live subscriptions) would miss an event that comes under an id it has passed. So what
//! deletes the newest rows notes which ids it made free, and ingest gives the next events ids beyond those. PostgreSQL
//! counts ids by itself and never gives one twice.

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::{dialect::Dialect, error::StoreError, settings};

/// Ids above `after`, up to `up_to`: none of them belongs to a row, and none must be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetiredIds {
    pub(crate) after: i64,
    pub(crate) up_to: i64,
}

/// The highest id in use.
const HIGHEST_ID: &str = "-- store: highest_id
SELECT COALESCE(MAX(id), 0) AS id
FROM events";

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

    fn text(self) -> String {
        format!("{} {}", self.after, self.up_to)
    }
}

/// The highest id that was ever given, as far as rows and retired ids tell. Asked before rows are deleted.
pub(crate) async fn highest_given(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
) -> Result<i64, StoreError> {
    if dialect == Dialect::Postgres {
        return Ok(0);
    }
    let retired = retired_ids(transaction).await?.map_or(0, |retired| retired.up_to);
    Ok(highest_used(transaction, dialect).await?.max(retired))
}

/// Notes the ids that a deletion made free at the top, where `highest` was the highest one before it. True if that is
/// news, which ingest must hear: the caller begins a new generation then.
pub(crate) async fn retire_ids(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
    highest: i64,
) -> Result<bool, StoreError> {
    if dialect == Dialect::Postgres {
        return Ok(false);
    }
    let retired = RetiredIds {
        after: highest_used(transaction, dialect).await?,
        up_to: highest,
    };
    if retired.after >= retired.up_to || retired_ids(transaction).await? == Some(retired) {
        return Ok(false);
    }
    settings::write(transaction, settings::RETIRED_IDS, retired.text()).await?;
    Ok(true)
}

/// Gives events that were just inserted ids beyond the retired ones.
pub(crate) async fn lift_ids(
    transaction: &impl ConnectionTrait,
    dialect: Dialect,
    retired: RetiredIds,
) -> Result<(), StoreError> {
    let values = vec![retired.after.into(), retired.up_to.into()];
    transaction
        .execute_raw(dialect.statement(LIFT_IDS, values))
        .await?;
    Ok(())
}

async fn retired_ids(transaction: &DatabaseTransaction) -> Result<Option<RetiredIds>, StoreError> {
    let text = settings::text(transaction, settings::RETIRED_IDS).await?;
    Ok(text.as_deref().and_then(RetiredIds::parse))
}

async fn highest_used(transaction: &DatabaseTransaction, dialect: Dialect) -> Result<i64, StoreError> {
    let row = transaction
        .query_one_raw(dialect.statement(HIGHEST_ID, vec![]))
        .await?;
    Ok(row.map_or(Ok(0), |row| row.try_get_by_index(0))?)
}
