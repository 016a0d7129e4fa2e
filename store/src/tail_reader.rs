//! Reads what was stored since the last look, each event once, in the order of commits as far as the database tells.
//!
//! SQLite lets one transaction write at a time, so ids rise in the order of commits: the highest id read is the position.
//!
//! PostgreSQL's concurrent transactions commit ids out of order, so the position is a snapshot: what the database sees now
//! and did not see then is new, by the definition of both. Ids only narrow where to look. All ids up to `settled` belong
//! to transactions that ended before the position; a later look sees which transactions hold lower ids than it has seen,
//! and once they have all ended the mark moves up. That asks nothing of other sessions: a long transaction elsewhere
//! holds up neither events nor the mark.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult};
use tracing::{debug, warn};

use crate::{
    Store, StoreError, StoredEvent,
    database::Purpose,
    dialect::Dialect,
    pulse::{Pulse, attend},
    tail_sql::{tail_head, tail_page},
};

/// The most events in one page: with the largest properties 16 MB.
pub(crate) const PAGE_EVENTS: usize = 250;
/// How long transactions are waited for before ids below theirs count as settled all the same. The database ends ours
/// sooner (see `database::postgres_settings`); another program's must not hold up the tail for ever.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a look or a page may take before its connection is taken to have died without a word; the database ends both
/// sooner.
const LIMIT: Duration = Duration::from_secs(15);
/// How often the beginning looks whether the transactions under way have ended.
const OPENING_PAUSE: Duration = Duration::from_millis(10);

/// A position in the log of events, with a connection of its own: slow questions do not hold it up.
pub(crate) struct TailReader {
    dialect: Dialect,
    pulse: Option<Arc<Pulse>>,
    connection: DatabaseConnection,
    head: String,
    page: String,
    position: Position,
    /// What the last look found and was not read yet.
    span: Option<Span>,
}

enum Position {
    /// The highest id that was read.
    Sqlite(i64),
    Postgres(PostgresPosition),
}

/// A stretch of events to be read.
struct Span {
    /// Where the next page begins.
    after: i64,
    to: Upper,
}

enum Upper {
    Id(i64),
    Snapshot { snapshot: String, settles: Option<i64> },
}

impl TailReader {
    /// A position at this moment: what is committed when this is called lies before it, what is committed after it has
    /// returned lies behind it.
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let dialect = store.inner.dialect;
        let connection = store.open_pool(Purpose::Read, 1).await?;
        let head = tail_head(dialect);
        let pulse = store.inner.pulse.clone();
        let position = match dialect {
            Dialect::Sqlite => Position::Sqlite(sqlite_highest(&connection, &head).await?),
            Dialect::Postgres => {
                let opening = PostgresPosition::open(&connection, &head);
                Position::Postgres(attend(pulse.as_ref(), Duration::MAX, opening).await?)
            }
        };
        Ok(Self {
            dialect,
            pulse,
            connection,
            head,
            page: tail_page(dialect),
            position,
            span: None,
        })
    }

    /// Finds what was committed since the last look, for [`TailReader::page`] to read. What an earlier look found must
    /// have been read to its end.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if this is no longer the same database.
    pub(crate) async fn look(&mut self) -> Result<(), StoreError> {
        self.span = match &mut self.position {
            Position::Sqlite(highest) => {
                let now = sqlite_highest(&self.connection, &self.head).await?;
                // The newest events may be gone; their ids are never given again (see `event_ids`).
                *highest = now.min(*highest);
                (now > *highest).then_some(Span {
                    after: *highest,
                    to: Upper::Id(now),
                })
            }
            Position::Postgres(position) => {
                let reading = Head::read(&self.connection, &self.head);
                position.look(attend(self.pulse.as_ref(), LIMIT, reading).await?)?
            }
        };
        Ok(())
    }

    /// The next events of what was found, oldest first; empty at its end. A failed call can be made again.
    pub(crate) async fn page(&mut self) -> Result<Vec<StoredEvent>, StoreError> {
        while let Some(span) = &mut self.span {
            let limit = (PAGE_EVENTS as i64).into();
            let values = match (&span.to, &self.position) {
                (Upper::Snapshot { snapshot, .. }, Position::Postgres(position)) => {
                    let (now, then) = (snapshot.as_str().into(), position.seen.as_str().into());
                    vec![span.after.into(), now, then, limit]
                }
                (Upper::Id(highest), _) => vec![span.after.into(), (*highest).into(), limit],
                (Upper::Snapshot { .. }, Position::Sqlite(_)) => {
                    return Err(StoreError::internal("a snapshot is no position on SQLite"));
                }
            };
            let statement = self.dialect.statement(&self.page, values);
            let connection = &self.connection;
            let reading = async { Ok(connection.query_all_raw(statement).await?) };
            let rows = attend(self.pulse.as_ref(), LIMIT, reading).await?;
            let mut events = Vec::with_capacity(rows.len());
            let mut last = span.after;
            for row in &rows {
                last = row.try_get_by("id")?;
                events.push(StoredEvent::from_row(row)?);
            }
            if let Position::Sqlite(highest) = &mut self.position {
                *highest = last;
            }
            span.after = last;
            if rows.len() < PAGE_EVENTS {
                self.finish();
            }
            if !events.is_empty() {
                return Ok(events);
            }
        }
        Ok(Vec::new())
    }

    fn finish(&mut self) {
        match (self.span.take().map(|span| span.to), &mut self.position) {
            (Some(Upper::Id(read)), Position::Sqlite(highest)) => *highest = read,
            (Some(Upper::Snapshot { snapshot, settles }), Position::Postgres(position)) => {
                position.seen = snapshot;
                position.settled = settles.unwrap_or(position.settled);
            }
            _ => {}
        }
    }

    /// Takes another connection to PostgreSQL, if there is one to be had: its pool waits without end for a connection that
    /// died on its way back into it. The position stays.
    pub(crate) async fn reconnect(&mut self, store: &Store) {
        if self.dialect == Dialect::Sqlite {
            return;
        }
        match store.open_pool(Purpose::Read, 1).await {
            Ok(connection) => self.connection = connection,
            Err(error) => debug!(%error, "no new connection to read the log of events"),
        }
    }

    /// Gives the connection back to the system.
    pub(crate) async fn close(self) {
        // A connection that does not close cleanly is gone all the same.
        let _ = self.connection.close().await;
    }
}

