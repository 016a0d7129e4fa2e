//! The public chaos run: many connections send single events, the server is killed without warning and started
//! again, and at the end every acknowledged event must be there, once, unchanged.
//!
//! A sender whose connection broke does not know whether its event was stored. It does what a client should do: it
//! sends the same event with the same id again, once the server is back.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::http::Client;
use crate::kohorta::{Kohorta, KohortaOptions, run};

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
    options: ChaosOptions,
    next: AtomicU64,
    acknowledged: Vec<AtomicBool>,
    count: AtomicU64,
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
        next: AtomicU64::new(0),
        acknowledged: (0..options.events).map(|_| AtomicBool::new(false)).collect(),
        count: AtomicU64::new(0),
        duplicates: AtomicU64::new(0),
        broken: AtomicU64::new(0),
        progress: Notify::new(),
        next_kill: AtomicU64::new(kill_at(&options, 1)),
        options: options.clone(),
    });
    let senders: Vec<_> = (0..options.connections)
        .map(|_| tokio::spawn(send(Arc::clone(&shared), address.subscribe())))
        .collect();
    for kill in 1..=options.kills {
        shared.progress.notified().await;
        server.kill();
        let before: Vec<u64> = (0..options.events)
            .filter(|number| shared.is_acknowledged(*number))
            .collect();
        server = serve(&options)?;
        let stored = stored_events(&options.database_url).await?;
        check(&stored, &before, &options)?;
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
    let all: Vec<u64> = (0..options.events)
        .filter(|number| shared.is_acknowledged(*number))
        .collect();
    let status = server.terminate()?;
    if !status.success() {
        return Err(format!("SIGTERM did not end the server well: {status}"));
    }
    let stored = stored_events(&options.database_url).await?;
    check(&stored, &all, &options)?;
    if stored.len() as u64 != options.events {
        return Err(format!(
            "{} of {} events are stored",
            stored.len(),
            options.events
        ));
    }
    let started = Instant::now();
    verify(&options)?;
    Ok(ChaosReport {
        acknowledged: all.len() as u64,
        duplicates: shared.duplicates.load(Ordering::SeqCst),
        broken: shared.broken.load(Ordering::SeqCst),
        sending,
        verifying: started.elapsed(),
    })
}

impl Shared {
    fn is_acknowledged(&self, number: u64) -> bool {
        self.acknowledged[number as usize].load(Ordering::SeqCst)
    }

    fn acknowledge(&self, number: u64, status: &str) {
        self.acknowledged[number as usize].store(true, Ordering::SeqCst);
        if status == "DUPLICATE" {
            self.duplicates.fetch_add(1, Ordering::SeqCst);
        }
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 == self.next_kill.load(Ordering::SeqCst) {
            self.progress.notify_one();
        }
    }
}

/// One connection: takes the next event and sends it until it is acknowledged.
async fn send(shared: Arc<Shared>, mut address: watch::Receiver<SocketAddr>) -> Result<(), String> {
    let mut client = Client::new(*address.borrow_and_update());
    loop {
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        if number >= shared.options.events {
            return Ok(());
        }
        while !attempt(&shared, &mut client, number).await? {
            shared.broken.fetch_add(1, Ordering::SeqCst);
            if address.changed().await.is_err() {
                return Err("the server broke a connection without having been killed".to_owned());
            }
            client = Client::new(*address.borrow_and_update());
        }
    }
}

const INGEST: &str = "mutation ($input: IngestEventInput!) { \
     ingestEvent(input: $input) { status userErrors { code message } } }";

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
    let mut serving = with_arguments(options, &["--database-url", &options.database_url]);
    serving.arguments.extend_from_slice(&options.kohorta.arguments);
    Kohorta::serve(&serving)
}

fn verify(options: &ChaosOptions) -> Result<(), String> {
    let output = run(&with_arguments(
        options,
        &["verify", "--database-url", &options.database_url],
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

fn with_arguments(options: &ChaosOptions, arguments: &[&str]) -> KohortaOptions {
    let arguments = arguments.iter().map(ToString::to_string).collect();
    KohortaOptions {
        arguments,
        ..options.kohorta.clone()
    }
}

/// After how many acknowledgements the kill with this number comes.
fn kill_at(options: &ChaosOptions, kill: u64) -> u64 {
    (options.events * kill / (options.kills + 1)).max(1)
}

/// Event `number` of every run, as the API takes it.
fn input(number: u64) -> Value {
    json!({
        "eventId": event_id(number).to_string(),
        "userId": user_id(number),
        "eventType": event_type(number),
        "occurredAt": occurred_at(number).to_rfc3339(),
        "properties": { "number": number },
    })
}

fn event_id(number: u64) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("chaos {number}").as_bytes())
}

fn user_id(number: u64) -> String {
    format!("user {}", number % 1009)
}

fn event_type(number: u64) -> String {
    format!("type {}", number % 7)
}

/// Spread over ninety days, so that the sets of many days change all the time.
fn occurred_at(number: u64) -> DateTime<Utc> {
    let seconds = i64::try_from(number * 7919 % (90 * 86_400)).unwrap_or_default();
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}

/// What the database holds: per event id each row's content.
type Stored = HashMap<Uuid, Vec<(String, String, i64, Value)>>;

async fn stored_events(database_url: &str) -> Result<Stored, String> {
    let database = Database::connect(database_url)
        .await
        .map_err(|error| error.to_string())?;
    let sql = "SELECT event_id, user_id, event_type, occurred_at, properties FROM events";
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let rows = database
        .query_all_raw(statement)
        .await
        .map_err(|error| error.to_string())?;
    let mut stored = Stored::new();
    for row in rows {
        let content = || {
            let id: Uuid = row.try_get("", "event_id")?;
            let names = (row.try_get("", "user_id")?, row.try_get("", "event_type")?);
            Ok((
                id,
                (
                    names.0,
                    names.1,
                    row.try_get("", "occurred_at")?,
                    row.try_get("", "properties")?,
                ),
            ))
        };
        let (id, content) = content().map_err(|error: sea_orm::DbErr| error.to_string())?;
        stored.entry(id).or_default().push(content);
    }
    database.close().await.map_err(|error| error.to_string())?;
    Ok(stored)
}

/// Every acknowledged event is there once and unchanged, and nothing is there that nobody sent.
fn check(stored: &Stored, acknowledged: &[u64], options: &ChaosOptions) -> Result<(), String> {
    let content = |number| {
        let time = occurred_at(number).timestamp_micros();
        (
            user_id(number),
            event_type(number),
            time,
            json!({ "number": number }),
        )
    };
    let missing = acknowledged
        .iter()
        .filter(|number| !stored.contains_key(&event_id(**number)))
        .count();
    let sent: HashMap<Uuid, u64> = (0..options.events)
        .map(|number| (event_id(number), number))
        .collect();
    let (mut doubled, mut alien, mut changed) = (0, 0, 0);
    for (id, rows) in stored {
        doubled += rows.len() - 1;
        match sent.get(id) {
            None => alien += 1,
            Some(number) if rows.iter().any(|row| *row != content(*number)) => changed += 1,
            Some(_) => {}
        }
    }
    if missing + doubled + alien + changed == 0 {
        return Ok(());
    }
    let known = acknowledged.len();
    Err(format!(
        "of {known} acknowledged events {missing} are lost; {doubled} doubled, {changed} changed, {alien} alien"
    ))
}
