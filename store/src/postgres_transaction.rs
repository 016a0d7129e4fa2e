//! A transaction on PostgreSQL that can copy rows into a table, which the database library's own cannot.
//!
//! Dropped before its end was answered (an error, a task that is gone), it closes its connection: one in the middle of a
//! transaction or of a `COPY` never goes back to the pool.

use std::{sync::Arc, time::Instant};

use sea_orm::{
    DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Values,
    sqlx::{
        self, AssertSqlSafe, Executor, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgRow,
        query::Query,
    },
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Mutex;
use tracing::trace;

/// How much of a `COPY` is sent at once: PostgreSQL begins with the first piece while the others are on their way.
const COPY_PIECE_BYTES: usize = 128 * 1024;

/// An open transaction and the connection that it has to itself.
pub(crate) struct PostgresTransaction {
    connection: Mutex<PoolConnection<Postgres>>,
    /// Whether PostgreSQL has confirmed its end.
    ended: bool,
}

impl PostgresTransaction {
    pub(crate) async fn begin(pool: &PgPool) -> Result<Self, DbErr> {
        let connection = pool
            .acquire()
            .await
            .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))?;
        let mut transaction = Self {
            connection: Mutex::new(connection),
            ended: false,
        };
        transaction.say("BEGIN").await?;
        Ok(transaction)
    }

    /// Without an error everything is stored; with one it may be, or may not.
    pub(crate) async fn commit(mut self) -> Result<(), DbErr> {
        self.say("COMMIT").await?;
        self.ended = true;
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), DbErr> {
        self.say("ROLLBACK").await?;
        self.ended = true;
        Ok(())
    }

    async fn say(&mut self, sql: &'static str) -> Result<(), DbErr> {
        let connection: &mut PgConnection = self.connection.get_mut();
        connection.execute(sql).await.map_err(refused)?;
        Ok(())
    }

    pub(crate) async fn execute(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let mut connection = self.connection.lock().await;
        let done = query(statement).execute(&mut **connection).await;
        done.map(ExecResult::from).map_err(refused)
    }

    pub(crate) async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let mut connection = self.connection.lock().await;
        let connection: &mut PgConnection = &mut connection;
        let done = connection.execute(AssertSqlSafe(sql)).await;
        done.map(ExecResult::from).map_err(refused)
    }

    pub(crate) async fn query_one(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut connection = self.connection.lock().await;
        let row: Option<PgRow> = query(statement)
            .fetch_optional(&mut **connection)
            .await
            .map_err(refused)?;
        Ok(row.map(QueryResult::from))
    }

    pub(crate) async fn query_all(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut connection = self.connection.lock().await;
        let rows: Vec<PgRow> = query(statement)
            .fetch_all(&mut **connection)
            .await
            .map_err(refused)?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }

    /// Runs `sql`, a `COPY … FROM STDIN`, with these data, and says how many rows there were. Where PostgreSQL refuses
    /// one of them, the transaction can only be rolled back.
    pub(crate) async fn copy_in(&self, sql: &str, data: &[u8]) -> Result<u64, DbErr> {
        let started = Instant::now();
        let mut connection = self.connection.lock().await;
        let mut copy = connection.copy_in_raw(sql).await.map_err(refused)?;
        for piece in data.chunks(COPY_PIECE_BYTES) {
            copy.send(piece).await.map_err(refused)?;
        }
        let rows = copy.finish().await.map_err(refused)?;
        // As the driver tells of other statements.
        trace!(
            target: "sqlx::query",
            summary = "COPY",
            db.statement = sql,
            rows_affected = rows,
            rows_returned = 0_u64,
            elapsed_secs = started.elapsed().as_secs_f64(),
        );
        Ok(rows)
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.get_mut().close_on_drop();
        }
    }
}

fn query<'q>(statement: Statement) -> Query<'q, Postgres, SqlxValues> {
    let values = statement.values.unwrap_or(Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(values))
}

/// Statements that fail are told apart by their causes alone.
fn refused(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}
