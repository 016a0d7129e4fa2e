//! Reads what is known of users: when they were first and last seen, and how many events they have.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use crate::{
    Store, StoreError,
    dialect::{Column, Dialect},
    ingest::instant,
    ordinals::USER_COLUMNS,
};

/// What the events of a user say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserFacts {
    /// When the earliest event happened.
    pub first_seen: DateTime<Utc>,
    /// When the latest event happened.
    pub last_seen: DateTime<Utc>,
    /// How many events there are, at least one.
    pub event_count: u64,
}

impl Store {
    /// What is known of these users, all at one moment; those without an event are left out.
    ///
    /// One statement for all of them. Its cost follows their events, which are counted in an index.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time.
    pub async fn user_facts(&self, user_ids: Vec<String>) -> Result<HashMap<String, UserFacts>, StoreError> {
        self.ask(move |store| {
            let user_ids = user_ids.clone();
            async move { store.user_facts_here(user_ids).await }
        })
        .await
    }

    async fn user_facts_here(&self, user_ids: Vec<String>) -> Result<HashMap<String, UserFacts>, StoreError> {
        let sql = &self.inner.sql.user_facts;
        let columns = vec![Column::Text(user_ids)];
        let statement = self.inner.dialect.list_statement(sql, columns, vec![]);
        let mut facts = HashMap::new();
        for row in self.inner.read.query_all_raw(statement).await? {
            let (Some(first), Some(last)) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?) else {
                continue;
            };
            let known = UserFacts {
                first_seen: instant(first)?,
                last_seen: instant(last)?,
                event_count: row.try_get_by_index::<i64>(3)?.unsigned_abs(),
            };
            facts.insert(row.try_get_by_index(0)?, known);
        }
        Ok(facts)
    }
}

/// Reads the first and the last time of some users' events, and their number: the times from the ends of an index,
/// whatever lies between them.
pub(crate) fn user_facts_sql(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", USER_COLUMNS);
    format!(
        "-- store: user_facts
SELECT wanted.user_id,
  (SELECT MIN(events.occurred_at) FROM events WHERE events.user_id = wanted.user_id) AS first_seen,
  (SELECT MAX(events.occurred_at) FROM events WHERE events.user_id = wanted.user_id) AS last_seen,
  (SELECT COUNT(*) FROM events WHERE events.user_id = wanted.user_id) AS event_count
FROM {wanted}"
    )
}

#[cfg(test)]
mod tests {
    use super::user_facts_sql;
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        insta::assert_snapshot!("users_sqlite", user_facts_sql(Dialect::Sqlite));
        insta::assert_snapshot!("users_postgres", user_facts_sql(Dialect::Postgres));
    }
}
