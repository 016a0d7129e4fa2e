//! Batches on their way into the database, several at a time, and the fold beside them.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::SecondsFormat;
use store::{
    IngestOutcome, Store, StoreError,
    new_event::{EventField, NewEvent},
};
use tokio::sync::{Mutex, Notify, mpsc};

use crate::{
    counts::{Counts, Tally},
    dry_run::DryRun,
    input::Batch,
    patience::{Patience, sentence},
    progress::Progress,
    reject::{self, Reject},
    reject_log::RejectLog,
    rejects::Refused,
    stop::{Stop, StopReason},
};

/// What happens to batches.
#[derive(Clone)]
pub(crate) enum Target {
    /// They are stored.
    Store(Store),
    /// It is found out what would happen; without a database every row is new.
    DryRun(Option<Store>, Arc<DryRun>),
}

/// What the tasks of an import share.
#[derive(Clone)]
pub(crate) struct Writing {
    pub(crate) target: Target,
    pub(crate) counts: Arc<Counts>,
    pub(crate) rejects: Arc<RejectLog>,
    pub(crate) progress: Progress,
    pub(crate) stop: Stop,
    pub(crate) patience: Patience,
    pub(crate) fold_due: Arc<FoldDue>,
}

/// Batches, numbered in the order of the files.
pub(crate) type Queue = Arc<Mutex<mpsc::Receiver<(u64, Batch)>>>;

/// Says when the next fold is due.
#[derive(Debug)]
pub(crate) struct FoldDue {
    every: NonZeroU64,
    stored: AtomicU64,
    notify: Notify,
}

impl FoldDue {
    pub(crate) fn new(every: NonZeroU64) -> Self {
        Self {
            every,
            stored: AtomicU64::new(0),
            notify: Notify::new(),
        }
    }

    fn add(&self, stored: u64) {
        let before = self.stored.fetch_add(stored, Ordering::Relaxed);
        if before / self.every != (before + stored) / self.every {
            self.notify.notify_one();
        }
    }
}

impl Writing {
    /// Writes batches until there are no more or the import is stopped; the batch in flight is always finished.
    pub(crate) async fn run(&self, queue: Queue) {
        while let Some((number, batch)) = self.next(&queue).await {
            if let Err(problem) = self.write(number, batch).await {
                self.stop.because(StopReason::Failed(problem));
                return;
            }
        }
    }

    async fn next(&self, queue: &Queue) -> Option<(u64, Batch)> {
        tokio::select! {
            biased;
            () = self.stop.writing_ends() => None,
            batch = async { queue.lock().await.recv().await } => batch,
        }
    }

    async fn write(&self, number: u64, mut batch: Batch) -> Result<(), String> {
        let events: Arc<[NewEvent]> = std::mem::take(&mut batch.events).into();
        let told = |error: StoreError| sentence(&error);
        let outcomes = match &self.target {
            Target::Store(store) => {
                let work = || store.ingest_shared(Arc::clone(&events));
                self.patience
                    .retry(&self.progress, &self.stop, work)
                    .await
                    .map_err(told)?
            }
            Target::DryRun(Some(store), _) => {
                let work = || store.preview(events.to_vec());
                self.patience
                    .retry(&self.progress, &self.stop, work)
                    .await
                    .map_err(told)?
            }
            Target::DryRun(None, _) => vec![IngestOutcome::Stored; events.len()],
        };
        if let Target::DryRun(_, dry_run) = &self.target {
            remember(dry_run, number, &events, &outcomes)
                .map_err(|error| format!("a temporary file cannot be written: {error}"))?;
        }
        self.settle(&batch, &events, &outcomes);
        Ok(())
    }

    /// Counts what became of a batch, and reports the rows that were not taken.
    fn settle(&self, batch: &Batch, events: &[NewEvent], outcomes: &[IngestOutcome]) {
        let mut tally = Tally::default();
        for (position, outcome) in outcomes.iter().enumerate() {
            tally.count(outcome);
            let reject = match outcome {
                IngestOutcome::Stored | IngestOutcome::Duplicate(_) => continue,
                IngestOutcome::Conflict => {
                    let event_id = events[position].event_id().to_string();
                    let phrase = "is known with other content, which stands";
                    Reject::column("event_id", &event_id, phrase)
                }
                IngestOutcome::Refused(violation) => {
                    let value = value_of(&events[position], violation.field);
                    // What only the database can tell has a code, for those who sort rejects by it.
                    let phrase = format!("{} ({})", reject::phrase(violation), violation.code.as_str());
                    Reject::column(violation.field.column(), &value, &phrase)
                }
            };
            let row = Refused {
                file: &batch.origin.name,
                shape: &batch.origin.shape,
                line: batch.lines[position],
                text: batch.text(position),
                reject: &reject,
            };
            self.rejects.add(row, Tally::default());
        }
        // In a dry run these are for the progress alone: what is new shows at the end, when all rows are known.
        self.counts.add(tally);
        self.fold_due.add(tally.stored);
    }

    /// Folds whenever enough rows were stored; for ever, so that folding goes on beside writing.
    pub(crate) async fn fold_meanwhile(&self) {
        /// Rows of the log in one fold: a short transaction, which writers hardly notice.
        const ROWS_AT_ONCE: u64 = 100_000;
        let Target::Store(store) = &self.target else {
            return;
        };
        loop {
            self.fold_due.notify.notified().await;
            // Whatever goes wrong here is met again at the end, where it counts.
            while let Ok(report) = store.fold(ROWS_AT_ONCE).await {
                if !report.more {
                    break;
                }
            }
        }
    }

    /// Folds what is left.
    pub(crate) async fn fold_rest(&self) -> Result<(), String> {
        let Target::Store(store) = &self.target else {
            return Ok(());
        };
        let folded = self
            .patience
            .retry(&self.progress, &self.stop, || store.fold_all())
            .await;
        folded.map(|_| ()).map_err(|error| {
            format!(
                "the rows are stored, but could not be folded (a server or the next import will): {}",
                sentence(&error)
            )
        })
    }
}

/// What stands in a field of an event, as its row would have it; properties are too long to be shown.
fn value_of(event: &NewEvent, field: EventField) -> String {
    match field {
        EventField::EventId => event.event_id().to_string(),
        EventField::UserId => event.user_id().to_owned(),
        EventField::EventType => event.event_type().to_owned(),
        EventField::OccurredAt => event.occurred_at().to_rfc3339_opts(SecondsFormat::AutoSi, true),
        EventField::Properties => String::new(),
    }
}

fn remember(
    dry_run: &DryRun,
    number: u64,
    events: &[NewEvent],
    outcomes: &[IngestOutcome],
) -> std::io::Result<()> {
    /// More than a batch can have rows.
    const ROWS: u64 = 1 << 20;
    for (position, (event, outcome)) in events.iter().zip(outcomes).enumerate() {
        dry_run.add(
            event.event_id(),
            dry_run.content(event),
            number * ROWS + position as u64,
            outcome,
        )?;
    }
    Ok(())
}
