//! The whole server inside the test: a store, the application, and real connections on a free port.

use std::net::SocketAddr;

use chrono_tz::Tz;
use serde_json::Value;
use server::app::{App, AppOptions};
use server::clock::Clock;
use server::listener::{self, ListenOptions};
use store::Store;
use tests::database::TestDatabase;
use tests::events::instant;
use tests::http::{Answer, Client};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the clock of every server in a test says.
pub(crate) const NOW: &str = "2026-03-10T12:00:00Z";

/// A running server.
pub(crate) struct Running {
    pub(crate) client: Client,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// A server in UTC whose clock stands at [`NOW`].
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Self::start_in(database, Tz::UTC, AppOptions::default()).await
    }

    /// A server in `zone` whose clock stands at [`NOW`].
    pub(crate) async fn start_in(database: &TestDatabase, zone: Tz, options: AppOptions) -> Self {
        Self::start_on(database.store_in(zone).await, options).await
    }

    /// A server on an open store.
    pub(crate) async fn start_on(store: Store, options: AppOptions) -> Self {
        Self::start_with(store, options, NOW).await
    }

    /// A server in UTC whose clock stands at another moment.
    pub(crate) async fn start_at(database: &TestDatabase, now: &str) -> Self {
        Self::start_with(database.store().await, AppOptions::default(), now).await
    }

    async fn start_with(store: Store, options: AppOptions, now: &str) -> Self {
        let options = AppOptions {
            clock: Clock::Fixed(instant(now)),
            ..options
        };
        let app = App::start(store, options).expect("the application starts");
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("the port is known");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            listener::run(listener, app.router(), ListenOptions::default(), stopped).await;
            app.close().await;
        });
        Self {
            client: Client::new(address),
            address,
            stop,
            task,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another connection.
    pub(crate) fn another_client(&self) -> Client {
        Client::new(self.address)
    }

    /// Sends an operation that must succeed, and gives its data.
    pub(crate) async fn data(&mut self, query: &str, variables: Value) -> Value {
        let answer = self.send(query, variables).await;
        let json = answer.json();
        assert!(
            answer.status == 200 && json.get("errors").is_none(),
            "{} {}",
            answer.status,
            answer.text()
        );
        json["data"].clone()
    }

    /// Sends an operation.
    pub(crate) async fn send(&mut self, query: &str, variables: Value) -> Answer {
        self.client
            .graphql(query, &variables)
            .await
            .expect("the server answers")
    }

    /// Stops in order, as a signal does, and waits for the end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the server stops");
    }
}
