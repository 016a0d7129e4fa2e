//! The command line: what can be asked of `kohorta-import`, and what `--help` says.

use std::{num::NonZeroU64, path::PathBuf};

use chrono_tz::Tz;
use clap::{Args, Parser, Subcommand};

use crate::{format::Format, generate::GenerateArguments, mapping::Assignment};

/// Rows in one transaction unless something else is asked for; see docs/benchmarks/import.md for the measurements.
pub(crate) const DEFAULT_BATCH_ROWS: u32 = 10_000;

const AFTER_HELP: &str = "\
Columns: event_id, user_id, event_type, occurred_at, and properties or properties_json (a JSON object), in any order. \
Times are RFC 3339 with an offset, such as 2026-03-01T08:30:00Z. An event_id that is stored already makes the row a \
duplicate, so running the same import again is harmless and completes one that was interrupted.

Exit codes:
  0  every row is stored, or was stored before (with --dry-run: would be)
  1  some rows were rejected, or carry a known event_id with other content
  2  wrong arguments, a file that cannot be opened, or columns that do not fit; nothing was imported
  3  could not finish: interrupted, --max-rejects reached, a file that cannot be read to its end, the database gone or
     not fit; what was committed before stays and is counted in the summary

Examples:
  kohorta-import events.csv.gz
  kohorta-import --rejects bad.csv --map user_id=customer --const event_type=purchase orders.csv
  zcat dump.gz | kohorta-import --derive-event-id --assume-timezone UTC --json -
  kohorta-import generate --events 1000000 --users 50000 -o events.csv.gz";

/// Imports event files into a Kohorta database: CSV and NDJSON, plain, gzip or zstd.
///
/// A Kohorta server may run on the database meanwhile, and so may other imports.
#[derive(Debug, Parser)]
#[command(name = "kohorta-import", version = env!("KOHORTA_VERSION"), after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) import: ImportArguments,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes a file of test data: the same bytes for the same arguments
    Generate(GenerateArguments),
}

/// Arguments of an import.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArguments {
    /// Files to import, one after the other; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// The database: sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(
        long,
        value_name = "URL",
        env = "DATABASE_URL",
        default_value = "sqlite://./data/kohorta.db"
    )]
    #[arg(hide_env_values = true, help_heading = "Database")]
    pub(crate) database_url: String,
    /// Reporting time zone of a new database (IANA name); an existing one keeps its own [default: UTC]
    #[arg(long, value_name = "ZONE", env = "KOHORTA_TIMEZONE", value_parser = parse_zone, help_heading = "Database")]
    pub(crate) timezone: Option<Tz>,
    /// Leave the tables as they are; without this they are made or brought up to date first
    #[arg(long, help_heading = "Database")]
    pub(crate) no_migrate: bool,
    /// Rows in one transaction
    #[arg(long, value_name = "ROWS", default_value_t = DEFAULT_BATCH_ROWS, help_heading = "Database")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch_size: u32,
    /// Transactions at the same time (SQLite: always 1) [default: one a core, 2 to 4]
    #[arg(long, value_name = "COUNT", help_heading = "Database", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) connections: Option<u32>,
    /// How long a database that is away is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "Database")]
    pub(crate) retry_seconds: u64,

    /// Format of all files [default: by name, then by content]
    #[arg(long, value_enum, help_heading = "Reading")]
    pub(crate) format: Option<Format>,
    /// What separates the values of a CSV row, one ASCII character; `\t` is a tab
    #[arg(long, value_name = "CHARACTER", default_value = ",", value_parser = parse_delimiter, help_heading = "Reading")]
    pub(crate) delimiter: u8,
    /// Take a field from the column of this name; may be repeated
    #[arg(long, value_name = "FIELD=COLUMN", help_heading = "Reading")]
    pub(crate) map: Vec<Assignment>,
    /// Give every row this value for a field that has no column; may be repeated
    #[arg(long = "const", value_name = "FIELD=VALUE", help_heading = "Reading")]
    pub(crate) constants: Vec<Assignment>,
    /// Leave out columns that belong to no field
    #[arg(long, conflicts_with = "extra_as_properties", help_heading = "Reading")]
    pub(crate) ignore_unknown: bool,
    /// Make columns that belong to no field properties (of CSV: strings; empty ones are left out)
    #[arg(long, help_heading = "Reading")]
    pub(crate) extra_as_properties: bool,
    /// Give rows without event_id one made from their content (UUIDv5): equal rows are one event then
    #[arg(long, help_heading = "Reading")]
    pub(crate) derive_event_id: bool,
    /// Take times without an offset, and dates alone, in this time zone (IANA name, such as UTC); also takes the
    /// spelling of databases (2026-03-01 08:30:00+00)
    #[arg(long, value_name = "ZONE", value_parser = parse_zone, help_heading = "Reading")]
    pub(crate) assume_timezone: Option<Tz>,

    /// Do everything but write: what is new, duplicate and bad is counted
    #[arg(long, help_heading = "Outcome")]
    pub(crate) dry_run: bool,
    /// Write refused rows here, with line, column, value and reason; mended, the file can be imported again
    #[arg(long, value_name = "FILE", help_heading = "Outcome")]
    pub(crate) rejects: Option<PathBuf>,
    /// Stop when more rows than this were refused
    #[arg(long, value_name = "COUNT", help_heading = "Outcome")]
    pub(crate) max_rejects: Option<u64>,
    /// Show neither progress nor summary, only what goes wrong
    #[arg(long, short, help_heading = "Outcome")]
    pub(crate) quiet: bool,
    /// Print the summary as one JSON object on standard output
    #[arg(long, help_heading = "Outcome")]
    pub(crate) json: bool,
    /// Rows between two folds (the step that keeps questions fast)
    #[arg(long, value_name = "ROWS", default_value = "300000", hide = true)]
    pub(crate) fold_rows: NonZeroU64,
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [b'"' | b'\n' | b'\r'] => Err("must be neither a quote nor a line end".to_owned()),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("must be one ASCII character, such as ; or \\t".to_owned()),
    }
}

fn parse_zone(text: &str) -> Result<Tz, String> {
    text.parse()
        .map_err(|_| "not an IANA time zone, such as UTC or Europe/Berlin".to_owned())
}
