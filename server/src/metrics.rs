//! Every metric of the server, declared in this one file, and the recorder behind `/metrics`.
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `http_requests_total` | counter | `method`, `endpoint` (the matched path), `status` |
//! | `http_request_duration_seconds` | histogram | the same |
//! | `http_requests_in_flight` | gauge | `method`, `endpoint` |
//! | `kohorta_build_info` | gauge, always 1 | `version`, `database` |
//! | `kohorta_errors_total` | counter | `code`, as in `extensions.code` of the answer |
//! | `kohorta_events_ingested_total` | counter | `outcome`: stored, duplicate, conflict, rejected, failed |
//! | `kohorta_denied_total` | counter | `reason`: missing, malformed, unknown, expired, unavailable, forbidden |
//! | `kohorta_ingest_queue_events` | gauge | |
//! | `kohorta_ingest_queue_limit_events` | gauge | |
//! | `kohorta_commit_events` | histogram | |
//! | `kohorta_commit_duration_seconds` | histogram | |
//! | `kohorta_fold_rows_total` | counter | |
//! | `kohorta_fold_duration_seconds` | histogram | |
//! | `kohorta_fold_lag_seconds` | gauge | |
//! | `kohorta_query_duration_seconds` | histogram | `operation` |
//! | `kohorta_live_connections` | gauge | `transport`: websocket, sse |
//! | `kohorta_subscriptions` | gauge | `operation` |
//! | `kohorta_results_sent_total` | counter | |
//! | `kohorta_slow_readers_total` | counter | `transport` |
//! | `kohorta_websockets_closed_total` | counter | `code` |
//! | `kohorta_statement_duration_seconds` | histogram | `statement`: its name in the store, of those that questions run |
//! | `kohorta_database_connections` | gauge | `pool`: read, write; `state`: used, idle |
//! | `kohorta_database_connections_limit` | gauge | `pool` |
//! | `process_resident_memory_bytes` | gauge | |
//! | `process_cpu_seconds_total` | counter | |
//! | `process_open_fds` | gauge | |
//! | `process_start_time_seconds` | gauge | |
//!
//! Labels come from closed sets. The recorder is one per process, so several servers in one process (tests) share it.

use std::sync::OnceLock;
use std::time::Duration;

use axum_prometheus::metrics::{
    self, Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, counter, gauge,
    histogram,
};
use axum_prometheus::metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use axum_prometheus::{EndpointLabel, PrometheusMetricLayer, PrometheusMetricLayerBuilder};

use store::PoolUse;

use crate::document::RootField;
use crate::error_code::Code;
use crate::process::ProcessUse;

const BUILD_INFO: &str = "kohorta_build_info";
const ERRORS: &str = "kohorta_errors_total";
const DENIED: &str = "kohorta_denied_total";
const EVENTS_INGESTED: &str = "kohorta_events_ingested_total";
const INGEST_QUEUE_EVENTS: &str = "kohorta_ingest_queue_events";
const INGEST_QUEUE_LIMIT: &str = "kohorta_ingest_queue_limit_events";
const COMMIT_EVENTS: &str = "kohorta_commit_events";
const COMMIT_DURATION: &str = "kohorta_commit_duration_seconds";
const FOLD_ROWS: &str = "kohorta_fold_rows_total";
const FOLD_DURATION: &str = "kohorta_fold_duration_seconds";
const FOLD_LAG: &str = "kohorta_fold_lag_seconds";
const QUERY_DURATION: &str = "kohorta_query_duration_seconds";
const LIVE_CONNECTIONS: &str = "kohorta_live_connections";
const SUBSCRIPTIONS: &str = "kohorta_subscriptions";
const RESULTS_SENT: &str = "kohorta_results_sent_total";
const SLOW_READERS: &str = "kohorta_slow_readers_total";
const WEBSOCKETS_CLOSED: &str = "kohorta_websockets_closed_total";
const STATEMENT_DURATION: &str = "kohorta_statement_duration_seconds";
const DATABASE_CONNECTIONS: &str = "kohorta_database_connections";
const DATABASE_CONNECTIONS_LIMIT: &str = "kohorta_database_connections_limit";
const PROCESS_MEMORY: &str = "process_resident_memory_bytes";
const PROCESS_CPU: &str = "process_cpu_seconds_total";
const PROCESS_FILES: &str = "process_open_fds";
const PROCESS_START: &str = "process_start_time_seconds";

/// From a quarter of a millisecond to ten seconds: from a primary-key lookup to the longest time-out.
const DURATION_BUCKETS: [f64; 15] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Transactions hold from one event to a full batch or more.
const EVENTS_BUCKETS: [f64; 13] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0,
];

