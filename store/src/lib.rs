//! The only crate that talks to a database: ingest, the fold, reads, erasure, expiry, verify and rebuild, on SQLite and PostgreSQL.
//!
//! What it promises: an event is acknowledged after its commit and stored once for ever; every read sees every event
//! acknowledged before it was asked, in one snapshot; reads never write and never wait for the folder. It reads
//! neither the clock nor the environment: times come in as arguments.

mod active_users;
mod activity_log;
mod answers;
mod backup;
mod cache;
mod checkpoints;
mod contention;
mod copied_events;
mod database;
mod database_file;
mod dialect;
mod erase;
mod erase_sql;
mod erased_users;
mod error;
mod event_ids;
mod event_types;
mod events;
mod events_sql;
mod expire;
mod expire_sql;
mod export;
pub mod filter;
mod filter_check;
mod filter_sql;
mod filtered;
mod fold;
mod fold_sql;
mod folder;
mod frame;
mod ingest;
mod ingest_sql;
mod insertion;
pub mod json;
mod kept_rows;
mod keys;
mod moment;
pub mod new_event;
mod one_statement;
mod ordinals;
mod passing;
mod position;
mod postgres_transaction;
mod pulse;
mod rebuild;
mod recount;
mod retention;
mod rules;
mod same_day;
mod sets;
mod settings;
mod sql_texts;
mod statements;
mod tail;
mod tail_reader;
mod tail_sql;
mod top_events;
mod unions;
mod users;
mod verify;
mod view;
mod wake;
mod write_transaction;
mod writer;

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64},
    },
    time::Duration,
};

use chrono_tz::Tz;
use sea_orm::DatabaseConnection;
use tokio::sync::{Notify, watch};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    answers::Answers,
    cache::SetCache,
    database::{Purpose, open_pool, pool_use},
    database_file::DatabaseFile,
    dialect::Dialect,
    erased_users::ErasedUsers,
    kept_rows::KeptRows,
    moment::LatestMoment,
    ordinals::Ordinals,
    pulse::{Pulse, attend},
    rules::Rules,
    sql_texts::SqlTexts,
    tail::Tail,
};

pub use crate::{
    active_users::ActiveUsersQuestion,
    backup::back_up,
    checkpoints::Checkpointer,
    database::{PoolUse, connect},
    erase::{ErasedUser, Erasure},
    error::{QueueLimit, StoreError},
    event_types::{EventType, EventTypesPage},
    events::{EventsPage, EventsQuestion, MAX_PAGE_BYTES, MAX_PAGE_MEMORY_BYTES},
    events_sql::Order,
    export::Export,
    filter_check::{FilterError, MAX_FILTER_DEPTH, MAX_FILTER_PARTS},
    fold::FoldReport,
    folder::{Folder, FolderOptions},
    ingest::{IngestOutcome, MAX_EVENT_TYPES, StoredEvent},
    keys::{
        ApiKey, KeyHash, LiveKeys, MAX_KEY_NAME_BYTES, MAX_LIVE_KEYS, NewKey, Scope, all_keys, create_key,
        keys_are_wanted, revoke_key,
    },
    position::Position,
    rebuild::RebuildReport,
    retention::RetentionQuestion,
    statements::OnStatement,
    tail::{Follower, Page, TailEnd},
    top_events::TopEventsQuestion,
    users::UserFacts,
    writer::{DEFAULT_QUEUE_BYTES, Observer, Silent, Writer, WriterOptions},
};

/// The most times that work which has changed nothing begins anew because its connection was broken: more than a pool
/// has connections in the defaults.
const MAX_RECONNECTS: u32 = 6;

/// The most times that a question is asked anew because what it read was changed under it.
const MAX_OVERTAKEN: u32 = 5;
/// How long a question waits before it is asked anew, so that what overtook it can come to its end.
const OVERTAKEN_PAUSE: Duration = Duration::from_millis(10);
/// How much longer than its time a question may hold a connection before that is given up: the database ends it by itself,
/// unless it is gone without a word.
const QUESTION_GRACE: Duration = Duration::from_secs(5);

/// How long connections of PostgreSQL may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The target of the spans that make up a trace; nobody is interested in them unless traces are sent somewhere.
pub const TRACE_TARGET: &str = "kohorta::trace";

/// How long PostgreSQL may be silent, unless told otherwise: longer than a busy machine needs for next to nothing, and
/// whoever waits knows within five seconds.
pub const DEFAULT_SILENCE_TIMEOUT: Duration = Duration::from_secs(3);

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `sqlite://path/to/file.db` or `postgres://user:password@host/database`.
    pub database_url: String,
    /// The reporting time zone: fixed when a database is first opened (UTC where none is given); later it must be the
    /// same or left out.
    pub timezone: Option<Tz>,
    /// The bound of the cache of sets, in bytes.
    pub cache_bytes: u64,
    /// Connections for questions.
    pub read_connections: u32,
    /// How long the statements of a question may take.
    pub question_timeout: Duration,
    /// How long PostgreSQL may leave the plainest question unanswered before everything that waits for it is
    /// [`StoreError::Unavailable`]. SQLite runs in this process.
    pub silence_timeout: Duration,
    /// Connections for ingest and the fold (SQLite has always one).
    pub write_connections: u32,
    /// Whether transactions of ingest hold tens of thousands of events, as an importer's do: their statements may take a
    /// minute on PostgreSQL, instead of five seconds.
    pub large_transactions: bool,
    /// Who is told of every statement of a question.
    pub on_statement: Option<OnStatement>,
}

