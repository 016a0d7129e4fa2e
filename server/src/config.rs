//! The command line and the environment: every option in one struct, and the only place that reads them.
//!
//! Each option can be given on the command line or as an environment variable; the command line counts more. A wrong
//! value is one line on standard error and exit code 2. The database's address may hold a password and is never shown.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use store::{DEFAULT_SILENCE_TIMEOUT, OnStatement, Scope, StoreOptions};

use crate::app::AppOptions;
use crate::auth::{AuthOptions, FixedKey, Policy};
use crate::export::{ExportFormat, Packing};
use crate::graphql::Introspection;
use crate::http::cors::{Origin, Origins};
use crate::http::hosts::AllowedHosts;
use crate::limits::{ADDRESS_BURST, ADDRESS_CONNECTIONS, ADDRESS_RATE, IDLE_TIMEOUT};
use crate::listener::ListenOptions;
use crate::logging::LogFormat;
use crate::metrics;
use crate::rate::{Rate, RateOptions};
use crate::traces::TraceOptions;

/// Event analytics with exact answers: a GraphQL server over SQLite or PostgreSQL.
#[derive(Debug, Parser)]
#[command(
    name = "kohorta",
    version = env!("KOHORTA_VERSION"),
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true
)]
#[command(after_help = "Without a command, the server runs: `kohorta` is `kohorta serve`.")]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    command: Option<Command>,
    /// Options of every command.
    #[command(flatten)]
    pub common: CommonOptions,
    /// Options of the server, where no command is named.
    #[command(flatten)]
    serve: ServeOptions,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run the server (the default)
    Serve(Box<ServeOptions>),
    /// Bring the database's tables to the state that this version needs
    Migrate {
        /// What to do with the tables.
        #[command(subcommand)]
        action: MigrateAction,
    },
    /// Print the GraphQL schema
    Schema,
    /// Recount everything from the events and report every difference (exit code 1 if there is one)
    Verify,
    /// Make all sets anew from the events; a server may run meanwhile
    Rebuild {
        /// The new reporting time zone, an IANA name such as Europe/Berlin; the present one if left out
        #[arg(long, value_name = "ZONE", value_parser = parse_timezone)]
        timezone: Option<Tz>,
    },
    /// Write stored events down as a file that kohorta-import reads, all of one moment, oldest first
    Export(Box<ExportOptions>),
    /// Copy the SQLite database into a new file while servers go on (PostgreSQL: pg_dump)
    Backup {
        /// The file to make; it must not exist yet.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove every trace of a user, at once and for ever; a server may run meanwhile
    EraseUser {
        /// The user, as in events
        user_id: String,
        /// Take later events of the user; without it they are rejected
        #[arg(long)]
        no_block: bool,
    },
    /// Delete the events of days long past, whose numbers stand; a server may run meanwhile
    Expire {
        /// Days before this one lose their events, for ever: a calendar day in the reporting time zone
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_day)]
        before: NaiveDate,
        /// Only say how many events would be deleted
        #[arg(long)]
        dry_run: bool,
    },
    /// Make, list and revoke API keys
    Keys {
        /// What to do with the keys.
        #[command(subcommand)]
        action: KeysAction,
    },
}

/// What is exported, and how.
#[derive(Debug, Clone, Args)]
pub struct ExportOptions {
    /// The file to write; it has its name once it is whole [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The format [default: by the name of the file, otherwise csv]
    #[arg(long)]
    format: Option<ExportFormat>,
    /// Compress with gzip, as by itself where the file's name ends in .gz
    #[arg(long)]
    gzip: bool,
    /// The first day, in the reporting time zone
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    pub from: Option<NaiveDate>,
    /// The last day, included
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    pub to: Option<NaiveDate>,
    /// Only events of this type; may be repeated
    #[arg(long = "event-type", value_name = "TYPE")]
    pub event_types: Vec<String>,
    /// Add the column received_at; an import sets it anew and takes such a file with --ignore-unknown only
    #[arg(long)]
    received_at: bool,
}

impl ExportOptions {
    /// How a text is made of events.
    pub(crate) fn packing(&self) -> Packing {
        let name = self
            .output
            .as_deref()
            .and_then(Path::file_name)
            .unwrap_or_default();
        let name = name.to_string_lossy().to_ascii_lowercase();
        let stem = name.strip_suffix(".gz");
        let by_name = match stem.unwrap_or(&name).rsplit('.').next() {
            Some("ndjson" | "jsonl" | "json") => ExportFormat::Ndjson,
            _ => ExportFormat::Csv,
        };
        Packing {
            format: self.format.unwrap_or(by_name),
            gzip: self.gzip || stem.is_some(),
            received_at: self.received_at,
        }
    }
}