/// The fields of the schema that may stand in the label `operation`.
const OPERATIONS: [&str; 13] = [
    "dau",
    "topEvents",
    "retention",
    "events",
    "event",
    "user",
    "eventTypes",
    "serverInfo",
    "ingestEvent",
    "ingestEvents",
    "eraseUser",
    "eventAdded",
    "activeToday",
];

/// Why somebody is not let in.
const DENIED_REASONS: [&str; 6] = [
    "missing",
    "malformed",
    "unknown",
    "expired",
    "unavailable",
    "forbidden",
];

/// Why metrics cannot be recorded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("metrics cannot be recorded: {0}")]
pub struct MetricsError(String);

/// What became of events that came in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IngestCounts {
    pub(crate) stored: u64,
    pub(crate) duplicate: u64,
    pub(crate) conflict: u64,
    pub(crate) rejected: u64,
    /// Those that got an error instead of an outcome: overloaded, database away. They may be stored all the same.
    pub(crate) failed: u64,
}

/// Somebody did not get in, or not at what they asked for; `reason` is one of [`DENIED_REASONS`].
pub(crate) fn denied(reason: &'static str) {
    counter!(DENIED, "reason" => reason).increment(1);
}

/// Counts events by what became of them.
pub(crate) fn events_ingested(counts: IngestCounts) {
    let by_outcome = [
        ("stored", counts.stored),
        ("duplicate", counts.duplicate),
        ("conflict", counts.conflict),
        ("rejected", counts.rejected),
        ("failed", counts.failed),
    ];
    for (outcome, count) in by_outcome {
        if count > 0 {
            counter!(EVENTS_INGESTED, "outcome" => outcome).increment(count);
        }
    }
}

/// An error with this code was answered.
pub(crate) fn error_answered(code: Code) {
    counter!(ERRORS, "code" => code.as_str()).increment(1);
}

/// One transaction of `events` events was committed in `elapsed`.
pub(crate) fn committed(events: usize, elapsed: Duration) {
    histogram!(COMMIT_EVENTS).record(events as f64);
    histogram!(COMMIT_DURATION).record(elapsed);
}

/// `rows` rows of the activity log were folded in `elapsed`.
pub(crate) fn folded(rows: u64, elapsed: Duration) {
    counter!(FOLD_ROWS).increment(rows);
    histogram!(FOLD_DURATION).record(elapsed);
}

/// An operation labelled `operation` was answered in `elapsed`.
pub(crate) fn query_finished(operation: &'static str, elapsed: Duration) {
    histogram!(QUERY_DURATION, "operation" => operation).record(elapsed);
}

/// How results reach a client that stays connected.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transport {
    WebSocket,
    EventStream,
}

impl Transport {
    fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::EventStream => "sse",
        }
    }
}

/// Something that is counted for as long as it lives.
pub(crate) struct Counted(Gauge);

impl Counted {
    fn new(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Counts an open WebSocket or event stream.
pub(crate) fn live_connection(transport: Transport) -> Counted {
    Counted::new(gauge!(LIVE_CONNECTIONS, "transport" => transport.label()))
}

/// Counts a subscription under way.
pub(crate) fn subscription(operation: &'static str) -> Counted {
    Counted::new(gauge!(SUBSCRIPTIONS, "operation" => operation))
}

/// `count` results were sent over connections that stay.
pub(crate) fn results_sent(count: usize) {
    counter!(RESULTS_SENT).increment(count as u64);
}

/// A reader was given up because it was too slow.
pub(crate) fn slow_reader(transport: Transport) {
    counter!(SLOW_READERS, "transport" => transport.label()).increment(1);
}

/// A WebSocket ended with this close code. Clients may send any code, so only known ones become labels.
pub(crate) fn socket_closed(code: u16) {
    let label = match code {
        1000 => "1000",
        1001 => "1001",
        1005 => "1005",
        1006 => "1006",
        1008 => "1008",
        1009 => "1009",
        1013 => "1013",
        4400 => "4400",
        4401 => "4401",
        4403 => "4403",
        4408 => "4408",
        4409 => "4409",
        4410 => "4410",
        4429 => "4429",
        _ => "other",
    };
    counter!(WEBSOCKETS_CLOSED, "code" => label).increment(1);
}

/// The statement `name` of a question was answered by the database in `elapsed`.
pub(crate) fn statement_finished(name: &str, elapsed: Duration) {
    histogram!(STATEMENT_DURATION, "statement" => name.to_owned()).record(elapsed);
}

/// The label for an operation with these fields at its top: the field's name, or what kind of mixture it is.
pub(crate) fn operation_label(root_fields: &[RootField]) -> &'static str {
    let mut named = root_fields
        .iter()
        .map(|field| field.name.as_str())
        .filter(|name| *name != "__typename");
    match (named.next(), named.next()) {
        (None, _) => "other",
        (Some(_), Some(_)) => "several",
        (Some(name), None) if name.starts_with("__") => "introspection",
        (Some(name), None) => OPERATIONS
            .into_iter()
            .find(|operation| *operation == name)
            .unwrap_or("other"),
    }
}

/// The figures that are read, not counted, when metrics are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readings {
    pub(crate) queued_events: usize,
    pub(crate) queue_limit_events: usize,
    pub(crate) fold_lag: Duration,
    pub(crate) database: &'static str,
    pub(crate) read_pool: PoolUse,
    pub(crate) write_pool: PoolUse,
}

