//! Creates the tombstones of erased users whose later events are refused.
//!
//! Why it lies this way:
//! - `user_hash` is a salted hash: the table says of a given user id whether it is blocked, and names nobody by itself.
//! - `generation` is the one that began with the tombstone, so that a server that learns of a new generation reads
//!   the tombstones it has not seen and no others.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    sea_orm::{ConnectionTrait, DbBackend},
};

/// See the module.
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261123_000001_create_erasures"
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
        run(manager, DOWN).await
    }
}

async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

const POSTGRES: &[&str] = &[
    "CREATE TABLE erasures (
        user_hash bytea PRIMARY KEY,
        erased_at bigint NOT NULL,
        generation bigint NOT NULL
    )",
    "CREATE INDEX erasures_by_generation ON erasures (generation)",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE erasures (
        user_hash BLOB NOT NULL,
        erased_at INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        CONSTRAINT erasures_user_hash UNIQUE (user_hash)
    ) STRICT",
    "CREATE INDEX erasures_by_generation ON erasures (generation)",
];

const DOWN: &[&str] = &["DROP TABLE erasures"];
