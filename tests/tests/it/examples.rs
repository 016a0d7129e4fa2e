//! The browser's example in `examples/`, run by a browser: a page of another origin sends its events, and they arrive once.
//! (The others: `docs.rs` runs Python's, `scripts/test` Node's and that with `gql`.)

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tests::kohorta::{Kohorta, KohortaOptions};
use tokio::net::TcpListener;

/// Serves the files of `examples/browser` on a free port.
async fn serve_example() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("the port is known");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(async |request: Request<_>| Ok::<_, Infallible>(file(&request)));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

fn file<B>(request: &Request<B>) -> Response<Full<Bytes>> {
    let (name, kind) = match request.uri().path() {
        "/kohorta.js" => ("kohorta.js", "text/javascript"),
        _ => ("index.html", "text/html"),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/browser");
    let text = std::fs::read(folder.join(name)).expect("the example is there");
    Response::builder()
        .header("content-type", kind)
        .body(Full::from(text))
        .expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_sends_its_events() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = serve_example().await;
    let server = Kohorta::serve(&KohortaOptions {
        directory: Some(folder.path().to_owned()),
        arguments: vec![format!("--cors-origin=http://{page}")],
        ..KohortaOptions::default()
    })
    .expect("the server starts");
    let url = format!("http://{page}/?kohorta=http://{}", server.address());
    let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
    let mut browser = Command::new("setpriv");
    browser
        .args([
            "--pdeathsig=KILL",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
        ])
        .args([&profile, "--virtual-time-budget=20000", "--dump-dom", &url]);
    let seen = tokio::task::spawn_blocking(move || browser.output())
        .await
        .expect("the browser is waited for");
    let seen = seen.unwrap_or_else(|error| panic!("cannot run chromium ({error}): apt-get install chromium"));
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();

    let query = "query ($day: LocalDate!) { topEvents(from: \"2026-01-01\", to: $day) { rows { eventType events } } }";
    let today = chrono::Utc::now().date_naive();
    let from = today - chrono::Days::new(1);
    let query = query.replace("\"2026-01-01\"", &format!("\"{from}\""));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let variables = json!({ "day": chrono::Utc::now().date_naive().to_string() });
        let answer = server
            .client()
            .graphql(&query, &variables)
            .await
            .expect("an answer")
            .json();
        let expected = json!([{ "eventType": "page viewed", "events": 1 }]);
        if answer["data"]["topEvents"]["rows"] == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{answer}: the page says {seen}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
