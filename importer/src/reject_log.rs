//! What happens to refused rows: counted, written to the rejects file or shown, and enough is enough.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    counts::{Counts, Tally},
    progress::{Progress, grouped},
    rejects::{Refused, RejectsFile},
    stop::{Stop, StopReason},
};

/// How many refused rows are shown where there is no rejects file.
const SHOWN_ROWS: u64 = 10;

/// Takes refused rows from the reader and the writers.
#[derive(Debug)]
pub(crate) struct RejectLog {
    counts: Arc<Counts>,
    progress: Progress,
    stop: Stop,
    limit: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<RejectsFile>,
    seen: u64,
}

impl RejectLog {
    /// A log that writes to `path`, where there is one.
    pub(crate) fn new(
        path: Option<&Path>,
        limit: Option<u64>,
        (counts, progress, stop): (Arc<Counts>, Progress, Stop),
    ) -> std::io::Result<Self> {
        let file = path.map(RejectsFile::create).transpose()?;
        Ok(Self {
            counts,
            progress,
            stop,
            limit,
            state: Mutex::new(State { file, seen: 0 }),
        })
    }

    /// Whether rows are written to a file, so that their text is needed.
    pub(crate) fn needs_text(&self) -> bool {
        self.lock().file.is_some()
    }

    /// Takes a row that is refused and counts it with `tally`.
    pub(crate) fn add(&self, row: Refused<'_>, tally: Tally) {
        self.counts.add(tally);
        let mut state = self.lock();
        state.seen += 1;
        let seen = state.seen;
        match &mut state.file {
            Some(file) => {
                if let Err(error) = file.add(row) {
                    self.stop.because(StopReason::Failed(format!(
                        "the rejects file cannot be written: {error}"
                    )));
                }
            }
            None if seen <= SHOWN_ROWS => {
                self.progress
                    .say(&format!("{}, line {}: {}", row.file, row.line, row.reject.reason));
            }
            None if seen == SHOWN_ROWS + 1 => {
                self.progress
                    .say("more rows are refused and not shown; --rejects FILE collects them all");
            }
            None => {}
        }
        if self.limit.is_some_and(|limit| seen > limit) {
            self.stop.because(StopReason::TooManyRejects);
        }
    }

    /// Writes what is still held back.
    pub(crate) fn finish(&self) -> Result<(), String> {
        match &mut self.lock().file {
            Some(file) => file
                .finish()
                .map_err(|error| format!("the rejects file cannot be written: {error}")),
            None => Ok(()),
        }
    }

    /// The sentence for an import that was stopped by the limit.
    pub(crate) fn limit_reached(&self) -> String {
        format!(
            "more than {} rows were refused (--max-rejects)",
            grouped(self.limit.unwrap_or_default())
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
