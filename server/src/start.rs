//! From start to end of the server: connect, migrate, listen, wait for a signal, stop in order.
//!
//! The first SIGINT or SIGTERM stops in order: `/healthz` says 503, no connection is accepted, requests under way are
//! finished (within a deadline), what was accepted is committed, the log is folded, the store is closed. A second
//! signal ends the process at once.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::{CommonOptions, ServeOptions};
use crate::listener;
use crate::metrics::MetricsError;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Nobody would be asked for a key, and not only this machine can ask.
    #[error(
        "will not listen on {address} without an API key, because whoever reaches it could read and change everything: \
         make a key with `kohorta keys create --name NAME --scope admin`, or set KOHORTA_API_KEY, or say --no-auth if a \
         gate of your own stands in front"
    )]
    NoKey {
        /// The address.
        address: SocketAddr,
    },
    /// A key cannot be made.
    #[error("the operating system has no random bits")]
    Random(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Signals cannot be received.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// An option has a value that is not allowed.
    #[error("{0}")]
    Invalid(String),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// The tables could not be brought up to date.
    #[error("migration failed")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store could not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Metrics cannot be recorded.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

impl StartError {
    pub(crate) fn migration(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Migration(Box::new(error))
    }
}

/// `kohorta serve`: runs until a signal, then stops in order.
///
/// # Errors
/// [`StartError`] if the database cannot be reached or the address not be listened on.
pub async fn serve(common: &CommonOptions, options: &ServeOptions) -> Result<ExitCode, StartError> {
    let mut signals = Signals::new().map_err(StartError::Signals)?;
    if options.rests_on_stored_keys() {
        tokio::select! {
            outcome = demand_key(common, options.listen) => outcome?,
            code = signals.next() => return Ok(code),
        }
    }
    let listener = tokio::select! {
        listener = listen(options.listen) => listener?,
        code = signals.next() => return Ok(code),
    };
    let app = tokio::select! {
        app = start(common, options, &listener) => app?,
        code = signals.next() => return Ok(code),
    };
    let stop = CancellationToken::new();
    let readiness = app.readiness();
    let running = run(app, listener, options, stop.clone());
    tokio::pin!(running);
    tokio::select! {
        () = &mut running => return Ok(ExitCode::SUCCESS),
        _ = signals.next() => {}
    }
    tracing::info!("stopping: finishing what was accepted");
    readiness.stop();
    stop.cancel();
    tokio::select! {
        () = &mut running => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        code = signals.next() => {
            tracing::warn!("stopped at once by a second signal");
            Ok(code)
        }
    }
}

/// Makes sure that there is a key in the database; without its tables there is none.
async fn demand_key(common: &CommonOptions, address: SocketAddr) -> Result<(), StartError> {
    let database = store::connect(common.database_url.as_str()).await?;
    let wanted = match migration::is_current(&database).await {
        Ok(true) => store::keys_are_wanted(&database).await,
        Ok(false) => store::keys_are_wanted(&database).await.or(Ok(false)),
        Err(error) => return Err(StartError::migration(error)),
    };
    let _ = database.close().await;
    if wanted? {
        return Ok(());
    }
    Err(StartError::NoKey { address })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| StartError::Listen { address, cause })
}

async fn start(
    common: &CommonOptions,
    options: &ServeOptions,
    listener: &TcpListener,
) -> Result<App, StartError> {
    if options.migrate() {
        let database = store::connect(common.database_url.as_str()).await?;
        let migrated = migration::migrate(&database).await;
        // All is said by the migration's own outcome; a connection that does not close cleanly is of no consequence.
        let _ = database.close().await;
        migrated.map_err(StartError::migration)?;
    }
    let store = Store::open(options.store(common)).await?;
    let address = listener.local_addr().unwrap_or(options.listen);
    let (database, timezone) = (store.backend_name(), store.timezone().name());
    let app = App::start(store, options.app(address))?;
    tracing::info!(url = %format_args!("http://{address}/"), database, timezone, version = env!("KOHORTA_VERSION"), "listening");
    Ok(app)
}

async fn run(app: App, listener: TcpListener, options: &ServeOptions, stop: CancellationToken) {
    listener::run(listener, app.router(), options.listen_options(), stop).await;
    app.close().await;
}

/// The signals that ask the process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one; the exit code is the one a shell expects of a process that it ended.
    async fn next(&mut self) -> ExitCode {
        tokio::select! {
            _ = self.interrupt.recv() => ExitCode::from(130),
            _ = self.terminate.recv() => ExitCode::from(143),
        }
    }
}
