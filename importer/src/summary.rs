//! What an import did, for people and for machines, and the exit code that says it.

use std::time::Duration;

use serde::Serialize;

use crate::{
    EXIT_DONE, EXIT_REJECTED, EXIT_UNFINISHED,
    counts::Tally,
    progress::{grouped, rate},
};

/// How an import ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Every file was read to its end.
    Complete,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// `--max-rejects` was reached.
    TooManyRejects,
    /// Something went wrong.
    Failed,
}

/// What an import did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) status: Status,
    pub(crate) dry_run: bool,
    /// Rows read from the files. Those that are neither stored nor anything else were read, but not written.
    pub(crate) read: u64,
    pub(crate) stored: u64,
    pub(crate) duplicates: u64,
    pub(crate) conflicts: u64,
    pub(crate) rejected: u64,
    pub(crate) seconds: f64,
    pub(crate) rows_per_second: u64,
    /// What went wrong, where something did.
    pub(crate) error: Option<String>,
}

impl Summary {
    pub(crate) fn new(
        status: Status,
        dry_run: bool,
        tally: Tally,
        elapsed: Duration,
        error: Option<String>,
    ) -> Self {
        Self {
            status,
            dry_run,
            read: tally.read,
            stored: tally.stored,
            duplicates: tally.duplicates,
            conflicts: tally.conflicts,
            rejected: tally.rejected,
            seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            rows_per_second: rate(tally.settled(), elapsed),
            error,
        }
    }

    /// The exit code, as `--help` documents it.
    pub(crate) fn exit_code(&self) -> i32 {
        match self.status {
            Status::Complete if self.rejected + self.conflicts > 0 => EXIT_REJECTED,
            Status::Complete => EXIT_DONE,
            Status::Interrupted | Status::TooManyRejects | Status::Failed => EXIT_UNFINISHED,
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let stored = if self.dry_run { "would be stored" } else { "stored" };
        let unwritten = self
            .read
            .saturating_sub(self.stored + self.duplicates + self.conflicts + self.rejected);
        let pending = match unwritten {
            0 => String::new(),
            count => format!(", {} read but not written", grouped(count)),
        };
        format!(
            "{} rows read: {} {stored}, {} duplicates, {} conflicts, {} rejected{pending}; {:.1} s, {} rows/s",
            grouped(self.read),
            grouped(self.stored),
            grouped(self.duplicates),
            grouped(self.conflicts),
            grouped(self.rejected),
            self.seconds,
            grouped(self.rows_per_second),
        )
    }
}
