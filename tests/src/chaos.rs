//! The public chaos run: many connections send single events, the server is killed without warning and started
//! again, and at the end every acknowledged event must be there, once, unchanged.
//!
//! A sender whose connection broke does not know whether its event was stored. It does what a client should do: it
//! sends the same event with the same id again, once the server is back.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::http::Client;
use crate::kohorta::{Kohorta, KohortaOptions, run};
use crate::ledger::{Ledger, input};
use crate::load::INGEST;

/// What a chaos run does.
#[derive(Debug, Clone)]
pub struct ChaosOptions {
    /// An empty database.
    pub database_url: String,
    /// How many single `ingestEvent` mutations.
    pub events: u64,
    /// From how many connections at once.
    pub connections: u64,
    /// How often the server is killed, at equal distances.
    pub kills: u64,
    /// The program; its arguments are more arguments for serving.
    pub kohorta: KohortaOptions,
}

/// What a chaos run found; it is an error unless all is well.
#[derive(Debug, Clone)]
pub struct ChaosReport {
    /// Mutations that were answered with STORED or DUPLICATE.
    pub acknowledged: u64,
    /// Of these, answered with DUPLICATE: stored before the kill, the answer lost with it.
    pub duplicates: u64,
    /// Attempts without an answer.
    pub broken: u64,
    /// How long sending took, restarts included.
    pub sending: Duration,
    /// How long `kohorta verify` took.
    pub verifying: Duration,
}

impl fmt::Display for ChaosReport {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = self.acknowledged as f64 / self.sending.as_secs_f64().max(f64::EPSILON);
        write!(
            output,
            "{} acknowledged in {:.1} s ({per_second:.0} a second), {} of them on a second try as DUPLICATE, \
             {} attempts without an answer; every one is stored once and unchanged; verify found no difference in \
             {:.1} s",
            self.acknowledged,
            self.sending.as_secs_f64(),
            self.duplicates,
            self.broken,
            self.verifying.as_secs_f64(),
        )
    }
}

/// What the senders share.
struct Shared {
    ledger: Ledger,
    duplicates: AtomicU64,
    broken: AtomicU64,
    /// Woken at every acknowledgement that a kill waits for.
    progress: Notify,
    next_kill: AtomicU64,
}

/// Runs it; `say` gets a line now and then.
///
/// # Errors
/// A sentence that says what was lost, doubled, changed, alien or refused, or what could not be started.
pub async fn chaos(options: ChaosOptions, say: impl Fn(String)) -> Result<ChaosReport, String> {
    let mut options = options;
    options.kohorta.program = Some(options.kohorta.resolved_program()?);
    let started = Instant::now();
    let mut server = serve(&options)?;
    let (address, _) = watch::channel(server.address());
    let shared = Arc::new(Shared {
        ledger: Ledger::new(options.events),
        duplicates: AtomicU64::new(0),
        broken: AtomicU64::new(0),
        progress: Notify::new(),
        next_kill: AtomicU64::new(kill_at(&options, 1)),
    });
    let senders: Vec<_> = (0..options.connections)
        .map(|_| tokio::spawn(send(Arc::clone(&shared), address.subscribe())))
        .collect();
    for kill in 1..=options.kills {
        shared.progress.notified().await;
        server.kill();
        let before = shared.ledger.acknowledged();
        server = serve(&options)?;
        shared.ledger.check(&options.database_url, &before).await?;
        say(format!(
            "kill {kill}: {} acknowledged before, all there after the restart",
            before.len()
        ));
        shared
            .next_kill
            .store(kill_at(&options, kill + 1), Ordering::SeqCst);
        address.send_replace(server.address());
    }
    for sender in senders {
        sender.await.map_err(|error| error.to_string())??;
    }
    let sending = started.elapsed();
    let all = shared.ledger.acknowledged();
    let status = server.terminate()?;
    if !status.success() {
        return Err(format!("SIGTERM did not end the server well: {status}"));
    }
    let found = shared.ledger.check(&options.database_url, &all).await?;
    if found.stored != options.events {
        return Err(format!(
            "{} of {} events are stored",
            found.stored, options.events
        ));
    }
    let started = Instant::now();
    verify(&options.kohorta, &options.database_url)?;
    Ok(ChaosReport {
        acknowledged: all.len() as u64,
        duplicates: shared.duplicates.load(Ordering::SeqCst),
        broken: shared.broken.load(Ordering::SeqCst),
        sending,
        verifying: started.elapsed(),
    })
}

impl Shared {
    fn acknowledge(&self, number: u64, status: &str) {
        if status == "DUPLICATE" {
            self.duplicates.fetch_add(1, Ordering::SeqCst);
        }
        if self.ledger.acknowledge(number) == self.next_kill.load(Ordering::SeqCst) {
            self.progress.notify_one();
        }
    }
}

/// One connection: takes the next event and sends it until it is acknowledged.
async fn send(shared: Arc<Shared>, mut address: watch::Receiver<SocketAddr>) -> Result<(), String> {
    let mut client = Client::new(*address.borrow_and_update());
    loop {
        let Some(number) = shared.ledger.take() else {
            return Ok(());
        };
        while !attempt(&shared, &mut client, number).await? {
            shared.broken.fetch_add(1, Ordering::SeqCst);
            if address.changed().await.is_err() {
                return Err("the server broke a connection without having been killed".to_owned());
            }
            client = Client::new(*address.borrow_and_update());
        }
    }
}

/// Whether event `number` was acknowledged; false where the connection broke.
async fn attempt(shared: &Shared, client: &mut Client, number: u64) -> Result<bool, String> {
    let Ok(answer) = client.graphql(INGEST, &json!({ "input": input(number) })).await else {
        return Ok(false);
    };
    let json = answer.json();
    let status = json["data"]["ingestEvent"]["status"].as_str().unwrap_or_default();
    if answer.status == 200 && json.get("errors").is_none() && matches!(status, "STORED" | "DUPLICATE") {
        shared.acknowledge(number, status);
        return Ok(true);
    }
    Err(format!(
        "event {number} was answered with {} {}",
        answer.status,
        answer.text()
    ))
}

/// Starts a server on the run's database.
fn serve(options: &ChaosOptions) -> Result<Kohorta, String> {
    let mut serving = with_arguments(&options.kohorta, &["--database-url", &options.database_url]);
    serving.arguments.extend_from_slice(&options.kohorta.arguments);
    Kohorta::serve(&serving)
}

/// Runs `kohorta verify`.
///
/// # Errors
/// What it said, if there is a difference.
pub fn verify(kohorta: &KohortaOptions, database_url: &str) -> Result<(), String> {
    let output = run(&with_arguments(
        kohorta,
        &["verify", "--database-url", database_url],
    ))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!(
        "verify: {}: {}",
        output.status,
        String::from_utf8_lossy(&said)
    ))
}

fn with_arguments(kohorta: &KohortaOptions, arguments: &[&str]) -> KohortaOptions {
    let arguments = arguments.iter().map(ToString::to_string).collect();
    KohortaOptions {
        arguments,
        ..kohorta.clone()
    }
}

/// After how many acknowledgements the kill with this number comes.
fn kill_at(options: &ChaosOptions, kill: u64) -> u64 {
    (options.events * kill / (options.kills + 1)).max(1)
}
