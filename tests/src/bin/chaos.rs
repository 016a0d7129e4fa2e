//! Kills a Kohorta server under load and checks that nothing acknowledged was lost, doubled or changed.
//!
//! `scripts/chaos` builds and runs it. It makes its own empty database, and needs PostgreSQL's programs for
//! `--database postgresql`. It ends with 0 and one line of counts, or with 1 and what went wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tests::chaos::{ChaosOptions, ChaosReport, chaos};
use tests::cluster::{Cluster, Durability};
use tests::kohorta::KohortaOptions;

/// Kills a Kohorta server under load, and checks that every acknowledged event is there once.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which database to use; each run has an empty one of its own.
    #[arg(long, value_enum, default_value_t = Backend::Sqlite)]
    database: Backend,
    /// How many single mutations to send.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    events: u64,
    /// From how many connections at once.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    connections: u64,
    /// How often the server is killed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    kills: u64,
    /// The server program, if not the one built beside this one.
    #[arg(long)]
    kohorta: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Backend {
    Sqlite,
    Postgresql,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            eprintln!("chaos: {complaint}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ChaosReport, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    // Kept until the end: dropping the cluster stops it. It is started from the main thread, with which it dies.
    let cluster = match arguments.database {
        Backend::Sqlite => None,
        Backend::Postgresql => Some(Cluster::start(Durability::Durable)?),
    };
    let database_url = match &cluster {
        None => format!("sqlite://{}", folder.path().join("kohorta.db").display()),
        Some(cluster) => Cluster::url(cluster.port(), "postgres"),
    };
    let options = ChaosOptions {
        database_url,
        events: arguments.events,
        connections: arguments.connections,
        kills: arguments.kills,
        kohorta: KohortaOptions {
            program: arguments.kohorta.clone(),
            ..KohortaOptions::default()
        },
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(chaos(options, |line| println!("{line}")))
}
