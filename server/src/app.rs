//! The application: a store, the tasks around it, and the router that answers for it.
//!
//! [`App::start`] begins the work behind the requests (group commit, fold), [`App::router`] is what HTTP talks to, and
//! [`App::close`] ends it all in order. Several can live in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use chrono::TimeDelta;
use store::{Checkpointer, Folder, FolderOptions, Store, StoreError, Writer, WriterOptions};
use tokio::task::JoinHandle;

use crate::auth::{AuthOptions, Gate};
use crate::clock::Clock;
use crate::graphql::{Introspection, Resources, Schema, schema, schema_of_known_documents};
use crate::http;
use crate::http::cors::Origins;
use crate::http::health::DatabaseHealth;
use crate::http::hosts::AllowedHosts;
use crate::limits::{
    BODY_PIECE_TIMEOUT, EXPORT_STALL_TIMEOUT, FOLD_IDLE, FOLD_ROWS, LAST_FOLD_TIMEOUT, SOCKET_INIT_TIMEOUT,
};
use crate::logging::chain;
use crate::metrics::{Metrics, MetricsError, Readings};
use crate::progress::Progress;
use crate::rate::RateOptions;
use crate::today::Today;

/// How an [`App`] behaves. Every field has a default that suits a small server; units are in the names or types.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// Where the time of day comes from.
    pub clock: Clock,
    /// How far an event may lie ahead of the clock.
    pub max_ahead: TimeDelta,
    /// The largest request body, inflated.
    pub body_limit_bytes: usize,
    /// What all request bodies under way may take in memory together, with what reading their JSON takes.
    pub bodies_limit_bytes: usize,
    /// How long a request may take once it has arrived.
    pub request_timeout: Duration,
    /// How long a client may take to send the next piece of a body.
    pub body_piece_timeout: Duration,
    /// How many events may wait for a transaction.
    pub queue_events: usize,
    /// How many events one transaction takes at most.
    pub transaction_events: usize,
    /// How long after a commit its events are folded.
    pub fold_interval: Duration,
    /// Who gets in.
    pub auth: AuthOptions,
    /// Whether `/metrics` wants a key with the scope `query`.
    pub protect_metrics: bool,
    /// How many WebSockets and event streams may be open.
    pub live_connections: usize,
    /// How long a WebSocket may take to begin.
    pub socket_init_timeout: Duration,
    /// How long the client of an export may take for one piece of it.
    pub export_stall_timeout: Duration,
    /// Whether clients may ask for the schema itself.
    pub introspection: Introspection,
    /// Whether the playground is served.
    pub playground: bool,
    /// Which web pages from elsewhere may use the API.
    pub cors_origins: Origins,
    /// How many requests one client may send.
    pub rates: RateOptions,
    /// How many proxies in front write `X-Forwarded-For`.
    pub trusted_proxies: usize,
    /// Which hosts requests may name.
    pub allowed_hosts: AllowedHosts,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self {
            clock: Clock::System,
            max_ahead: store::new_event::DEFAULT_MAX_AHEAD,
            body_limit_bytes: 8 * 1024 * 1024,
            bodies_limit_bytes: 256 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            body_piece_timeout: BODY_PIECE_TIMEOUT,
            queue_events: 20_000,
            transaction_events: 2_000,
            fold_interval: Duration::from_secs(1),
            auth: AuthOptions::default(),
            protect_metrics: false,
            live_connections: 2_048,
            socket_init_timeout: SOCKET_INIT_TIMEOUT,
            export_stall_timeout: EXPORT_STALL_TIMEOUT,
            introspection: Introspection::On,
            playground: true,
            cors_origins: Origins::default(),
            rates: RateOptions::default(),
            trusted_proxies: 0,
            allowed_hosts: AllowedHosts::Any,
        }
    }
}

