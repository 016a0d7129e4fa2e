//! The log: what ingest leaves for the fold. For each day and event type of a transaction one row says how many events
//! there were and whose, as the ordinal of one user or as a set of several.
//!
//! Rows are appended in the transaction of their events, so "sets plus log" equals "events" at every moment. How to read a
//! row is decided here, for everybody who does.

use std::collections::{BTreeMap, BTreeSet};

use activity::{calendar::Calendar, fold::DayDelta, set::UserSet};
use sea_orm::ConnectionTrait;

use crate::{
    Store,
    dialect::{Column, ColumnType, Columns, Dialect},
    error::StoreError,
    fold::{ordinal, stored_count},
    frame::users_of,
    new_event::NewEvent,
    ordinals::{Memory, ORDINAL_COLUMNS, UserOrdinals},
    settings::Settings,
};

/// What a row has in place of an ordinal where it has a set. A server of the version before, which knows no sets, stops at it
/// with an error; over NULL it would pass, and answer with users missing.
pub(crate) const SEVERAL: i64 = -1;

pub(crate) const LOG_COLUMNS: Columns = &[
    ("day", ColumnType::Integer),
    ("event_type", ColumnType::Text),
    ("user_no", ColumnType::BigInt),
    ("events", ColumnType::BigInt),
    ("users", ColumnType::Bytes),
];

/// What a transaction appends, by day and event type.
pub(crate) type Rows<'a> = BTreeMap<(i32, &'a str), DayDelta>;

impl Store {
    /// Appends events that were just inserted, and returns the ordinals of their users and how many rows there were. `None`, and nothing is appended, if
    /// the database is of another generation than `settings`, or an ordinal is its user's no more (see `ordinals.rs`).
    pub(crate) async fn log<'a>(
        &self,
        transaction: &impl ConnectionTrait,
        events: &[&'a NewEvent],
        settings: Settings,
        memory: Memory,
    ) -> Result<Option<(UserOrdinals<'a>, usize)>, StoreError> {
        let users: BTreeSet<&str> = events.iter().map(|event| event.user_id()).collect();
        let Some(users) = self.ordinals_of(transaction, users, memory).await? else {
            return Ok(None);
        };
        let rows = rows_of(events, settings.calendar, &users)?;
        let dialect = self.inner.dialect;
        let mut values = dialect.list(log_columns(&rows));
        values.push(settings.generation.to_string().into());
        values.extend(dialect.list(users.columns()));
        let statement = dialect.statement(&self.inner.sql.append_log, values);
        let appended = transaction.execute_raw(statement).await?.rows_affected();
        let count = rows.len();
        Ok((usize::try_from(appended) == Ok(count)).then_some((users, count)))
    }
}

/// What these events are in the log. Each of their users must have an ordinal.
pub(crate) fn rows_of<'a>(
    events: &[&'a NewEvent],
    calendar: Calendar,
    users: &UserOrdinals<'_>,
) -> Result<Rows<'a>, StoreError> {
    let mut rows = Rows::new();
    for event in events {
        let Some(user) = users.of(event.user_id()) else {
            return Err(StoreError::internal("a user of an event has no ordinal"));
        };
        let day = calendar.day_of(event.occurred_at).number();
        let row = rows.entry((day, event.event_type())).or_default();
        row.events += 1;
        row.users.insert(user);
    }
    Ok(rows)
}

/// The rows, as [`LOG_COLUMNS`].
pub(crate) fn log_columns(rows: &Rows<'_>) -> Vec<Column> {
    let several = |row: &DayDelta| row.users.len() > 1;
    let user_no = |row: &DayDelta| match row.users.iter().next() {
        Some(user) if !several(row) => i64::from(user),
        _ => SEVERAL,
    };
    let set = |row: &DayDelta| match several(row) {
        true => row.users.to_bytes(),
        false => Vec::new(),
    };
    vec![
        Column::Integer(rows.keys().map(|key| key.0).collect()),
        Column::Text(rows.keys().map(|key| key.1.to_owned()).collect()),
        Column::BigInt(rows.values().map(user_no).collect()),
        Column::BigInt(rows.values().map(|row| stored_count(row.events)).collect()),
        Column::Bytes(rows.values().map(set).collect()),
    ]
}