/// What to do with the keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysAction {
    /// Make a key and print it: it is shown this once and never again
    Create {
        /// What to call it, such as the application that will carry it: letters, digits, dots, underscores, hyphens
        #[arg(long)]
        name: String,
        /// What it allows: ingest (send events), query (ask, nothing else), admin (everything)
        #[arg(long, value_name = "ingest|query|admin", value_parser = parse_scope)]
        scope: Scope,
        /// When it ends: a last day in UTC such as 2027-12-31, or a time from now such as 90d or 12h; never if left out
        #[arg(long, value_name = "DAY|TIME", value_parser = parse_expiry)]
        expires: Option<Expiry>,
    },
    /// List all keys that were ever made; their secrets are not kept
    List,
    /// Revoke a key: it opens nothing any more after a few seconds, and cannot come back
    Revoke {
        /// The key's name
        name: String,
    },
}

/// When a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// With the end of this day in UTC.
    LastDay(NaiveDate),
    /// So long after it was made.
    After(TimeDelta),
}

impl Expiry {
    /// The instant from which on a key made at `now` is worth nothing.
    pub fn of_key_made_at(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::LastDay(day) => Some(
                day.checked_add_days(Days::new(1))?
                    .and_time(NaiveTime::MIN)
                    .and_utc(),
            ),
            Self::After(time) => now.checked_add_signed(time),
        }
    }
}

/// What to do with the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum MigrateAction {
    /// Apply what is not yet applied
    Up,
    /// Take the last migration back, with all data in its tables (for development)
    Down,
    /// Say what is applied and what is not
    Status,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct CommonOptions {
    /// The database: sqlite://path/to/file.db (made when absent) or postgres://user:password@host/name
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite://./data/kohorta.db",
        value_name = "URL"
    )]
    pub database_url: DatabaseUrl,
    /// How log lines look
    #[arg(
        long,
        global = true,
        env = "KOHORTA_LOG_FORMAT",
        default_value = "json",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// Which log lines are written: levels and targets, such as debug or info,access=off
    #[arg(
        long = "log-filter",
        global = true,
        env = "KOHORTA_LOG",
        default_value = "info,sqlx=warn",
        value_name = "FILTER"
    )]
    pub log_filter: String,
}

