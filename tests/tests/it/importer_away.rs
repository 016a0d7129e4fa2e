//! A database that is away for a moment in the middle of an import.

use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tests::database::{Backend, TestDatabase};

use super::importer_program::{Importing, file};

/// Stands between the importer and its database, and can cut all connections.
struct Gate {
    port: u16,
    open: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    /// A gate before `target` (host and port), open. It lives as long as the test's process.
    fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let gate = Self {
            port,
            open: Arc::new(AtomicBool::new(true)),
            connections: Arc::default(),
        };
        let (open, connections, target) = (gate.open.clone(), gate.connections.clone(), target.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Dropped, and so refused, while the gate is closed.
                if open.load(Ordering::SeqCst) {
                    let server = TcpStream::connect(&target).expect("the database listens");
                    let mut connections = connections.lock().expect("no thread panicked");
                    forward(&mut connections, &client, &server);
                    forward(&mut connections, &server, &client);
                }
            }
        });
        gate
    }

    fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        for connection in self.connections.lock().expect("no thread panicked").drain(..) {
            // One that has ended is no error.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

fn forward(connections: &mut Vec<TcpStream>, from: &TcpStream, to: &TcpStream) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a socket can be shared");
    let (mut reader, mut writer) = (clone(from), clone(to));
    connections.push(clone(from));
    std::thread::spawn(move || {
        let _ = copy(&mut reader, &mut writer);
        let _ = writer.shutdown(Shutdown::Both);
    });
}

/// Starts an import of 5,000 rows in small transactions through a gate, closes the gate when some are stored, and calls
/// `meanwhile`. Answers code, summary and what was said.
async fn cut_off(
    database: &TestDatabase,
    options: &[&str],
    meanwhile: impl Fn(&Gate),
) -> (Option<i32>, Value, String) {
    let (start, name) = database
        .url()
        .rsplit_once('/')
        .expect("an address with a database");
    let (_, target) = start.rsplit_once('@').expect("an address with a user");
    let gate = Gate::before(target);
    let importing = Importing::into_database(&format!("postgres://postgres@127.0.0.1:{}/{name}", gate.port));
    importing.write("events.csv", file(0..5000));
    let arguments = [
        &["events.csv", "--json", "--batch-size", "20", "--fold-rows", "500"],
        options,
    ]
    .concat();
    let mut command = importing.command(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = command.spawn().expect("the importer runs");
    while database.number("SELECT COUNT(*) FROM events").await < 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gate.close();
    meanwhile(&gate);
    let output = process.wait_with_output().expect("the importer ends");
    let summary = serde_json::from_slice(&output.stdout).expect("a summary");
    let errors = String::from_utf8(output.stderr).expect("the importer writes UTF-8");
    (output.status.code(), summary, errors)
}

#[tokio::test]
async fn a_database_that_comes_back_is_waited_for() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (code, summary, errors) = cut_off(&database, &[], |gate| {
        std::thread::sleep(Duration::from_secs(1));
        gate.open();
    })
    .await;
    assert_eq!(
        (code, summary["status"].as_str()),
        (Some(0), Some("complete")),
        "{summary} {errors}"
    );
    assert!(errors.contains("trying again for 60 s"), "{errors}");
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 5000);
    // A batch whose commit got lost on the way back counts as duplicates.
    let count = |name: &str| summary[name].as_u64().unwrap_or_default();
    assert_eq!(count("stored") + count("duplicates"), 5000, "{summary}");
    crate::checks::verify_is_clean(&database.store().await).await;
}

#[tokio::test]
async fn a_database_that_stays_away_ends_the_import_with_what_is_stored() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let (code, summary, errors) = cut_off(&database, &["--retry-seconds", "1"], |_| {}).await;
    assert_eq!(
        (code, summary["status"].as_str()),
        (Some(3), Some("failed")),
        "{summary} {errors}"
    );
    assert!(
        errors.contains("the same command again completes the import"),
        "{errors}"
    );
    let stored = database
        .number("SELECT COUNT(*) FROM events")
        .await
        .unsigned_abs();
    let said = summary["stored"].as_u64().unwrap_or_default();
    // At most the transactions in flight were committed without the importer being told.
    assert!(
        (200..5000).contains(&stored) && said <= stored && stored <= said + 4 * 20,
        "{stored} {summary}"
    );
}
