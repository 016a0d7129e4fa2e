//! An import from start to end: files are read and judged in a thread of their own, batches are written by several
//! tasks, and a short queue between the two keeps memory constant.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use store::{Store, StoreOptions};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{
    counts::{Counts, Tally},
    dry_run::DryRun,
    input::{Batch, InputError, Reading, Sink},
    mapping::{self, Extras, Mapping},
    options::ImportArguments,
    patience::{Patience, sentence},
    progress::Progress,
    reject_log::RejectLog,
    rejects::Refused,
    source::Source,
    stop::{self, Stop, StopReason},
    summary::{Status, Summary},
    writing::{FoldDue, Target, Writing},
};

/// Transactions at the same time on PostgreSQL: as many as there are cores, within bounds. More only wait for each other.
const DEFAULT_CONNECTIONS: std::ops::RangeInclusive<usize> = 2..=4;

/// Why an import did not start.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// Arguments or files do not fit.
    Usage(String),
    /// The database cannot be used.
    Database(String),
}

/// Imports the files that `arguments` name.
pub(crate) async fn run(arguments: ImportArguments) -> Result<Summary, NotStarted> {
    let started = Instant::now();
    let sources: Vec<Source> = arguments
        .files
        .iter()
        .map(|path| Source::of_argument(path))
        .collect();
    if sources.iter().filter(|source| source.path().is_none()).count() > 1 {
        return Err(NotStarted::Usage(
            "- (standard input) can be read only once".to_owned(),
        ));
    }
    let mut reading = reading(&arguments).map_err(NotStarted::Usage)?;
    let fits = reading.check(&sources);
    fits.map_err(|error| NotStarted::Usage(error.to_string()))?;
    refuse_same_file(&arguments).map_err(NotStarted::Usage)?;

    let counts = Arc::new(Counts::default());
    let total_bytes = sources.iter().map(Source::size).sum();
    let progress = Progress::new(Arc::clone(&counts), total_bytes, arguments.quiet);
    let stop = Stop::new();
    let target = open_target(&arguments).await.map_err(NotStarted::Database)?;
    let shared = (Arc::clone(&counts), progress.clone(), stop.clone());
    let rejects = RejectLog::new(arguments.rejects.as_deref(), arguments.max_rejects, shared)
        .map_err(|error| NotStarted::Usage(format!("the rejects file cannot be made: {error}")))?;
    reading.keep_text = rejects.needs_text();
    let writing = Writing {
        target,
        counts: Arc::clone(&counts),
        rejects: Arc::new(rejects),
        progress: progress.clone(),
        stop: stop.clone(),
        patience: Patience {
            limit: Duration::from_secs(arguments.retry_seconds),
        },
        fold_due: Arc::new(FoldDue::new(arguments.fold_rows)),
    };
    let told = progress.clone();
    let beside = [
        tokio::spawn(stop::watch_signals(stop.clone(), move || {
            told.mention("stopping: the batches in flight are finished first (once more: stop at once)");
        })),
        tokio::spawn({
            let progress = progress.clone();
            async move { progress.run().await }
        }),
    ];
    let problem = transfer(
        &writing,
        reading,
        sources,
        connections(&arguments, &writing.target),
    )
    .await;
    progress.finish();
    for task in beside {
        task.abort();
    }
    Ok(finish(&writing, problem, &arguments, started).await)
}

fn reading(arguments: &ImportArguments) -> Result<Reading, String> {
    let extras = match (arguments.ignore_unknown, arguments.extra_as_properties) {
        (true, _) => Extras::Ignore,
        (false, true) => Extras::Properties,
        (false, false) => Extras::Refuse,
    };
    let mapping = Mapping {
        renames: mapping::pairs("--map", &arguments.map)?,
        constants: mapping::pairs("--const", &arguments.constants)?,
        extras,
        derive_event_id: arguments.derive_event_id,
        assume_timezone: arguments.assume_timezone,
    };
    for (field, _) in &mapping.constants {
        if *field == store::new_event::EventField::EventId {
            return Err(
                "--const event_id would give every row the same id; --derive-event-id makes ids".to_owned(),
            );
        }
        if mapping.renamed(*field).is_some() {
            return Err(format!(
                "--map and --const both give a value to {}",
                field.column()
            ));
        }
    }
    Ok(Reading {
        mapping,
        format: arguments.format,
        delimiter: arguments.delimiter,
        batch_rows: arguments.batch_size as usize,
        keep_text: false,
    })
}

/// The rejects file is emptied at the start: it must be none of the files to read.
fn refuse_same_file(arguments: &ImportArguments) -> Result<(), String> {
    let Some(Ok(rejects)) = arguments.rejects.as_ref().map(std::fs::canonicalize) else {
        return Ok(());
    };
    let same = |path: &&PathBuf| std::fs::canonicalize(path).is_ok_and(|path| path == rejects);
    match arguments.files.iter().find(same) {
        Some(path) => Err(format!(
            "--rejects {} is one of the files to import; it would be overwritten",
            path.display()
        )),
        None => Ok(()),
    }
}

async fn open_target(arguments: &ImportArguments) -> Result<Target, String> {
    let url = &arguments.database_url;
    let told = |error: &dyn std::error::Error| sentence(error);
    if arguments.dry_run && is_absent(url) {
        let dry_run = DryRun::new().map_err(|error| told(&error))?;
        return Ok(Target::DryRun(None, Arc::new(dry_run)));
    }
    if !arguments.dry_run && !arguments.no_migrate {
        let connection = store::connect(url).await.map_err(|error| told(&error))?;
        migration::migrate(&connection)
            .await
            .map_err(|error| told(&error))?;
        connection.close().await.map_err(|error| told(&error))?;
    }
    let connections = asked_connections(arguments);
    let options = StoreOptions {
        timezone: arguments.timezone,
        // One more for the fold.
        write_connections: connections + 1,
        read_connections: connections,
        large_transactions: true,
        ..StoreOptions::new(url.clone())
    };
    let store = Store::open(options).await.map_err(|error| told(&error))?;
    if !arguments.dry_run {
        return Ok(Target::Store(store));
    }
    let dry_run = DryRun::new().map_err(|error| told(&error))?;
    Ok(Target::DryRun(Some(store), Arc::new(dry_run)))
}

