//! The commands other than `serve`: they work on the database and end.
//!
//! What a command is asked for goes to standard output; progress and problems are log lines on standard error.

pub mod export;
pub mod keys;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use activity::calendar::Day;
use chrono::NaiveDate;
use chrono_tz::Tz;
use store::new_event::check_user_id;
use store::{Erasure, Store, StoreError, StoreOptions};

use crate::clock::Clock;
use crate::config::{CommonOptions, MigrateAction};
use crate::graphql::schema_sdl;
use crate::start::StartError;

/// `kohorta migrate`.
///
/// # Errors
/// [`StartError`] if the database cannot be reached or a migration fails.
pub async fn migrate(common: &CommonOptions, action: MigrateAction) -> Result<ExitCode, StartError> {
    let database = store::connect(common.database_url.as_str()).await?;
    let mut lines = String::new();
    match action {
        MigrateAction::Up => migration::migrate(&database)
            .await
            .map_err(StartError::migration)?,
        MigrateAction::Down => migration::take_last_back(&database)
            .await
            .map_err(StartError::migration)?,
        MigrateAction::Status => {
            for (name, applied) in migration::status(&database)
                .await
                .map_err(StartError::migration)?
            {
                let state = if applied { "applied" } else { "pending" };
                lines.push_str(&format!("{state}  {name}\n"));
            }
        }
    }
    print(&lines)
}

/// `kohorta schema`.
///
/// # Errors
/// [`StartError`] if standard output cannot be written.
pub fn schema() -> Result<ExitCode, StartError> {
    print(&schema_sdl())
}

/// `kohorta verify`: exit code 1 where there is a difference.
///
/// # Errors
/// [`StartError`] if the database cannot be reached or has no tables.
pub async fn verify(common: &CommonOptions) -> Result<ExitCode, StartError> {
    let store = Store::open(StoreOptions::new(common.database_url.as_str())).await?;
    let outcome = store.verify(|events| tracing::info!(events, "counting")).await;
    store.close().await;
    let differences = outcome?;
    if differences.is_empty() {
        return print("no difference: the stored sets are what the events say\n");
    }
    let mut lines = differences.join("\n");
    lines.push_str(&format!(
        "\n{} differences; `kohorta rebuild` makes the sets anew\n",
        differences.len()
    ));
    print(&lines)?;
    Ok(ExitCode::FAILURE)
}

/// `kohorta rebuild`.
///
/// # Errors
/// [`StartError`] if the database cannot be reached or has no tables.
pub async fn rebuild(common: &CommonOptions, timezone: Option<Tz>) -> Result<ExitCode, StartError> {
    let store = Store::open(StoreOptions::new(common.database_url.as_str())).await?;
    let outcome = store
        .rebuild(timezone, |events| tracing::info!(events, "counting"))
        .await;
    store.close().await;
    let report = outcome?;
    print(&format!(
        "rebuilt {} rows of sets from {} events, with days in {}\n",
        report.rows,
        report.events,
        report.timezone.name()
    ))
}

/// `kohorta backup`.
///
/// # Errors
/// [`StartError`] if the database is PostgreSQL or cannot be read, or the file cannot be made.
pub async fn back_up(common: &CommonOptions, file: &Path) -> Result<ExitCode, StartError> {
    store::back_up(common.database_url.as_str(), file).await?;
    print(&format!("{} is a copy of the database\n", file.display()))
}

/// `kohorta erase-user`.
///
/// # Errors
/// [`StartError`] if the user id is none, or the database cannot be reached or has no tables.
pub async fn erase_user(
    common: &CommonOptions,
    user_id: String,
    block_future: bool,
) -> Result<ExitCode, StartError> {
    check_user_id(&user_id).map_err(|violation| StoreError::Invalid {
        field: "user id",
        reason: violation.message,
    })?;
    let store = Store::open(StoreOptions::new(common.database_url.as_str())).await?;
    let erasure = Erasure {
        user_id,
        block_future,
        now: Clock::System.now(),
    };
    let outcome = store
        .erase_user(erasure, |events| tracing::info!(events, "deleting"))
        .await;
    store.close().await;
    let erased = outcome?;
    let later = if block_future {
        "later events of this user are rejected"
    } else {
        "later events of this user are taken"
    };
    print(&format!("erased {} events; {later}\n", erased.events_deleted))
}

/// `kohorta expire`.
///
/// # Errors
/// [`StartError`] if the day cannot be the horizon, or the database cannot be reached or has no tables.
pub async fn expire(
    common: &CommonOptions,
    before: NaiveDate,
    dry_run: bool,
) -> Result<ExitCode, StartError> {
    let store = Store::open(StoreOptions::new(common.database_url.as_str())).await?;
    let (day, now) = (Day::from_date(before), Clock::System.now());
    if dry_run {
        let outcome = store.expirable(day, now).await;
        store.close().await;
        return print(&format!(
            "{} events from before {before} would be deleted\n",
            outcome?
        ));
    }
    let outcome = store
        .expire(day, now, |events| tracing::info!(events, "deleting"))
        .await;
    store.close().await;
    print(&format!(
        "deleted {} events from before {before}; their numbers stand\n",
        outcome?
    ))
}

/// Writes to standard output; a reader that has gone (such as `head`) is no error.
fn print(text: &str) -> Result<ExitCode, StartError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(StartError::Output(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}
