//! A copy of an SQLite database, taken while servers use it. PostgreSQL has tools of its own for that.

use std::path::Path;

use sea_orm::ConnectionTrait;

use crate::{
    database::{Purpose, open_pool},
    dialect::Dialect,
    error::StoreError,
};

/// `VACUUM INTO` reads in one transaction, so the copy is the database at one moment; writers go on meanwhile.
const COPY: &str = "VACUUM INTO ?1";

/// Copies the SQLite database at `database_url` into the new file `target`, on the disk when this returns.
///
/// The copy is the database at one moment: every event acknowledged before the call is in it, with its sets and its
/// part of the log. A file with the name `target` is always whole: it is written beside, as `target.unfinished`.
///
/// # Errors
/// [`StoreError::Invalid`] for PostgreSQL and if `target` exists or cannot be written, [`StoreError::Unavailable`] if
/// the database cannot be read.
pub async fn back_up(database_url: &str, target: &Path) -> Result<(), StoreError> {
    let pool = open_pool(database_url, Purpose::Read, 1, None).await?;
    let outcome = match Dialect::of(pool.get_database_backend()) {
        Dialect::Sqlite => copy(&pool, target).await,
        Dialect::Postgres => Err(StoreError::Invalid {
            field: "database url",
            reason: "this makes copies of SQLite files; PostgreSQL is backed up with pg_dump".to_owned(),
        }),
    };
    let _ = pool.close().await;
    outcome
}

async fn copy(pool: &sea_orm::DatabaseConnection, target: &Path) -> Result<(), StoreError> {
    if target.exists() {
        return Err(refused(target, "exists already"));
    }
    let unfinished = target.with_added_extension("unfinished");
    let Some(path) = unfinished.to_str() else {
        return Err(refused(target, "is not a name in UTF-8"));
    };
    let said = |error: std::io::Error| refused(target, &format!("cannot be written: {error}"));
    // What an earlier attempt left behind.
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(said(error)),
        _ => {}
    }
    pool.execute_raw(Dialect::Sqlite.statement(COPY, vec![path.into()]))
        .await?;
    let file = std::fs::File::open(&unfinished).map_err(said)?;
    file.sync_all().map_err(said)?;
    std::fs::rename(&unfinished, target).map_err(said)
}

fn refused(target: &Path, why: &str) -> StoreError {
    StoreError::Invalid {
        field: "file",
        reason: format!("{} {why}", target.display()),
    }
}
