//! Why the store could not do what it was asked.

use std::{fmt, sync::Arc, time::Duration};

use activity::set::DamagedSet;
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, postgres::PgSeverity},
};

/// Why the store could not do what it was asked. Callers act on the variant; people read the message.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The request breaks a documented rule; retrying cannot help.
    #[error("invalid {field}: {reason}")]
    Invalid {
        /// What was wrong, in the words of the caller's interface.
        field: &'static str,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// More work is waiting than the bounded queue takes; the same call may work later.
    #[error("overloaded: {limit} are waiting to be stored, the most at a time")]
    Overloaded {
        /// The bound of the queue that was met.
        limit: QueueLimit,
    },
    /// The database is out of reach, full, or busy; the same call may work later.
    #[error("database unavailable")]
    Unavailable(#[source] Arc<DbErr>),
    /// The database took longer than the time limit for a statement; the same call may work later.
    #[error("the database took too long")]
    Timeout(#[source] Arc<DbErr>),
    /// Another transaction was in the way and the database gave up on this one; the store has tried again already.
    #[error("the database is contended")]
    Contended(#[source] Arc<DbErr>),
    /// The store is shutting down and takes no more work.
    #[error("the store is closed")]
    Closed,
    /// The database is not one this program can work with: no tables yet, or another reporting time zone.
    #[error("{0}")]
    Mismatch(String),
    /// A stored set cannot be decoded: `kohorta verify` reports it, `kohorta rebuild` mends it.
    #[error("a stored set is damaged, `kohorta rebuild` makes it anew")]
    Damaged(#[source] DamagedSet),
    /// A defect of ours: a statement or a row was not what the code expects.
    #[error("unexpected database error")]
    Internal(#[source] Arc<DbErr>),
}

/// What a queue of events holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueLimit {
    /// So many events.
    Events(usize),
    /// Events of so many bytes.
    Bytes(usize),
}

impl fmt::Display for QueueLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(count) => write!(formatter, "{count} events"),
            Self::Bytes(count) => write!(formatter, "events of {count} bytes"),
        }
    }
}

impl StoreError {
    pub(crate) fn unavailable(error: sqlx::Error) -> Self {
        Self::Unavailable(Arc::new(DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))))
    }

    /// The database has taken the work and says nothing.
    pub(crate) fn unanswered(waited: Duration) -> Self {
        let seconds = waited.as_secs_f32();
        let cause = format!("no answer within {seconds} s; what was asked may still be done");
        Self::Unavailable(Arc::new(DbErr::Custom(cause)))
    }

    /// A defect described in words.
    pub(crate) fn internal(what: impl Into<String>) -> Self {
        Self::Internal(Arc::new(DbErr::Custom(what.into())))
    }

    /// Whether the same call may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::Unavailable(_) | Self::Timeout(_) | Self::Contended(_) => true,
            Self::Invalid { .. }
            | Self::Closed
            | Self::Mismatch(_)
            | Self::Damaged(_)
            | Self::Internal(_) => false,
        }
    }

    /// Whether the connection that was used is gone, which says nothing of the next one.
    pub(crate) fn is_broken_connection(&self) -> bool {
        let Self::Unavailable(cause) = self else {
            return false;
        };
        let (DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))) = cause.as_ref()
        else {
            return false;
        };
        match cause.as_ref() {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
            // Connection exceptions, and shutdowns by an operator or after a crash.
            sqlx::Error::Database(cause) => {
                let code = cause.code().unwrap_or_default();
                code.starts_with("08") || matches!(code.as_ref(), "57P01" | "57P02" | "25P03")
            }
            _ => false,
        }
    }
}

impl From<DamagedSet> for StoreError {
    fn from(error: DamagedSet) -> Self {
        Self::Damaged(error)
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let kind = match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(RuntimeErr::Internal(_)) => Kind::Unavailable,
            DbErr::Conn(RuntimeErr::SqlxError(cause))
            | DbErr::Exec(RuntimeErr::SqlxError(cause))
            | DbErr::Query(RuntimeErr::SqlxError(cause)) => kind_of(cause),
            _ => Kind::Internal,
        };
        let error = Arc::new(error);
        match kind {
            Kind::Unavailable => Self::Unavailable(error),
            Kind::Timeout => Self::Timeout(error),
            Kind::Contended => Self::Contended(error),
            Kind::Internal => Self::Internal(error),
        }
    }
}

enum Kind {
    Unavailable,
    Timeout,
    Contended,
    Internal,
}

fn kind_of(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(cause) => {
            let code = cause.code().unwrap_or_default();
            match cause.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                // A message that PostgreSQL could not read is our defect; a pooler in front of it says the same, as
                // a fatal error, when its server is gone.
                Some(cause) if code == "08P01" && cause.severity() == PgSeverity::Error => Kind::Internal,
                Some(_) => postgres_kind(&code),
                None => sqlite_kind(&code),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

/// By SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgres_kind(code: &str) -> Kind {
    match code {
        // Serialization failure, deadlock, lock not available.
        "40001" | "40P01" | "55P03" => Kind::Contended,
        // Cancelled by the statement timeout.
        "57014" => Kind::Timeout,
        // Read-only transaction (a standby), idle transaction ended, wrong or missing password, no such database.
        "25006" | "25P03" | "28000" | "28P01" | "3D000" => Kind::Unavailable,
        // Connection exceptions, out of disk, memory or connections, shutdown, I/O errors.
        _ if ["08", "53", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Kind::Unavailable
        }
        _ => Kind::Internal,
    }
}

/// By result code, <https://www.sqlite.org/rescode.html>; the low byte is the primary code.
fn sqlite_kind(code: &str) -> Kind {
    const PERMISSION: i32 = 3;
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const READONLY: i32 = 8;
    const INTERRUPT: i32 = 9;
    const IO: i32 = 10;
    const FULL: i32 = 13;
    const CANNOT_OPEN: i32 = 14;
    match code.parse::<i32>().map(|code| code & 0xff) {
        Ok(BUSY | LOCKED) => Kind::Contended,
        // A question that took longer than it may.
        Ok(INTERRUPT) => Kind::Timeout,
        Ok(PERMISSION | READONLY | IO | FULL | CANNOT_OPEN) => Kind::Unavailable,
        _ => Kind::Internal,
    }
}
