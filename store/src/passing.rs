//! Reads the events that pass a filter, as sets of users.
//!
//! Every statement reads a bounded number of events, by time, by type or by user, so that none runs away on a database
//! that has no time limit of its own; all of them together have [`PATIENCE`].

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use activity::{
    calendar::{Day, DayRange},
    set::UserSet,
};
use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::{
    Store,
    dialect::{Column, ColumnType, Columns, Dialect},
    error::StoreError,
    filter::Filter,
    filter_sql::filter_sql,
    fold::ordinal,
    frame::users_of,
};

const DAY_COLUMNS: Columns = &[
    ("day", ColumnType::Integer),
    ("start_at", ColumnType::BigInt),
    ("end_at", ColumnType::BigInt),
];
const USER_COLUMNS: Columns = &[("user_no", ColumnType::BigInt)];

/// How long one question may read events, whatever time a request has: whoever scans holds one of few connections.
const PATIENCE: Duration = Duration::from_secs(10);
/// About how many events one statement reads, unless a single day has more.
const EVENTS_AT_ONCE: u64 = 300_000;
/// Of how many users one statement looks up the past.
const USERS_AT_ONCE: usize = 20_000;

/// Days that follow each other, which one statement reads.
type Step = Vec<Day>;

/// One question's reading of the events that pass a filter, inside of one snapshot.
pub(crate) struct Reading<'a, C> {
    store: &'a Store,
    snapshot: &'a C,
    filter: &'a Filter,
    until: Instant,
}

impl<'a, C: ConnectionTrait> Reading<'a, C> {
    pub(crate) fn new(store: &'a Store, snapshot: &'a C, filter: &'a Filter) -> Self {
        Self {
            store,
            snapshot,
            filter,
            until: Instant::now() + PATIENCE,
        }
    }

    /// The users with an event on each of some days; `events` has the days with the number of all their events.
    pub(crate) async fn days(
        &self,
        events: &BTreeMap<Day, u64>,
    ) -> Result<BTreeMap<Day, Arc<UserSet>>, StoreError> {
        let (sql, values) = passing_days_sql(self.dialect(), self.filter);
        let mut found = BTreeMap::new();
        for step in steps(events) {
            let columns = vec![
                Column::Integer(step.iter().map(|day| day.number()).collect()),
                Column::BigInt(step.iter().map(|day| self.start_of(*day)).collect()),
                Column::BigInt(step.iter().map(|day| self.end_of(*day)).collect()),
            ];
            let statement = self.dialect().list_statement(&sql, columns, values.clone());
            for row in self.rows(statement).await? {
                let users = users_of(&row.try_get_by_index::<String>(1)?)?;
                found.insert(Day::new(row.try_get_by_index(0)?), Arc::new(users));
            }
        }
        Ok(found)
    }

    /// The number of events and the users of each event type; `events` has the days with the number of all their events.
    pub(crate) async fn types(
        &self,
        events: &BTreeMap<Day, u64>,
    ) -> Result<BTreeMap<String, (u64, UserSet)>, StoreError> {
        let (sql, values) = passing_types_sql(self.dialect(), self.filter);
        let mut found: BTreeMap<String, (u64, UserSet)> = BTreeMap::new();
        for step in steps(events) {
            let (Some(first), Some(last)) = (step.first(), step.last()) else {
                continue;
            };
            let mut single = vec![self.start_of(*first).into(), self.end_of(*last).into()];
            single.extend(values.iter().cloned());
            let statement = self.dialect().statement(&sql, single);
            for row in self.rows(statement).await? {
                let of_type = found.entry(row.try_get_by_index(0)?).or_default();
                of_type.0 += row.try_get_by_index::<i64>(1)?.unsigned_abs();
                of_type.1.add(&users_of(&row.try_get_by_index::<String>(2)?)?);
            }
        }
        Ok(found)
    }

