//! The transaction that ingest writes in: on SQLite the database library's, on PostgreSQL one that can copy.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    Statement, prelude::async_trait,
};

use crate::{
    database::begin_write, dialect::Dialect, error::StoreError, postgres_transaction::PostgresTransaction,
};

/// An open transaction that writes; dropped, it is rolled back.
pub(crate) enum WriteTransaction {
    Sqlite(DatabaseTransaction),
    Postgres(PostgresTransaction),
}

impl WriteTransaction {
    /// Begins; on SQLite it has the write lock from the start.
    pub(crate) async fn begin(pool: &DatabaseConnection) -> Result<Self, StoreError> {
        Ok(match Dialect::of(pool.get_database_backend()) {
            Dialect::Sqlite => Self::Sqlite(begin_write(pool).await?),
            Dialect::Postgres => {
                Self::Postgres(PostgresTransaction::begin(pool.get_postgres_connection_pool()).await?)
            }
        })
    }

    /// Without an error everything is stored; with one it may be, or may not.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await,
            Self::Postgres(transaction) => transaction.rollback().await,
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for WriteTransaction {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.execute_raw(statement).await,
            Self::Postgres(transaction) => transaction.execute(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.execute_unprepared(sql).await,
            Self::Postgres(transaction) => transaction.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.query_one_raw(statement).await,
            Self::Postgres(transaction) => transaction.query_one(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(transaction) => transaction.query_all_raw(statement).await,
            Self::Postgres(transaction) => transaction.query_all(statement).await,
        }
    }
}
