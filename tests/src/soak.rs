//! The long run: servers under load and an importer with the same events on one database, while faults come at random.
//! What must be true is checked all the time and at the end.
//!
//! While it runs, every answer that is given counts at least the events acknowledged before the question and at most
//! those sent until the answer; an event that was acknowledged is a duplicate ever after; what is refused may be tried
//! again. At the end every acknowledged event is there once and unchanged, and the sets equal a recount.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tempfile::TempDir;

use crate::chaos::verify;
use crate::http::Client;
use crate::kohorta::{Kohorta, KohortaOptions};
use crate::ledger::{DAYS, Findings, csv};
use crate::load::{Load, LoadOptions, Tally};
use crate::programs::built_from_present_sources;
use crate::soak_world::{Backend, Fault, World};

/// How long events may take to get through once a fault has ended.
const RECOVERY: Duration = Duration::from_secs(30);
/// How many events an import has.
const IMPORTED: u64 = 2_000;

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

/// What a long run found; it is an error unless all is well.
#[derive(Debug, Clone)]
pub struct SoakReport {
    /// Events sent.
    pub sent: u64,
    /// How often each fault was injected.
    pub faults: BTreeMap<Fault, u64>,
    /// Answers to questions that were held against the model.
    pub answers: u64,
    /// Imports that came to their end.
    pub imports: u64,
    /// What became of the requests.
    pub tally: Tally,
    /// What the database holds in the end.
    pub findings: Findings,
    /// How long all of it took.
    pub took: Duration,
}

impl fmt::Display for SoakReport {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings {
            acknowledged,
            lost,
            doubled,
            changed,
            alien,
            ..
        } = self.findings;
        let injected: u64 = self.faults.values().sum();
        writeln!(
            output,
            "{} events sent, {acknowledged} acknowledged, {injected} faults injected, lost {lost}, doubled {doubled}, \
             changed {changed}, alien {alien}; verify found no difference; {:.0} s",
            self.sent,
            self.took.as_secs_f64()
        )?;
        let kinds: Vec<String> = self
            .faults
            .iter()
            .map(|(fault, times)| format!("{fault} {times}"))
            .collect();
        writeln!(output, "faults: {}", kinds.join(", "))?;
        writeln!(
            output,
            "{} answers agreed with the model; {} imports of {IMPORTED} events came to their end",
            self.answers, self.imports
        )?;
        write!(output, "{}", self.tally)
    }
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

/// An importer at work.
struct Import {
    process: Child,
    folder: TempDir,
    numbers: std::ops::Range<u64>,
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
            events: 5_000_000,
            hang_ups: 0.02,
            pause: Duration::from_millis(2),
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
        let lasts = Duration::from_millis(self.random.random_range(100..3_000));
        self.begin(fault).await?;
        *self.faults.entry(fault).or_default() += 1;
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            self.ask().await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.world.end(fault).await?;
        self.look_after_importer()?;
        self.load
            .more(50, RECOVERY)
            .await
            .map_err(|failure| format!("after {fault}: {failure}; {}", self.load.tally()))?;
        self.ask().await?;
        say(format!(
            "{fault} for {:.1} s: {} acknowledged",
            lasts.as_secs_f64(),
            self.load.ledger().count()
        ));
        Ok(())
    }

    async fn begin(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::KillServer | Fault::StopServer => {
                let position = self.random.random_range(0..self.servers.len());
                if fault == Fault::KillServer {
                    self.servers[position].kill();
                } else {
                    let status = self.servers[position].terminate()?;
                    if !status.success() {
                        return Err(format!("SIGTERM did not end the server well: {status}"));
                    }
                }
                self.servers[position] = serve(&self.options, self.world.server_url())?;
                self.load
                    .move_to(self.servers.iter().map(Kohorta::address).collect());
                Ok(())
            }
            Fault::Import => self.import(),
            Fault::KillImporter => {
                self.import()?;
                tokio::time::sleep(Duration::from_millis(self.random.random_range(50..1_000))).await;
                if let Some(mut import) = self.importer.take() {
                    // It may have come to its end before, which is no fault.
                    let _ = import.process.kill();
                    import.process.wait().map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            fault => self.world.begin(fault).await,
        }
    }

    /// Starts an import of events that are being sent at this moment, unless one is at work.
    fn import(&mut self) -> Result<(), String> {
        if self.importer.is_some() {
            return Ok(());
        }
        let ledger = self.load.ledger();
        let from = ledger.taken().saturating_sub(IMPORTED / 2);
        let numbers = from..(from + IMPORTED).min(ledger.events());
        ledger.claim(numbers.end);
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = folder.path().join("events.csv");
        std::fs::write(&file, csv(numbers.clone())).map_err(|error| error.to_string())?;
        let program = match &self.options.importer {
            Some(program) => program.clone(),
            None => built_from_present_sources("kohorta-import")?,
        };
        let process = Command::new("setpriv")
            .arg("--pdeathsig=KILL")
            .arg(program)
            .arg(&file)
            .args(["--database-url", self.world.server_url(), "--batch-size", "200"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run setpriv (util-linux): {error}"))?;
        self.importer = Some(Import {
            process,
            folder,
            numbers,
        });
        Ok(())
    }

    /// An import that has come to its end has stored all of its events.
    fn look_after_importer(&mut self) -> Result<(), String> {
        let Some(mut import) = self.importer.take() else {
            return Ok(());
        };
        match import.process.try_wait().map_err(|error| error.to_string())? {
            None => self.importer = Some(import),
            Some(status) => self.imported(import, status.code())?,
        }
        Ok(())
    }

    fn imported(&mut self, import: Import, code: Option<i32>) -> Result<(), String> {
        if code != Some(0) {
            return Err(format!("the importer ended with {code:?}"));
        }
        for number in import.numbers {
            self.load.ledger().acknowledge(number);
        }
        self.imports += 1;
        import.folder.close().map_err(|error| error.to_string())
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
        if let Some(mut import) = self.importer.take() {
            let status = import.process.wait().map_err(|error| error.to_string())?;
            self.imported(import, status.code())?;
        }
        let tally = self.load.finish().await?;
        for server in &mut self.servers {
            let status = server.terminate()?;
            if !status.success() {
                return Err(format!("SIGTERM did not end the server well: {status}"));
            }
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

fn serve(options: &SoakOptions, database_url: &str) -> Result<Kohorta, String> {
    let mut serving = options.kohorta.clone();
    serving
        .arguments
        .extend(["--database-url", database_url].map(str::to_owned));
    Kohorta::serve(&serving)
}
