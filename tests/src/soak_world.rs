//! What surrounds the servers of a long run, and what can happen to it.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, TransactionTrait,
};
use tempfile::TempDir;

use crate::cluster::{Cluster, Durability};
use crate::proxy::Proxy;

/// How long the write lock of SQLite's file is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Which database a run uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file in a temporary folder, with one server.
    Sqlite,
    /// A throw-away cluster whose commits reach the disk, behind a network that can fail, with two servers.
    Postgres,
}

/// Something that happens in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of a server, which is started again.
    KillServer,
    /// SIGTERM of a server, which is started again.
    StopServer,
    /// An import of the same events that the servers get.
    Import,
    /// An import that is killed.
    KillImporter,
    /// PostgreSQL stops at once, as in a crash.
    CrashPostgres,
    /// PostgreSQL's processes stand still, and later go on.
    FreezePostgres,
    /// Every session is ended by PostgreSQL.
    EndSessions,
    /// Every connection breaks, and new ones are refused.
    CutNetwork,
    /// Connections stay open, and nothing comes through.
    StallNetwork,
    /// The same, and those connections never come to life again, only new ones do.
    StrandConnections,
    /// Everything comes late.
    SlowNetwork,
    /// Another process holds the file's write lock.
    LockFile,
    /// The file is not where it was.
    MoveFile,
}

impl Fault {
    /// How long it lasts, in milliseconds. Silence is noticed after a few seconds, so it may take longer.
    pub fn duration_ms(self) -> Range<u64> {
        match self {
            Self::FreezePostgres | Self::StallNetwork => 100..7_000,
            Self::StrandConnections => 5_000..7_000,
            _ => 100..3_000,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        output.write_str(match self {
            Self::KillServer => "server killed",
            Self::StopServer => "server stopped",
            Self::Import => "import",
            Self::KillImporter => "importer killed",
            Self::CrashPostgres => "PostgreSQL stopped at once",
            Self::FreezePostgres => "PostgreSQL stood still",
            Self::EndSessions => "sessions ended",
            Self::CutNetwork => "network cut",
            Self::StallNetwork => "network stalled",
            Self::StrandConnections => "connections lost without a word",
            Self::SlowNetwork => "network slow",
            Self::LockFile => "file locked",
            Self::MoveFile => "file moved away",
        })
    }
}

/// A database and the way to it.
pub struct World {
    server_url: String,
    database_url: String,
    place: Place,
}

enum Place {
    Sqlite {
        path: PathBuf,
        operator: Option<DatabaseConnection>,
        lock: Option<DatabaseTransaction>,
        /// Removed when the run is over.
        _folder: TempDir,
    },
    Postgres {
        cluster: Cluster,
        network: Proxy,
    },
}

impl World {
    /// Makes an empty database.
    ///
    /// # Errors
    /// A sentence that says what is missing on this machine.
    pub async fn make(backend: Backend) -> Result<Self, String> {
        match backend {
            Backend::Sqlite => {
                let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
                let path = folder.path().join("kohorta.db");
                let url = format!("sqlite://{}", path.display());
                Ok(Self {
                    server_url: url.clone(),
                    database_url: url,
                    place: Place::Sqlite {
                        path,
                        operator: None,
                        lock: None,
                        _folder: folder,
                    },
                })
            }
            Backend::Postgres => {
                let cluster = Cluster::start(Durability::Durable)?;
                let network = Proxy::start(SocketAddr::from(([127, 0, 0, 1], cluster.port()))).await;
                Ok(Self {
                    server_url: Cluster::url(network.address().port(), "postgres"),
                    database_url: Cluster::url(cluster.port(), "postgres"),
                    place: Place::Postgres { cluster, network },
                })
            }
        }
    }

    /// Makes ready what faults need; the database has its tables now.
    ///
    /// # Errors
    /// What the database complained of.
    pub async fn operate(&mut self) -> Result<(), String> {
        let connection = connect(&self.database_url).await?;
        match &mut self.place {
            Place::Sqlite { operator, .. } => *operator = Some(connection),
            Place::Postgres { .. } => connection.close().await.map_err(|error| error.to_string())?,
        }
        Ok(())
    }

    /// The address of the database as servers and importers know it.
    pub fn server_url(&self) -> &str {
        &self.server_url
    }

