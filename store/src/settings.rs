//! Facts about a database: its reporting time zone, fixed when the database is created.
//!
//! `generation` rises whenever the time zone changes. Ingest checks it in the statement that appends to the log and
//! reads get it with every frame, so a running server notices a rebuild into another time zone at once.

use std::collections::HashMap;

use activity::calendar::Calendar;
use chrono_tz::Tz;
use entity::setting;
use sea_orm::{ActiveValue, ConnectionTrait, EntityTrait};

use crate::error::StoreError;

pub(crate) const TIMEZONE: &str = "timezone";
pub(crate) const GENERATION: &str = "generation";
/// The number of the last fold: the version of what it wrote. Never reused, so a set is known by (facet, day, version).
pub(crate) const FOLD: &str = "fold";

/// The settings that the store works by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) calendar: Calendar,
    pub(crate) generation: i64,
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
        (TIMEZONE, timezone.unwrap_or(Tz::UTC).name()),
        (GENERATION, "1"),
        (FOLD, "0"),
    ];
    let rows = first.map(|(key, value)| setting::ActiveModel {
        key: ActiveValue::Set(key.to_owned()),
        value: ActiveValue::Set(value.to_owned()),
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
    let timezone = value(TIMEZONE)?;
    let timezone = timezone.parse::<Tz>().map_err(|_| {
        StoreError::Mismatch(format!(
            "this database reports in the unknown time zone {timezone}"
        ))
    })?;
    let generation = value(GENERATION)?
        .parse()
        .map_err(|_| StoreError::Mismatch("this database's setting generation is not a number".to_owned()))?;
    Ok(Settings {
        calendar: Calendar::new(timezone),
        generation,
    })
}

/// Writes one setting.
pub(crate) async fn write(
    connection: &impl ConnectionTrait,
    key: &str,
    value: String,
) -> Result<(), StoreError> {
    let row = setting::ActiveModel {
        key: ActiveValue::Set(key.to_owned()),
        value: ActiveValue::Set(value),
    };
    setting::Entity::update(row).exec(connection).await?;
    Ok(())
}