/// The recorder of the process.
#[derive(Clone)]
pub(crate) struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// The recorder of the process, installed at the first call.
    pub(crate) fn of_process() -> Result<Self, MetricsError> {
        static INSTALLED: OnceLock<Result<PrometheusHandle, MetricsError>> = OnceLock::new();
        let handle = INSTALLED.get_or_init(install).clone()?;
        Ok(Self { handle })
    }

    /// The layer that counts and times HTTP requests. It goes around all others.
    pub(crate) fn http_layer(&self) -> PrometheusMetricLayer<'static> {
        PrometheusMetricLayerBuilder::new()
            .with_endpoint_label_type(EndpointLabel::MatchedPathWithFallbackFn(|_| {
                "unmatched".to_owned()
            }))
            .build()
    }

    /// All metrics in Prometheus' text format.
    pub(crate) fn render(&self, readings: Readings) -> String {
        gauge!(INGEST_QUEUE_EVENTS).set(readings.queued_events as f64);
        gauge!(INGEST_QUEUE_LIMIT).set(readings.queue_limit_events as f64);
        gauge!(FOLD_LAG).set(readings.fold_lag);
        gauge!(BUILD_INFO, "version" => env!("KOHORTA_VERSION"), "database" => readings.database).set(1);
        for (name, pool) in [("read", readings.read_pool), ("write", readings.write_pool)] {
            gauge!(DATABASE_CONNECTIONS, "pool" => name, "state" => "used").set(pool.open - pool.idle);
            gauge!(DATABASE_CONNECTIONS, "pool" => name, "state" => "idle").set(pool.idle);
            gauge!(DATABASE_CONNECTIONS_LIMIT, "pool" => name).set(pool.most);
        }
        if let Some(process) = ProcessUse::of_this() {
            gauge!(PROCESS_MEMORY).set(process.resident_bytes as f64);
            counter!(PROCESS_CPU).absolute(process.cpu.as_secs());
            gauge!(PROCESS_FILES).set(process.open_files as f64);
            gauge!(PROCESS_START).set(process.started_at_seconds);
        }
        self.handle.render()
    }

    /// Folds samples of histograms that nobody asked for yet; to be called every few seconds.
    pub(crate) fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn install() -> Result<PrometheusHandle, MetricsError> {
    let failed = |error: &dyn std::fmt::Display| MetricsError(error.to_string());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), &DURATION_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Full(COMMIT_EVENTS.to_owned()), &EVENTS_BUCKETS)
        })
        .map_err(|error| failed(&error))?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(Renaming(recorder)).map_err(|error| failed(&error))?;
    describe();
    Ok(handle)
}