    /// The address of the database past everything that can fail.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        match self.place {
            Place::Sqlite { .. } => 1,
            Place::Postgres { .. } => 2,
        }
    }

    /// What can happen here.
    pub fn faults(&self) -> &'static [Fault] {
        match self.place {
            Place::Sqlite { .. } => &[
                Fault::KillServer,
                Fault::StopServer,
                Fault::Import,
                Fault::KillImporter,
                Fault::LockFile,
                Fault::MoveFile,
            ],
            Place::Postgres { .. } => &[
                Fault::KillServer,
                Fault::StopServer,
                Fault::Import,
                Fault::KillImporter,
                Fault::CrashPostgres,
                Fault::FreezePostgres,
                Fault::EndSessions,
                Fault::CutNetwork,
                Fault::StallNetwork,
                Fault::StrandConnections,
                Fault::SlowNetwork,
            ],
        }
    }

    /// Lets a fault of the database or of the way there happen.
    ///
    /// # Errors
    /// A sentence, if that does not work.
    pub async fn begin(&mut self, fault: Fault) -> Result<(), String> {
        match (fault, &mut self.place) {
            (Fault::CrashPostgres, Place::Postgres { cluster, .. }) => cluster.stop_at_once(),
            (Fault::FreezePostgres, Place::Postgres { cluster, .. }) => cluster.freeze(),
            (Fault::EndSessions, Place::Postgres { .. }) => {
                let operator = connect(&self.database_url).await?;
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kohorta'";
                execute(&operator, sql).await?;
                operator.close().await.map_err(|error| error.to_string())?;
            }
            (Fault::CutNetwork, Place::Postgres { network, .. }) => network.cut().await,
            (Fault::StallNetwork, Place::Postgres { network, .. }) => network.stall(),
            (Fault::StrandConnections, Place::Postgres { network, .. }) => {
                network.strand();
                network.stall();
            }
            (Fault::SlowNetwork, Place::Postgres { network, .. }) => {
                network.slow_down(Duration::from_millis(100));
            }
            (Fault::LockFile, Place::Sqlite { operator, lock, .. }) => {
                let operator = operator.as_ref().ok_or("there is no operator")?;
                *lock = Some(write_lock(operator).await?);
            }
            (Fault::MoveFile, Place::Sqlite { path, .. }) => {
                std::fs::rename(&*path, path.with_extension("elsewhere"))
                    .map_err(|error| error.to_string())?;
            }
            (fault, _) => return Err(format!("{fault} cannot happen here")),
        }
        Ok(())
    }

    /// Ends a fault, if it is one that lasts.
    ///
    /// # Errors
    /// A sentence, if that does not work.
    pub async fn end(&mut self, fault: Fault) -> Result<(), String> {
        match (fault, &mut self.place) {
            (Fault::CrashPostgres, Place::Postgres { cluster, .. }) => cluster.start_again(),
            (Fault::FreezePostgres, Place::Postgres { cluster, .. }) => {
                cluster.thaw();
                Ok(())
            }
            (
                Fault::CutNetwork | Fault::StallNetwork | Fault::StrandConnections | Fault::SlowNetwork,
                Place::Postgres { network, .. },
            ) => {
                network.mend().await;
                Ok(())
            }
            (Fault::LockFile, Place::Sqlite { lock, .. }) => match lock.take() {
                Some(transaction) => transaction.rollback().await.map_err(|error| error.to_string()),
                None => Ok(()),
            },
            (Fault::MoveFile, Place::Sqlite { path, .. }) => {
                std::fs::rename(path.with_extension("elsewhere"), &*path).map_err(|error| error.to_string())
            }
            _ => Ok(()),
        }
    }
}

/// Takes SQLite's write lock. It goes to whoever asks at the right moment, so servers and importers at work can keep it from
/// us for a while.
async fn write_lock(operator: &DatabaseConnection) -> Result<DatabaseTransaction, String> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        let transaction = operator.begin().await.map_err(|error| error.to_string())?;
        match execute(&transaction, "DELETE FROM settings WHERE key = 'none'").await {
            Ok(()) => return Ok(transaction),
            Err(busy) if Instant::now() > until => return Err(busy),
            Err(_) => transaction.rollback().await.map_err(|error| error.to_string())?,
        }
    }
}

/// One connection, past everything that can fail.
async fn connect(database_url: &str) -> Result<DatabaseConnection, String> {
    let mut options = ConnectOptions::new(database_url);
    options.max_connections(1);
    Database::connect(options)
        .await
        .map_err(|error| error.to_string())
}

async fn execute(connection: &impl ConnectionTrait, sql: &str) -> Result<(), String> {
    let done = connection.execute_unprepared(sql).await;
    done.map(|_| ()).map_err(|error| format!("{sql}: {error}"))
}
