//! Waiting for a database that is away for a moment.

use std::time::{Duration, Instant};

use rand::RngExt;
use store::StoreError;

use crate::{progress::Progress, stop::Stop};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to keep trying.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) limit: Duration,
}

impl Patience {
    /// Calls `work` until it succeeds, fails for good, has failed for longer than the limit, or failed and `stop` is
    /// thrown; with growing pauses.
    pub(crate) async fn retry<T, F>(
        self,
        progress: &Progress,
        stop: &Stop,
        mut work: impl FnMut() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut failing_since: Option<Instant> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let since = *failing_since.get_or_insert_with(Instant::now);
            if !error.is_transient() || since.elapsed() >= self.limit {
                return Err(error);
            }
            if pause == FIRST_PAUSE {
                progress.say(&format!(
                    "{}; trying again for {} s",
                    sentence(&error),
                    self.limit.as_secs()
                ));
            }
            // Several importers must not come back in step.
            let share: f64 = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = stop.writing_ends() => return Err(error),
                () = tokio::time::sleep(pause.mul_f64(share)) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// An error with everything that caused it.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
