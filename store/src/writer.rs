//! Group commit: callers share transactions.
//!
//! Submissions go through a queue bounded in events and in bytes to writers that take whatever has queued while the previous commit
//! was in flight: one caller waits for one commit, a thousand callers share one. No timers. Each caller is answered
//! after the commit; an event that the database refuses fails alone.
//!
//! Beside a transaction that is under way another one begins only where a crowd waits. With few events waiting it would only
//! share them out: more commits for the same events, each of which has its price.
//!
//! Nobody hangs on a database that is away: a transaction that has no answer within [`COMMIT_TIMEOUT`] is given up (what
//! becomes of it is unknown, its events may be sent again), and where the database is unavailable to one transaction
//! everybody who waits behind it is told so at once.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot},
    task::JoinSet,
};
use tracing::{Instrument as _, Span, trace_span};

use crate::{IngestOutcome, QueueLimit, Store, StoreError, TRACE_TARGET, new_event::NewEvent};

/// How long callers wait for their transaction, whatever the database does: clients are promised an answer within
/// five seconds. Longer than a connection is waited for, so that the usual outage is told by its own error.
const COMMIT_TIMEOUT: Duration = Duration::from_millis(4_500);
/// What a transaction has of it at least, however long the one before took.
const LEAST_COMMIT_TIMEOUT: Duration = Duration::from_millis(400);
/// How many events must wait for a transaction beside another one: so many that the price of a commit counts for little.
const CROWD_EVENTS: usize = 40;
/// How long a transaction that nobody waits for any more may still hold its connection: its statements are ended by the
/// database long before, unless that is gone without a word.
const COMMIT_LIMIT: Duration = Duration::from_secs(60);

/// What the events that wait may take in memory, unless told otherwise: many small ones never do, and large ones must not
/// take 20,000 times 64 KiB.
pub const DEFAULT_QUEUE_BYTES: usize = 128 * 1024 * 1024;

/// Who is told what writers and folders do, to make metrics of it.
pub trait Observer: Send + Sync {
    /// A transaction of ingest with this many events was committed.
    fn committed(&self, events: usize, elapsed: Duration);
    /// A fold took this many rows of the log; the oldest had been waiting about `lag`.
    fn folded(&self, rows: u64, elapsed: Duration, lag: Duration);
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn committed(&self, _: usize, _: Duration) {}
    fn folded(&self, _: u64, _: Duration, _: Duration) {}
}

/// How writers work.
#[derive(Clone)]
pub struct WriterOptions {
    /// The most events that may wait; one more is [`StoreError::Overloaded`].
    pub queue_events: usize,
    /// The most bytes that they may take in memory; more are [`StoreError::Overloaded`].
    pub queue_bytes: usize,
    /// A transaction takes no further submission once it has this many events.
    pub transaction_events: usize,
    /// How many transactions may be under way at once (on SQLite one is all there can be).
    pub writers: usize,
    /// Who is told of commits.
    pub observer: Arc<dyn Observer>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            queue_events: 20_000,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            transaction_events: 2_000,
            writers: 2,
            observer: Arc::new(Silent),
        }
    }
}

/// What becomes of each event of a submission.
type Answers = Vec<Result<IngestOutcome, StoreError>>;

struct Submission {
    events: Vec<NewEvent>,
    /// The operation that waits for it, for traces.
    span: Span,
    answer: oneshot::Sender<Answers>,
    arrived: Instant,
    /// Its room in the queue, given back when it is answered.
    room: Room,
}

#[derive(Default)]
struct Waiting {
    submissions: VecDeque<Submission>,
    /// How many events they have.
    events: usize,
    /// How many transactions are under way.
    under_way: usize,
    /// How long the last one took.
    last: Duration,
}

impl Waiting {
    /// Whether a transaction may begin.
    fn is_due(&self) -> bool {
        let least = if self.under_way == 0 { 1 } else { CROWD_EVENTS };
        self.events >= least
    }

    /// Takes submissions, oldest first, until they have `enough` events.
    fn take(&mut self, enough: usize) -> Vec<Submission> {
        let mut taken = Vec::new();
        let mut events = 0;
        while events < enough {
            let Some(submission) = self.submissions.pop_front() else {
                break;
            };
            events += submission.events.len();
            taken.push(submission);
        }
        self.events -= events;
        taken
    }
}

/// Room for events, and for their bytes.
type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

struct Queue {
    waiting: Mutex<Waiting>,
    /// Woken when a transaction may begin.
    due: Notify,
    /// One permit for each event that may wait or be under way.
    room: Arc<Semaphore>,
    capacity: usize,
    /// One permit for each byte of theirs.
    room_bytes: Arc<Semaphore>,
    capacity_bytes: usize,
}

