//! The long run: servers under load and an importer with the same events on one database, while faults come at random.
//! What must be true is checked all the time and at the end.
//!
//! While it runs, every answer that is given counts at least the events acknowledged before the question and at most
//! those sent until the answer; an event that was acknowledged is a duplicate ever after; what is refused may be tried
//! again. At the end every acknowledged event is there once and unchanged, and the sets equal a recount.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::chaos::verify;
use crate::http::Client;
use crate::kohorta::{Kohorta, KohortaOptions};
use crate::ledger::DAYS;
use crate::load::{Load, LoadOptions};
use crate::soak_import::Import;
use crate::soak_report::SoakReport;
use crate::soak_world::{Backend, Fault, World};

/// How long events may take to get through once a fault has ended.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long a server may take to end, and an importer to come to its end where it is waited for.
const END: Duration = Duration::from_secs(120);
/// How many events an import has.
const IMPORTED: u64 = 2_000;
/// The most events that a run sends: each costs a bit while it runs and some 40 bytes of memory at its end.
const EVENTS: u64 = 5_000_000;
/// The shortest rest of a connection between two events.
const PAUSE: Duration = Duration::from_millis(2);
/// How many lines of each server's log a failure shows.
const LOG_LINES: usize = 20;

/// What a long run does.
#[derive(Debug, Clone)]
pub struct SoakOptions {
    /// Which database; each run makes an empty one of its own.
    pub backend: Backend,
    /// How long faults come.
    pub duration: Duration,
    /// From how many connections events are sent.
    pub connections: u64,
    /// Where random numbers begin; the order of faults follows from it.
    pub seed: u64,
    /// The server, if not the one built beside this program.
    pub kohorta: KohortaOptions,
    /// The importer, if not the one built beside this program.
    pub importer: Option<PathBuf>,
}

/// A run under way.
struct Soak {
    options: SoakOptions,
    random: StdRng,
    world: World,
    servers: Vec<Kohorta>,
    load: Load,
    importer: Option<Import>,
    faults: BTreeMap<Fault, u64>,
    answers: u64,
    imports: u64,
}

/// Runs it; `say` gets a line for each fault.
///
/// # Errors
/// A sentence that says what was lost, doubled, changed, alien, refused or answered wrongly, or what could not be
/// started.
pub async fn soak(options: SoakOptions, say: impl Fn(String)) -> Result<SoakReport, String> {
    let started = Instant::now();
    let mut world = World::make(options.backend).await?;
    let mut kohorta = options.kohorta.clone();
    kohorta.program = Some(kohorta.resolved_program()?);
    let options = SoakOptions { kohorta, ..options };
    let mut servers = Vec::new();
    for _ in 0..world.servers() {
        servers.push(serve(&options, world.server_url())?);
    }
    let load = Load::start(
        LoadOptions {
            connections: options.connections,
            events: EVENTS,
            hang_ups: 0.02,
            pause: pause(&options),
            seed: options.seed,
        },
        servers.iter().map(Kohorta::address).collect(),
    );
    world.operate().await?;
    let mut soak = Soak {
        random: StdRng::seed_from_u64(options.seed),
        options,
        world,
        servers,
        load,
        importer: None,
        faults: BTreeMap::new(),
        answers: 0,
        imports: 0,
    };
    soak.load.more(100, RECOVERY).await?;
    while started.elapsed() < soak.options.duration {
        soak.round(&say).await?;
    }
    soak.end(started).await
}

impl Soak {
    /// One fault, from its beginning until all is well again.
    async fn round(&mut self, say: &impl Fn(String)) -> Result<(), String> {
        let fault = *self
            .world
            .faults()
            .choose(&mut self.random)
            .ok_or("there are no faults")?;
        let lasts = Duration::from_millis(self.random.random_range(fault.duration_ms()));
        let before = self.load.tally();
        if self.begin(fault).await? {
            *self.faults.entry(fault).or_default() += 1;
        }
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            self.ask().await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.world.end(fault).await?;
        self.look_after_importer()?;
        if let Err(failure) = self.load.more(50, RECOVERY).await {
            let state = self.state().await;
            return Err(format!(
                "after {fault} for {:.1} s: {failure}\nbefore it: {before}\nnow: {}\n{state}",
                lasts.as_secs_f64(),
                self.load.tally()
            ));
        }
        self.ask().await?;
        say(format!(
            "{fault} for {:.1} s: {} acknowledged",
            lasts.as_secs_f64(),
            self.load.ledger().count()
        ));
        Ok(())
    }

    /// Whether it has happened.
    async fn begin(&mut self, fault: Fault) -> Result<bool, String> {
        match fault {
            Fault::KillServer | Fault::StopServer => {
                let position = self.random.random_range(0..self.servers.len());
                if fault == Fault::KillServer {
                    self.servers[position].kill();
                } else {
                    stop(&mut self.servers[position]).await?;
                }
                self.servers[position] = serve(&self.options, self.world.server_url())?;
                self.load
                    .move_to(self.servers.iter().map(Kohorta::address).collect());
            }
            Fault::Import => return self.import(),
            Fault::KillImporter => {
                self.import()?;
                tokio::time::sleep(Duration::from_millis(self.random.random_range(50..1_000))).await;
                self.look_after_importer()?;
                let Some(import) = self.importer.take() else {
                    return Ok(false);
                };
                import.kill()?;
            }
            fault => {
                if fault == Fault::MoveFile {
                    // One that is just starting would make a new file and import into that.
                    self.wait_for_importer().await?;
                }
                self.world.begin(fault).await?;
            }
        }
        Ok(true)
    }

