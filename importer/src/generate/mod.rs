//! `kohorta-import generate`: test data that looks like a product's, and is the same bytes for the same arguments on
//! every machine.
//!
//! `--events` valid events with ids of their own, in order of time; `--duplicates` and `--bad` rows come on top of them,
//! `--late` ones are some of them. Memory follows the busiest day and the late events under way; with `--shuffle` it
//! is 32 bytes an event.

mod bad;
mod event_types;
mod output;
mod properties;
mod random;
mod row;
mod schedule;
mod sequence;

use std::{
    io,
    path::{Path, PathBuf},
};

use chrono::NaiveDate;

use crate::format::Format;
use output::Output;
use random::Random;
use row::{Fields, RowMaker};
use schedule::Plan;
use sequence::{Kind, Shares};

/// Arguments of `generate`.
#[derive(Debug, Clone, clap::Args)]
pub struct GenerateArguments {
    /// How many events to make, each valid and with an id of its own
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub events: u64,
    /// How many users have them; at most one per event [default: a twentieth of the events]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub users: Option<u32>,
    /// Over how many days
    #[arg(long, value_name = "COUNT", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    pub days: u32,
    /// The first day, in UTC
    #[arg(long, value_name = "DATE", default_value = "2026-01-01", value_parser = parse_start)]
    pub start: NaiveDate,
    /// How many event types
    #[arg(long, value_name = "COUNT", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub types: u16,
    /// Another seed gives other data of the same nature
    #[arg(long, value_name = "NUMBER", default_value_t = 42)]
    pub seed: u64,
    /// Version of the UUIDs
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = IdVersion::V7)]
    pub ids: IdVersion,
    /// Share of events whose row comes twice, the second time later
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    pub duplicates: f64,
    /// Share of events whose row comes an hour to two weeks later than it happened
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    pub late: f64,
    /// Share of additional rows that must be refused, of every kind
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    pub bad: f64,
    /// Put the rows in random order
    #[arg(long)]
    pub shuffle: bool,
    /// Format [default: as the file's name says, else csv]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// File to write, compressed if it ends in .gz or .zst [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Which UUIDs to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum IdVersion {
    /// Random
    V4,
    /// By time, then random
    V7,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generated {
    /// Rows in all, without the header.
    pub rows: u64,
    /// Rows that repeat another one.
    pub duplicates: u64,
    /// Rows that must be refused.
    pub bad: u64,
    /// Bytes before compression.
    pub bytes: u64,
}

/// Why nothing, or not everything, could be generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The arguments contradict each other.
    #[error("{0}")]
    Arguments(String),
    /// The file cannot be written.
    #[error("cannot write {file}")]
    Write {
        /// The file's name.
        file: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Writes the file that `arguments` describe.
///
/// # Errors
/// [`GenerateError`].
pub fn generate(arguments: &GenerateArguments) -> Result<Generated, GenerateError> {
    let plan = plan(arguments)?;
    let path = arguments.output.as_deref();
    let format = arguments
        .format
        .or_else(|| path.and_then(Format::of_name))
        .unwrap_or(Format::Csv);
    write(arguments, plan, format).map_err(|source| {
        let file = path.unwrap_or(Path::new("-")).display().to_string();
        GenerateError::Write { file, source }
    })
}

fn plan(arguments: &GenerateArguments) -> Result<Plan, GenerateError> {
    let default_users = (arguments.events / 20).clamp(1, 100_000_000) as u32;
    let users = arguments.users.unwrap_or(default_users);
    if u64::from(users) > arguments.events {
        let message = format!(
            "--users {users} is more than --events {}; each user needs an event of their own",
            arguments.events
        );
        return Err(GenerateError::Arguments(message));
    }
    let start = arguments
        .start
        .and_time(chrono::NaiveTime::MIN)
        .and_utc()
        .timestamp_micros();
    Ok(Plan {
        events: arguments.events,
        users,
        days: arguments.days,
        start,
        seed: arguments.seed,
    })
}

fn write(arguments: &GenerateArguments, plan: Plan, format: Format) -> io::Result<Generated> {
    let mut output = Output::open(arguments.output.as_deref())?;
    let maker = RowMaker::new(plan.seed, arguments.ids, usize::from(arguments.types));
    let mut generated = Generated::default();
    let mut fields = Fields::default();
    let mut line = Vec::new();
    if format == Format::Csv {
        line.extend_from_slice(crate::columns::COLUMNS.join(",").as_bytes());
        line.push(b'\n');
        output.write(&line)?;
    }
    let shares = Shares {
        duplicates: arguments.duplicates,
        late: arguments.late,
        bad: arguments.bad,
    };
    sequence::run(plan, shares, arguments.shuffle, |placed| {
        line.clear();
        maker.fill(&placed.moment, &mut fields);
        match placed.kind {
            Kind::Event => fields.write(format, &mut line),
            Kind::Duplicate => {
                generated.duplicates += 1;
                fields.write(format, &mut line);
            }
            Kind::Bad => {
                let mut random = Random::of_item(plan.seed, placed.moment.index);
                bad::write(
                    generated.bad % bad::KINDS,
                    &mut fields,
                    format,
                    &mut random,
                    &mut line,
                );
                generated.bad += 1;
            }
        }
        generated.rows += 1;
        generated.bytes += line.len() as u64;
        output.write(&line)
    })?;
    output.finish()?;
    Ok(generated)
}

fn parse_start(text: &str) -> Result<NaiveDate, String> {
    let date: NaiveDate = text
        .parse()
        .map_err(|_| "not a date, such as 2026-01-01".to_owned())?;
    let years = 1970..=2200;
    if years.contains(&chrono::Datelike::year(&date)) {
        Ok(date)
    } else {
        Err("must lie from 1970 to 2200".to_owned())
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a share from 0 to 1, such as 0.01".to_owned()),
    }
}
