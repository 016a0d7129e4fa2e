//! The tables of Kohorta as DDL, for SQLite and PostgreSQL.
//!
//! Migrations are additive, named by date and verb, and never edited once released. This crate uses no other crate of
//! ours, so an old migration never changes its meaning. Each migration is one transaction on both databases.
//! [`migrate`] may be called by several processes at the same moment.

mod m20261122_000001_create_events;
mod m20261123_000001_create_erasures;
mod m20261123_000002_create_api_keys;
mod m20261123_000003_add_users_to_activity_log;

use std::time::Duration;

use sea_orm_migration::{
    MigrationStatus, MigrationTrait, MigratorTrait,
    sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait},
};
use tracing::warn;

/// The key of the advisory lock that one migrating process holds on PostgreSQL ("kohorta" in ASCII).
const MIGRATION_LOCK: i64 = 0x006b_6f68_6f72_7461;
/// How often a SQLite file that another process migrates at this moment is tried again.
const SQLITE_ATTEMPTS: u32 = 10;

/// All migrations, oldest first.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_create_events::Migration),
            Box::new(m20261123_000001_create_erasures::Migration),
            Box::new(m20261123_000002_create_api_keys::Migration),
            Box::new(m20261123_000003_add_users_to_activity_log::Migration),
        ]
    }
}

/// Applies every migration that is not yet applied.
///
/// On PostgreSQL an advisory lock lets one process work while the others wait for it, and `database` must be a
/// pool of at least two connections. On SQLite the file's write lock decides, and the loser looks again.
///
/// # Errors
/// [`DbErr`] if the database is out of reach or a migration fails; what was applied before stays applied.
pub async fn migrate(database: &DatabaseConnection) -> Result<(), DbErr> {
    if database.get_database_backend() == DbBackend::Postgres {
        let lock = database.begin().await?;
        let sql = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
        lock.execute_raw(Statement::from_string(DbBackend::Postgres, sql))
            .await?;
        Migrator::up(database, None).await?;
        return lock.commit().await;
    }
    let mut attempt = 1;
    loop {
        match Migrator::up(database, None).await {
            Err(error) if attempt < SQLITE_ATTEMPTS => {
                warn!(attempt, %error, "migration failed, trying again in case another process is migrating");
                tokio::time::sleep(Duration::from_millis(50) * attempt).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// Whether every migration of this program is applied; needs no right to change the schema.
///
/// # Errors
/// [`DbErr`] if the database is out of reach.
pub async fn is_current(database: &DatabaseConnection) -> Result<bool, DbErr> {
    Ok(Migrator::get_pending_migrations_read_only(database)
        .await?
        .is_empty())
}

/// Takes the last applied migration back, with all data in its tables.
///
/// # Errors
/// [`DbErr`] if the database is out of reach, the statements fail, or the migration says that it cannot be taken back now.
pub async fn take_last_back(database: &DatabaseConnection) -> Result<(), DbErr> {
    Migrator::down(database, Some(1)).await
}

/// The name of every migration, oldest first, and whether it is applied; needs no right to change the schema.
///
/// # Errors
/// [`DbErr`] if the database is out of reach.
pub async fn status(database: &DatabaseConnection) -> Result<Vec<(String, bool)>, DbErr> {
    let migrations = Migrator::get_migration_with_status_read_only(database).await?;
    Ok(migrations
        .iter()
        .map(|migration| {
            let applied = matches!(migration.status(), MigrationStatus::Applied);
            (migration.name().to_owned(), applied)
        })
        .collect())
}