    /// Those of `users` who have an event before `day`.
    pub(crate) async fn earlier(&self, users: &UserSet, day: Day) -> Result<UserSet, StoreError> {
        let (sql, values) = passing_earlier_sql(self.dialect(), self.filter);
        let users: Vec<i64> = users.iter().map(i64::from).collect();
        let mut found = UserSet::default();
        for step in users.chunks(USERS_AT_ONCE) {
            let mut single = vec![self.start_of(day).into()];
            single.extend(values.iter().cloned());
            let columns = vec![Column::BigInt(step.to_vec())];
            let statement = self.dialect().list_statement(&sql, columns, single);
            for row in self.rows(statement).await? {
                found.insert(ordinal(row.try_get_by_index(0)?)?);
            }
        }
        Ok(found)
    }

    async fn rows(&self, statement: Statement) -> Result<Vec<sea_orm::QueryResult>, StoreError> {
        if Instant::now() >= self.until {
            let cause = DbErr::Custom(format!("events were read for {} seconds", PATIENCE.as_secs()));
            return Err(StoreError::Timeout(Arc::new(cause)));
        }
        Ok(self.snapshot.query_all_raw(statement).await?)
    }

    fn dialect(&self) -> Dialect {
        self.store.inner.dialect
    }

    fn start_of(&self, day: Day) -> i64 {
        self.store.settings().calendar.start_of(day).timestamp_micros()
    }

    fn end_of(&self, day: Day) -> i64 {
        self.store.settings().calendar.end_of(day).timestamp_micros()
    }
}

/// Days with events, cut into steps that one statement reads.
fn steps(events: &BTreeMap<Day, u64>) -> Vec<Step> {
    let mut steps = vec![Step::new()];
    let mut in_step = 0;
    for (day, count) in events.iter().filter(|(_, count)| **count > 0) {
        if in_step > 0 && in_step + count > EVENTS_AT_ONCE {
            steps.push(Step::new());
            in_step = 0;
        }
        in_step += count;
        if let Some(step) = steps.last_mut() {
            step.push(*day);
        }
    }
    steps.retain(|step| !step.is_empty());
    steps
}

/// The days of `range` with the number of their events, as `count` gives it.
pub(crate) fn events_by_day(range: DayRange, count: impl Fn(Day) -> u64) -> BTreeMap<Day, u64> {
    range.days().map(|day| (day, count(day))).collect()
}

/// Refuses a question whose days had events that have expired meanwhile: only the sets know of them, and no set knows
/// their users' names or their properties.
pub(crate) fn check_stored(horizon: Option<Day>, events: &BTreeMap<Day, u64>) -> Result<(), StoreError> {
    let Some(horizon) = horizon else {
        return Ok(());
    };
    let Some((day, _)) = events.range(..horizon).find(|(_, count)| **count > 0) else {
        return Ok(());
    };
    Err(StoreError::Invalid {
        field: "filter",
        reason: format!(
            "needs the events of {day}, and those of the days before {horizon} have expired; ask from {horizon} on (with a \
             window, as many days later), or filter by event types alone"
        ),
    })
}

/// Reads, for some days, the users with an event that passes. An index finds the events of each day: SQLite joins in the order
/// of the text; PostgreSQL takes one day after the other, and the users in the end, once.
pub(crate) fn passing_days_sql(dialect: Dialect, filter: &Filter) -> (String, Vec<sea_orm::Value>) {
    let days = dialect.rows("days", DAY_COLUMNS);
    let users = dialect.joined_text("users.user_no");
    let (condition, values) = filter_sql(dialect, filter, dialect.first_parameter(DAY_COLUMNS));
    let passing = match dialect {
        Dialect::Sqlite => format!(
            "  SELECT DISTINCT days.day, events.user_id
  FROM {days}
  CROSS JOIN events
  WHERE events.occurred_at >= days.start_at
    AND events.occurred_at < days.end_at
    AND {condition}"
        ),
        Dialect::Postgres => format!(
            "  SELECT days.day, of_day.user_id
  FROM {days}
  CROSS JOIN LATERAL (
    SELECT DISTINCT events.user_id
    FROM events
    WHERE events.occurred_at >= days.start_at
      AND events.occurred_at < days.end_at
      AND {condition}
  ) AS of_day
  OFFSET 0"
        ),
    };
    let sql = format!(
        "-- store: passing_days
SELECT passing.day, {users}
FROM (
{passing}
) AS passing
JOIN users ON users.user_id = passing.user_id
GROUP BY passing.day"
    );
    (sql, values)
}

