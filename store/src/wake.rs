//! Tells whoever follows the log that something was stored. A word to look, never the truth: it may get lost, come late or twice.
//!
//! Within the process every commit wakes at once. Between processes PostgreSQL carries a NOTIFY, sent outside of ingest's
//! transactions, which would otherwise commit one after the other, and at most every [`NOTIFY_PAUSE`].

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait,
    sqlx::{
        self,
        postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    },
};
use tokio::sync::Notify;
use tracing::debug;
use uuid::Uuid;

use crate::{Store, database::ACQUIRE_TIMEOUT, dialect::Dialect, pulse::attend};

const CHANNEL: &str = "kohorta_stored";
/// How many rows in the log are so many that the folder does not wait any longer: every question reads all of them.
const MUCH_TO_FOLD: u64 = 1_000;
/// The least time between two notifications of one process.
const NOTIFY_PAUSE: Duration = Duration::from_millis(50);
/// How long one may take before its connection is taken to have died without a word.
const NOTIFY_LIMIT: Duration = Duration::from_secs(15);
/// How long after a lost connection the next one is tried.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);
/// Tells the other processes on this database.
pub(crate) const NOTIFY: &str = "-- store: notify
SELECT pg_notify($1, $2)";

impl Store {
    /// Says that a transaction with new events was committed, which has appended so many rows to the log.
    pub(crate) fn announce_stored(&self, rows: usize) {
        self.inner.appended.notify_one();
        let before = self.inner.unfolded_rows.fetch_add(rows as u64, Ordering::Relaxed);
        if before + rows as u64 >= MUCH_TO_FOLD {
            self.inner.much_to_fold.notify_one();
        }
        self.inner.commits.send_modify(|commits| *commits += 1);
        let first = || !self.inner.notifying.swap(true, Ordering::AcqRel);
        if self.inner.dialect == Dialect::Postgres && first() {
            tokio::spawn(notify(self.clone()));
        }
    }
}

/// Notifies until a pause has passed without a commit.
async fn notify(store: Store) {
    let mut commits = store.inner.commits.subscribe();
    loop {
        commits.borrow_and_update();
        let values = vec![CHANNEL.into(), store.inner.process.to_string().into()];
        let statement = store.inner.dialect.statement(NOTIFY, values);
        let telling = async { Ok(store.inner.write.execute_raw(statement).await?) };
        if let Err(error) = attend(store.inner.pulse.as_ref(), NOTIFY_LIMIT, telling).await {
            debug!(%error, "others were not told of new events; they will look by themselves");
        }
        tokio::time::sleep(NOTIFY_PAUSE).await;
        if commits.has_changed().unwrap_or(false) {
            continue;
        }
        store.inner.notifying.store(false, Ordering::Release);
        // A commit between the look and the word has found a notifier at work and started none.
        let late = commits.has_changed().unwrap_or(false);
        if !late || store.inner.notifying.swap(true, Ordering::AcqRel) {
            return;
        }
    }
}

/// Wakes for every notification of another process, for as long as it runs; also when one may have got lost.
pub(crate) async fn listen(store: Store, woken: Arc<Notify>) {
    loop {
        tokio::select! {
            ended = listen_once(&store.inner.database_url, store.inner.process, &woken) => {
                if let Err(error) = ended {
                    debug!(%error, "not listening for new events; looking by the clock");
                }
            }
            // The connection may be one that nothing comes over any more.
            () = silence(&store) => {}
        }
        tokio::time::sleep(LISTEN_PAUSE).await;
    }
}

/// Returns when the database is found silent; SQLite never is.
async fn silence(store: &Store) {
    match &store.inner.pulse {
        Some(pulse) => pulse.silence().await,
        None => std::future::pending().await,
    }
}

async fn listen_once(database_url: &str, process: Uuid, woken: &Notify) -> Result<(), sqlx::Error> {
    let options: PgConnectOptions = database_url.parse()?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options.application_name("kohorta"));
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    let own = process.to_string();
    woken.notify_one();
    loop {
        match listener.try_recv().await? {
            Some(notification) if notification.payload() == own => {}
            Some(_) | None => woken.notify_one(),
        }
    }
}