/// The queue and its writers. Clones share them.
#[derive(Clone)]
pub struct Writer {
    queue: Arc<Queue>,
    tasks: Arc<tokio::sync::Mutex<JoinSet<()>>>,
}

impl Writer {
    /// Starts the writers.
    pub fn start(store: Store, options: WriterOptions) -> Self {
        let capacity = options.queue_events.clamp(1, Semaphore::MAX_PERMITS);
        let capacity_bytes = options.queue_bytes.clamp(1, Semaphore::MAX_PERMITS);
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            due: Notify::new(),
            room: Arc::new(Semaphore::new(capacity)),
            capacity,
            room_bytes: Arc::new(Semaphore::new(capacity_bytes)),
            capacity_bytes,
        });
        let mut tasks = JoinSet::new();
        // On SQLite a second writer would only wait for the one connection, with events that could share a commit.
        let writers = if store.has_one_writer() {
            1
        } else {
            options.writers.max(1)
        };
        for _ in 0..writers {
            tasks.spawn(write(store.clone(), options.clone(), Arc::clone(&queue)));
        }
        Self {
            queue,
            tasks: Arc::new(tokio::sync::Mutex::new(tasks)),
        }
    }

    /// Stores events and answers after the commit, in the order given. A caller that goes away cancels nothing.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] at once if too many events, or bytes of them, wait already, [`StoreError::Closed`] after
    /// [`Writer::close`]: nothing is stored then.
    pub async fn submit(&self, events: Vec<NewEvent>) -> Result<Answers, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let room = self.queue.room_for(&events)?;
        let (answer, answered) = oneshot::channel();
        self.queue.push(Submission {
            events,
            span: Span::current(),
            answer,
            arrived: Instant::now(),
            room,
        });
        answered
            .await
            .map_err(|_| StoreError::internal("a writer died before it answered"))
    }

    /// How many events wait or are under way.
    pub fn queued_events(&self) -> usize {
        self.queue.capacity - self.queue.room.available_permits().min(self.queue.capacity)
    }

    /// Takes no more events and returns when those accepted are committed.
    pub async fn close(&self) {
        self.queue.room.close();
        let mut tasks = self.tasks.lock().await;
        while !tasks.is_empty() {
            self.queue.due.notify_waiters();
            let _ = tokio::time::timeout(Duration::from_millis(20), tasks.join_next()).await;
        }
    }
}

impl Queue {
    /// Takes room for `events`. What is larger than the whole queue waits in it alone.
    fn room_for(&self, events: &[NewEvent]) -> Result<Room, StoreError> {
        let take = |room: &Arc<Semaphore>, size: usize, limit: QueueLimit| {
            let permits = u32::try_from(size).unwrap_or(u32::MAX);
            let taken = Arc::clone(room).try_acquire_many_owned(permits);
            taken.map_err(|error| match error {
                TryAcquireError::NoPermits => StoreError::Overloaded { limit },
                TryAcquireError::Closed => StoreError::Closed,
            })
        };
        let (capacity, capacity_bytes) = (self.capacity, self.capacity_bytes);
        let bytes: usize = events.iter().map(NewEvent::memory_bytes).sum();
        let of_events = take(
            &self.room,
            events.len().min(capacity),
            QueueLimit::Events(capacity),
        )?;
        let of_bytes = take(
            &self.room_bytes,
            bytes.min(capacity_bytes),
            QueueLimit::Bytes(capacity_bytes),
        )?;
        Ok((of_events, of_bytes))
    }

    fn push(&self, submission: Submission) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.events += submission.events.len();
        waiting.submissions.push_back(submission);
        let is_due = waiting.is_due();
        drop(waiting);
        if is_due {
            self.due.notify_one();
        }
    }

    /// The submissions of a transaction if one may begin, which then is under way.
    fn begin(&self, enough: usize) -> Option<(Vec<Submission>, UnderWay<'_>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.is_due().then(|| {
            waiting.under_way += 1;
            let under_way = UnderWay {
                queue: self,
                started: Instant::now(),
                before: waiting.last,
            };
            (waiting.take(enough), under_way)
        })
    }

    /// Answers everybody who waits with `error`: they would wait as long as those before them, for the same answer.
    fn refuse_all(&self, error: &StoreError) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let submissions = waiting.take(usize::MAX);
        drop(waiting);
        for submission in submissions {
            let answers = submission.events.iter().map(|_| Err(error.clone())).collect();
            // A caller that went away does not want its answer.
            let _ = submission.answer.send(answers);
        }
    }
}

/// A transaction that is under way, until this is dropped.
struct UnderWay<'a> {
    queue: &'a Queue,
    started: Instant,
    /// How long the one took that was the last to end.
    before: Duration,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.under_way -= 1;
        waiting.last = self.started.elapsed();
    }
}