/// Options of the server.
#[derive(Debug, Clone, Args)]
pub struct ServeOptions {
    /// The address and port to listen on
    #[arg(
        long,
        env = "KOHORTA_LISTEN",
        default_value = "127.0.0.1:8000",
        value_name = "ADDRESS:PORT",
        value_parser = parse_address
    )]
    pub listen: SocketAddr,
    /// An API key with the scope admin that is not kept in the database: at least 32 characters; better given in the
    /// environment than on the command line, which other users of the machine can read
    #[arg(long, env = "KOHORTA_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<ApiKeyText>,
    /// Ask nobody for an API key, on whatever address: for those who have a gate of their own in front
    #[arg(long, env = "KOHORTA_NO_AUTH")]
    no_auth: bool,
    /// Ask for an API key with the scope query or admin at /metrics too
    #[arg(long, env = "KOHORTA_PROTECT_METRICS")]
    protect_metrics: bool,
    /// The reporting time zone, an IANA name such as Europe/Berlin: fixed when the database is first used (UTC if left
    /// out); `kohorta rebuild` changes it
    #[arg(long, env = "KOHORTA_TIMEZONE", value_name = "ZONE", value_parser = parse_timezone)]
    timezone: Option<Tz>,
    /// Do not bring the database's tables up to date at start
    #[arg(long, env = "KOHORTA_NO_MIGRATE")]
    no_migrate: bool,
    /// On a loopback address only requests to local host names are answered; these are answered as well
    #[arg(
        long,
        env = "KOHORTA_ALLOWED_HOSTS",
        value_name = "HOST,…",
        value_delimiter = ','
    )]
    allowed_hosts: Vec<String>,
    /// A web page from elsewhere that may use the API in browsers, such as https://app.example; may be given several times
    #[arg(
        long = "cors-origin",
        env = "KOHORTA_CORS_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = Origin::parse
    )]
    cors_origins: Vec<Origin>,
    /// How many requests a second one address may send in the long run; 0 sets no limit. This machine's own addresses have
    /// none. Batches count as one
    #[arg(long, env = "KOHORTA_ADDRESS_RATE", default_value_t = ADDRESS_RATE, value_name = "REQUESTS")]
    address_rate: u32,
    /// How many requests one address may send at once
    #[arg(long, env = "KOHORTA_ADDRESS_BURST", default_value_t = ADDRESS_BURST, value_name = "REQUESTS",
          value_parser = clap::value_parser!(u32).range(1..))]
    address_burst: u32,
    /// How many requests a second may come with one API key, from all addresses together; 0 sets no limit: whoever has a
    /// public key could use it up for all others
    #[arg(long, env = "KOHORTA_KEY_RATE", default_value_t = 0, value_name = "REQUESTS")]
    key_rate: u32,
    /// How many requests may come with one API key at once
    #[arg(long, env = "KOHORTA_KEY_BURST", default_value_t = ADDRESS_BURST, value_name = "REQUESTS",
          value_parser = clap::value_parser!(u32).range(1..))]
    key_burst: u32,
    /// How many proxies of your own stand in front and write X-Forwarded-For; without any, that header counts for nothing
    #[arg(long, env = "KOHORTA_TRUSTED_PROXIES", default_value_t = 0, value_name = "PROXIES",
          value_parser = clap::value_parser!(u8).range(0..=10))]
    trusted_proxies: u8,
    /// Whether the web page at / is served
    #[arg(
        long,
        env = "KOHORTA_PLAYGROUND",
        default_value = "on",
        value_name = "on|off",
        hide_possible_values = true
    )]
    playground: Switch,
    /// Whether clients may ask for the schema (the playground's documentation needs it)
    #[arg(
        long,
        env = "KOHORTA_INTROSPECTION",
        default_value = "on",
        value_name = "on|off",
        hide_possible_values = true
    )]
    introspection: Introspection,
    /// How far ahead of the server's clock an event's time may lie
    #[arg(long, env = "KOHORTA_MAX_AHEAD_SECONDS", default_value_t = 3_600, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(0..=31_622_400))]
    max_ahead_seconds: u32,
    /// The largest request body, after inflating
    #[arg(long, env = "KOHORTA_BODY_LIMIT_BYTES", default_value_t = 8 * 1024 * 1024, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(1_024..=268_435_456))]
    body_limit_bytes: u32,
    /// What all request bodies under way may take in memory together; more are answered OVERLOADED
    #[arg(long, env = "KOHORTA_BODIES_LIMIT_BYTES", default_value_t = 256 * 1024 * 1024, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(1_024..))]
    bodies_limit_bytes: u32,
    /// How long a request may take once it has arrived
    #[arg(long, env = "KOHORTA_REQUEST_TIMEOUT_SECONDS", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    request_timeout_seconds: u32,
    /// How long PostgreSQL may leave the plainest question unanswered before everything that waits for it is answered
    /// UNAVAILABLE
    #[arg(long, env = "KOHORTA_DATABASE_SILENCE_SECONDS", default_value_t = DEFAULT_SILENCE_TIMEOUT.as_secs(),
          value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    database_silence_seconds: u64,
    /// How long a connection may lie idle between two requests; behind a proxy that keeps its connections say more than
    /// it does
    #[arg(long, env = "KOHORTA_IDLE_TIMEOUT_SECONDS", default_value_t = IDLE_TIMEOUT.as_secs(), value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    idle_timeout_seconds: u64,
    /// How many connections may be open at once; more are answered OVERLOADED
    #[arg(long, env = "KOHORTA_MAX_CONNECTIONS", default_value_t = 4_096, value_name = "CONNECTIONS",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// How many connections may come from one address at once; more are answered OVERLOADED, 0 sets no limit. This machine's
    /// own addresses have none, and none is set behind --trusted-proxies, where all connections are the proxy's
    #[arg(long, env = "KOHORTA_MAX_ADDRESS_CONNECTIONS", default_value_t = ADDRESS_CONNECTIONS, value_name = "CONNECTIONS")]
    max_address_connections: u32,
    /// How many WebSockets and event streams may be open at once, a quarter of them from one address; more are answered OVERLOADED
    #[arg(long, env = "KOHORTA_MAX_LIVE_CONNECTIONS", default_value_t = 2_048, value_name = "CONNECTIONS",
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    max_live_connections: u32,
    /// How many events may wait to be stored; more are answered OVERLOADED
    #[arg(long, env = "KOHORTA_QUEUE_EVENTS", default_value_t = 20_000, value_name = "EVENTS",
          value_parser = clap::value_parser!(u32).range(2_000..=10_000_000))]
    queue_events: u32,
    /// How many events one transaction takes at most
    #[arg(long, env = "KOHORTA_TRANSACTION_EVENTS", default_value_t = 2_000, value_name = "EVENTS",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    transaction_events: u32,
    /// How long after a commit its events are folded into the sets
    #[arg(long, env = "KOHORTA_FOLD_INTERVAL_MS", default_value_t = 1_000, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u32).range(1..=3_600_000))]
    fold_interval_ms: u32,
    /// The memory for sets of users that are kept between questions
    #[arg(long, env = "KOHORTA_CACHE_BYTES", default_value_t = 64 * 1024 * 1024, value_name = "BYTES")]
    cache_bytes: u64,
    /// The OpenTelemetry collector that traces are sent to (OTLP over HTTP), such as http://127.0.0.1:4318; none if left out
    #[arg(long, env = "KOHORTA_OTLP_ENDPOINT", value_name = "URL", value_parser = parse_collector)]
    otlp_endpoint: Option<String>,
    /// The share of traces that are sent, 0 to 1; requests that come with a `traceparent` follow its decision
    #[arg(long, env = "KOHORTA_OTLP_SAMPLE_RATIO", default_value_t = 1.0, value_name = "SHARE", value_parser = parse_share)]
    otlp_sample_ratio: f64,
    /// Database connections for questions
    #[arg(long, env = "KOHORTA_READ_CONNECTIONS", default_value_t = 4, value_name = "CONNECTIONS",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    read_connections: u32,
    /// Database connections for ingest and the fold (PostgreSQL; SQLite always has one)
    #[arg(long, env = "KOHORTA_WRITE_CONNECTIONS", default_value_t = 5, value_name = "CONNECTIONS",
          value_parser = clap::value_parser!(u32).range(2..=1_000))]
    write_connections: u32,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// The address of a database. It may hold a password, so it shows itself in no message.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The address itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DatabaseUrl(…)")
    }
}

