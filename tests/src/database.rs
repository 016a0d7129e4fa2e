//! A database of its own for each test, made by the real migrations, gone when the value is dropped.

use std::fmt;
use std::net::SocketAddr;
use std::time::SystemTime;

use chrono_tz::Tz;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbErr, QueryResult, Statement};
use store::{Store, StoreOptions};
use tempfile::TempDir;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::proxy::Proxy;
use crate::shared_cluster::SharedCluster;

/// One of the two databases that Kohorta runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file in a temporary folder.
    Sqlite,
    /// A database in the run's throw-away cluster.
    Postgres,
}

/// A database that nobody else uses.
#[derive(Debug)]
pub struct TestDatabase {
    backend: Backend,
    url: String,
    /// For SQLite: where the file lies.
    folder: Option<TempDir>,
    /// For PostgreSQL: the database's name.
    name: String,
}

impl TestDatabase {
    /// Without any table.
    ///
    /// # Panics
    /// If it cannot be made, saying why.
    pub async fn empty(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::sqlite(),
            Backend::Postgres => Self::postgres("template0").await,
        }
    }

    /// With the present schema and nothing in it.
    ///
    /// # Panics
    /// If it cannot be made, saying why.
    pub async fn migrated(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let database = Self::sqlite();
                migrate(&database.url).await;
                database
            }
            Backend::Postgres => Self::postgres(&template().await).await,
        }
    }

    /// Which one it is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Its address, as `--database-url` takes it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A store on it, with the defaults.
    ///
    /// # Panics
    /// If it does not open.
    pub async fn store(&self) -> Store {
        open(StoreOptions::new(&self.url)).await
    }

    /// A store on it that reports in `zone`.
    ///
    /// # Panics
    /// If it does not open.
    pub async fn store_in(&self, zone: Tz) -> Store {
        let mut options = StoreOptions::new(&self.url);
        options.timezone = Some(zone);
        open(options).await
    }

    /// A plain connection, past the store.
    ///
    /// # Panics
    /// If it does not connect.
    pub async fn connect(&self) -> DatabaseConnection {
        store::connect(&self.url)
            .await
            .expect("a test's database takes connections")
    }

    /// Runs one statement, past the store, and says how many rows it changed.
    ///
    /// # Panics
    /// If the database refuses it.
    pub async fn execute(&self, sql: &str) -> u64 {
        let connection = self.connect().await;
        let done = connection.execute_unprepared(sql).await;
        close(connection).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"))
            .rows_affected()
    }

    /// The only number that a query gives, past the store.
    ///
    /// # Panics
    /// If the query gives something else.
    pub async fn number(&self, sql: &str) -> i64 {
        let rows = self.rows(sql).await;
        rows[0]
            .try_get_by_index(0)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// What a query gives, past the store.
    ///
    /// # Panics
    /// If the database refuses it.
    pub async fn rows(&self, sql: &str) -> Vec<QueryResult> {
        let connection = self.connect().await;
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let rows = connection.query_all_raw(statement).await;
        close(connection).await;
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// A network in front of this database that can be cut, and the database's address through it.
    ///
    /// # Panics
    /// For SQLite: a file is always within reach.
    pub async fn behind_proxy(&self) -> (Proxy, String) {
        assert_eq!(self.backend, Backend::Postgres, "a file is always within reach");
        let port = SharedCluster::join().port();
        let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], port))).await;
        let url = Cluster::url(proxy.address().port(), &self.name);
        (proxy, url)
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let url = format!("sqlite://{}", folder.path().join("kohorta.db").display());
        Self {
            backend: Backend::Sqlite,
            url,
            folder: Some(folder),
            name: String::new(),
        }
    }

    async fn postgres(template: &str) -> Self {
        let cluster = SharedCluster::join();
        let name = format!("test_{}", Uuid::new_v4().simple());
        administer(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .expect("a database can be made");
        Self {
            backend: Backend::Postgres,
            url: cluster.url(&name),
            folder: None,
            name,
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.folder.is_some() {
            return;
        }
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(administer(&sql)).map_err(std::io::Error::other)
        });
        // The cluster goes at the end of the run, and with it what could not be dropped here.
        let _ = dropping.join();
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        output.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

async fn open(options: StoreOptions) -> Store {
    Store::open(options).await.expect("a test's store opens")
}

async fn migrate(url: &str) {
    let connection = store::connect(url)
        .await
        .expect("a test's database takes connections");
    migration::migrate(&connection)
        .await
        .expect("migrations apply to an empty database");
    close(connection).await;
}

async fn close(connection: DatabaseConnection) {
    connection.close().await.expect("connections close");
}

/// The migrated database that others are copied from: one for each build of the tests, made by who comes first.
async fn template() -> String {
    let built = std::env::current_exe()
        .and_then(|path| path.metadata())
        .and_then(|metadata| metadata.modified());
    let built = built
        .ok()
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or_default();
    let name = format!("template_{}", built.as_nanos());
    let cluster = SharedCluster::join();
    let _alone = cluster.lock_templates();
    // Changes nothing, and fails where there is no such database.
    let known = format!("ALTER DATABASE {name} CONNECTION LIMIT -1");
    if administer(&known).await.is_ok() {
        return name;
    }
    let unfinished = format!("{name}_unfinished");
    administer(&format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"))
        .await
        .expect("databases can be dropped");
    administer(&format!("CREATE DATABASE {unfinished} TEMPLATE template0"))
        .await
        .expect("a database can be made");
    migrate(&cluster.url(&unfinished)).await;
    administer(&format!("ALTER DATABASE {unfinished} RENAME TO {name}"))
        .await
        .expect("databases can be renamed");
    name
}

/// Runs one statement in the cluster's own database.
async fn administer(sql: &str) -> Result<(), DbErr> {
    let connection = Database::connect(SharedCluster::join().url("postgres")).await?;
    let done = connection.execute_unprepared(sql).await.map(|_| ());
    connection.close().await?;
    done
}