/// A running application.
pub struct App {
    state: AppState,
    folder: Folder,
    checkpointer: Checkpointer,
    upkeep_task: JoinHandle<()>,
    keys_task: JoinHandle<()>,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) gate: Gate,
    pub(crate) resources: Resources,
    pub(crate) schema: Schema,
    pub(crate) schema_of_known_documents: Schema,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    pub(crate) health: DatabaseHealth,
    pub(crate) progress: Arc<Progress>,
    pub(crate) options: Arc<AppOptions>,
}

/// Whether the server still wants requests.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on `/healthz` says 503.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl AppState {
    pub(crate) fn readings(&self) -> Readings {
        Readings {
            queued_events: self.writer.queued_events(),
            queue_limit_events: self.options.queue_events,
            fold_lag: self.progress.fold_lag(),
            database: self.store.backend_name(),
            read_pool: self.store.read_pool(),
            write_pool: self.store.write_pool(),
        }
    }
}

impl App {
    /// Starts the work behind the requests on the present tokio runtime.
    ///
    /// # Errors
    /// [`MetricsError`] if another recorder of metrics is installed in this process.
    pub fn start(store: Store, options: AppOptions) -> Result<Self, MetricsError> {
        let metrics = Metrics::of_process()?;
        let progress = Arc::new(Progress::default());
        let writer_options = WriterOptions {
            queue_events: options.queue_events,
            transaction_events: options.transaction_events,
            observer: progress.clone(),
            ..WriterOptions::default()
        };
        let writer = Writer::start(store.clone(), writer_options);
        let resources = Resources {
            store: store.clone(),
            writer: writer.clone(),
            clock: options.clock,
            today: Today::new(store.clone(), options.clock),
            max_ahead: options.max_ahead,
            body_limit_bytes: options.body_limit_bytes,
            request_timeout: options.request_timeout,
            hardened: options.introspection == Introspection::Off,
        };
        let folder_options = FolderOptions {
            delay: options.fold_interval,
            idle: FOLD_IDLE,
            max_rows: FOLD_ROWS,
            observer: progress.clone(),
        };
        let folder = Folder::start(store.clone(), folder_options);
        let checkpointer = Checkpointer::start(store.clone());
        let upkeep_task = tokio::spawn(keep_metrics_small(metrics.clone()));
        let gate = Gate::new(store.clone(), options.clock, &options.auth);
        let keys_task = gate.keep_fresh(options.auth.refresh);
        let state = AppState {
            gate,
            schema: schema(resources.clone(), options.introspection),
            schema_of_known_documents: schema_of_known_documents(resources.clone(), options.introspection),
            resources,
            store,
            writer,
            metrics,
            readiness: Readiness::default(),
            health: DatabaseHealth::default(),
            progress,
            options: Arc::new(options),
        };
        Ok(Self {
            state,
            folder,
            checkpointer,
            upkeep_task,
            keys_task,
        })
    }

    /// The router that answers requests.
    pub fn router(&self) -> Router {
        http::router(self.state.clone())
    }

    /// Whether the application still wants requests.
    pub fn readiness(&self) -> Readiness {
        self.state.readiness.clone()
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// Finishes what was accepted, folds what time allows, and closes the store. No request may be under way.
    pub async fn close(self) {
        self.state.readiness.stop();
        self.state.writer.close().await;
        self.folder.stop().await;
        self.upkeep_task.abort();
        self.keys_task.abort();
        if let Err(error) = fold_what_is_left(&self.state.store).await {
            tracing::warn!(
                error = chain(&error),
                "what is left will be folded at the next start"
            );
        }
        self.checkpointer.stop().await;
        self.state.store.close().await;
    }
}

/// Folds until nothing is left or the time is up; a fold under way is never cut off.
async fn fold_what_is_left(store: &Store) -> Result<(), StoreError> {
    let deadline = Instant::now() + LAST_FOLD_TIMEOUT;
    while Instant::now() < deadline {
        let report = store.fold(FOLD_ROWS).await?;
        if report.rows == 0 {
            break;
        }
    }
    Ok(())
}

async fn keep_metrics_small(metrics: Metrics) {
    const EVERY: Duration = Duration::from_secs(5);
    loop {
        tokio::time::sleep(EVERY).await;
        metrics.run_upkeep();
    }
}