/// Whether the address is that of an SQLite file that is not there yet.
fn is_absent(database_url: &str) -> bool {
    let Some(path) = database_url.strip_prefix("sqlite:") else {
        return false;
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    !std::path::Path::new(path.split('?').next().unwrap_or(path)).exists()
}

fn asked_connections(arguments: &ImportArguments) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let default = cores.clamp(*DEFAULT_CONNECTIONS.start(), *DEFAULT_CONNECTIONS.end());
    arguments.connections.unwrap_or(default as u32)
}

fn connections(arguments: &ImportArguments, target: &Target) -> u32 {
    match target {
        // SQLite has one writer; a second task would only wait for it.
        Target::Store(store) | Target::DryRun(Some(store), _) if store.backend_name() == "SQLite" => 1,
        _ => asked_connections(arguments),
    }
}

/// Reads and writes until everything is written or the import is stopped. Answers why a file was not read to its end.
async fn transfer(
    writing: &Writing,
    reading: Reading,
    sources: Vec<Source>,
    connections: u32,
) -> Option<InputError> {
    // Enough that writers need not wait for the reader; more would only cost memory.
    let (sender, receiver) = mpsc::channel(connections.div_ceil(2) as usize);
    let queue = Arc::new(Mutex::new(receiver));
    let (done, mut reader) = oneshot::channel();
    let mut sink = QueueSink {
        sender,
        writing: writing.clone(),
        batches: 0,
    };
    std::thread::spawn(move || {
        let result = read_all(&reading, &sources, &mut sink);
        drop(sink);
        // Nobody waits any more where the import was interrupted.
        let _ = done.send(result);
    });
    let folding = tokio::spawn({
        let writing = writing.clone();
        async move { writing.fold_meanwhile().await }
    });
    let mut writers = Vec::new();
    for _ in 0..connections {
        let (writing, queue) = (writing.clone(), Arc::clone(&queue));
        writers.push(tokio::spawn(async move { writing.run(queue).await }));
    }
    for writer in writers {
        if let Err(error) = writer.await {
            writing
                .stop
                .because(StopReason::Failed(format!("a task died: {error}")));
        }
    }
    folding.abort();
    // A thread that waits for standard input cannot be woken.
    let stopped = writing.stop.writing_ends();
    tokio::select! {
        biased;
        result = &mut reader => result.ok().and_then(Result::err),
        () = stopped => None,
    }
}

fn read_all(reading: &Reading, sources: &[Source], sink: &mut QueueSink) -> Result<(), InputError> {
    for source in sources {
        if !reading.read(source, sink)? {
            break;
        }
    }
    Ok(())
}

/// Hands batches to the writers; waits where they are behind.
struct QueueSink {
    sender: mpsc::Sender<(u64, Batch)>,
    writing: Writing,
    batches: u64,
}

impl Sink for QueueSink {
    fn batch(&mut self, batch: Batch) -> bool {
        self.writing.counts.add(Tally {
            read: batch.lines.len() as u64,
            ..Tally::default()
        });
        self.batches += 1;
        self.sender.blocking_send((self.batches, batch)).is_ok() && !self.writing.stop.is_on()
    }

    fn refused(&mut self, row: Refused<'_>) -> bool {
        self.writing.rejects.add(
            row,
            Tally {
                read: 1,
                rejected: 1,
                ..Tally::default()
            },
        );
        !self.writing.stop.is_on()
    }

    fn bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.writing.counts.bytes)
    }
}

/// Folds, closes, and says how it ended.
async fn finish(
    writing: &Writing,
    input_problem: Option<InputError>,
    arguments: &ImportArguments,
    started: Instant,
) -> Summary {
    let mut error = None;
    let mut status = match writing.stop.reason() {
        None => Status::Complete,
        Some(StopReason::Interrupted) => Status::Interrupted,
        Some(StopReason::TooManyRejects) => {
            error = Some(writing.rejects.limit_reached());
            Status::TooManyRejects
        }
        Some(StopReason::Failed(problem)) => {
            error = Some(problem);
            Status::Failed
        }
    };
    let mut fail = |problem: String| {
        if status != Status::Interrupted {
            status = Status::Failed;
        }
        error.get_or_insert(problem);
    };
    if let Some(problem) = input_problem {
        fail(problem.to_string());
    }
    if let Err(problem) = writing.rejects.finish() {
        fail(problem);
    }
    // Interrupted, or without a database, there is no time for it; nothing is lost, the next one folds.
    if matches!(writing.stop.reason(), None | Some(StopReason::TooManyRejects))
        && let Err(problem) = writing.fold_rest().await
    {
        fail(problem);
    }
    let mut tally = writing.counts.tally();
    if let Target::Store(store) | Target::DryRun(Some(store), _) = &writing.target {
        store.close().await;
    }
    if let Target::DryRun(_, dry_run) = &writing.target {
        match dry_run.finish() {
            Ok(found) => {
                tally.stored = found.stored;
                tally.duplicates = found.duplicates;
                tally.conflicts = found.conflicts;
            }
            Err(problem) => fail(format!("a temporary file cannot be read: {problem}")),
        }
    }
    Summary::new(status, arguments.dry_run, tally, started.elapsed(), error)
}
