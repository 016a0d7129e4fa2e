//! Starting and stopping: a server that is told to stop finishes what it has begun, and one that cannot start says why.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;
use tests::database::{Backend, TestDatabase};
use tests::kohorta::{KohortaOptions, run};
use tests::ledger::input;
use tests::load::{INGEST, Load, LoadOptions};

use crate::faults::{FLOW, check_database, serve};

on_both_databases!(
    a_stop_under_load_cuts_nobody_off_and_loses_nothing,
    health_says_that_the_server_stops,
);

async fn a_stop_under_load_cuts_nobody_off_and_loses_nothing(database: TestDatabase) {
    let mut server = serve(database.url()).expect("the server starts");
    let mut load = Load::start(LoadOptions::default(), vec![server.address()]);
    for _ in 0..3 {
        load.more(150, FLOW).await.expect("events get through");
        server.ask_to_stop();
        let status = server.ended(Duration::from_secs(15)).await;
        let code = status.and_then(|status| status.code());
        assert_eq!(code, Some(0), "{:#?}", server.log_to_end());
        server = serve(database.url()).expect("the server starts again");
        load.move_to(vec![server.address()]);
    }
    let tally = load.finish().await.expect("the load ends");
    assert_eq!(tally.cut, 0, "requests were cut off: {tally}");
    assert_eq!(tally.refused, 0, "requests were refused: {tally}");
    assert_eq!(server.terminate().expect("the end is known").code(), Some(0));
    check_database(&load, database.url()).await;
}

async fn health_says_that_the_server_stops(database: TestDatabase) {
    let mut server = serve(database.url()).expect("the server starts");
    let mut client = server.client();
    assert_eq!(client.get("/healthz").await.expect("an answer").status, 200);
    server.ask_to_stop();
    // Until the signal is there.
    let answer = loop {
        let answer = client.get("/healthz").await.expect("an answer");
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(
        (answer.status, answer.json()["status"].as_str()),
        (503, Some("stopping"))
    );
    assert_eq!(answer.header("connection"), "close");
    let status = server.ended(Duration::from_secs(15)).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_server_at_once() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let mut server = serve(database.url()).expect("the server starts");
    let other = database.connect().await;
    let transaction = other.begin().await.expect("a transaction begins");
    transaction
        .execute_unprepared("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("the table can be held");
    let mut client = server.client();
    let waiting = tokio::spawn(async move {
        client
            .graphql(INGEST, &json!({ "input": input(0) }))
            .await
            .map(|answer| answer.status)
    });
    let mut client = server.client();
    server.ask_to_stop();
    while client
        .get("/healthz")
        .await
        .is_ok_and(|answer| answer.status == 200)
    {}
    let started = Instant::now();
    server.ask_to_stop();
    let status = server.ended(Duration::from_secs(2)).await;
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(143),
        "after {:?}",
        started.elapsed()
    );
    assert!(
        waiting.await.expect("the request ends").is_err(),
        "nothing was acknowledged"
    );
    transaction.rollback().await.expect("the lock is given back");
}

#[test]
fn without_its_database_it_ends_with_one_clear_line() {
    // A port that nobody listens on: taken and given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port();
    let url = format!("postgres://nobody:secret@127.0.0.1:{port}/kohorta");
    let started = Instant::now();
    let output = run(&KohortaOptions {
        arguments: vec![
            "--database-url".to_owned(),
            url,
            "--listen".to_owned(),
            "127.0.0.1:0".to_owned(),
        ],
        ..KohortaOptions::default()
    });
    let output = output.expect("kohorta runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert!(error.starts_with("error: database unavailable"), "{error}");
    assert!(
        !error.contains("secret") && !error.contains("panicked"),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}
