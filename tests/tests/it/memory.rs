//! Requests that want the server's memory: it stays far below what a small machine has, and others are served.

use std::io::Write;
use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Method;
use serde_json::{Value, json};
use tests::http::Client;
use tests::kohorta::{Kohorta, KohortaOptions};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const BODY: usize = 8 * 1024 * 1024 - 1_024;
/// What a server may have taken at most.
const MOST: u64 = 600 * 1024 * 1024;

/// A request of the size that is allowed, whose variables are `piece` again and again, but at most so often.
fn filled(piece: &str, most: usize) -> Vec<u8> {
    let head = r#"{"query":"query ($a: JSON) { __typename }","variables":{"a":["#;
    let times = (BODY - head.len()) / (piece.len() + 1);
    let pieces = vec![piece; times.min(most)].join(",");
    format!("{head}{pieces}]}}}}").into_bytes()
}

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

/// Sends a body many times at once; each is answered, and none as a fault of the server's.
async fn flood(address: SocketAddr, body: Vec<u8>, headers: &'static [(&'static str, &'static str)]) {
    let mut sending = JoinSet::new();
    for _ in 0..12 {
        let body = body.clone();
        sending.spawn(async move {
            let headers = [&[("content-type", "application/json")], headers].concat();
            let mut client = Client::new(address);
            client.send(Method::POST, "/graphql", &headers, body).await
        });
    }
    // One that was refused before it was read may be cut off while it still sends.
    for answer in sending.join_all().await.into_iter().flatten() {
        assert!(answer.status < 500 || answer.status == 503, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_do_not_take_the_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Kohorta::serve(&KohortaOptions {
        directory: Some(folder.path().to_owned()),
        ..KohortaOptions::default()
    })
    .expect("the server starts");
    let mut stalled = Vec::new();
    for _ in 0..500 {
        let mut stream = TcpStream::connect(server.address()).await.expect("a connection");
        let part = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                     content-length: 8000000\r\n\r\n{";
        stream.write_all(part).await.expect("the server reads");
        stalled.push(stream);
    }
    let endless = usize::MAX;
    let floods = [
        ("0", endless),
        ("{}", endless),
        (r#"{"":0}"#, endless),
        ("[[[[]]]]", endless),
        (r#""""#, endless),
        // As much as is just taken.
        ("0", 600_000),
        (r#"{"":0}"#, 105_000),
        ("[[]]", 200_000),
    ];
    for (piece, times) in floods {
        let plain = filled(piece, times);
        flood(server.address(), gzipped(&plain), &[("content-encoding", "gzip")]).await;
        flood(server.address(), plain, &[]).await;
        let taken = server.peak_memory_bytes();
        assert!(taken < MOST, "{taken} bytes were taken for {piece}");
    }
    let bomb = gzipped(&vec![b' '; 200 * 1024 * 1024]);
    flood(server.address(), bomb, &[("content-encoding", "gzip")]).await;
    let mut client = server.client();
    assert_eq!(client.get("/healthz").await.expect("an answer").status, 200);
    let taken = server.peak_memory_bytes();
    println!("at most {} MB were taken", taken / 1_000_000);
    assert!(taken < MOST, "{taken} bytes were taken");
    drop(stalled);
    let status = server.terminate().expect("the end is known");
    assert!(status.success(), "{status}");
}

/// Aliases for `field`, as long as names may be.
fn aliases(count: usize, field: &str) -> String {
    let alias = |number: usize| format!("{}{number:02}: {field} ", "a".repeat(126));
    (0..count).map(alias).collect()
}

/// Fills a server with 8 MiB of properties that consist of small values.
async fn fill(client: &mut Client) {
    const INGEST: &str = "mutation ($input: IngestEventsInput!) { ingestEvents(input: $input) { stored } }";
    for batch in 0..16 {
        let properties = json!({ "a": vec![0; 32_000] });
        let event = |number| {
            let user = format!("user {batch} {number}");
            json!({ "userId": user, "eventType": "large", "properties": properties })
        };
        let events: Vec<Value> = (0..8).map(event).collect();
        let answer = client
            .graphql(INGEST, &json!({ "input": { "events": events } }))
            .await;
        let answer = answer.expect("an answer");
        assert_eq!(
            answer.json()["data"]["ingestEvents"]["stored"],
            8,
            "{}",
            answer.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_would_grow_do_not_take_the_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Kohorta::serve(&KohortaOptions {
        directory: Some(folder.path().to_owned()),
        ..KohortaOptions::default()
    })
    .expect("the server starts");
    let mut client = server.client();
    fill(&mut client).await;
    let cells = |selection: &str| {
        let question = |number: usize| {
            format!(
                "r{number}: retention(from: \"2025-01-01\", to: \"2025-05-16\", periods: 366) \
                 {{ cohorts {{ cells {{ {selection} }} }} }} "
            )
        };
        format!("{{ {} }}", (0..8).map(question).collect::<String>())
    };
    let rejected: Vec<Value> = (0..2_000)
        .map(|_| json!({ "userId": "", "eventType": "" }))
        .collect();
    let rejections = format!(
        "mutation ($events: [IngestEventInput!]!) {{ ingestEvents(input: {{ events: $events }}) \
         {{ rejections {{ {} }} }} }}",
        aliases(30, "userErrors { code message field }")
    );
    let fragment = format!("fragment F on RetentionCell {{ {} }}", aliases(20, "retained"));
    for (question, variables) in [
        (
            "{ retention(from: \"2025-01-01\", to: \"2025-05-16\", periods: 366) { cohorts { cells { NAME: retained } } } }"
                .replace("NAME", &"A".repeat(60_000)),
            json!({}),
        ),
        (cells("...F") + &fragment, json!({})),
        (cells("...F @include(if: true)") + &fragment, json!({})),
        (rejections, json!({ "events": rejected })),
        (
            format!("{{ events(first: 1000) {{ nodes {{ {} }} }} }}", aliases(30, "properties")),
            json!({}),
        ),
        (
            format!("{{ events(first: 1000) {{ nodes {{ {} }} }} }}", aliases(30, "properties @include(if: true)")),
            json!({}),
        ),
        (
            format!(
                "{{ {} }}",
                (0..16).map(|number| format!("e{number}: events(first: 500) {{ nodes {{ properties }} }} ")).collect::<String>()
            ),
            json!({}),
        ),
    ] {
        let body = json!({ "query": question, "variables": variables }).to_string();
        flood(server.address(), body.clone().into_bytes(), &[]).await;
        let answer = client.graphql(&question, &variables).await.expect("an answer");
        let code = &answer.json()["errors"][0]["extensions"]["code"];
        let taken = server.peak_memory_bytes();
        println!("{taken} bytes, {} of answer, {code} for {question:.100}", answer.body.len());
        assert!(code == "GRAPHQL_LIMIT_EXCEEDED", "{:.500}", answer.text());
        assert!(answer.body.len() < 128 * 1024);
        assert!(taken < MOST, "{taken} bytes were taken for {question:.100}");
    }
    // What people ask for is answered.
    for question in [
        "{ retention(from: \"2025-01-01\", to: \"2025-05-16\", periods: 366) \
         { cohorts { start size cells { index retained rate complete } } pooled { rate } } }",
        "{ events(first: 1000) { nodes { eventId properties } } }",
    ] {
        let answer = client.graphql(question, &json!({})).await.expect("an answer");
        assert!(answer.json()["errors"].is_null(), "{:.500}", answer.text());
    }
    let status = server.terminate().expect("the end is known");
    assert!(status.success(), "{status}");
}
