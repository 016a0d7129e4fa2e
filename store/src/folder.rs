//! The folder: folds shortly after commits, for as long as it is kept running.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::JoinHandle};
use tracing::warn;

use crate::{Store, StoreError, writer::Observer};

/// How a folder works.
#[derive(Clone)]
pub struct FolderOptions {
    /// How long it waits after a commit, so that one fold takes many commits; less where much is appended meanwhile.
    pub delay: Duration,
    /// How often it looks although nothing woke it: other servers and importers append too.
    pub idle: Duration,
    /// The most rows of the log that one fold takes: bounds its memory and how long it holds its lock.
    pub max_rows: u64,
    /// Who is told of folds.
    pub observer: Arc<dyn Observer>,
}

/// A running folder.
pub struct Folder {
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Folder {
    /// Starts folding `store`.
    pub fn start(store: Store, options: FolderOptions) -> Self {
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(run(store, options, Arc::clone(&stop)));
        Self { stop, task }
    }

    /// Stops after the fold that is under way.
    pub async fn stop(self) {
        self.stop.notify_one();
        let _ = self.task.await;
    }
}

async fn run(store: Store, options: FolderOptions, stop: Arc<Notify>) {
    loop {
        let woken = tokio::select! {
            () = stop.notified() => return,
            () = store.inner.appended.notified() => true,
            () = tokio::time::sleep(options.idle) => false,
        };
        let since = Instant::now();
        if woken {
            tokio::select! {
                () = stop.notified() => return,
                () = wait(&store, options.delay) => {}
            }
        }
        store.inner.unfolded_rows.store(0, Ordering::Relaxed);
        if let Err(error) = fold_what_is_there(&store, &options, since).await {
            warn!(error = %chain(&error), "fold failed, trying again");
            tokio::select! {
                () = stop.notified() => return,
                () = tokio::time::sleep(options.idle) => {}
            }
            store.inner.appended.notify_one();
        }
    }
}

/// Waits so long, or until there is much to fold: then a quarter of that at least, for a fold costs as much whether it takes
/// little or much.
async fn wait(store: &Store, delay: Duration) {
    tokio::time::sleep(delay / 4).await;
    tokio::select! {
        () = store.inner.much_to_fold.notified() => {}
        () = tokio::time::sleep(delay - delay / 4) => {}
    }
}

async fn fold_what_is_there(
    store: &Store,
    options: &FolderOptions,
    since: Instant,
) -> Result<(), StoreError> {
    loop {
        let started = Instant::now();
        let report = store.fold(options.max_rows).await?;
        if report.rows > 0 {
            options
                .observer
                .folded(report.rows, started.elapsed(), since.elapsed());
        }
        if !report.more {
            return Ok(());
        }
    }
}

/// An error with its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
