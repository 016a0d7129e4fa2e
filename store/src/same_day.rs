//! Who had a return event at or after their first start event on the very same day: the one thing about retention that
//! sets cannot tell. It is read from `events`, only for the users for whom the sets say that it matters, and kept in the
//! cache under the versions of the two rows that it depends on.
//!
//! There are two ways to read it, with the same answer: every event of both types on those days, or the day of each user
//! for whom it matters. First-ever entries are few a day, so the second is usually a hundredth of the work.

use std::{collections::BTreeMap, sync::Arc};

use activity::{
    calendar::{Calendar, Day, DayRange},
    retention::{DaySets, Entry},
    set::UserSet,
};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::{
    Store,
    cache::{SetKey, Version},
    dialect::{Column, ColumnType, Columns, Dialect},
    error::StoreError,
    fold::ordinal,
    frame::FacetFrame,
    view::View,
};

const DAY_COLUMNS: Columns = &[
    ("day", ColumnType::Integer),
    ("start_at", ColumnType::BigInt),
    ("end_at", ColumnType::BigInt),
];

const USER_COLUMNS: Columns = &[
    ("day", ColumnType::Integer),
    ("start_at", ColumnType::BigInt),
    ("end_at", ColumnType::BigInt),
    ("user_no", ColumnType::BigInt),
];
/// How many events of a scan one user's day is worth: two descents of an index and everything the user did on that day.
const EVENTS_PER_USER: u64 = 8;
/// The most users whose days are read one by one: as many as fit well into one statement.
const MAX_USERS: u64 = 50_000;

/// Two event types whose order on some days is wanted, at one moment.
pub(crate) struct SameDayQuestion<'a> {
    pub(crate) view: &'a View,
    /// The facet of the start event, by its position in the view.
    pub(crate) start: usize,
    /// That of the return event.
    pub(crate) returning: usize,
    pub(crate) entry: Entry,
    pub(crate) days: &'a [Day],
    /// Who may enter on a day.
    pub(crate) starts: &'a DaySets,
    /// Who has a return event on a day.
    pub(crate) returns: &'a DaySets,
}

/// What the cache and the sets tell of the order.
#[derive(Default)]
pub(crate) struct KnownOrder {
    /// By day, who had a return event at or after their first start event.
    pub(crate) ordered: DaySets,
    /// The days for which the events have to be read, and the users who may enter then and have a return event as well.
    pub(crate) unknown: BTreeMap<Day, UserSet>,
}

impl SameDayQuestion<'_> {
    fn facets(&self) -> (&FacetFrame, &FacetFrame) {
        let facets = &self.view.frame.facets;
        (&facets[self.start], &facets[self.returning])
    }

    fn key(&self, day: Day) -> SetKey {
        let (start, returning) = self.facets();
        SetKey::SameDay {
            start_facet: start.facet,
            return_facet: returning.facet,
            entry: self.entry,
            day,
        }
    }

    /// The users of a day who may enter and have a return event as well.
    fn both(&self, day: Day) -> UserSet {
        match (self.starts.get(&day), self.returns.get(&day)) {
            (Some(starts), Some(returns)) => starts.and(returns),
            _ => UserSet::default(),
        }
    }

    /// Whether reading the days of each user costs less than reading all events of both types on these days.
    fn is_about_few(&self, days: &BTreeMap<Day, UserSet>) -> bool {
        let (start, returning) = self.facets();
        let users: u64 = days.values().map(UserSet::len).sum();
        let on = |day: &Day| {
            let range = DayRange { from: *day, to: *day };
            start.events(range) + returning.events(range)
        };
        let events: u64 = days.keys().map(on).sum();
        users <= MAX_USERS && users.saturating_mul(EVENTS_PER_USER) <= events
    }

    /// The version of a day's answer; none while the log changes the sets of that day.
    fn version(&self, day: Day) -> Option<Version> {
        if self.view.is_changed(self.start, day) || self.view.is_changed(self.returning, day) {
            return None;
        }
        let (start, returning) = self.facets();
        Some((start.rows.get(&day)?.1, returning.rows.get(&day)?.1))
    }
}

impl Store {
    /// What is known without reading events.
    pub(crate) fn known_order(&self, question: &SameDayQuestion<'_>) -> KnownOrder {
        let mut known = KnownOrder::default();
        for day in question.days {
            let version = question.version(*day);
            if let Some(sets) = version.and_then(|version| self.inner.cache.get(question.key(*day), version))
            {
                known.ordered.insert(*day, sets.active);
                continue;
            }
            let both = question.both(*day);
            if both.is_empty() {
                let nobody = self.keep_order(question, *day, Arc::default());
                known.ordered.insert(*day, nobody);
            } else {
                known.unknown.insert(*day, both);
            }
        }
        known
    }

