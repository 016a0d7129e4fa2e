//! Connections: which pools there are, and what holds on each of their connections.
//!
//! Writing and reading have pools of their own, so that slow questions never hold up ingest. SQLite has exactly one
//! writing connection (with the write lock taken when a transaction begins) and several reading ones, in WAL mode with
//! `synchronous=FULL`: what is committed survives a power cut. On PostgreSQL `synchronous_commit` is on.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, IsolationLevel, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
    sqlx::{
        Connection, Executor, PgConnection, SqliteConnection,
        postgres::PgConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};

use crate::{
    dialect::{Dialect, NUMBER_ORDER},
    error::StoreError,
    json::compare_number_texts,
    pulse::Pulse,
};

/// How long a caller waits for a connection to PostgreSQL before it learns that the database is unavailable: long enough
/// for a restart of a second or two, short enough that an answer is given within five.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// The same on SQLite, whose one writing connection is never away, only busy, for instance with a large fold.
const SQLITE_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long SQLite waits for another process that writes.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The cache of pages of SQLite's writing connection, in KiB. Event ids fall anywhere into their index: while many are stored,
/// all of its pages are wanted again and again, and those that do not fit are written and read each time.
const SQLITE_WRITE_CACHE_KIB: u32 = 8 * 1024;
/// The same for each of those that read: what questions read again and again is in caches of ours, and the operating system's.
const SQLITE_READ_CACHE_KIB: u32 = 2 * 1024;
/// The same for an importer: room for the pages that one large transaction changes.
const SQLITE_LOAD_CACHE_KIB: u32 = 64 * 1024;
/// Pages of WAL before SQLite copies them into the file: bulk loads are twice as fast as with its default of 1,000.
const SQLITE_CHECKPOINT_PAGES: &str = "16000";
/// The same where somebody else copies them ([`crate::checkpoints`]), as long as they do.
const SQLITE_LATE_CHECKPOINT_PAGES: &str = "64000";

/// What a pool is for; decides how long its statements may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Ingest and the fold.
    Write,
    /// The same with transactions of tens of thousands of events.
    Load,
    /// Reading, each statement within a time of its own.
    Read,
    /// Questions of clients: reading, within this time from the moment a connection is taken.
    Questions(Duration),
    /// Migrations, verify, rebuild: as long as it takes.
    Maintenance,
    /// Checkpoints of SQLite, and nothing else.
    Checkpoints,
}

impl Purpose {
    fn is_reading(self) -> bool {
        matches!(self, Self::Read | Self::Questions(_))
    }

    /// The longest a statement may run; ingest waits for little but the disk, questions may scan.
    fn statement_timeout_ms(self) -> u32 {
        match self {
            Self::Write => 5_000,
            Self::Load => 60_000,
            Self::Read => 10_000,
            Self::Questions(limit) => u32::try_from(limit.as_millis()).unwrap_or(u32::MAX),
            Self::Maintenance | Self::Checkpoints => 0,
        }
    }
}

/// Connects for migrations and other maintenance: two connections, no limit on how long a statement takes.
///
/// An SQLite file and its folder are made when absent.
///
/// # Errors
/// [`StoreError::Invalid`] for an address that is neither SQLite nor PostgreSQL, [`StoreError::Unavailable`] if the
/// database cannot be reached.
pub async fn connect(database_url: &str) -> Result<DatabaseConnection, StoreError> {
    open_pool(database_url, Purpose::Maintenance, 2, None).await
}

