//! Why the store could not do what it was asked.

use sea_orm::DbErr;

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
    #[error("overloaded: more than {limit} events are waiting to be stored")]
    Overloaded {
        /// How many events the queue holds.
        limit: usize,
    },
    /// The database is out of reach, full, or busy; the same call may work later.
    #[error("database unavailable")]
    Unavailable(#[source] std::sync::Arc<DbErr>),
    /// The database took longer than the time limit for a statement.
    #[error("the database took too long")]
    Timeout(#[source] std::sync::Arc<DbErr>),
    /// The store is shutting down and takes no more work.
    #[error("the store is closed")]
    Closed,
    /// The database is not one this program can work with: no schema yet, or another reporting time zone.
    #[error("{0}")]
    Mismatch(String),
    /// A defect of ours: a statement or a row was not what the code expects.
    #[error("unexpected database error")]
    Internal(#[source] std::sync::Arc<DbErr>),
    /// A stored set cannot be decoded: `kohorta verify` reports it, `kohorta rebuild` mends it.
    #[error("a stored set is damaged ({0}); `kohorta rebuild` makes it anew")]
    Damaged(String),
}
