//! Senders that do what a client should do: they send one event after the other, each until it is acknowledged, and
//! again with the same id whenever they do not know. Some of them hang up in mid-request.
//!
//! What a server may answer under faults is checked on the way: an error must be one that may be tried again, and an
//! event that was acknowledged is a duplicate ever after.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::Client;
use crate::ledger::{Ledger, input};

/// How long an event may be tried: far longer than any fault lasts.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a load is like.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// How many connections send at once.
    pub connections: u64,
    /// The most events.
    pub events: u64,
    /// How often, from 0 to 1, a client hangs up in mid-request.
    pub hang_ups: f64,
    /// How long each connection rests between two events.
    pub pause: Duration,
    /// Where random numbers begin.
    pub seed: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            connections: 16,
            events: 100_000,
            hang_ups: 0.0,
            pause: Duration::ZERO,
            seed: 1,
        }
    }
}

/// What happened to the requests of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests.
    pub attempts: u64,
    /// Answered with an error that may be tried again.
    pub refused: u64,
    /// Cut off: sent and not answered.
    pub cut: u64,
    /// Not sent, for nobody listened.
    pub unreachable: u64,
    /// Given up by the client in mid-request.
    pub hang_ups: u64,
    /// Answered with STORED or DUPLICATE.
    pub acknowledged: u64,
    /// Of these, answered with DUPLICATE.
    pub duplicates: u64,
    /// The longest that an answer took.
    pub slowest: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            output,
            "{} requests: {} refused for the moment, {} cut off, {} not sent for nobody listened, {} given up by the \
             client, {} duplicates; the slowest answer took {:.1} s",
            self.attempts,
            self.refused,
            self.cut,
            self.unreachable,
            self.hang_ups,
            self.duplicates,
            self.slowest.as_secs_f64()
        )
    }
}

/// Senders at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    servers: watch::Sender<Vec<SocketAddr>>,
    senders: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    options: LoadOptions,
    ledger: Ledger,
    stopping: AtomicBool,
    tally: Mutex<Tally>,
    /// The first thing that must not happen and did.
    failure: Mutex<Option<String>>,
}

impl Load {
    /// Starts sending to any of `servers`.
    pub fn start(options: LoadOptions, servers: Vec<SocketAddr>) -> Self {
        let shared = Arc::new(Shared {
            options,
            ledger: Ledger::new(options.events),
            stopping: AtomicBool::new(false),
            tally: Mutex::default(),
            failure: Mutex::default(),
        });
        let (servers, _) = watch::channel(servers);
        let mut senders = JoinSet::new();
        for number in 0..options.connections {
            let sender = Sender {
                shared: Arc::clone(&shared),
                servers: servers.subscribe(),
                random: StdRng::seed_from_u64(options.seed * 1_000 + number),
                client: None,
                stopping: None,
            };
            senders.spawn(sender.run());
        }
        Self {
            shared,
            servers,
            senders,
        }
    }