/// Opens a pool. With a `pulse` its work may be given up at any moment: what it leaves behind is not used again.
pub(crate) async fn open_pool(
    database_url: &str,
    purpose: Purpose,
    connections: u32,
    pulse: Option<&Arc<Pulse>>,
) -> Result<DatabaseConnection, StoreError> {
    let dialect = dialect_of(database_url)?;
    let mut options = ConnectOptions::new(database_url);
    options
        // Nobody listens at this level unless statements are traced; slow ones are no different.
        .sqlx_logging(true)
        .sqlx_logging_level(log::LevelFilter::Trace)
        .sqlx_slow_statements_logging_settings(log::LevelFilter::Trace, Duration::MAX)
        .acquire_timeout(match dialect {
            Dialect::Sqlite => SQLITE_ACQUIRE_TIMEOUT,
            Dialect::Postgres => ACQUIRE_TIMEOUT,
        })
        .test_before_acquire_if_idle_for(Duration::from_secs(5));
    match dialect {
        Dialect::Sqlite => {
            check_sqlite(database_url)?;
            if !purpose.is_reading() {
                make_folder(database_url)?;
            }
            // One writer; idle connections stay, so that the pragmas are not paid for again.
            options.max_connections(if purpose.is_reading() { connections } else { 1 });
            options.min_connections(1);
            options.map_sqlx_sqlite_opts(move |sqlite| sqlite_options(sqlite, purpose));
            options.map_sqlx_sqlite_pool_opts(move |pool| {
                let pool = pool.after_release(|connection, _| Box::pin(is_out_of_transactions(connection)));
                match purpose {
                    Purpose::Questions(limit) => {
                        pool.after_connect(move |connection, _| Box::pin(limit_time(connection, limit)))
                    }
                    Purpose::Read
                    | Purpose::Write
                    | Purpose::Load
                    | Purpose::Maintenance
                    | Purpose::Checkpoints => pool,
                }
            });
            if let Purpose::Questions(limit) = purpose {
                options.map_sqlx_sqlite_before_acquire(move |connection, _| {
                    Box::pin(async move { limit_time(connection, limit).await.map(|()| true) })
                });
            }
        }
        Dialect::Postgres => {
            greet(database_url).await?;
            options.max_connections(connections);
            options.map_sqlx_postgres_opts(|postgres: PgConnectOptions| {
                postgres.application_name("kohorta").statement_cache_capacity(256)
            });
            let settings = postgres_settings(purpose);
            let released = pulse.cloned();
            options.map_sqlx_postgres_pool_opts(move |pool| {
                let settings = settings.clone();
                let pool = pool.after_connect(move |connection, _| {
                    let settings = sea_orm::sqlx::AssertSqlSafe(settings.clone());
                    Box::pin(async move { connection.execute(settings).await.map(|_| ()) })
                });
                let Some(pulse) = released.clone() else {
                    return pool;
                };
                pool.after_release(move |_, connection| {
                    let verdict = verdict(&pulse, connection.age);
                    Box::pin(async move { verdict })
                })
            });
            if let Some(pulse) = pulse.cloned() {
                options.map_sqlx_postgres_before_acquire(move |_, connection| {
                    let verdict = verdict(&pulse, connection.age);
                    Box::pin(async move { verdict })
                });
            }
        }
    }
    Ok(Database::connect(options).await?)
}

/// Which database an address means.
fn dialect_of(database_url: &str) -> Result<Dialect, StoreError> {
    if is_postgres(database_url) {
        return Ok(Dialect::Postgres);
    }
    let invalid = |reason: &str| StoreError::Invalid {
        field: "database url",
        reason: reason.to_owned(),
    };
    if !database_url.starts_with("sqlite:") {
        return Err(invalid(
            "it must begin with sqlite: or postgres:, as in sqlite://./data/kohorta.db or postgres://user@host/database",
        ));
    }
    if sqlite_path(database_url).is_empty() || database_url.contains(":memory:") {
        return Err(invalid("SQLite needs a file, as in sqlite://./data/kohorta.db"));
    }
    Ok(Dialect::Sqlite)
}

pub(crate) fn is_postgres(database_url: &str) -> bool {
    database_url.starts_with("postgres://") || database_url.starts_with("postgresql://")
}

/// What an address says of PostgreSQL.
///
/// # Errors
/// [`StoreError::Invalid`] for one that it cannot have.
pub(crate) fn postgres_options(database_url: &str) -> Result<PgConnectOptions, StoreError> {
    let invalid = |error: sea_orm::sqlx::Error| StoreError::Invalid {
        field: "database url",
        reason: format!("not a PostgreSQL address: {error}"),
    };
    database_url.parse().map_err(invalid)
}

/// Options after `?` that SQLite does not know would show up as a defect of ours when a connection is opened.
fn check_sqlite(database_url: &str) -> Result<(), StoreError> {
    let parsed: Result<SqliteConnectOptions, _> = database_url.parse();
    parsed.map(|_| ()).map_err(|error| StoreError::Invalid {
        field: "database url",
        reason: format!("not an SQLite address: {error}; `sqlite://path/to/file.db` alone is enough"),
    })
}

fn sqlite_path(database_url: &str) -> &str {
    let path = database_url.trim_start_matches("sqlite:");
    let path = path.strip_prefix("//").unwrap_or(path);
    path.split('?').next().unwrap_or(path)
}

fn make_folder(database_url: &str) -> Result<(), StoreError> {
    let Some(folder) = Path::new(sqlite_path(database_url)).parent() else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|error| StoreError::Invalid {
        field: "database url",
        reason: format!("the folder {} cannot be made: {error}", folder.display()),
    })
}

fn sqlite_options(sqlite: SqliteConnectOptions, purpose: Purpose) -> SqliteConnectOptions {
    let cache_kib = match purpose {
        Purpose::Load => SQLITE_LOAD_CACHE_KIB,
        Purpose::Write | Purpose::Maintenance => SQLITE_WRITE_CACHE_KIB,
        Purpose::Read | Purpose::Questions(_) | Purpose::Checkpoints => SQLITE_READ_CACHE_KIB,
    };
    let sqlite = sqlite
        .collation(NUMBER_ORDER, compare_number_texts)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        // A negative number is one of KiB.
        .pragma("cache_size", format!("-{cache_kib}"))
        .pragma("temp_store", "memory");
    if purpose.is_reading() {
        return sqlite.read_only(true);
    }
    let checkpoint_pages = match purpose {
        Purpose::Write => SQLITE_LATE_CHECKPOINT_PAGES,
        _ => SQLITE_CHECKPOINT_PAGES,
    };
    sqlite
        .create_if_missing(purpose != Purpose::Checkpoints)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", checkpoint_pages)
}

