//! Runs Kohorta under load while faults come at random, and checks all the time and at the end what must be true.
//!
//! `scripts/soak` builds and runs it. It makes its own empty database, and needs PostgreSQL's programs for
//! `--database postgresql`. It ends with 0 and the counts, or with 1 and what went wrong.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tests::kohorta::KohortaOptions;
use tests::soak::{SoakOptions, soak};
use tests::soak_world::Backend;

/// Runs Kohorta under load while faults come at random, and checks what must be true.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which database to use; each run has an empty one of its own.
    #[arg(long, value_enum, default_value_t = Kind::Sqlite)]
    database: Kind,
    /// How long faults come.
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    seconds: u64,
    /// From how many connections events are sent.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    connections: u64,
    /// Where random numbers begin; the order of faults follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server program, if not the one built beside this one.
    #[arg(long)]
    kohorta: Option<PathBuf>,
    /// The importer, if not the one built beside this one.
    #[arg(long)]
    importer: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Sqlite,
    Postgresql,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = SoakOptions {
        backend: match arguments.database {
            Kind::Sqlite => Backend::Sqlite,
            Kind::Postgresql => Backend::Postgres,
        },
        duration: Duration::from_secs(arguments.seconds),
        connections: arguments.connections,
        seed: arguments.seed,
        kohorta: KohortaOptions {
            program: arguments.kohorta,
            ..KohortaOptions::default()
        },
        importer: arguments.importer,
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("soak: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Servers and the cluster are started from this thread, with which they die.
    match runtime.block_on(soak(options, |line| println!("{line}"))) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            eprintln!("soak: {complaint}");
            ExitCode::FAILURE
        }
    }
}