async fn sqlite_highest(connection: &DatabaseConnection, head: &str) -> Result<i64, StoreError> {
    let row = connection
        .query_one_raw(Dialect::Sqlite.statement(head, vec![]))
        .await?;
    Ok(row.map_or(Ok(0), |row| row.try_get_by("highest"))?)
}

struct PostgresPosition {
    /// What was read: everything that this snapshot sees.
    seen: String,
    /// The next transaction's number in the last look: it only rises, unless the database is another one.
    next: i64,
    /// Events with ids up to this are seen, or will never be.
    settled: i64,
    mark: Option<Mark>,
}

/// An id on its way to being settled.
struct Mark {
    highest: i64,
    /// The transactions that may hold lower ids; once empty, the next look sees what they have stored.
    writing: HashSet<String>,
    since: Instant,
}

impl PostgresPosition {
    async fn open(connection: &DatabaseConnection, sql: &str) -> Result<Self, StoreError> {
        let first = Head::read(connection, sql).await?;
        let mut mark = Mark {
            highest: first.highest,
            writing: first.writing,
            since: Instant::now(),
        };
        loop {
            let head = Head::read(connection, sql).await?;
            if mark.writing.is_empty() {
                return Ok(Self {
                    seen: head.snapshot,
                    next: head.next,
                    settled: mark.highest,
                    mark: None,
                });
            }
            mark.look(&head);
            tokio::time::sleep(OPENING_PAUSE).await;
        }
    }

    fn look(&mut self, head: Head) -> Result<Option<Span>, StoreError> {
        if head.next < self.next {
            return Err(StoreError::Mismatch(
                "another database stands where the one was whose events were followed".to_owned(),
            ));
        }
        self.next = head.next;
        let settles = match &mut self.mark {
            Some(mark) if mark.writing.is_empty() => Some(mark.highest),
            Some(mark) => {
                mark.look(&head);
                None
            }
            None => None,
        };
        if settles.is_some() || self.mark.is_none() {
            self.mark = (head.highest > settles.unwrap_or(self.settled)).then(|| Mark {
                highest: head.highest,
                writing: head.writing,
                since: Instant::now(),
            });
        }
        if head.snapshot == self.seen {
            self.settled = settles.unwrap_or(self.settled);
            return Ok(None);
        }
        Ok(Some(Span {
            after: self.settled,
            to: Upper::Snapshot {
                snapshot: head.snapshot,
                settles,
            },
        }))
    }
}

impl Mark {
    /// Forgets the transactions that have ended.
    fn look(&mut self, head: &Head) {
        self.writing
            .retain(|transaction| head.writing.contains(transaction));
        if !self.writing.is_empty() && self.since.elapsed() > PATIENCE {
            warn!(
                transactions = self.writing.len(),
                "transactions have been writing events for too long; subscribers may not see those events"
            );
            self.writing.clear();
        }
    }
}

/// What `tail_head` says on PostgreSQL.
struct Head {
    snapshot: String,
    next: i64,
    highest: i64,
    writing: HashSet<String>,
}

impl Head {
    async fn read(connection: &DatabaseConnection, sql: &str) -> Result<Self, StoreError> {
        let row = connection
            .query_one_raw(Dialect::Postgres.statement(sql, vec![]))
            .await?
            .ok_or_else(|| StoreError::internal("the tail has no head"))?;
        Self::from_row(&row)
    }

    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let writing: String = row.try_get_by("writing")?;
        let transactions = writing.split(',').filter(|name| !name.is_empty());
        Ok(Self {
            snapshot: row.try_get_by("snapshot")?,
            next: row.try_get_by("next")?,
            highest: row.try_get_by("highest")?,
            writing: transactions.map(str::to_owned).collect(),
        })
    }
}