/// One writer: takes what waits, commits it, answers; ends when the queue is closed and empty.
async fn write(store: Store, options: WriterOptions, queue: Arc<Queue>) {
    loop {
        let Some((submissions, under_way)) = queue.begin(options.transaction_events.max(1)) else {
            if queue.room.is_closed() && queue.room.available_permits() == queue.capacity {
                return;
            }
            queue.due.notified().await;
            continue;
        };
        let span = transaction_span(&submissions);
        let waited = submissions.iter().map(|submission| submission.arrived.elapsed());
        let limit = commit_timeout(waited.max().unwrap_or_default(), under_way.before);
        let mut events = Vec::with_capacity(submissions.len());
        let mut callers = Vec::with_capacity(submissions.len());
        for submission in submissions {
            callers.push((submission.events.len(), submission.answer, submission.room));
            events.extend(submission.events);
        }
        let all = 0..events.len();
        let answers = commit(&store, options.observer.as_ref(), &Arc::new(events), all, limit)
            .instrument(span)
            .await;
        drop(under_way);
        let unavailable = answers.iter().find_map(|answer| match answer {
            Err(error @ StoreError::Unavailable(_)) => Some(error.clone()),
            _ => None,
        });
        let mut answers = answers.into_iter();
        for (count, answer, room) in callers {
            // A caller that went away does not want its answer; its events are stored all the same.
            let _ = answer.send(answers.by_ref().take(count).collect());
            drop(room);
        }
        if let Some(error) = unavailable {
            queue.refuse_all(&error);
        }
    }
}

/// How long a transaction may take whose callers have waited so long, behind one that took so long: they were promised one time for
/// both. A queue of many quick transactions takes nothing off.
fn commit_timeout(waited: Duration, before: Duration) -> Duration {
    COMMIT_TIMEOUT
        .saturating_sub(waited.min(before))
        .max(LEAST_COMMIT_TIMEOUT)
}

/// The span of one transaction: a child of the first operation that waits for it, linked to the others.
fn transaction_span(submissions: &[Submission]) -> Span {
    let mut waiting = submissions.iter().map(|submission| &submission.span);
    let span = trace_span!(target: TRACE_TARGET, parent: waiting.next().and_then(Span::id), "transaction");
    for other in waiting {
        span.follows_from(other);
    }
    span
}

/// Commits some of the events, and where the database refuses some of those, everything else.
///
/// A defect ([`StoreError::Internal`]) of one event fails the whole transaction, so its halves are tried, down to the
/// event that is to blame. Other errors concern every event alike.
async fn commit(
    store: &Store,
    observer: &dyn Observer,
    events: &Arc<Vec<NewEvent>>,
    part: Range<usize>,
    limit: Duration,
) -> Answers {
    let started = Instant::now();
    let committing = {
        let (store, events, part) = (store.clone(), Arc::clone(events), part.clone());
        async move { store.ingest_here(&events[part]).await }
    };
    // The task goes on by itself where it is not waited for: cut short, it could leave its connection in a transaction.
    let committing = store.spawn_within(COMMIT_LIMIT, committing);
    let committed = match tokio::time::timeout(limit, committing).await {
        Ok(committed) => committed,
        Err(_) => Err(StoreError::unanswered(limit)),
    };
    match committed {
        Ok(outcomes) => {
            observer.committed(part.len(), started.elapsed());
            outcomes.into_iter().map(Ok).collect()
        }
        Err(StoreError::Internal(_)) if part.len() > 1 => {
            let middle = part.start + part.len() / 2;
            let mut answers = Box::pin(commit(store, observer, events, part.start..middle, limit)).await;
            answers.extend(Box::pin(commit(store, observer, events, middle..part.end, limit)).await);
            answers
        }
        Err(error) => part.map(|_| Err(error.clone())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{COMMIT_TIMEOUT, LEAST_COMMIT_TIMEOUT, commit_timeout};

    #[test]
    fn callers_wait_one_time_for_their_transaction_and_the_one_before() {
        let [none, short, long] = [0, 100, 2_000].map(Duration::from_millis);
        assert_eq!(commit_timeout(none, long), COMMIT_TIMEOUT);
        assert_eq!(commit_timeout(long, long), COMMIT_TIMEOUT - long);
        assert_eq!(commit_timeout(short, long), COMMIT_TIMEOUT - short);
        // Behind many quick ones.
        assert_eq!(commit_timeout(2 * COMMIT_TIMEOUT, short), COMMIT_TIMEOUT - short);
        assert_eq!(
            commit_timeout(COMMIT_TIMEOUT, COMMIT_TIMEOUT),
            LEAST_COMMIT_TIMEOUT
        );
    }
}