/// Reads, for one stretch of time, the events that pass: for each event type their number and their users.
pub(crate) fn passing_types_sql(dialect: Dialect, filter: &Filter) -> (String, Vec<sea_orm::Value>) {
    let users = dialect.joined_text("users.user_no");
    let (condition, values) = filter_sql(dialect, filter, 3);
    let sql = format!(
        "-- store: passing_types
SELECT passing.event_type, CAST(SUM(passing.events) AS bigint), {users}
FROM (
  SELECT events.event_type, events.user_id, COUNT(*) AS events
  FROM events
  WHERE events.occurred_at >= $1
    AND events.occurred_at < $2
    AND {condition}
  GROUP BY events.event_type, events.user_id
) AS passing
JOIN users ON users.user_id = passing.user_id
GROUP BY passing.event_type"
    );
    (sql, values)
}

/// Reads which of some users have an event that passes before some time.
pub(crate) fn passing_earlier_sql(dialect: Dialect, filter: &Filter) -> (String, Vec<sea_orm::Value>) {
    let wanted = dialect.rows("wanted", USER_COLUMNS);
    let before = dialect.parameter(USER_COLUMNS, 0);
    let (condition, values) = filter_sql(dialect, filter, dialect.first_parameter(USER_COLUMNS) + 1);
    let condition = dialect.without_index(&condition);
    let sql = format!(
        "-- store: passing_earlier
SELECT users.user_no
FROM {wanted}
CROSS JOIN users
WHERE users.user_no = wanted.user_no
  AND EXISTS (
    SELECT 1
    FROM events
    WHERE events.user_id = users.user_id
      AND events.occurred_at < {before}
      AND {condition}
  )"
    );
    (sql, values)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use activity::calendar::Day;
    use serde_json::json;

    use super::{EVENTS_AT_ONCE, passing_days_sql, passing_earlier_sql, passing_types_sql, steps};
    use crate::{
        dialect::Dialect,
        filter::{Filter, StringTest, ValueTest},
        filtered::EVERY_TYPE,
    };

    #[test]
    fn steps_are_bounded_in_events() {
        let half = EVENTS_AT_ONCE / 2;
        let counts = [1, half, half, 0, 1, EVENTS_AT_ONCE + 1, 1];
        let events: BTreeMap<Day, u64> = (0..).map(Day::new).zip(counts).collect();
        let numbers: Vec<Vec<i32>> = steps(&events)
            .iter()
            .map(|step| step.iter().map(|day| day.number()).collect())
            .collect();
        assert_eq!(numbers, [vec![0, 1], vec![2, 4], vec![5], vec![6]]);
        assert!(steps(&BTreeMap::new()).is_empty());
    }

    #[test]
    fn statements() {
        let property = Filter::Property {
            path: vec!["plan".to_owned()],
            test: ValueTest::Eq(json!("pro")),
        };
        let of_types = Filter::EventType(StringTest::In(vec!["buy".to_owned()]));
        let narrowed = Filter::All(vec![of_types, property.clone()]);
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let mut all = vec![EVERY_TYPE.to_owned()];
            for filter in [&property, &narrowed] {
                all.push(passing_days_sql(dialect, filter).0);
                all.push(passing_types_sql(dialect, filter).0);
                all.push(passing_earlier_sql(dialect, filter).0);
            }
            insta::assert_snapshot!(format!("passing_{name}"), all.join(";\n\n"));
        }
    }
}
