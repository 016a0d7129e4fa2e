//! Who had a return event at or after their first start event on the very same day: the one thing about retention that
//! sets cannot tell. It is read from `events`, only for days on which the sets say that it matters, and kept in the cache
//! under the versions of the two rows that it depends on.

use std::sync::Arc;

use activity::{calendar::Day, retention::DaySets};
use sea_orm::ConnectionTrait;

use crate::{
    Store,
    cache::{SetKey, Version},
    dialect::{Column, ColumnType, Columns, Dialect},
    error::StoreError,
    fold::ordinal,
    frame::FacetFrame,
};

const DAY_COLUMNS: Columns = &[
    ("day", ColumnType::Integer),
    ("start_at", ColumnType::BigInt),
    ("end_at", ColumnType::BigInt),
];

/// Two event types whose order on some days is wanted, at one moment.
pub(crate) struct SameDayQuestion<'a> {
    pub(crate) start: &'a FacetFrame,
    pub(crate) returning: &'a FacetFrame,
    pub(crate) days: Vec<Day>,
}

impl SameDayQuestion<'_> {
    fn key(&self, day: Day) -> SetKey {
        SetKey::SameDay {
            start_facet: self.start.facet,
            return_facet: self.returning.facet,
            day,
        }
    }

    /// The version of a day's answer; none while the log holds events of that day.
    fn version(&self, day: Day) -> Option<Version> {
        if self.start.unfolded.contains(&day) || self.returning.unfolded.contains(&day) {
            return None;
        }
        Some((self.start.rows.get(&day)?.1, self.returning.rows.get(&day)?.1))
    }
}

impl Store {
    /// The days that the cache has.
    pub(crate) fn cached_same_day(&self, question: &SameDayQuestion<'_>) -> DaySets {
        let cached = |day: &Day| {
            let sets = self
                .inner
                .cache
                .get(question.key(*day), question.version(*day)?)?;
            Some((*day, sets.active))
        };
        question.days.iter().filter_map(cached).collect()
    }

    /// Every day of the question, from the cache or from `snapshot`.
    pub(crate) async fn load_same_day(
        &self,
        snapshot: &impl ConnectionTrait,
        question: &SameDayQuestion<'_>,
    ) -> Result<DaySets, StoreError> {
        let mut sets = self.cached_same_day(question);
        let missing: Vec<Day> = question
            .days
            .iter()
            .filter(|day| !sets.contains_key(day))
            .copied()
            .collect();
        let (Some(start), Some(returning)) = (&question.start.name, &question.returning.name) else {
            return Ok(sets);
        };
        if missing.is_empty() {
            return Ok(sets);
        }
        let calendar = self.settings().calendar;
        let columns = vec![
            Column::Integer(missing.iter().map(|day| day.number()).collect()),
            Column::BigInt(
                missing
                    .iter()
                    .map(|day| calendar.start_of(*day).timestamp_micros())
                    .collect(),
            ),
            Column::BigInt(
                missing
                    .iter()
                    .map(|day| calendar.end_of(*day).timestamp_micros())
                    .collect(),
            ),
        ];
        let single = vec![start.clone().into(), returning.clone().into()];
        let statement = self
            .inner
            .dialect
            .list_statement(&self.inner.sql.same_day, columns, single);
        let mut loaded: DaySets = missing.into_iter().map(|day| (day, Arc::default())).collect();
        for row in snapshot.query_all_raw(statement).await? {
            let day = Day::new(row.try_get_by_index(0)?);
            let user = ordinal(row.try_get_by_index(1)?)?;
            if let Some(users) = loaded.get_mut(&day) {
                Arc::make_mut(users).insert(user);
            }
        }
        for (day, users) in loaded {
            if let Some(version) = question.version(day) {
                let (active, joined) = (Arc::clone(&users), Arc::clone(&users));
                self.inner
                    .cache
                    .insert(question.key(day), version, active, joined);
            }
            sets.insert(day, users);
        }
        Ok(sets)
    }
}

/// Reads, for some days, the users with an event of the second type at or after their first one of the first type.
pub(crate) fn same_day_sql(dialect: Dialect) -> String {
    let days = dialect.rows("days", DAY_COLUMNS);
    let [start, returning] = [0, 1].map(|nth| dialect.parameter(DAY_COLUMNS, nth));
    format!(
        "-- store: same_day
SELECT ordered.day, users.user_no
FROM (
  SELECT days.day, events.user_id
  FROM {days}
  JOIN events ON events.event_type IN ({start}, {returning})
    AND events.occurred_at >= days.start_at
    AND events.occurred_at < days.end_at
  GROUP BY days.day, events.user_id
  HAVING MIN(CASE WHEN events.event_type = {start} THEN events.occurred_at END)
    <= MAX(CASE WHEN events.event_type = {returning} THEN events.occurred_at END)
) AS ordered
JOIN users ON users.user_id = ordered.user_id"
    )
}

#[cfg(test)]
mod tests {
    use super::same_day_sql;
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        insta::assert_snapshot!("same_day_sqlite", same_day_sql(Dialect::Sqlite));
        insta::assert_snapshot!("same_day_postgres", same_day_sql(Dialect::Postgres));
    }
}