impl StoreOptions {
    /// The defaults, for the database at this address.
    pub fn new(database_url: impl Into<String>) -> Self {
        Self {
            database_url: database_url.into(),
            timezone: None,
            cache_bytes: 64 * 1024 * 1024,
            read_connections: 4,
            question_timeout: Duration::from_secs(30),
            silence_timeout: DEFAULT_SILENCE_TIMEOUT,
            write_connections: 5,
            large_transactions: false,
            on_statement: None,
        }
    }
}

/// A database of events. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database_url: String,
    dialect: Dialect,
    question_timeout: Duration,
    /// On PostgreSQL: whether it is alive.
    pulse: Option<Arc<Pulse>>,
    /// On SQLite: the file.
    file: Option<DatabaseFile>,
    write: DatabaseConnection,
    read: DatabaseConnection,
    sql: SqlTexts,
    cache: SetCache,
    answers: Answers,
    moments: LatestMoment,
    kept_rows: KeptRows,
    rules: RwLock<Rules>,
    ordinals: Ordinals,
    /// How many of the next transactions look for known ids before they insert.
    careful_transactions: AtomicU32,
    /// Woken after every commit that appended to the log.
    appended: Notify,
    /// How many rows were appended here since the folder began its last fold.
    unfolded_rows: AtomicU64,
    /// Woken when those are many.
    much_to_fold: Notify,
    /// How many commits with new events there were here.
    commits: watch::Sender<u64>,
    /// Whether somebody is telling other processes of them.
    notifying: AtomicBool,
    /// Names this store among all on the database.
    process: Uuid,
    tail: Tail,
    /// Rows of the log that were folded here since it was last vacuumed.
    folded_since_vacuum: AtomicU64,
}

