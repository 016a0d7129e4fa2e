//! Checkpoints: what SQLite's write-ahead log (WAL) holds is copied into the database file, so that the log can begin anew
//! (<https://sqlite.org/wal.html>).
//!
//! Left to itself SQLite does so at the end of a commit, and whoever commits waits until all of it is on the disk. Here a
//! connection of its own copies beside the writers. But a log begins anew only when nothing is left to copy, and writers
//! never stop adding to it; so when little is left, that is copied on the writing connection, between two transactions.

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::{sync::Notify, task::JoinHandle};
use tracing::warn;

use crate::{
    Store,
    database::{Purpose, open_pool},
    dialect::Dialect,
    error::StoreError,
};

/// Says how long the log is.
const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
/// Copies what no reader holds on to, without waiting for anybody.
const COPY: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// How long after a commit with new events it looks whether there is enough to copy.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The pages in the log that are worth copying: fewer, and pages that change all the time are copied too often.
const ENOUGH_PAGES: i64 = 4_000;
/// How often it copies. SQLite waits for the disk only at the end of a round during which nothing was written; after the first one
/// they are so short that this happens, and what is left for the writing connection to wait for came after it.
const ROUNDS: u32 = 4;
/// The pages that writers may wait for.
const FEW_PAGES: i64 = 500;
/// The pages in a log that grows faster than it is copied; then writers wait for whatever is left.
const MOST_PAGES: i64 = 48_000;
/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Copies beside the writers of a store, for as long as it is kept running. On PostgreSQL there is nothing to do.
pub struct Checkpointer {
    stop: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts copying.
    pub fn start(store: Store) -> Self {
        let stop = Arc::new(Notify::new());
        let is_sqlite = store.inner.dialect == Dialect::Sqlite;
        let task = is_sqlite.then(|| tokio::spawn(run(store, Arc::clone(&stop))));
        Self { stop, task }
    }

    /// Stops after the copying that is under way.
    pub async fn stop(self) {
        self.stop.notify_one();
        if let Some(task) = self.task {
            let _ = task.await;
        }
    }
}

/// How much of the log there is, in pages.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wal {
    pages: i64,
    copied: i64,
}

async fn run(store: Store, stop: Arc<Notify>) {
    let opening = async {
        loop {
            match open_pool(&store.inner.database_url, Purpose::Checkpoints, 1, None).await {
                Ok(pool) => return pool,
                Err(error) => warn!(%error, "no connection for checkpoints, trying again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let own = tokio::select! {
        () = stop.notified() => return,
        pool = opening => pool,
    };
    let mut commits = store.inner.commits.subscribe();
    let working = async {
        while commits.changed().await.is_ok() {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = copy_if_enough(&own, &store.inner.write).await {
                warn!(%error, "a checkpoint failed, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    tokio::select! {
        () = stop.notified() => {}
        () = working => {}
    }
    let _ = own.close().await;
}

/// Copies until little is left, and then that, unless a reader still needs the log.
async fn copy_if_enough(own: &DatabaseConnection, writing: &DatabaseConnection) -> Result<(), StoreError> {
    let wal = checkpoint(own, LOOK).await?;
    if wal.pages < ENOUGH_PAGES {
        return Ok(());
    }
    for _ in 0..ROUNDS {
        checkpoint(own, COPY).await?;
    }
    let wal = checkpoint(own, LOOK).await?;
    if wal.pages - wal.copied <= FEW_PAGES || wal.pages >= MOST_PAGES {
        checkpoint(writing, COPY).await?;
    }
    Ok(())
}

async fn checkpoint(connection: &DatabaseConnection, sql: &str) -> Result<Wal, StoreError> {
    let row = connection
        .query_one_raw(Dialect::Sqlite.statement(sql, vec![]))
        .await?;
    let row = row.ok_or_else(|| StoreError::internal("a checkpoint says nothing"))?;
    Ok(Wal {
        pages: row.try_get_by_index(1)?,
        copied: row.try_get_by_index(2)?,
    })
}
