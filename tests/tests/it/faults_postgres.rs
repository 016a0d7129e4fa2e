//! What happens to PostgreSQL, and to the way there, while a server is under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement};
use serde_json::{Value, json};
use store::new_event::NewEvent;
use store::{IngestOutcome, Store, StoreError, StoreOptions};
use tests::cluster::{Cluster, Durability};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};
use tests::load::LoadOptions;
use tests::small_disk::SmallDisk;
use tests::socket::{Heard, Socket};

use crate::checks::verify_is_clean;
use crate::faults::Trial;

/// A cluster that a test may do anything to, and the address of a database in it.
fn cluster(connections: u32) -> (Cluster, String) {
    let cluster = Cluster::start_for(Durability::Durable, connections)
        .unwrap_or_else(|complaint| panic!("this test needs PostgreSQL: {complaint}"));
    let url = Cluster::url(cluster.port(), "postgres");
    (cluster, url)
}

/// One connection past the server, or none where PostgreSQL has no room.
async fn try_connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(500));
    Database::connect(options).await
}

async fn connect(url: &str) -> DatabaseConnection {
    try_connect(url).await.expect("PostgreSQL takes connections")
}

async fn count(database: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = database.query_one_raw(statement).await;
    let row = row.unwrap_or_else(|error| panic!("{sql}: {error}"));
    row.and_then(|row| row.try_get_by_index(0).ok())
        .expect("a number")
}

async fn execute(database: &DatabaseConnection, sql: &str) {
    database
        .execute_unprepared(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_stopped_at_once_and_started_again() {
    let (mut cluster, url) = cluster(100);
    let trial = Trial::start(&url, &url).await;
    for _ in 0..2 {
        cluster.stop_at_once();
        trial.is_away().await;
        cluster.start_again().expect("PostgreSQL starts again");
        trial.comes_back().await;
    }
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_says_nothing_any_more() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut network, url) = database.behind_proxy().await;
    let trial = Trial::start(&url, database.url()).await;
    network.stall();
    trial.refuses_reads().await;
    trial.is_away().await;
    network.mend().await;
    trial.comes_back().await;
    trial.ends_well().await;
    no_session_is_left_in_a_transaction(&database).await;
}

/// Its processes are there, the system takes connections for them, and none of them gets on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_stands_still() {
    let (mut cluster, url) = cluster(100);
    let trial = Trial::start(&url, &url).await;
    for _ in 0..2 {
        cluster.freeze();
        trial.refuses_reads().await;
        trial.is_away().await;
        cluster.thaw();
        trial.comes_back().await;
    }
    trial.ends_well().await;
}

/// Connections to a machine that is gone do not break, and bring nothing any more; another machine takes its place. Neither
/// questions nor subscriptions may go on waiting for the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_is_lost_without_a_word() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut network, url) = database.behind_proxy().await;
    let trial = Trial::start(&url, database.url()).await;
    let heard = follow(trial.server.address()).await;
    for _ in 0..2 {
        hears(&trial, &heard).await;
        network.strand();
        network.stall();
        trial.refuses_reads().await;
        trial.is_away().await;
        network.mend().await;
        trial.comes_back().await;
    }
    hears(&trial, &heard).await;
    trial.ends_well().await;
    no_session_is_left_in_a_transaction(&database).await;
}

/// Events that are stored from now on are heard of.
async fn hears(trial: &Trial, heard: &AtomicU64) {
    let before = heard.load(Ordering::SeqCst);
    for _ in 0..50 {
        trial.flows().await;
        if heard.load(Ordering::SeqCst) > before {
            return;
        }
    }
    panic!(
        "nothing is heard of any more: {}\n{:#?}",
        trial.load.tally(),
        trial.server.log_tail(20)
    );
}