fn describe() {
    metrics::describe_gauge!(
        BUILD_INFO,
        "Always 1; the labels say which version runs on which database."
    );
    metrics::describe_counter!(ERRORS, "Errors answered, by their code.");
    metrics::describe_counter!(DENIED, "Requests and fields refused for want of a good API key.");
    metrics::describe_counter!(EVENTS_INGESTED, "Events that came in, by what became of them.");
    metrics::describe_gauge!(INGEST_QUEUE_EVENTS, "Events that wait for a transaction.");
    metrics::describe_gauge!(INGEST_QUEUE_LIMIT, "The most events that may wait.");
    metrics::describe_histogram!(COMMIT_EVENTS, "Events in one transaction.");
    metrics::describe_histogram!(
        COMMIT_DURATION,
        Unit::Seconds,
        "Time to store one transaction of events."
    );
    metrics::describe_counter!(
        FOLD_ROWS,
        "Rows of the activity log that were folded into the sets."
    );
    metrics::describe_histogram!(
        FOLD_DURATION,
        Unit::Seconds,
        "Time of one transaction of the fold."
    );
    metrics::describe_gauge!(
        FOLD_LAG,
        Unit::Seconds,
        "Age of the oldest commit of this server not yet folded."
    );
    metrics::describe_histogram!(
        QUERY_DURATION,
        Unit::Seconds,
        "Time to answer one GraphQL operation."
    );
    metrics::describe_gauge!(LIVE_CONNECTIONS, "WebSockets and event streams that are open.");
    metrics::describe_gauge!(SUBSCRIPTIONS, "Subscriptions under way.");
    metrics::describe_counter!(RESULTS_SENT, "Results sent over WebSockets and event streams.");
    metrics::describe_counter!(
        SLOW_READERS,
        "Readers that were given up because they did not read what came."
    );
    metrics::describe_counter!(WEBSOCKETS_CLOSED, "WebSockets that ended, by their close code.");
    metrics::describe_histogram!(
        STATEMENT_DURATION,
        Unit::Seconds,
        "Time of one statement of a question in the database."
    );
    metrics::describe_gauge!(
        DATABASE_CONNECTIONS,
        "Open connections to the database, by what they are for."
    );
    metrics::describe_gauge!(
        DATABASE_CONNECTIONS_LIMIT,
        "The most connections to the database that there may be."
    );
    metrics::describe_gauge!(
        PROCESS_MEMORY,
        Unit::Bytes,
        "Memory that the process really occupies."
    );
    metrics::describe_counter!(
        PROCESS_CPU,
        Unit::Seconds,
        "Processor time that the process has taken."
    );
    metrics::describe_gauge!(PROCESS_FILES, "Open files, connections included, of the process.");
    metrics::describe_gauge!(
        PROCESS_START,
        Unit::Seconds,
        "When the process started, in seconds since 1970."
    );
    // Counters that begin at 0 instead of nowhere: their first increase is one.
    for reason in DENIED_REASONS {
        counter!(DENIED, "reason" => reason).increment(0);
    }
    for outcome in ["stored", "duplicate", "conflict", "rejected", "failed"] {
        counter!(EVENTS_INGESTED, "outcome" => outcome).increment(0);
    }
    for code in Code::ALL {
        counter!(ERRORS, "code" => code.as_str()).increment(0);
    }
    counter!(FOLD_ROWS).increment(0);
    counter!(RESULTS_SENT).increment(0);
    for transport in [Transport::WebSocket, Transport::EventStream] {
        gauge!(LIVE_CONNECTIONS, "transport" => transport.label()).set(0.0);
        counter!(SLOW_READERS, "transport" => transport.label()).increment(0);
    }
}

/// Gives the metrics of axum-prometheus, whose names are fixed when it is compiled, the names above.
struct Renaming(PrometheusRecorder);

fn renamed(name: &str) -> Option<&'static str> {
    match name {
        "axum_http_requests_total" => Some("http_requests_total"),
        "axum_http_requests_duration_seconds" => Some("http_request_duration_seconds"),
        "axum_http_requests_pending" => Some("http_requests_in_flight"),
        _ => None,
    }
}

fn renamed_key(key: &Key) -> Key {
    match renamed(key.name()) {
        Some(name) => Key::from_parts(name, key.labels()),
        None => key.clone(),
    }
}

fn renamed_name(name: KeyName) -> KeyName {
    renamed(name.as_str()).map_or(name, KeyName::from_const_str)
}

impl Recorder for Renaming {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_counter(renamed_name(name), unit, description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_gauge(renamed_name(name), unit, description);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe_histogram(renamed_name(name), unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.0.register_counter(&renamed_key(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.register_gauge(&renamed_key(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.0.register_histogram(&renamed_key(key), metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::operation_label;
    use crate::document::RootField;

    #[test]
    fn every_field_at_the_top_of_the_schema_has_its_name_in_labels() {
        let sdl = crate::graphql::schema_sdl();
        for root in ["type Query {", "type Mutation {", "type Subscription {"] {
            let (_, fields) = sdl.split_once(root).expect("the type is there");
            let (fields, _) = fields.split_once("\n}").expect("the type ends");
            // Fields are indented once, their arguments and descriptions begin otherwise.
            let names = fields.lines().filter_map(|line| {
                let line = line
                    .strip_prefix("  ")
                    .filter(|line| !line.starts_with([' ', '"', ')']))?;
                let (name, _) = line.split_once(['(', ':'])?;
                name.chars().all(char::is_alphanumeric).then_some(name)
            });
            let names: Vec<&str> = names.collect();
            assert!(!names.is_empty(), "{root}");
            for name in names {
                assert!(super::OPERATIONS.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn labels_of_operations_come_from_a_closed_set() {
        let label = |names: &[&str]| {
            let field = |&name: &&str| RootField {
                name: name.to_owned(),
                response_key: "key".to_owned(),
            };
            operation_label(&names.iter().map(field).collect::<Vec<_>>())
        };
        assert_eq!(label(&["dau"]), "dau");
        assert_eq!(label(&["__typename", "dau"]), "dau");
        assert_eq!(label(&["dau", "topEvents"]), "several");
        assert_eq!(label(&["__schema"]), "introspection");
        assert_eq!(label(&["anythingElse"]), "other");
        assert_eq!(label(&[]), "other");
    }
}