impl From<&str> for DatabaseUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// An API key as it was given. It shows itself in no message.
#[derive(Clone, PartialEq, Eq)]
struct ApiKeyText(String);

impl fmt::Debug for ApiKeyText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKeyText(…)")
    }
}

impl From<&str> for ApiKeyText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Why the program ends before it has begun.
#[derive(Debug)]
pub enum Refused {
    /// Help or the version was asked for: this text goes to standard output.
    Help(String),
    /// A value is wrong: this line goes to standard error, and the exit code is 2.
    Wrong(String),
}

impl Config {
    /// Reads the command line and the environment of this process.
    ///
    /// # Errors
    /// [`Refused`] with the text to show.
    pub fn from_process() -> Result<Self, Refused> {
        let config = Self::try_parse().map_err(|error| refused(&error))?;
        config.check()?;
        Ok(config)
    }

    /// What to do.
    pub fn into_command(self) -> (Command, CommonOptions) {
        (
            self.command
                .unwrap_or_else(|| Command::Serve(Box::new(self.serve))),
            self.common,
        )
    }

    fn serve_options(&self) -> &ServeOptions {
        match &self.command {
            Some(Command::Serve(options)) => options,
            _ => &self.serve,
        }
    }

    /// What clap cannot check without showing the value.
    fn check(&self) -> Result<(), Refused> {
        if let None | Some(Command::Serve(_)) = &self.command {
            self.serve_options().check()?;
        }
        let url = self.common.database_url.as_str();
        if ["sqlite:", "postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Ok(());
        }
        let line = "error: invalid value for '--database-url <URL>' (DATABASE_URL): \
                    it must begin with sqlite:// or postgres://";
        Err(Refused::Wrong(line.to_owned()))
    }
}

fn refused(error: &clap::Error) -> Refused {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Refused::Help(error.to_string()),
        _ => {
            let text = error.to_string();
            let first_paragraph = text.split("\n\n").next().unwrap_or_default();
            Refused::Wrong(first_paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        }
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "not an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000".to_owned())
}

