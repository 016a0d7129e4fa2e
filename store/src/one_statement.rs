//! New events in one statement, which is a transaction of its own: PostgreSQL only.
//!
//! Most transactions of a server are small, and cost less for their rows than for their messages: `BEGIN`, users, events, the
//! log and `COMMIT` are five questions and five answers, each of which wakes somebody on either side. One statement does the
//! same in one. It writes everything or nothing, on the same conditions: every id is new, the generation is the one that
//! these events were judged by, every ordinal is its user's. Where one does not hold, nothing was written, and the general
//! way ([`crate::ingest`]) finds out what is to be done.
//!
//! It runs on connections on which no transaction is open: whoever begins one has the connection to itself until its end
//! was answered, or closes it. There is no separate commit whose answer could get lost; where the answer to the statement
//! does, what became of it is unknown until the events are looked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, RuntimeErr, SqlErr, sqlx};

use crate::{
    Store,
    activity_log::{LOG_COLUMNS, SEVERAL, log_columns, rows_of},
    dialect::{Column, ColumnType, Columns, Dialect},
    error::StoreError,
    fold::stored_count,
    ingest::{Failure, IngestOutcome},
    ingest_sql::EVENT_COLUMNS,
    insertion::{COPY_FROM, Insertion, event_columns, first_of_each_id},
    new_event::{NewEvent, Violation},
    ordinals::{ORDINAL_COLUMNS, USER_COLUMNS, UserOrdinals},
    rules::Admission,
};

/// What newcomers, who have no ordinal yet, have done: for each of them, day and event type the number of events.
const FIRST_COLUMNS: Columns = &[
    ("user_id", ColumnType::Text),
    ("day", ColumnType::Integer),
    ("event_type", ColumnType::Text),
    ("events", ColumnType::BigInt),
];

impl Store {
    /// Stores events that are all new and says so for each. `None` where they do not suit one statement, and nothing was done.
    pub(crate) async fn ingest_in_one_statement(
        &self,
        events: &[NewEvent],
        insertion: Insertion,
    ) -> Result<Option<Vec<IngestOutcome>>, Failure> {
        if self.inner.dialect == Dialect::Sqlite
            || insertion != Insertion::AllNew
            || events.len() >= COPY_FROM
        {
            return Ok(None);
        }
        let admission = self.admission();
        let refused: HashMap<usize, Violation> = admission.refused(events).collect();
        let new = first_of_each_id(events, &refused);
        let types = new.iter().map(|event| event.event_type());
        let suited = new.len() + refused.len() == events.len()
            && !new.is_empty()
            && admission.settings.retired_ids.is_none()
            && self.unknown_types(types).is_empty();
        if !suited {
            return Ok(None);
        }
        let users: BTreeSet<&str> = new.iter().map(|event| event.user_id()).collect();
        let (users, newcomers) = self.known_ordinals(&self.inner.write, users).await?;
        let Some(rows) = self.write_in_one(&new, &admission, &users, &newcomers).await? else {
            return Ok(None);
        };
        self.inner.ordinals.remember(&users);
        self.announce_stored(rows);
        let outcome = |position| match refused.get(&position) {
            Some(violation) => IngestOutcome::Refused(violation.clone()),
            None => IngestOutcome::Stored,
        };
        Ok(Some((0..events.len()).map(outcome).collect()))
    }

