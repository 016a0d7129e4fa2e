//! Exports over HTTP that do not come to their end: whoever reads one can tell, and its place is free again.

use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use server::app::AppOptions;
use store::{Store, StoreOptions};
use tests::database::{Backend, TestDatabase};
use tests::download::{Download, Downloaded};
use tests::events::fat_events;
use tests::http::{Answer, Client};

use crate::app::Running;
use crate::checks::{nobody_is_at_work, store_all};

on_both_databases!(
    a_client_that_goes_away_gives_its_place_back,
    what_cannot_be_read_to_its_end_is_never_taken_for_the_whole,
);

/// More than any step of these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// More events than two pages hold, and more bytes than stand between a server and a client who does not read.
const MANY: usize = 280;
/// A few more than one page holds.
const SOME: usize = 150;
/// How curl ends where an answer was cut off.
const CURL_PARTIAL_FILE: i32 = 18;
const EXPORT: &str = "/export?format=ndjson";

async fn stocked(database: &TestDatabase, count: usize) -> Store {
    let store = database.store().await;
    for chunk in fat_events("fat ", count).chunks(40) {
        store_all(&store, chunk).await;
    }
    store
}

fn lines(downloaded: &Downloaded) -> usize {
    downloaded.content.iter().filter(|byte| **byte == b'\n').count()
}

/// An export without events, once there is a place for it.
async fn when_there_is_a_place(client: &mut Client) -> Answer {
    let started = Instant::now();
    loop {
        let answer = client.get("/export?eventType=nothing").await.expect("an answer");
        if answer.status != 503 {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "{}", answer.text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn a_client_that_goes_away_gives_its_place_back(database: TestDatabase) {
    let store = stocked(&database, MANY).await;
    let server = Running::start_on(store, AppOptions::default()).await;
    let mut client = server.another_client();
    let mut held = Vec::new();
    for _ in 0..2 {
        let download = Download::begin(server.address(), EXPORT, &[]).await;
        assert!(download.head().starts_with("http/1.1 200"), "{}", download.head());
        held.push(download);
    }
    let refused = client.get(EXPORT).await.expect("an answer");
    let error = &refused.json()["errors"][0];
    assert_eq!(
        (refused.status, error["extensions"]["code"].as_str()),
        (503, Some("OVERLOADED"))
    );
    assert_eq!(
        error["message"],
        "2 exports are under way, the most at a time; try again"
    );
    assert!(!refused.header("retry-after").is_empty());
    // One is read to its end, the other one is left.
    let last = held.pop().expect("there are two");
    drop(held);
    assert_eq!(when_there_is_a_place(&mut client).await.status, 200);
    let whole = last.rest().await;
    assert!(whole.whole);
    assert_eq!(lines(&whole), MANY);
    nobody_is_at_work(&database).await;
    server.stop().await;
}

/// How curl ends, and what it has got.
async fn curl(address: SocketAddr, path: &str) -> Option<i32> {
    let url = format!("http://{address}{path}");
    let running = tokio::task::spawn_blocking(move || {
        Command::new("curl")
            .args(["--silent", "--output", "/dev/null", &url])
            .status()
    });
    let status = running.await.expect("it is waited for");
    status.expect("curl is installed").code()
}

/// The last event is damaged: the database gives the first page and then an error.
async fn what_cannot_be_read_to_its_end_is_never_taken_for_the_whole(database: TestDatabase) {
    let store = stocked(&database, SOME).await;
    let last = "WHERE occurred_at = (SELECT MAX(occurred_at) FROM events)";
    database
        .execute(&format!("UPDATE events SET properties = '[1]' {last}"))
        .await;
    let server = Running::start_on(store, AppOptions::default()).await;
    let address = server.address();
    for (path, accepted) in [
        ("/export", "identity"),
        (EXPORT, "gzip"),
        ("/export?gzip=true", "identity"),
    ] {
        let download = Download::begin(address, path, &[("accept-encoding", accepted)]).await;
        assert!(download.head().starts_with("http/1.1 200"), "{}", download.head());
        let cut = download.rest().await;
        assert!(!cut.whole, "{path} {accepted} says that it is whole");
        if path != "/export" {
            let mut text = Vec::new();
            let unpacked = GzDecoder::new(&cut.content[..]).read_to_end(&mut text);
            assert!(unpacked.is_err(), "{path} {accepted} unpacks as if it were whole");
        }
        assert_eq!(curl(address, path).await, Some(CURL_PARTIAL_FILE), "{path}");
    }
    let mut client = server.another_client();
    let answer = when_there_is_a_place(&mut client).await;
    assert_eq!(answer.status, 200, "six that were cut off hold no place");
    // While nothing is sent an error can be told.
    let damaged = client.get("/export?eventType=type-4").await.expect("an answer");
    assert_eq!(damaged.status, 500, "{}", damaged.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_cuts_the_export_off() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    stocked(&database, MANY).await;
    let (mut network, url) = database.behind_proxy().await;
    let store = Store::open(StoreOptions::new(url))
        .await
        .expect("the store opens");
    let server = Running::start_on(store, AppOptions::default()).await;
    // The rest takes seconds from here.
    network.slow_down(Duration::from_millis(20));
    let download = Download::begin(server.address(), EXPORT, &[]).await;
    network.cut().await;
    let cut = download.rest().await;
    assert!(!cut.whole);
    assert!(lines(&cut) < MANY);
    network.mend().await;
    let mut client = server.another_client();
    assert_eq!(when_there_is_a_place(&mut client).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_loses_the_place() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let options = AppOptions {
        export_stall_timeout: Duration::from_millis(100),
        ..AppOptions::default()
    };
    let server = Running::start_on(stocked(&database, MANY).await, options).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(Download::begin(server.address(), EXPORT, &[]).await);
    }
    let mut client = server.another_client();
    assert_eq!(when_there_is_a_place(&mut client).await.status, 200);
    let mut cut = 0;
    for download in held {
        let read = download.rest().await;
        cut += usize::from(!read.whole && lines(&read) < MANY);
    }
    assert!(cut > 0, "whose place was taken back is cut off");
    server.stop().await;
}