/// Follows the events of a server for as long as it is there, and counts them.
async fn follow(address: SocketAddr) -> Arc<AtomicU64> {
    let heard = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&heard);
    let mut socket = Socket::ready(address).await;
    socket
        .subscribe("1", "subscription { eventAdded { eventId } }", json!({}))
        .await;
    tokio::spawn(async move {
        loop {
            let heard = socket.hear().await;
            assert!(
                matches!(&heard, Heard::Message(message) if message["type"] == "next"),
                "{heard:?}"
            );
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_is_slow() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut network, url) = database.behind_proxy().await;
    let trial = Trial::start(&url, database.url()).await;
    network.slow_down(Duration::from_millis(30));
    trial.flows().await;
    trial.reads().await;
    network.slow_down(Duration::from_secs(2));
    trial.refuses_ingest().await;
    network.mend().await;
    trial.comes_back().await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_cuts_connections_again_and_again() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let trial = Trial::start(database.url(), database.url()).await;
    for _ in 0..10 {
        let sql = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND application_name = 'kohorta' AND pid <> pg_backend_pid()";
        database.number(sql).await;
        trial.flows().await;
        trial.reads().await;
    }
    trial.comes_back().await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_out_of_connections() {
    const MOST: u32 = 20;
    let (_cluster, url) = cluster(MOST);
    let trial = Trial::start(&url, &url).await;
    let mut held = vec![connect(&url).await];
    // The server takes some of its connections back in between, until we have them all.
    let sessions =
        "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'kohorta'";
    while count(&held[0], sessions).await > 0 {
        while let Ok(connection) = try_connect(&url).await {
            held.push(connection);
        }
    }
    trial.is_away().await;
    for connection in held {
        connection.close().await.expect("connections close");
    }
    trial.comes_back().await;
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_read_only() {
    let (_cluster, url) = cluster(100);
    let trial = Trial::start(&url, &url).await;
    let operator = connect(&url).await;
    for (value, writable) in [("on", false), ("off", true)] {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        // The operator's own session is not allowed to write either, unless it says so.
        execute(&operator, "SET default_transaction_read_only = off").await;
        execute(&operator, &sql).await;
        execute(&operator, "SELECT pg_reload_conf()").await;
        if writable {
            trial.comes_back().await;
        } else {
            tokio::time::sleep(Duration::from_millis(300)).await;
            trial.refuses_ingest().await;
            trial.reads().await;
        }
    }
    trial.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_disk_full() {
    let disk = SmallDisk::mount(40).unwrap_or_else(|complaint| panic!("{complaint}"));
    let (cluster, url) = cluster(100);
    cluster.give(disk.path()).expect("root may give folders away");
    let operator = connect(&url).await;
    execute(
        &operator,
        &format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display()),
    )
    .await;
    execute(&operator, "CREATE DATABASE small TABLESPACE small").await;
    let url = Cluster::url(cluster.port(), "small");
    operator.close().await.expect("connections close");
    let trial = Trial::start(&url, &url).await;
    disk.fill().expect("the disk can be filled");
    refused_soon(&trial).await;
    trial.reads().await;
    assert_eq!(trial.health().await, 200, "questions are still answered");
    disk.clear().expect("room can be made");
    trial.comes_back().await;
    trial.ends_well().await;
    // The cluster stops before its disk goes.
    drop(cluster);
}

/// What is free inside of files is used up first: in pages, and in SQLite's log of writes.
pub(crate) async fn refused_soon(trial: &Trial) {
    let before = trial.load.tally().refused;
    for _ in 0..6_000 {
        if trial.load.tally().refused > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a full disk refuses nothing: {}", trial.load.tally());
}

/// Row 1 of what our own stack did to us: clients that hang up while the database stalls left connections in
/// transactions that nobody knew of, and what came later on them was acknowledged and lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_on_a_stalling_postgres() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut network, url) = database.behind_proxy().await;
    let options = LoadOptions {
        hang_ups: 0.4,
        connections: 40,
        ..LoadOptions::default()
    };
    let trial = Trial::start_with(&url, database.url(), options).await;
    for _ in 0..20 {
        network.stall();
        tokio::time::sleep(Duration::from_millis(150)).await;
        network.mend().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    trial.comes_back().await;
    let tally = trial.ends_well().await;
    assert!(tally.hang_ups > 100, "{tally}");
    no_session_is_left_in_a_transaction(&database).await;
}

async fn no_session_is_left_in_a_transaction(database: &TestDatabase) {
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND state LIKE 'idle in transaction%'";
    assert_eq!(database.number(sql).await, 0);
}

/// Sessions in the middle of copying events.
const COPYING: &str = "FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                       AND query LIKE '%copy_events%' AND pid <> pg_backend_pid()";

/// As many events as are copied, four megabytes: on a slow network it takes a while.
fn many_events() -> Vec<NewEvent> {
    let mut events = numbered_events("copied ", 5_000);
    for event in &mut events {
        let padding = Value::from("x".repeat(800));
        event.properties.insert("padding".to_owned(), padding);
    }
    events.iter().map(Event::parsed).collect()
}

async fn until_events_are_copied(database: &TestDatabase) {
    for _ in 0..1_000 {
        if database.number(&format!("SELECT COUNT(*) {COPYING}")).await > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody copies");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_cut_off_leaves_nothing() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (mut network, url) = database.behind_proxy().await;
    let store = Store::open(StoreOptions::new(url))
        .await
        .expect("the store opens");
    for _ in 0..2 {
        network.slow_down(Duration::from_millis(20));
        let ingesting = tokio::spawn({
            let store = store.clone();
            async move { store.ingest(many_events()).await }
        });
        until_events_are_copied(&database).await;
        network.cut().await;
        let outcomes = ingesting.await.expect("the task ends");
        assert!(
            matches!(outcomes, Err(StoreError::Unavailable(_))),
            "{:?}",
            outcomes.map(|outcomes| outcomes.len())
        );
        assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 0);
        network.mend().await;
    }
    let outcomes = store.ingest(many_events()).await.expect("ingest works");
    assert!(outcomes.iter().all(|outcome| *outcome == IngestOutcome::Stored));
    verify_is_clean(&store).await;
    no_session_is_left_in_a_transaction(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_in_a_copy_is_replaced() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (network, url) = database.behind_proxy().await;
    let store = Store::open(StoreOptions::new(url))
        .await
        .expect("the store opens");
    network.slow_down(Duration::from_millis(20));
    let ingesting = tokio::spawn({
        let store = store.clone();
        async move { store.ingest(many_events()).await }
    });
    until_events_are_copied(&database).await;
    let ended = format!("SELECT COUNT(pg_terminate_backend(pid)) {COPYING}");
    assert_eq!(database.number(&ended).await, 1);
    let outcomes = ingesting
        .await
        .expect("the task ends")
        .expect("it is tried again");
    assert!(outcomes.iter().all(|outcome| *outcome == IngestOutcome::Stored));
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 5_000);
    verify_is_clean(&store).await;
    no_session_is_left_in_a_transaction(&database).await;
}