impl Store {
    /// Connects to a database that has its tables (see the crate `migration`).
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] without tables or with another time zone, [`StoreError::Invalid`] for an address that
    /// means no database, [`StoreError::Unavailable`] if it cannot be reached.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let pulse = Pulse::of(&options.database_url, options.silence_timeout)?;
        let write = open_pool(
            &options.database_url,
            if options.large_transactions {
                Purpose::Load
            } else {
                Purpose::Write
            },
            options.write_connections.max(2),
            pulse.as_ref(),
        )
        .await?;
        let opening = async {
            let settings = settings::open(&write, options.timezone).await?;
            Ok((settings, ErasedUsers::read(&write).await?))
        };
        let (settings, erased) = match opening.await {
            Err(StoreError::Internal(cause)) => Err(StoreError::Mismatch(format!(
                "this database has not the tables of this version, run `kohorta migrate up` ({cause})"
            ))),
            other => other,
        }?;
        let mut read = open_pool(
            &options.database_url,
            Purpose::Questions(options.question_timeout),
            options.read_connections.max(1),
            pulse.as_ref(),
        )
        .await?;
        if let Some(on_statement) = options.on_statement {
            on_statement.listen_to(&mut read);
        }
        let dialect = Dialect::of(write.get_database_backend());
        let file = match dialect {
            Dialect::Sqlite => DatabaseFile::opened(&options.database_url)?,
            Dialect::Postgres => None,
        };
        let inner = Inner {
            database_url: options.database_url,
            dialect,
            question_timeout: options.question_timeout,
            pulse,
            file,
            write,
            read,
            sql: SqlTexts::new(dialect),
            cache: SetCache::new(options.cache_bytes),
            answers: Answers::new(),
            moments: LatestMoment::default(),
            kept_rows: KeptRows::new(),
            rules: RwLock::new(Rules::new(settings, erased)),
            ordinals: Ordinals::new(),
            careful_transactions: AtomicU32::new(0),
            appended: Notify::new(),
            unfolded_rows: AtomicU64::new(0),
            much_to_fold: Notify::new(),
            commits: watch::Sender::new(0),
            notifying: AtomicBool::new(false),
            process: Uuid::new_v4(),
            tail: Tail::default(),
            folded_since_vacuum: AtomicU64::new(0),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Closes every connection. Calls that come later are [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.inner.tail.close().await;
        self.close_pool(&self.inner.read).await;
        // The last one of SQLite's connections brings what the log of writes holds into the file; a reading one cannot.
        self.close_pool(&self.inner.write).await;
    }

    /// Waits for connections in use; not for ever for those of PostgreSQL, which may have died on their way back.
    async fn close_pool(&self, pool: &DatabaseConnection) {
        let closing = pool.close_by_ref();
        let limit = match self.inner.dialect {
            Dialect::Sqlite => Duration::MAX,
            Dialect::Postgres => CLOSE_TIMEOUT,
        };
        // What does not close in order is gone all the same.
        let _ = tokio::time::timeout(limit, closing).await;
    }

    /// The reporting time zone.
    pub fn timezone(&self) -> Tz {
        self.settings().calendar.timezone()
    }

    /// "SQLite" or "PostgreSQL".
    pub fn backend_name(&self) -> &'static str {
        match self.inner.dialect {
            Dialect::Sqlite => "SQLite",
            Dialect::Postgres => "PostgreSQL",
        }
    }

    /// How the connections for questions are used.
    pub fn read_pool(&self) -> PoolUse {
        pool_use(&self.inner.read)
    }

    /// How the connections for ingest and the fold are used.
    pub fn write_pool(&self) -> PoolUse {
        pool_use(&self.inner.write)
    }

    /// Whether the database takes one transaction that writes at a time.
    pub(crate) fn has_one_writer(&self) -> bool {
        self.inner.dialect == Dialect::Sqlite
    }

    /// Asks the database something trivial that needs its tables.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where it does not answer within `patience`.
    pub async fn ping(&self, patience: Duration) -> Result<(), StoreError> {
        let store = self.clone();
        let asking = self.spawn(async move {
            // Connections that broke in an outage may still lie in the pool; each says so once, and is gone.
            const ATTEMPTS: u32 = 5;
            for _ in 1..ATTEMPTS {
                match settings::read(&store.inner.read).await {
                    Err(StoreError::Unavailable(_)) => {}
                    outcome => return outcome.map(|_| ()),
                }
            }
            settings::read(&store.inner.read).await.map(|_| ())
        });
        match tokio::time::timeout(patience, asking).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::unavailable(sea_orm::sqlx::Error::PoolTimedOut)),
        }
    }

    /// Opens connections of somebody's own, for work that [`Store::spawn`] runs.
    pub(crate) async fn open_pool(
        &self,
        purpose: Purpose,
        connections: u32,
    ) -> Result<DatabaseConnection, StoreError> {
        open_pool(
            &self.inner.database_url,
            purpose,
            connections,
            self.inner.pulse.as_ref(),
        )
        .await
    }

    /// Runs work that holds a connection in a task of its own, so that a caller that goes away cancels nothing: a
    /// connection whose `BEGIN` is cut short would go back to the pool inside a transaction nobody knows of. Only where
    /// PostgreSQL says nothing any more it is given up, with its connection (see [`pulse`]).
    ///
    /// The work begins at once. It is in its own task and not a part of the caller's future: those of resolvers are moved
    /// about a good deal, and would be as large as all the work that they may have done.
    pub(crate) fn spawn<T, W>(&self, work: W) -> impl Future<Output = Result<T, StoreError>> + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.spawn_within(Duration::MAX, work)
    }

    /// [`Store::spawn`], for work that on PostgreSQL is also given up after `limit`: whoever waited for it has gone, and
    /// its connection may have died without a word.
    pub(crate) fn spawn_within<T, W>(
        &self,
        limit: Duration,
        work: W,
    ) -> impl Future<Output = Result<T, StoreError>> + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let started = self.check_file().map(|()| {
            let pulse = self.inner.pulse.clone();
            let attended = async move { attend(pulse.as_ref(), limit, work).await };
            tokio::spawn(attended.in_current_span())
        });
        async move {
            match started?.await {
                Ok(result) => result,
                Err(error) => Err(StoreError::internal(format!("a task of the store died: {error}"))),
            }
        }
    }

    /// Whether SQLite's file is still the one that was opened; on PostgreSQL there is nothing to check.
    pub(crate) fn check_file(&self) -> Result<(), StoreError> {
        self.inner.file.as_ref().map_or(Ok(()), DatabaseFile::check)
    }

    /// Runs a question in a task of its own, and once more for each connection that turns out to be broken: after a
    /// restart of the database every pooled one is, and none of them tells before it is used. Once more as well where the
    /// database gave it up for another transaction's sake, or where this process has learned meanwhile that the reporting
    /// time zone is another one: its days may then be of both.
    pub(crate) async fn ask<T, Asking>(
        &self,
        question: impl Fn(Self) -> Asking + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Asking: Future<Output = Result<T, StoreError>> + Send,
    {
        let store = self.clone();
        let limit = self.inner.question_timeout + QUESTION_GRACE;
        self.spawn_within(limit, async move {
            let (mut broken, mut overtaken) = (0, 0);
            loop {
                let calendar = store.settings().calendar;
                let answer = question(store.clone()).await;
                let another_calendar = store.settings().calendar != calendar;
                match answer {
                    Err(error) if error.is_broken_connection() && broken < MAX_RECONNECTS => broken += 1,
                    Err(StoreError::Contended(_)) if overtaken < MAX_OVERTAKEN => {
                        overtaken += 1;
                        tokio::time::sleep(OVERTAKEN_PAUSE).await;
                    }
                    _ if another_calendar && overtaken < MAX_OVERTAKEN => overtaken += 1,
                    answer => return answer,
                }
            }
        })
        .await
    }
}