    /// Starts an import of events that are being sent at this moment, unless one is at work.
    fn import(&mut self) -> Result<bool, String> {
        if self.importer.is_some() {
            return Ok(false);
        }
        let ledger = self.load.ledger();
        let from = ledger.taken().saturating_sub(IMPORTED / 2);
        let numbers = from..(from + IMPORTED).min(ledger.events());
        ledger.claim(numbers.end);
        let program = self.options.importer.as_deref();
        self.importer = Some(Import::start(program, self.world.server_url(), numbers)?);
        Ok(true)
    }

    /// Waits until no importer is at work.
    async fn wait_for_importer(&mut self) -> Result<(), String> {
        let until = Instant::now() + END;
        loop {
            self.look_after_importer()?;
            if self.importer.is_none() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!(
                    "an import of {IMPORTED} events was not done within {END:?}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the servers say of themselves and have last written to their logs.
    async fn state(&self) -> String {
        let mut text = String::new();
        for (number, server) in self.servers.iter().enumerate() {
            let mut client = server.client();
            let asking = tokio::time::timeout(Duration::from_secs(3), client.get("/healthz"));
            let health = match asking.await {
                Ok(Ok(answer)) => answer.status.to_string(),
                Ok(Err(error)) => error,
                Err(_) => "no answer".to_owned(),
            };
            text.push_str(&format!(
                "server {number}: /healthz {health}; the end of its log:\n"
            ));
            for line in server.log_tail(LOG_LINES) {
                text.push_str(&format!("  {line}\n"));
            }
        }
        text
    }

    /// An import that has come to its end has stored all of its events.
    fn look_after_importer(&mut self) -> Result<(), String> {
        let Some(import) = &mut self.importer else {
            return Ok(());
        };
        if let Some(numbers) = import.imported()? {
            for number in numbers {
                self.load.ledger().acknowledge(number);
            }
            self.imports += 1;
            self.importer = None;
        }
        Ok(())
    }

    /// Asks a server how many events there are; the answer, if there is one, must agree with the model.
    async fn ask(&mut self) -> Result<(), String> {
        let server = self
            .servers
            .choose(&mut self.random)
            .ok_or("there is no server")?;
        let mut client = Client::new(server.address());
        let query =
            "query ($from: LocalDate!, $to: LocalDate!) { topEvents(from: $from, to: $to) { totalEvents } }";
        let variables = json!({ "from": DAYS.0, "to": DAYS.1 });
        let before = self.load.ledger().count();
        let asking = client.graphql(query, &variables);
        let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(3), asking).await else {
            return Ok(());
        };
        let after = self.load.ledger().taken();
        let json = answer.json();
        if json["errors"][0]["extensions"]["retryable"] == true {
            return Ok(());
        }
        match json["data"]["topEvents"]["totalEvents"].as_u64() {
            Some(total) if (before..=after).contains(&total) => {
                self.answers += 1;
                Ok(())
            }
            Some(total) => Err(format!(
                "{total} events are counted, but {before} were acknowledged before and {after} sent until the answer"
            )),
            None => Err(format!(
                "a question was answered with {} {}",
                answer.status,
                answer.text()
            )),
        }
    }

    async fn end(mut self, started: Instant) -> Result<SoakReport, String> {
        self.wait_for_importer().await?;
        let tally = self.load.finish().await?;
        for server in &mut self.servers {
            stop(server).await?;
        }
        let ledger = self.load.ledger();
        let database_url = self.world.database_url();
        let findings = ledger.check(database_url, &ledger.acknowledged()).await?;
        verify(&self.options.kohorta, database_url)?;
        Ok(SoakReport {
            sent: ledger.taken(),
            faults: self.faults,
            answers: self.answers,
            imports: self.imports,
            tally,
            findings,
            took: started.elapsed(),
        })
    }
}

/// How long each connection rests between two events, so that they last.
fn pause(options: &SoakOptions) -> Duration {
    let every = options.duration * u32::try_from(options.connections).unwrap_or(u32::MAX);
    PAUSE.max(every / u32::try_from(EVENTS).unwrap_or(u32::MAX))
}

fn serve(options: &SoakOptions, database_url: &str) -> Result<Kohorta, String> {
    let mut serving = options.kohorta.clone();
    // Its log is kept here; a line for each request would fill the memory.
    let arguments = [
        "--database-url",
        database_url,
        "--log-filter",
        "info,access=off,sqlx=warn",
    ];
    serving.arguments.extend(arguments.map(str::to_owned));
    Kohorta::serve(&serving)
}

/// Stops a server in order.
async fn stop(server: &mut Kohorta) -> Result<(), String> {
    server.ask_to_stop();
    match server.ended(END).await {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("SIGTERM did not end the server well: {status}")),
        None => Err(format!("SIGTERM did not end the server within {END:?}")),
    }
}
