//! Facts about a database: its reporting time zone, fixed when the database is created, and the day before which
//! events have expired.
//!
//! `generation` rises with whatever ingest must know: another time zone, a later horizon, an erased user, an event type
//! that is gone, ids that must not be given again. Ingest checks it in the statement that appends to the log, so a
//! running server notices at once (see `rules.rs`).

use std::collections::HashMap;

use activity::calendar::{Calendar, Day};
use chrono_tz::Tz;
use entity::setting;
use sea_orm::{ActiveValue, ConnectionTrait, DatabaseTransaction, EntityTrait, sea_query::OnConflict};

use crate::{dialect::Dialect, erased_users, error::StoreError, event_ids::RetiredIds};

pub(crate) const TIMEZONE: &str = "timezone";
pub(crate) const GENERATION: &str = "generation";
/// The number of the last fold: the version of what it wrote. Never reused, so a set is known by (facet, day, version).
pub(crate) const FOLD: &str = "fold";
/// The first day that still has its events, days since 1970-01-01; absent where nothing has expired.
pub(crate) const HORIZON: &str = "horizon";
/// See [`RetiredIds`]; absent where there are none.
pub(crate) const RETIRED_IDS: &str = "retired_ids";

/// The next generation.
const NEXT_GENERATION: &str = "-- store: next_generation
UPDATE settings
SET value = CAST(CAST(value AS bigint) + 1 AS text)
WHERE key = 'generation'
RETURNING value";

/// The settings that the store works by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) calendar: Calendar,
    pub(crate) generation: i64,
    /// The first day that still has its events; none where nothing has expired.
    pub(crate) horizon: Option<Day>,
    pub(crate) retired_ids: Option<RetiredIds>,
}

/// Reads the settings, or makes them with `timezone` (default UTC) in a new database.
///
/// # Errors
/// [`StoreError::Mismatch`] if the database has another time zone than `timezone`.
pub(crate) async fn open(
    connection: &impl ConnectionTrait,
    timezone: Option<Tz>,
) -> Result<Settings, StoreError> {
    let first = [
        (TIMEZONE, timezone.unwrap_or(Tz::UTC).name().to_owned()),
        (GENERATION, "1".to_owned()),
        (FOLD, "0".to_owned()),
        (erased_users::SALT, erased_users::new_salt()),
    ];
    let rows = first.map(|(key, value)| setting::ActiveModel {
        key: ActiveValue::Set(key.to_owned()),
        value: ActiveValue::Set(value),
    });
    setting::Entity::insert_many(rows)
        .on_conflict_do_nothing_on([setting::Column::Key])
        .exec_without_returning(connection)
        .await?;
    let settings = read(connection).await?;
    let stored = settings.calendar.timezone();
    match timezone {
        Some(wanted) if wanted != stored => Err(StoreError::Mismatch(format!(
            "this database reports in time zone {stored}, not {wanted}: leave --timezone out, or run \
             `kohorta rebuild --timezone {wanted}` to change it"
        ))),
        _ => Ok(settings),
    }
}

/// Reads the settings of a database that has them.
pub(crate) async fn read(connection: &impl ConnectionTrait) -> Result<Settings, StoreError> {
    let rows = setting::Entity::find().all(connection).await?;
    let values: HashMap<String, String> = rows.into_iter().map(|row| (row.key, row.value)).collect();
    let value = |key: &str| {
        values
            .get(key)
            .ok_or_else(|| StoreError::Mismatch(format!("this database has no setting {key}")))
    };
    let not_a_number =
        |key: &str| StoreError::Mismatch(format!("this database's setting {key} is not a number"));
    let horizon = values.get(HORIZON).map(|text| parse_day(text));
    let retired_ids = values.get(RETIRED_IDS).map(|text| RetiredIds::parse(text));
    Ok(Settings {
        calendar: Calendar::new(parse_timezone(value(TIMEZONE)?)?),
        generation: value(GENERATION)?.parse().map_err(|_| not_a_number(GENERATION))?,
        horizon: horizon.transpose()?,
        retired_ids: match retired_ids {
            Some(None) => return Err(not_a_number(RETIRED_IDS)),
            other => other.flatten(),
        },
    })
}

/// A time zone as it is stored.
pub(crate) fn parse_timezone(name: &str) -> Result<Tz, StoreError> {
    name.parse::<Tz>()
        .map_err(|_| StoreError::Mismatch(format!("this database reports in the unknown time zone {name}")))
}

/// A day as it is stored.
pub(crate) fn parse_day(text: &str) -> Result<Day, StoreError> {
    text.parse()
        .map(Day::new)
        .map_err(|_| StoreError::Mismatch(format!("this database's setting {HORIZON} is not a day: {text}")))
}

/// Reads one setting's text.
pub(crate) async fn text(connection: &impl ConnectionTrait, key: &str) -> Result<Option<String>, StoreError> {
    let row = setting::Entity::find_by_id(key.to_owned())
        .one(connection)
        .await?;
    Ok(row.map(|row| row.value))
}

/// Writes one setting, which may be absent.
pub(crate) async fn write(
    connection: &impl ConnectionTrait,
    key: &str,
    value: String,
) -> Result<(), StoreError> {
    let row = setting::ActiveModel {
        key: ActiveValue::Set(key.to_owned()),
        value: ActiveValue::Set(value),
    };
    let replace = OnConflict::column(setting::Column::Key)
        .update_column(setting::Column::Value)
        .to_owned();
    setting::Entity::insert(row)
        .on_conflict(replace)
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

/// Begins the next generation and returns it. Whoever calls it holds what keeps ingest from committing meanwhile: the
/// log of activity locked on PostgreSQL, the write lock on SQLite.
pub(crate) async fn next_generation(
    transaction: &DatabaseTransaction,
    dialect: Dialect,
) -> Result<i64, StoreError> {
    let row = transaction
        .query_one_raw(dialect.statement(NEXT_GENERATION, vec![]))
        .await?;
    let value: String = row.map_or(Ok(String::new()), |row| row.try_get_by_index(0))?;
    value
        .parse()
        .map_err(|_| StoreError::internal("the setting generation is not a number"))
}