    /// What was sent and acknowledged so far.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// What happened to the requests so far.
    pub fn tally(&self) -> Tally {
        *self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the servers are from now on.
    pub fn move_to(&self, servers: Vec<SocketAddr>) {
        self.servers.send_replace(servers);
    }

    /// Waits until so many more requests are acknowledged; events that an importer has stored before count as well.
    ///
    /// # Errors
    /// What has failed, or that they were not acknowledged `within` this time.
    pub async fn more(&self, events: u64, within: Duration) -> Result<(), String> {
        let target = self.tally().acknowledged + events;
        let deadline = Instant::now() + within;
        while self.tally().acknowledged < target {
            if let Some(failure) = self.shared.failure() {
                return Err(failure);
            }
            if Instant::now() > deadline {
                let missing = target.saturating_sub(self.tally().acknowledged);
                let sent = self.shared.ledger.taken();
                let exhausted = sent == self.shared.ledger.events();
                let why = if exhausted {
                    ": all events there are were sent"
                } else {
                    ""
                };
                return Err(format!(
                    "{missing} of {events} more requests were not acknowledged within {within:?}{why}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Takes no new events, sends those under way until they are acknowledged, and says what happened.
    ///
    /// # Errors
    /// What has failed.
    pub async fn finish(&mut self) -> Result<Tally, String> {
        self.shared.stopping.store(true, Ordering::SeqCst);
        while self.senders.join_next().await.is_some() {}
        match self.shared.failure() {
            Some(failure) => Err(failure),
            None => Ok(self.tally()),
        }
    }
}

impl Shared {
    fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn fail(&self, failure: String) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
        self.stopping.store(true, Ordering::SeqCst);
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

struct Sender {
    shared: Arc<Shared>,
    servers: watch::Receiver<Vec<SocketAddr>>,
    random: StdRng,
    client: Option<(SocketAddr, Client)>,
    /// The server that closed its last connection in order, as one does that stops.
    stopping: Option<SocketAddr>,
}

/// What became of one attempt.
enum Attempt {
    Stored,
    Duplicate,
    /// Nothing is known; to be sent again.
    Unknown,
}

impl Sender {
    async fn run(mut self) {
        while !self.shared.stopping.load(Ordering::SeqCst) {
            let Some(number) = self.shared.ledger.take() else {
                return;
            };
            if let Err(failure) = self.deliver(number).await {
                self.shared.fail(failure);
                return;
            }
            tokio::time::sleep(self.shared.options.pause).await;
        }
    }

    /// Sends one event until it is acknowledged, and sometimes an earlier one once more.
    async fn deliver(&mut self, number: u64) -> Result<(), String> {
        self.send_until_acknowledged(number).await?;
        self.shared.ledger.acknowledge(number);
        let earlier = self.random.random_range(0..=number);
        if self.random.random_bool(0.1) && self.shared.ledger.is_acknowledged(earlier) {
            match self.send_until_acknowledged(earlier).await? {
                Attempt::Duplicate => {}
                _ => {
                    return Err(format!(
                        "event {earlier} was acknowledged, and stored anew when it came again"
                    ));
                }
            }
        }
        Ok(())
    }

    async fn send_until_acknowledged(&mut self, number: u64) -> Result<Attempt, String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.attempt(number).await? {
                Attempt::Unknown => {
                    let pause_ms = self.random.random_range(10..60);
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                acknowledged => return Ok(acknowledged),
            }
        }
        Err(format!("event {number} was not acknowledged within {PATIENCE:?}"))
    }

    /// Any server, but one that stops only where there is no other, and not at once.
    async fn next_server(&mut self) -> Result<SocketAddr, String> {
        let mut servers = self.servers.borrow().clone();
        if let Some(stopping) = self.stopping.take() {
            if servers.len() == 1 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            } else {
                servers.retain(|server| *server != stopping);
            }
        }
        let server = servers.choose(&mut self.random).copied();
        server.ok_or_else(|| "there is no server".to_owned())
    }

    async fn attempt(&mut self, number: u64) -> Result<Attempt, String> {
        let (server, mut client) = match self.client.take() {
            Some(connected) => connected,
            None => {
                let server = self.next_server().await?;
                (server, Client::new(server))
            }
        };
        if client.connect().await.is_err() {
            self.shared.count(|tally| tally.unreachable += 1);
            return Ok(Attempt::Unknown);
        }
        let hangs_up = self.random.random_bool(self.shared.options.hang_ups);
        let patience = match hangs_up {
            true => Duration::from_micros(self.random.random_range(0..30_000)),
            false => PATIENCE,
        };
        let started = Instant::now();
        let variables = json!({ "input": input(number) });
        let answer = tokio::time::timeout(patience, client.graphql(INGEST, &variables)).await;
        self.shared.count(|tally| tally.attempts += 1);
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                self.shared.count(|tally| tally.cut += 1);
                return Ok(Attempt::Unknown);
            }
            Err(_) if hangs_up => {
                self.shared.count(|tally| tally.hang_ups += 1);
                return Ok(Attempt::Unknown);
            }
            Err(_) => return Err(format!("event {number} had no answer within {PATIENCE:?}")),
        };
        let took = started.elapsed();
        self.shared.count(|tally| tally.slowest = tally.slowest.max(took));
        if answer.header("connection") == "close" {
            self.stopping = Some(server);
        } else {
            self.client = Some((server, client));
        }
        let json = answer.json();
        let error = &json["errors"][0]["extensions"];
        if error["retryable"] == true {
            // Somebody else may be better off.
            self.client = None;
            self.shared.count(|tally| tally.refused += 1);
            return Ok(Attempt::Unknown);
        }
        match json["data"]["ingestEvent"]["status"].as_str() {
            Some("STORED") if error.is_null() => {
                self.shared.count(|tally| tally.acknowledged += 1);
                Ok(Attempt::Stored)
            }
            Some("DUPLICATE") if error.is_null() => {
                self.shared.count(|tally| {
                    tally.acknowledged += 1;
                    tally.duplicates += 1;
                });
                Ok(Attempt::Duplicate)
            }
            _ => Err(format!(
                "event {number} was answered with {} {}",
                answer.status,
                answer.text()
            )),
        }
    }
}

/// Stores one event.
pub const INGEST: &str = "mutation ($input: IngestEventInput!) { \
     ingestEvent(input: $input) { status userErrors { code message } } }";