    /// Runs the statement and returns how many rows the log has of it. `None`, and nothing is written, where somebody else has
    /// just made one of the newcomers.
    async fn write_in_one(
        &self,
        new: &[&NewEvent],
        admission: &Admission,
        users: &UserOrdinals<'_>,
        newcomers: &BTreeSet<&str>,
    ) -> Result<Option<usize>, Failure> {
        let dialect = self.inner.dialect;
        let calendar = admission.settings.calendar;
        let (of_newcomers, of_known): (Vec<&NewEvent>, Vec<&NewEvent>) =
            new.iter().partition(|event| newcomers.contains(event.user_id()));
        let rows = rows_of(&of_known, calendar, users)?;
        let mut firsts: BTreeMap<(&str, i32, &str), u64> = BTreeMap::new();
        for event in &of_newcomers {
            let day = calendar.day_of(event.occurred_at()).number();
            *firsts
                .entry((event.user_id(), day, event.event_type()))
                .or_default() += 1;
        }
        let mut values = dialect.list(event_columns(new));
        values.extend(dialect.list(log_columns(&rows)));
        values.extend(dialect.list(users.columns()));
        let names = newcomers.iter().map(|user_id| (*user_id).to_owned()).collect();
        values.extend(dialect.list(vec![Column::Text(names)]));
        values.extend(dialect.list(vec![
            Column::Text(firsts.keys().map(|key| key.0.to_owned()).collect()),
            Column::Integer(firsts.keys().map(|key| key.1).collect()),
            Column::Text(firsts.keys().map(|key| key.2.to_owned()).collect()),
            Column::BigInt(firsts.values().map(|events| stored_count(*events)).collect()),
        ]));
        values.push(admission.settings.generation.to_string().into());
        let statement = dialect.statement(&self.inner.sql.ingest_in_one, values);
        match self.inner.write.execute_raw(statement).await {
            Ok(done) if done.rows_affected() == (rows.len() + firsts.len()) as u64 => {
                Ok(Some(rows.len() + firsts.len()))
            }
            Ok(_) => Err(Failure::OtherGeneration),
            Err(error) => match error.sql_err() {
                Some(SqlErr::UniqueConstraintViolation(_))
                    if table_of(&error).as_deref() == Some("users") =>
                {
                    Ok(None)
                }
                Some(SqlErr::UniqueConstraintViolation(_)) => Err(Failure::KnownId),
                _ => Err(match StoreError::from(error) {
                    // Without an answer of the database nobody knows.
                    error @ StoreError::Unavailable(_) => Failure::Committing(error),
                    error => Failure::Before(error),
                }),
            },
        }
    }
}

/// The table that a statement failed on.
fn table_of(error: &sea_orm::DbErr) -> Option<String> {
    let (sea_orm::DbErr::Exec(RuntimeErr::SqlxError(cause))
    | sea_orm::DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return None;
    };
    match cause.as_ref() {
        sqlx::Error::Database(cause) => cause.table().map(str::to_owned),
        _ => None,
    }
}

/// Writes events, users and the log at once, or nothing. Tables are written in the order in which a transaction of ingest
/// writes them: what comes later asks how many events were written.
pub(crate) fn ingest_in_one(dialect: Dialect) -> String {
    let events = dialect.rows("new", EVENT_COLUMNS);
    let mut first = 1 + EVENT_COLUMNS.len();
    let mut list = |name: &str, columns: Columns| {
        let list = dialect.rows_from(first, name, columns);
        first += columns.len();
        list
    };
    let logged = list("logged", LOG_COLUMNS);
    let used = list("used", ORDINAL_COLUMNS);
    let newcomer = list("newcomer", USER_COLUMNS);
    let firsts = list("firsts", FIRST_COLUMNS);
    let generation = format!("${first}");
    let properties = dialect.json("new.properties");
    format!(
        "-- store: ingest_in_one
WITH allowed AS MATERIALIZED (
  SELECT 1 AS allowed
  WHERE (SELECT value FROM settings WHERE key = 'generation') = {generation}
    AND NOT EXISTS (
      SELECT 1
      FROM {used}
      WHERE used.user_id IS DISTINCT FROM (SELECT users.user_id FROM users WHERE users.user_no = used.user_no)
    )
), stored AS (
  INSERT INTO events (event_id, user_id, event_type, occurred_at, properties, received_at)
  SELECT new.event_id, new.user_id, new.event_type, new.occurred_at, {properties}, new.received_at
  FROM {events}
  CROSS JOIN allowed
  RETURNING 1
), written AS MATERIALIZED (
  SELECT COUNT(*) AS events
  FROM stored
), made AS (
  INSERT INTO users (user_id)
  SELECT newcomer.user_id
  FROM {newcomer}
  CROSS JOIN written
  WHERE written.events > 0
  RETURNING user_id, user_no
)
INSERT INTO activity_log (day, event_type, user_no, events, users)
SELECT logged.day, logged.event_type, logged.user_no, logged.events, CASE WHEN logged.user_no = {SEVERAL} THEN logged.users END
FROM {logged}
CROSS JOIN written
WHERE written.events > 0
UNION ALL
SELECT firsts.day, firsts.event_type, made.user_no, firsts.events, NULL
FROM {firsts}
JOIN made ON made.user_id = firsts.user_id"
    )
}

#[cfg(test)]
mod tests {
    use super::ingest_in_one;
    use crate::dialect::Dialect;

    #[test]
    fn statement() {
        insta::assert_snapshot!("one_statement_postgres", ingest_in_one(Dialect::Postgres));
    }
}