    fn keep_order(&self, question: &SameDayQuestion<'_>, day: Day, users: Arc<UserSet>) -> Arc<UserSet> {
        if let Some(version) = question.version(day) {
            let cache = &self.inner.cache;
            cache.insert(question.key(day), version, Arc::clone(&users), Arc::clone(&users));
        }
        users
    }

    /// The order on every day of the question; what is not known is read in `snapshot`.
    pub(crate) async fn load_order(
        &self,
        snapshot: &impl ConnectionTrait,
        question: &SameDayQuestion<'_>,
    ) -> Result<DaySets, StoreError> {
        let KnownOrder { mut ordered, unknown } = self.known_order(question);
        let (start, returning) = question.facets();
        let (Some(start), Some(returning)) = (&start.name, &returning.name) else {
            return Ok(ordered);
        };
        if unknown.is_empty() {
            return Ok(ordered);
        }
        let calendar = self.settings().calendar;
        let (sql, columns) = if question.is_about_few(&unknown) {
            let of_day = |(day, users): (&Day, &UserSet)| -> Vec<(Day, u32)> {
                users.iter().map(|user| (*day, user)).collect()
            };
            let users = unknown.iter().flat_map(of_day);
            (
                &self.inner.sql.same_day_of_users,
                user_columns(users.collect(), calendar),
            )
        } else {
            let days: Vec<Day> = unknown.keys().copied().collect();
            (&self.inner.sql.same_day, day_columns(&days, calendar).into())
        };
        let single = vec![start.clone().into(), returning.clone().into()];
        let statement = self.inner.dialect.list_statement(sql, columns, single);
        let mut read: BTreeMap<Day, UserSet> =
            unknown.into_keys().map(|day| (day, UserSet::default())).collect();
        for row in snapshot.query_all_raw(statement).await? {
            let (day, user) = day_and_user(&row)?;
            if let Some(users) = read.get_mut(&day) {
                users.insert(user);
            }
        }
        for (day, users) in read {
            ordered.insert(day, self.keep_order(question, day, Arc::new(users)));
        }
        Ok(ordered)
    }
}

fn day_and_user(row: &QueryResult) -> Result<(Day, u32), StoreError> {
    Ok((
        Day::new(row.try_get_by_index(0)?),
        ordinal(row.try_get_by_index(1)?)?,
    ))
}

/// Days as numbers, with where they begin and end.
fn day_columns(days: &[Day], calendar: Calendar) -> [Column; 3] {
    let start = |day: &Day| calendar.start_of(*day).timestamp_micros();
    let end = |day: &Day| calendar.end_of(*day).timestamp_micros();
    [
        Column::Integer(days.iter().map(|day| day.number()).collect()),
        Column::BigInt(days.iter().map(start).collect()),
        Column::BigInt(days.iter().map(end).collect()),
    ]
}

fn user_columns(users: Vec<(Day, u32)>, calendar: Calendar) -> Vec<Column> {
    let days: Vec<Day> = users.iter().map(|pair| pair.0).collect();
    let mut columns = Vec::from(day_columns(&days, calendar));
    columns.push(Column::BigInt(
        users.iter().map(|pair| i64::from(pair.1)).collect(),
    ));
    columns
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

/// The same for some users, each on one day. Types are compared inside of the aggregates, and a user's name is looked up
/// where it is used, so that nothing serves but the indexes of one user: the others would be scanned.
pub(crate) fn same_day_of_users_sql(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", USER_COLUMNS);
    let [start, returning] = [0, 1].map(|nth| dialect.parameter(USER_COLUMNS, nth));
    format!(
        "-- store: same_day_of_users
SELECT wanted.day, wanted.user_no
FROM {wanted}
WHERE (
  SELECT MIN(CASE WHEN events.event_type = {start} THEN events.occurred_at END)
    <= MAX(CASE WHEN events.event_type = {returning} THEN events.occurred_at END)
  FROM events
  WHERE events.user_id = (SELECT users.user_id FROM users WHERE users.user_no = wanted.user_no)
    AND events.occurred_at >= wanted.start_at
    AND events.occurred_at < wanted.end_at
)"
    )
}

#[cfg(test)]
mod tests {
    use super::{same_day_of_users_sql, same_day_sql};
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let all = [same_day_sql(dialect), same_day_of_users_sql(dialect)];
            insta::assert_snapshot!(format!("same_day_{name}"), all.join(";\n\n"));
        }
    }
}