fn parse_scope(word: &str) -> Result<Scope, String> {
    Scope::parse(word).ok_or_else(|| "not one of ingest, query, admin".to_owned())
}

fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(Expiry::LastDay(day));
    }
    let wrong = || "neither a day, such as 2027-12-31, nor a time, such as 30m, 12h, 90d or 52w".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let digits = text.trim_end_matches(unit);
    let is_number = digits.len() + 1 == text.len() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u32 = digits.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
    Ok(Expiry::After(TimeDelta::seconds(seconds * i64::from(count))))
}

pub(crate) fn parse_day(text: &str) -> Result<NaiveDate, String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    day.filter(|day| day.to_string() == text)
        .ok_or_else(|| "not a calendar day, such as 2025-01-01".to_owned())
}

fn parse_timezone(name: &str) -> Result<Tz, String> {
    name.parse()
        .map_err(|_| "not an IANA time zone, such as UTC or Europe/Berlin".to_owned())
}

fn parse_collector(text: &str) -> Result<String, String> {
    let authority = text.strip_prefix("http://").unwrap_or_default();
    if authority.is_empty() || authority.starts_with('/') || text.parse::<Uri>().is_err() {
        return Err("not an address such as http://127.0.0.1:4318 (https is a collector's work)".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "not a number from 0 to 1".to_owned())
}

impl Command {
    /// Where the traces of this command go, if anywhere.
    pub fn traces(&self) -> Option<TraceOptions> {
        match self {
            Self::Serve(options) => options.otlp_endpoint.clone().map(|endpoint| TraceOptions {
                endpoint,
                sample_ratio: options.otlp_sample_ratio,
            }),
            _ => None,
        }
    }
}

impl ServeOptions {
    /// Whether tables are brought up to date at start.
    pub fn migrate(&self) -> bool {
        !self.no_migrate
    }

    /// Whether anybody could read and write who can reach the address, unless there is a key in the database.
    pub fn rests_on_stored_keys(&self) -> bool {
        self.policy() == Policy::Always && self.api_key.is_none()
    }

    fn policy(&self) -> Policy {
        if self.no_auth {
            Policy::Never
        } else if self.listen.ip().is_loopback() {
            Policy::OnceThereAreKeys
        } else {
            Policy::Always
        }
    }

    /// What clap cannot check without showing a secret.
    fn check(&self) -> Result<(), Refused> {
        let Some(key) = &self.api_key else {
            return Ok(());
        };
        let wrong = |fault: &str| Refused::Wrong(format!("error: --api-key (KOHORTA_API_KEY): {fault}"));
        if self.no_auth {
            return Err(wrong(
                "a key and --no-auth (KOHORTA_NO_AUTH) contradict each other; leave one out",
            ));
        }
        FixedKey::parse(&key.0).map(|_| ()).map_err(|fault| wrong(&fault))
    }

    /// How to open the store.
    pub fn store(&self, common: &CommonOptions) -> StoreOptions {
        StoreOptions {
            timezone: self.timezone,
            cache_bytes: self.cache_bytes,
            read_connections: self.read_connections,
            // Nobody waits longer for the answer.
            question_timeout: Duration::from_secs(self.request_timeout_seconds.into()),
            silence_timeout: Duration::from_secs(self.database_silence_seconds),
            write_connections: self.write_connections,
            on_statement: Some(OnStatement::new(metrics::statement_finished)),
            ..StoreOptions::new(common.database_url.as_str())
        }
    }

    /// How the application behaves, listening on `address`.
    pub fn app(&self, address: SocketAddr) -> AppOptions {
        AppOptions {
            max_ahead: TimeDelta::seconds(self.max_ahead_seconds.into()),
            body_limit_bytes: self.body_limit_bytes as usize,
            bodies_limit_bytes: self.bodies_limit_bytes.max(self.body_limit_bytes) as usize,
            request_timeout: Duration::from_secs(self.request_timeout_seconds.into()),
            queue_events: self.queue_events as usize,
            transaction_events: self.transaction_events as usize,
            fold_interval: Duration::from_millis(self.fold_interval_ms.into()),
            auth: AuthOptions {
                policy: self.policy(),
                // It was checked when the command line was read.
                fixed_key: self.api_key.as_ref().and_then(|key| FixedKey::parse(&key.0).ok()),
                ..AuthOptions::default()
            },
            protect_metrics: self.protect_metrics,
            live_connections: self.max_live_connections as usize,
            introspection: self.introspection,
            playground: self.playground == Switch::On,
            cors_origins: Origins::new(self.cors_origins.iter().cloned()),
            rates: RateOptions {
                per_address: rate(self.address_rate, self.address_burst),
                per_key: rate(self.key_rate, self.key_burst),
            },
            trusted_proxies: self.trusted_proxies.into(),
            allowed_hosts: AllowedHosts::for_address(address, &self.allowed_hosts),
            ..AppOptions::default()
        }
    }

    fn connections_per_address(&self) -> Option<usize> {
        let bounded = self.max_address_connections > 0 && self.trusted_proxies == 0;
        bounded.then_some(self.max_address_connections as usize)
    }

    /// How connections are treated.
    pub fn listen_options(&self) -> ListenOptions {
        ListenOptions {
            connections: self.max_connections as usize,
            connections_per_address: self.connections_per_address(),
            idle_timeout: Duration::from_secs(self.idle_timeout_seconds),
            ..ListenOptions::default()
        }
    }
}

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    (per_second > 0).then_some(Rate { per_second, burst })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Command, Config, Refused, refused};

    fn parse(arguments: &[&str]) -> Result<Config, Refused> {
        let arguments = std::iter::once("kohorta").chain(arguments.iter().copied());
        let config = Config::try_parse_from(arguments).map_err(|error| refused(&error))?;
        config.check()?;
        Ok(config)
    }

    fn line(arguments: &[&str]) -> String {
        match parse(arguments) {
            Err(Refused::Wrong(line)) => line,
            other => panic!("{arguments:?} gave {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Config::command().debug_assert();
    }

    #[test]
    fn the_server_is_the_default_and_takes_its_options_with_or_without_its_name() {
        for arguments in [
            &["--listen", "127.0.0.1:9"][..],
            &["serve", "--listen", "127.0.0.1:9"],
        ] {
            let (command, _) = parse(arguments).expect("good arguments").into_command();
            let Command::Serve(options) = command else {
                panic!("not the server")
            };
            assert_eq!(options.listen.port(), 9);
        }
    }

    #[test]
    fn every_command_takes_a_database() {
        for command in [
            &["serve"][..],
            &["verify"],
            &["rebuild"],
            &["erase-user", "ana"],
            &["expire", "--before", "2025-01-01"],
            &["migrate", "up"],
            &["schema"],
        ] {
            let arguments = [command, &["--database-url", "sqlite://x.db"]].concat();
            assert_eq!(
                parse(&arguments)
                    .expect("good arguments")
                    .common
                    .database_url
                    .as_str(),
                "sqlite://x.db"
            );
        }
    }

    #[test]
    fn wrong_values_are_one_line() {
        for arguments in [
            &["--listen", "nowhere"][..],
            &["--timezone", "Mars/Olympus"],
            &["--body-limit-bytes", "0"],
            &["--playground", "maybe"],
            &["--otlp-endpoint", "https://collector"],
            &["--otlp-sample-ratio", "2"],
            &["--unknown"],
            &["migrate", "sideways"],
            &["rebuild", "--timezone", "x"],
            &["expire"],
            &["expire", "--before", "2025-1-1"],
            &["expire", "--before", "2025-02-29"],
        ] {
            let line = line(arguments);
            assert!(line.starts_with("error: ") && !line.contains('\n'), "{line}");
        }
        assert!(line(&["--timezone", "Mars/Olympus"]).contains("Europe/Berlin"));
    }

    #[test]
    fn connections_of_an_address_are_bounded_unless_a_proxy_makes_them() {
        for (arguments, bound) in [
            (&[][..], Some(1_024)),
            (&["--max-address-connections", "7"], Some(7)),
            (&["--max-address-connections", "0"], None),
            (
                &["--max-address-connections", "7", "--trusted-proxies", "1"],
                None,
            ),
        ] {
            let config = parse(arguments).expect("good arguments");
            assert_eq!(
                config.serve.listen_options().connections_per_address,
                bound,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        let url = "mysql://user:secret@host/db";
        assert!(!line(&["--database-url", url]).contains("secret"));
        let config = parse(&["--database-url", "postgres://user:secret@host/db"]).expect("a good address");
        assert!(!format!("{config:?}").contains("secret"));
    }
}
