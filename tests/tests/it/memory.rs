//! Requests that want the server's memory: it stays far below what a small machine has, and others are served.

use std::io::Write;
use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Method;
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