/// Whether a connection that comes back may be used again.
///
/// Where SQLite rolls a transaction back by itself, because the disk is full for instance, the rollback that follows fails,
/// and the driver goes on believing in the transaction: it would begin the next ones as parts of it, and commits of
/// those commit nothing. Such a connection is closed.
async fn is_out_of_transactions(connection: &mut SqliteConnection) -> Result<bool, sea_orm::sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may be on its way still.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Whether a connection of this age may be used again. The answer is an error, not a no: closing it in order would wait for
/// whatever is under way on it.
fn verdict(pulse: &Pulse, age: Duration) -> Result<bool, sea_orm::sqlx::Error> {
    if pulse.trusts(age) {
        return Ok(true);
    }
    let cause = "the database said nothing for too long since this connection was made";
    Err(sea_orm::sqlx::Error::Protocol(cause.to_owned()))
}

/// SQLite sets no limit to the time of a statement, so a question that nobody waits for any more would go on: from now on
/// whatever runs on this connection has so long.
async fn limit_time(connection: &mut SqliteConnection, limit: Duration) -> Result<(), sea_orm::sqlx::Error> {
    /// How many instructions of its virtual machine SQLite runs between two looks at the clock: about a millisecond.
    const LOOK_EVERY: i32 = 100_000;
    let end = Instant::now() + limit;
    connection
        .lock_handle()
        .await?
        .set_progress_handler(LOOK_EVERY, move || Instant::now() < end);
    Ok(())
}

/// What is set on every PostgreSQL connection. The short statements here never gain from compilation (`jit`). Those of
/// ingest have lists of varying lengths, and planning them anew for each was a third of what a small transaction cost;
/// one plan, by index, suits them all. PostgreSQL waits for the rest of a `COPY` without any limit to the time, so it asks
/// the network every few seconds whether we are still there.
fn postgres_settings(purpose: Purpose) -> String {
    let timeout_ms = purpose.statement_timeout_ms();
    let idle_ms = if purpose == Purpose::Maintenance {
        0
    } else {
        10_000
    };
    let plans = if matches!(purpose, Purpose::Write | Purpose::Load) {
        "force_generic_plan"
    } else {
        "auto"
    };
    format!(
        "SET statement_timeout = {timeout_ms}; SET lock_timeout = {timeout_ms}; \
         SET idle_in_transaction_session_timeout = {idle_ms}; SET jit = off; SET plan_cache_mode = {plans}; \
         SET synchronous_commit = on; SET client_min_messages = warning; \
         SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
    )
}

/// Opens one connection the plain way: a pool would retry a refused one until it times out, and hide why.
async fn greet(database_url: &str) -> Result<(), StoreError> {
    let options = postgres_options(database_url)?;
    let connecting = PgConnection::connect_with(&options);
    match tokio::time::timeout(ACQUIRE_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => {
            let _ = connection.close().await;
            Ok(())
        }
        Ok(Err(error)) => Err(StoreError::unavailable(error)),
        Err(_) => Err(StoreError::unavailable(sea_orm::sqlx::Error::PoolTimedOut)),
    }
}

/// How many connections of a pool are open, idle, and allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Those that are open.
    pub open: u32,
    /// Those of them that nobody uses at this moment.
    pub idle: u32,
    /// The most there may be.
    pub most: u32,
}

pub(crate) fn pool_use(pool: &DatabaseConnection) -> PoolUse {
    let (open, idle, most) = match Dialect::of(pool.get_database_backend()) {
        Dialect::Sqlite => {
            let pool = pool.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle(), pool.options().get_max_connections())
        }
        Dialect::Postgres => {
            let pool = pool.get_postgres_connection_pool();
            (pool.size(), pool.num_idle(), pool.options().get_max_connections())
        }
    };
    let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
    PoolUse { open, idle, most }
}

/// Begins a transaction that writes; on SQLite it has the write lock from the start.
pub(crate) async fn begin_write(pool: &DatabaseConnection) -> Result<DatabaseTransaction, StoreError> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    Ok(pool.begin_with_options(options).await?)
}

/// Begins a transaction whose statements all see the database at one moment.
pub(crate) async fn begin_snapshot(pool: &DatabaseConnection) -> Result<DatabaseTransaction, StoreError> {
    let options = TransactionOptions {
        isolation_level: (Dialect::of(pool.get_database_backend()) == Dialect::Postgres)
            .then_some(IsolationLevel::RepeatableRead),
        ..TransactionOptions::default()
    };
    Ok(pool.begin_with_options(options).await?)
}
