//! What writers and folders report: turned into metrics, and into how far the fold is behind.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::Observer;

use crate::metrics;

/// How far ingest and the fold have come, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the oldest commit not yet folded happened.
    waiting_since: Option<Instant>,
    last_commit: Option<Instant>,
}

impl Progress {
    /// How long the oldest commit of this process has been waiting to be folded.
    pub(crate) fn fold_lag(&self) -> Duration {
        self.with(|state| state.waiting_since)
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Progress {
    fn committed(&self, events: usize, elapsed: Duration) {
        metrics::committed(events, elapsed);
        let now = Instant::now();
        self.with(|state| {
            state.waiting_since.get_or_insert(now);
            state.last_commit = Some(now);
        });
    }

    fn folded(&self, rows: u64, elapsed: Duration, _lag: Duration) {
        metrics::folded(rows, elapsed);
        let now = Instant::now();
        let started = now.checked_sub(elapsed).unwrap_or(now);
        // What was committed while the fold ran may not be in it.
        self.with(|state| {
            state.waiting_since = state
                .last_commit
                .filter(|commit| *commit >= started)
                .map(|_| started);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::Observer as _;

    use super::Progress;

    #[test]
    fn lag_grows_from_a_commit_until_a_later_fold() {
        let progress = Progress::default();
        assert_eq!(progress.fold_lag(), Duration::ZERO);
        progress.committed(1, Duration::ZERO);
        assert!(progress.fold_lag() > Duration::ZERO);
        progress.folded(1, Duration::from_secs(5), Duration::ZERO);
        assert!(
            progress.fold_lag() >= Duration::from_secs(5),
            "the commit may be younger than the fold's snapshot"
        );
        progress.folded(1, Duration::ZERO, Duration::ZERO);
        assert_eq!(progress.fold_lag(), Duration::ZERO);
    }
}
