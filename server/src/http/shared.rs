//! Subscriptions that many clients have made in the same words run once: each result is computed and written as JSON once,
//! and shared by all queues it waits in.
//!
//! A queue belongs to one reader and is bounded in bytes. A reader that lets it fill up is given up at once: what waits is
//! let go, and it learns that it was too slow. So no reader holds up another one, nor the log, nor grows memory: queues hold
//! the same last results, which together are bounded as well.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::answer::Errors;
use crate::answer_memory::AnswerMemory;
use crate::limits::{MAX_LIVE_OPERATIONS, MAX_QUEUED_BYTES, MAX_QUEUES_BYTES, RESULTS_AT_ONCE};

/// The results of a subscription as JSON, or why there are no more.
pub(super) type Results = BoxStream<'static, Result<String, Errors>>;

/// What comes to one reader.
#[derive(Clone)]
pub(super) enum Shared {
    /// Results, in their order.
    Next(Payloads),
    /// The subscription has failed. Nothing follows.
    Failed(Errors),
    /// The reader let too much wait. Nothing follows.
    TooSlow,
}

/// Some results in a row.
#[derive(Clone)]
pub(super) struct Payloads(Arc<Texts>);

struct Texts {
    texts: Vec<String>,
    bytes: usize,
    /// Where the bytes are counted while somebody holds them.
    held: Option<Arc<AtomicUsize>>,
    _memory: Option<AnswerMemory>,
}

impl Payloads {
    pub(super) fn new(texts: Vec<String>) -> Self {
        Self::counted(texts, None, None)
    }

    /// One result, with the memory that it takes as long as somebody holds it.
    pub(super) fn keeping(text: String, memory: AnswerMemory) -> Self {
        Self::counted(vec![text], None, Some(memory))
    }

    fn counted(texts: Vec<String>, held: Option<Arc<AtomicUsize>>, memory: Option<AnswerMemory>) -> Self {
        let bytes = texts.iter().map(String::len).sum();
        if let Some(held) = &held {
            held.fetch_add(bytes, Ordering::Relaxed);
        }
        Self(Arc::new(Texts {
            texts,
            bytes,
            held,
            _memory: memory,
        }))
    }

