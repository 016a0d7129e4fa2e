//! Ending an import before its files do.

use tokio::sync::watch;

/// Why an import ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// More rows were refused than `--max-rejects` allows.
    TooManyRejects,
    /// Something went wrong, as the sentence says.
    Failed(String),
}

/// A switch that is thrown once. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    sender: watch::Sender<Option<StopReason>>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self {
            sender: watch::Sender::new(None),
        }
    }

    /// Ends the import; only the first reason counts.
    pub(crate) fn because(&self, reason: StopReason) {
        self.sender.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(reason);
            }
            first
        });
    }

    /// Why the import ends, if it does.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.sender.borrow().clone()
    }

    /// Whether nothing more is to be read.
    pub(crate) fn is_on(&self) -> bool {
        self.sender.borrow().is_some()
    }

    /// Waits until even the rows that were read already are not to be written any more.
    pub(crate) async fn writing_ends(&self) {
        let mut receiver = self.sender.subscribe();
        let ends = |reason: &Option<StopReason>| {
            matches!(reason, Some(StopReason::Interrupted | StopReason::Failed(_)))
        };
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = receiver.wait_for(ends).await;
    }
}

/// Throws `stop` at Ctrl-C and SIGTERM; a second one ends the process at once.
pub(crate) async fn watch_signals(stop: Stop, told: impl Fn()) {
    signal().await;
    stop.because(StopReason::Interrupted);
    told();
    signal().await;
    std::process::exit(crate::EXIT_UNFINISHED);
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return ctrl_c().await;
    };
    tokio::select! {
        () = ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    ctrl_c().await;
}

async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the system ends the process by itself.
        std::future::pending::<()>().await;
    }
}
