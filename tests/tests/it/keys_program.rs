//! Keys from the command line: made, used, listed and revoked, and the server that will not do without.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tests::database::{Backend, TestDatabase};
use tests::http::Client;
use tests::kohorta::{Kohorta, KohortaOptions, run};

/// Standard output, standard error and the exit code.
fn said(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = run(&options(Path::new("."), arguments)).expect("kohorta runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn options(directory: &Path, arguments: &[&str]) -> KohortaOptions {
    KohortaOptions {
        directory: Some(directory.to_owned()),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..KohortaOptions::default()
    }
}

async fn status(client: &mut Client, key: Option<&str>, query: &str) -> u16 {
    let authorization = key.map(|key| format!("Bearer {key}")).unwrap_or_default();
    let mut headers = vec![("content-type", "application/json")];
    if key.is_some() {
        headers.push(("authorization", authorization.as_str()));
    }
    let body = json!({ "query": query }).to_string();
    let answer = client.send(Method::POST, "/graphql", &headers, body).await;
    answer.expect("an answer").status
}

const READ: &str = "{ topEvents(from: \"2026-01-01\", to: \"2026-01-01\") { totalEvents } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_used_listed_and_revoked() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let database = TestDatabase::empty(backend).await;
        let url = ["--database-url", database.url()];
        let keys = |words: &[&str]| said(&[&["keys"], words, &url].concat());
        let (key, notes, code) = keys(&["create", "--name", "dashboard", "--scope", "query"]);
        assert_eq!(code, Some(0), "{notes}");
        let key = key.trim_end();
        assert!(key.starts_with("kohorta_query_") && key.len() == 78, "{key}");
        assert!(!notes.contains(key), "a key is shown once: {notes}");
        let (_, notes, code) = keys(&["create", "--name", "dashboard", "--scope", "query"]);
        assert!(code == Some(1) && notes.contains("dashboard is taken"), "{notes}");
        let until = [
            "create",
            "--name",
            "short",
            "--scope",
            "ingest",
            "--expires",
            "90d",
        ];
        assert_eq!(keys(&until).2, Some(0));
        let server = Kohorta::serve(&options(Path::new("."), &url)).expect("the server starts");
        let mut client = server.client();
        assert_eq!(status(&mut client, None, READ).await, 401);
        assert_eq!(status(&mut client, Some(key), READ).await, 200);
        let (late, _, _) = keys(&["create", "--name", "late", "--scope", "admin"]);
        let made_meanwhile = status(&mut client, Some(late.trim_end()), READ).await;
        assert_eq!(made_meanwhile, 200, "a new key works at once");
        assert_eq!(keys(&["revoke", "dashboard"]).2, Some(0));
        for attempt in 0.. {
            if status(&mut client, Some(key), READ).await == 401 {
                break;
            }
            assert!(
                attempt < 100,
                "a revoked key still opens the server after ten seconds"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (list, _, _) = keys(&["list"]);
        let lines: Vec<Vec<&str>> = list
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines.len(), 4, "{list}");
        assert_eq!(&lines[1][..3], ["dashboard", "query", "revoked"], "{list}");
        assert_eq!(&lines[2][..3], ["short", "ingest", "live"], "{list}");
        assert_ne!(lines[2][4], "-", "it has an end: {list}");
        assert_eq!((lines[3][0], lines[3][4]), ("late", "-"), "{list}");
        assert!(!list.contains(key), "{list}");
        let (_, notes, code) = keys(&["revoke", "nobody"]);
        assert!(code == Some(1) && notes.contains("no live key"), "{notes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reporting_time_zone_stays_open_when_a_key_is_made_first() {
    let database = TestDatabase::empty(Backend::Sqlite).await;
    let url = ["--database-url", database.url()];
    let create = [&["keys", "create", "--name", "a", "--scope", "admin"], &url[..]].concat();
    assert_eq!(said(&create).2, Some(0));
    let arguments = [&url[..], &["--timezone", "Asia/Kolkata"]].concat();
    Kohorta::serve(&options(Path::new("."), &arguments)).expect("the zone is still to be chosen");
}

#[test]
fn without_a_key_only_this_machine_is_served() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = run(&options(folder.path(), &["--listen", address])).expect("kohorta runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        for way_out in ["kohorta keys create", "KOHORTA_API_KEY", "--no-auth"] {
            assert!(complaint.contains(way_out), "{complaint}");
        }
        assert!(!complaint.contains("listening"), "{complaint}");
    }
}

/// 192.0.2.1 is an address of documentation, which no machine has: getting as far as that is all that is wanted.
#[test]
fn with_a_key_or_without_auth_it_would_listen_elsewhere() {
    let fixed = "k".repeat(32);
    for arguments in [&["--api-key", &fixed][..], &["--no-auth"]] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments = [&["--listen", "192.0.2.1:9"], arguments].concat();
        let output = run(&options(folder.path(), &arguments)).expect("kohorta runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains("cannot listen on 192.0.2.1:9"), "{complaint}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let create = ["keys", "create", "--name", "a", "--scope", "admin"];
    assert!(
        run(&options(folder.path(), &create))
            .expect("kohorta runs")
            .status
            .success()
    );
    let output = run(&options(folder.path(), &["--listen", "192.0.2.1:9"])).expect("kohorta runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("cannot listen on 192.0.2.1:9"), "{complaint}");
}

#[test]
fn wrong_keys_of_the_environment_are_one_line_that_does_not_repeat_them() {
    for arguments in [
        &["--api-key", "secret-but-short"][..],
        &["--api-key", ""],
        &["--api-key", "secret secret secret secret secret secret"],
        &[
            "--no-auth",
            "--api-key",
            "secret-secret-secret-secret-secret-secret",
        ],
    ] {
        let (_, complaint, code) = said(arguments);
        assert_eq!(code, Some(2), "{complaint}");
        assert!(!complaint.contains("secret"), "{complaint}");
        assert!(complaint.contains("KOHORTA_API_KEY"), "{complaint}");
    }
    for arguments in [
        &["keys", "create", "--name", "a", "--scope", "root"][..],
        &[
            "keys",
            "create",
            "--name",
            "a",
            "--scope",
            "query",
            "--expires",
            "soon",
        ],
        &["keys", "create", "--scope", "query"],
    ] {
        assert_eq!(said(arguments).2, Some(2), "{arguments:?}");
    }
}
