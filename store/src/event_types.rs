//! Reads which event types there are: from the sets, with what the log still holds on top, never from `events`.

use std::collections::HashMap;

use activity::{calendar::Day, set::UserSet};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::{
    Store, StoreError,
    activity_log::{joined_sets, joined_users, users_of_rows},
    database::begin_snapshot,
    dialect::Dialect,
    sets::{Keeping, LoadedSets, WantedSets},
};

/// An event type that has at least one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// The event type.
    pub name: String,
    /// The day of its earliest event.
    pub first_day: Day,
    /// The day of its latest event.
    pub last_day: Day,
    /// How many events it has.
    pub events: u64,
    /// How many distinct users have one.
    pub users: u64,
}

/// Some event types in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTypesPage {
    /// The event types.
    pub event_types: Vec<EventType>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// An event type as it is stored: what the sets have, and what the log has besides.
struct Row {
    name: String,
    facet: i32,
    seen_version: i64,
    folded: Option<Part>,
    /// With the users that have an event in the log.
    unfolded: Option<(Part, UserSet)>,
}

/// Days and counts of some of the events of a type. In the log, `users` is not known.
#[derive(Clone, Copy)]
struct Part {
    first_day: Day,
    last_day: Day,
    events: u64,
    users: u64,
}

impl Store {
    /// The `limit` event types behind the name `after`, by name ascending (byte for byte); from the first one where
    /// `after` is empty.
    ///
    /// Everything is of one moment. The cost follows the types on the page and the days on which they have events.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time.
    pub async fn event_types(&self, after: String, limit: u32) -> Result<EventTypesPage, StoreError> {
        self.ask(move |store| {
            let after = after.clone();
            async move { store.event_types_here(&after, limit).await }
        })
        .await
    }

    async fn event_types_here(&self, after: &str, limit: u32) -> Result<EventTypesPage, StoreError> {
        let rows = self.event_type_rows(&self.inner.read, after, limit).await?;
        if let Some(seen) = self.cached_sets(&wanted(&rows)) {
            return Ok(page(rows, &seen, limit));
        }
        let snapshot = begin_snapshot(&self.inner.read).await?;
        let rows = self.event_type_rows(&snapshot, after, limit).await?;
        let seen = self
            .load_sets(&snapshot, &wanted(&rows), Keeping::InMemory)
            .await?;
        snapshot.commit().await?;
        Ok(page(rows, &seen, limit))
    }

    /// Reads one row more than wanted, to know whether there is one.
    async fn event_type_rows(
        &self,
        connection: &impl ConnectionTrait,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let values = vec![after.into(), (i64::from(limit) + 1).into()];
        let statement = self.inner.dialect.statement(&self.inner.sql.event_types, values);
        let rows = connection.query_all_raw(statement).await?;
        rows.iter().map(read_row).collect()
    }
}

/// The users ever seen in the types that the log touches: who of the log is new among them must be counted.
fn wanted(rows: &[Row]) -> WantedSets {
    let touched = rows.iter().filter(|row| row.unfolded.is_some());
    WantedSets {
        days: HashMap::new(),
        seen: touched.map(|row| (row.facet, row.seen_version)).collect(),
    }
}

fn page(rows: Vec<Row>, seen: &LoadedSets, limit: u32) -> EventTypesPage {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    let event_types = rows
        .into_iter()
        .take(limit)
        .filter_map(|row| put_together(row, seen))
        .collect();
    EventTypesPage { event_types, more }
}

/// The type with the log on top; none if it has no event at all, which the statement leaves out already.
fn put_together(row: Row, seen: &LoadedSets) -> Option<EventType> {
    let unfolded = row.unfolded.map(|(part, users)| {
        let new = match seen.seen.get(&row.facet) {
            Some(seen) => users.minus(seen).len(),
            None => users.len(),
        };
        Part { users: new, ..part }
    });
    let all = match (row.folded, unfolded) {
        (Some(folded), Some(unfolded)) => Part {
            first_day: folded.first_day.min(unfolded.first_day),
            last_day: folded.last_day.max(unfolded.last_day),
            events: folded.events + unfolded.events,
            users: folded.users + unfolded.users,
        },
        (only, None) | (None, only) => only?,
    };
    Some(EventType {
        name: row.name,
        first_day: all.first_day,
        last_day: all.last_day,
        events: all.events,
        users: all.users,
    })
}

fn read_row(row: &QueryResult) -> Result<Row, StoreError> {
    let part = |first| -> Result<Option<Part>, StoreError> {
        let Some(first_day) = row.try_get_by_index::<Option<i32>>(first)? else {
            return Ok(None);
        };
        Ok(Some(Part {
            first_day: Day::new(first_day),
            last_day: Day::new(row.try_get_by_index(first + 1)?),
            events: row.try_get_by_index::<i64>(first + 2)?.unsigned_abs(),
            users: 0,
        }))
    };
    let folded = match part(3)? {
        Some(folded) => Some(Part {
            users: row.try_get_by_index::<i64>(6)?.unsigned_abs(),
            ..folded
        }),
        None => None,
    };
    let unfolded = match part(7)? {
        Some(unfolded) => {
            let users = users_of_rows(row.try_get_by_index(10)?, row.try_get_by_index(11)?)?;
            Some((unfolded, users))
        }
        None => None,
    };
    Ok(Row {
        name: row.try_get_by_index(1)?,
        facet: row.try_get_by_index(0)?,
        seen_version: row.try_get_by_index(2)?,
        folded,
        unfolded,
    })
}

/// Reads the event types behind a name. A user joins a type once, so those who joined on any day are its users.
pub(crate) fn event_types_sql(dialect: Dialect) -> String {
    let (users, sets) = (joined_users(dialect), joined_sets(dialect));
    format!(
        "-- store: event_types
WITH page AS (
  SELECT facets.facet_id, facets.name, facets.version
  FROM facets
  WHERE facets.kind = 'event_type'
    AND facets.name > $1
    AND (EXISTS (SELECT 1 FROM activity WHERE activity.facet_id = facets.facet_id AND activity.events > 0)
      OR EXISTS (SELECT 1 FROM activity_log WHERE activity_log.event_type = facets.name))
  ORDER BY facets.name
  LIMIT $2
), folded AS (
  SELECT activity.facet_id, MIN(activity.day) AS first_day, MAX(activity.day) AS last_day,
    CAST(SUM(activity.events) AS bigint) AS events, CAST(SUM(activity.new_users) AS bigint) AS users
  FROM page
  JOIN activity ON activity.facet_id = page.facet_id AND activity.events > 0
  GROUP BY activity.facet_id
), unfolded AS (
  SELECT event_type, MIN(day) AS first_day, MAX(day) AS last_day, CAST(SUM(events) AS bigint) AS events,
    {users} AS users, {sets} AS sets
  FROM activity_log
  WHERE event_type IN (SELECT page.name FROM page)
  GROUP BY event_type
)
SELECT page.facet_id, page.name, page.version,
  folded.first_day, folded.last_day, folded.events, folded.users,
  unfolded.first_day, unfolded.last_day, unfolded.events, unfolded.users, unfolded.sets
FROM page
LEFT JOIN folded ON folded.facet_id = page.facet_id
LEFT JOIN unfolded ON unfolded.event_type = page.name
ORDER BY page.name"
    )
}

#[cfg(test)]
mod tests {
    use super::event_types_sql;
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        insta::assert_snapshot!("event_types_sqlite", event_types_sql(Dialect::Sqlite));
        insta::assert_snapshot!("event_types_postgres", event_types_sql(Dialect::Postgres));
    }
}
