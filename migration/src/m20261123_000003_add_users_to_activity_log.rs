//! Gives a row of the log room for a set of users, so that a transaction leaves one row for each day and event type
//! instead of one for each user.
//!
//! Why it lies this way:
//! - A row counts the events of one user, whose ordinal it has, or those of several: then `users` is their set and `user_no`
//!   is -1, which is nobody's ordinal. It is not NULL because a server of the version before, which may still run, would pass
//!   over NULL and answer with users missing; at -1 it stops with an error. Rows that it appends are valid as they are.
//! - Nothing that was logged is touched, so applying this takes a moment, whatever the log holds.
//! - On PostgreSQL a set that is too large for its row is stored beside it without an attempt to compress it.
//! - There is no way back while a row has a set: who of them had how many of its events is not known to SQL. The fold empties
//!   the log.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    sea_orm::{ConnectionTrait, DbBackend, Statement},
};

/// See the module.
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261123_000003_add_users_to_activity_log"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        run(manager, statements).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let sets = Statement::from_string(backend, ANY_SET);
        if manager.get_connection().query_one_raw(sets).await?.is_some() {
            return Err(DbErr::Migration(
                "activity_log holds sets of users, which the version before cannot read: start a server of this version and \
                 stop it, so that the log is folded, and try again"
                    .to_owned(),
            ));
        }
        let statements = match backend {
            DbBackend::Postgres => POSTGRES_DOWN,
            _ => SQLITE_DOWN,
        };
        run(manager, statements).await
    }
}

async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

const ANY_SET: &str = "SELECT seq FROM activity_log WHERE users IS NOT NULL LIMIT 1";

const POSTGRES: &[&str] = &[
    "ALTER TABLE activity_log ADD COLUMN users bytea",
    "ALTER TABLE activity_log ALTER COLUMN users SET STORAGE EXTERNAL",
    "ALTER TABLE activity_log ADD CONSTRAINT activity_log_users CHECK ((user_no >= 0) = (users IS NULL))",
];

const SQLITE: &[&str] = &["ALTER TABLE activity_log
    ADD COLUMN users BLOB CONSTRAINT activity_log_users CHECK ((user_no >= 0) = (users IS NULL))"];

const POSTGRES_DOWN: &[&str] = &[
    "ALTER TABLE activity_log DROP CONSTRAINT activity_log_users",
    "ALTER TABLE activity_log DROP COLUMN users",
];

const SQLITE_DOWN: &[&str] = &["ALTER TABLE activity_log DROP COLUMN users"];