/// What a row says, from its columns `user_no`, `events` and `users`.
///
/// # Errors
/// [`StoreError::Damaged`] if the set cannot be decoded.
pub(crate) fn delta_of_row(user_no: i64, events: i64, users: Option<&[u8]>) -> Result<DayDelta, StoreError> {
    let users = match users {
        Some(bytes) => UserSet::from_bytes(bytes)?,
        None => UserSet::from_iter([ordinal(user_no)?]),
    };
    Ok(DayDelta {
        events: events.unsigned_abs(),
        users,
    })
}

/// The users of rows that a statement has put together, as [`joined_users`] and [`joined_sets`] have it.
pub(crate) fn users_of_rows(list: Option<String>, sets: Option<Vec<u8>>) -> Result<UserSet, StoreError> {
    let mut users = match list {
        Some(list) => users_of(&list)?,
        None => UserSet::default(),
    };
    users.add_stored(&sets.unwrap_or_default())?;
    Ok(users)
}

/// The aggregate of the ordinals of rows of one user: numbers with commas between them, or NULL.
pub(crate) fn joined_users(dialect: Dialect) -> String {
    dialect.joined_text(&format!("NULLIF(user_no, {SEVERAL})"))
}

/// The aggregate of the sets of rows of several users: one behind the other, or NULL.
pub(crate) fn joined_sets(dialect: Dialect) -> String {
    dialect.joined_bytes("users")
}

/// Appends to the log, unless the database is of another generation than these days were computed in, or one of the users has
/// not this ordinal. An ordinal's name is looked up where it is used, so that nothing serves but the index of ordinals.
pub(crate) fn append_log(dialect: Dialect) -> String {
    let new = dialect.rows("new", LOG_COLUMNS);
    let generation = dialect.parameter(LOG_COLUMNS, 0);
    let used = dialect.rows_from(dialect.first_parameter(LOG_COLUMNS) + 1, "used", ORDINAL_COLUMNS);
    format!(
        "-- store: append_log
INSERT INTO activity_log (day, event_type, user_no, events, users)
SELECT new.day, new.event_type, new.user_no, new.events, CASE WHEN new.user_no = {SEVERAL} THEN new.users END
FROM {new}
WHERE (SELECT value FROM settings WHERE key = 'generation') = {generation}
  AND NOT EXISTS (
    SELECT 1
    FROM {used}
    WHERE used.user_id IS DISTINCT FROM (SELECT users.user_id FROM users WHERE users.user_no = used.user_no)
  )"
    )
}

#[cfg(test)]
mod tests {
    use activity::set::UserSet;

    use super::{append_log, delta_of_row, users_of_rows};
    use crate::{dialect::Dialect, error::StoreError};

    #[test]
    fn statements() {
        insta::assert_snapshot!("activity_log_sqlite", append_log(Dialect::Sqlite));
        insta::assert_snapshot!("activity_log_postgres", append_log(Dialect::Postgres));
    }

    fn set(users: &[u32]) -> UserSet {
        users.iter().copied().collect()
    }

    #[test]
    fn a_row_counts_one_user_or_several() {
        let one = delta_of_row(7, 3, None).expect("a row of one user");
        assert_eq!((one.events, one.users), (3, set(&[7])));
        let several = delta_of_row(-1, 3, Some(&set(&[1, 70_000]).to_bytes())).expect("a row of two users");
        assert_eq!((several.events, several.users), (3, set(&[1, 70_000])));
    }

    #[test]
    fn damage_is_an_error() {
        let damaged = delta_of_row(-1, 3, Some(b"no set"));
        assert!(matches!(damaged, Err(StoreError::Damaged(_))), "{damaged:?}");
        for nobody in [-1, i64::from(u32::MAX) + 1] {
            let found = delta_of_row(nobody, 3, None);
            assert!(matches!(found, Err(StoreError::Internal(_))), "{found:?}");
        }
        let damaged = users_of_rows(None, Some(b"no set".to_vec()));
        assert!(matches!(damaged, Err(StoreError::Damaged(_))), "{damaged:?}");
        let found = users_of_rows(Some("1,-1".to_owned()), None);
        assert!(matches!(found, Err(StoreError::Internal(_))), "{found:?}");
    }

    #[test]
    fn rows_put_together_have_all_their_users() {
        let sets = [set(&[1, 2]).to_bytes(), set(&[2, 70_000]).to_bytes()].concat();
        let found = users_of_rows(Some("5,1".to_owned()), Some(sets)).expect("users");
        assert_eq!(found, set(&[1, 2, 5, 70_000]));
        assert_eq!(users_of_rows(None, None).expect("nobody"), set(&[]));
    }
}