    /// Each result as JSON.
    pub(super) fn texts(&self) -> &[String] {
        &self.0.texts
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// The subscriptions that run.
#[derive(Clone, Default)]
pub(super) struct SharedStreams {
    running: Arc<Mutex<Running>>,
    /// The bytes of all results that wait in some queue.
    held: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Running {
    by_key: HashMap<String, Entry>,
    /// The number of the next entry or queue.
    next: u64,
}

struct Entry {
    number: u64,
    queues: Vec<(u64, Arc<Queue>)>,
    /// Cancelled when nobody reads any more.
    abandoned: CancellationToken,
}

/// What waits for one reader.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    parts: VecDeque<Shared>,
    bytes: usize,
    /// Nothing follows what waits.
    ended: bool,
}

/// A reader's place; given up when it is dropped.
struct Place {
    shared: SharedStreams,
    key: String,
    number: u64,
    queue: Arc<Queue>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedStreams {
    /// Joins the subscription `key`, which begins with `start` if nobody else has made it. None if too many run.
    pub(super) fn join(
        &self,
        key: String,
        start: impl FnOnce() -> Results,
    ) -> Option<BoxStream<'static, Shared>> {
        let queue = Arc::new(Queue::default());
        let mut running = lock(&self.running);
        let full = running.by_key.len() >= MAX_LIVE_OPERATIONS;
        let number = running.next;
        running.next += 2;
        if let Some(entry) = running.by_key.get_mut(&key) {
            entry.queues.push((number, queue.clone()));
        } else if full {
            return None;
        } else {
            let entry = Entry {
                number: number + 1,
                queues: vec![(number, queue.clone())],
                abandoned: CancellationToken::new(),
            };
            let publisher = Publisher {
                shared: self.clone(),
                key: key.clone(),
                number: entry.number,
            };
            tokio::spawn(publisher.run(start(), entry.abandoned.clone()));
            running.by_key.insert(key.clone(), entry);
        }
        drop(running);
        let place = Place {
            shared: self.clone(),
            key,
            number,
            queue,
        };
        Some(
            stream::unfold(place, async |place| {
                place.queue.next().await.map(|part| (part, place))
            })
            .boxed(),
        )
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = lock(&self.shared.running);
        let Some(entry) = running.by_key.get_mut(&self.key) else {
            return;
        };
        entry.queues.retain(|(number, _)| *number != self.number);
        if entry.queues.is_empty() {
            entry.abandoned.cancel();
            running.by_key.remove(&self.key);
        }
    }
}

/// Runs one subscription for all its readers.
struct Publisher {
    shared: SharedStreams,
    key: String,
    number: u64,
}

impl Publisher {
    async fn run(self, results: Results, abandoned: CancellationToken) {
        let mut results = results.ready_chunks(RESULTS_AT_ONCE);
        loop {
            let chunk = tokio::select! {
                () = abandoned.cancelled() => return,
                chunk = results.next() => chunk,
            };
            let Some(chunk) = chunk else {
                self.end(None);
                return;
            };
            let mut texts = Vec::with_capacity(chunk.len());
            let mut failure = None;
            for result in chunk {
                match result {
                    Ok(text) => texts.push(text),
                    Err(errors) => failure = Some(errors),
                }
            }
            if !texts.is_empty() {
                self.publish(texts);
            }
            if failure.is_some() {
                self.end(failure);
                return;
            }
        }
    }

    fn publish(&self, texts: Vec<String>) {
        let held = &self.shared.held;
        let payloads = Payloads::counted(texts, Some(held.clone()), None);
        let room = if held.load(Ordering::Relaxed) > MAX_QUEUES_BYTES {
            0
        } else {
            MAX_QUEUED_BYTES
        };
        for queue in self.queues() {
            queue.push(payloads.clone(), room);
        }
    }

    fn queues(&self) -> Vec<Arc<Queue>> {
        match lock(&self.shared.running).by_key.get(&self.key) {
            Some(entry) if entry.number == self.number => {
                entry.queues.iter().map(|(_, queue)| queue.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Takes the subscription out, so that who comes next begins a new one, and tells its readers.
    fn end(&self, failure: Option<Errors>) {
        let mut running = lock(&self.shared.running);
        if running
            .by_key
            .get(&self.key)
            .is_none_or(|entry| entry.number != self.number)
        {
            return;
        }
        let entry = running.by_key.remove(&self.key);
        drop(running);
        for (_, queue) in entry.into_iter().flat_map(|entry| entry.queues) {
            queue.end(failure.clone());
        }
    }
}

impl Queue {
    /// Lets the results wait, or gives the reader up: `room` is how many bytes may wait if something waits already.
    fn push(&self, payloads: Payloads, room: usize) {
        let mut waiting = lock(&self.waiting);
        if waiting.ended {
            return;
        }
        if !waiting.parts.is_empty() && waiting.bytes + payloads.0.bytes > room {
            waiting.parts.clear();
            waiting.parts.push_back(Shared::TooSlow);
            waiting.ended = true;
        } else {
            waiting.bytes += payloads.0.bytes;
            waiting.parts.push_back(Shared::Next(payloads));
        }
        self.arrived.notify_one();
    }

    fn end(&self, failure: Option<Errors>) {
        let mut waiting = lock(&self.waiting);
        if !waiting.ended {
            waiting.parts.extend(failure.map(Shared::Failed));
            waiting.ended = true;
        }
        self.arrived.notify_one();
    }

    async fn next(&self) -> Option<Shared> {
        loop {
            {
                let mut waiting = lock(&self.waiting);
                if let Some(part) = waiting.parts.pop_front() {
                    if let Shared::Next(payloads) = &part {
                        waiting.bytes = waiting.bytes.saturating_sub(payloads.0.bytes);
                    }
                    return Some(part);
                }
                if waiting.ended {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use tokio::sync::mpsc;

    use super::{Results, Shared, SharedStreams};
    use crate::limits::MAX_QUEUED_BYTES;

    fn results(mut texts: mpsc::UnboundedReceiver<String>) -> Results {
        stream::poll_fn(move |context| texts.poll_recv(context).map(|text| text.map(Ok))).boxed()
    }

    #[tokio::test]
    async fn equal_subscriptions_run_once_and_end_with_their_last_reader() {
        let shared = SharedStreams::default();
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut first = shared
            .join("k".to_owned(), || results(receiver))
            .expect("there is room");
        let mut second = shared
            .join("k".to_owned(), || panic!("it runs already"))
            .expect("there is room");
        sender.send("1".to_owned()).expect("it listens");
        for reader in [&mut first, &mut second] {
            match reader.next().await {
                Some(Shared::Next(payloads)) => assert_eq!(payloads.texts(), ["1"]),
                _ => panic!("the result comes to both"),
            }
        }
        drop(first);
        assert!(!sender.is_closed());
        drop(second);
        sender.closed().await;
        assert!(shared.running.lock().expect("not poisoned").by_key.is_empty());
    }

    #[tokio::test]
    async fn a_reader_that_lets_its_queue_fill_up_is_given_up_alone() {
        let shared = SharedStreams::default();
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut slow = shared
            .join("k".to_owned(), || results(receiver))
            .expect("there is room");
        let mut quick = shared
            .join("k".to_owned(), || panic!("it runs already"))
            .expect("there is room");
        let text = "x".repeat(MAX_QUEUED_BYTES / 3);
        for _ in 0..8 {
            sender.send(text.clone()).expect("it listens");
            let part = quick.next().await;
            assert!(matches!(part, Some(Shared::Next(_))), "the other reader goes on");
        }
        match slow.next().await {
            Some(Shared::TooSlow) => {}
            _ => panic!("what waited is let go"),
        }
        assert!(slow.next().await.is_none());
        assert_eq!(
            shared.held.load(std::sync::atomic::Ordering::Relaxed),
            0,
            "nothing is held"
        );
    }
}
