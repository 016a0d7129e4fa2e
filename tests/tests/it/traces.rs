//! Traces over OTLP, received by a collector inside the test: one span for request, operation and statement, in the trace
//! of the caller; and nothing of what users sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AttributeValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use tests::database::{Backend, TestDatabase};
use tests::kohorta::{Kohorta, KohortaOptions};
use tokio::net::TcpListener;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const INGEST: &str = "mutation ($input: IngestEventInput!) { ingestEvent(input: $input) { status } }";

/// What a collector has received.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// A collector on a free port.
    async fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port is known");
        let receiving = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiving = receiving.clone();
                let service = service_fn(move |request| receive(receiving.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        (collector, address)
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn receive(
    collector: Collector,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    let export = ExportTraceServiceRequest::decode(body).expect("spans in protobuf");
    let scopes = export.resource_spans.into_iter().flat_map(|of| of.scope_spans);
    let spans = scopes.flat_map(|of| of.spans);
    collector
        .spans
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(spans);
    Ok(Response::new(Full::default()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serve(database: &TestDatabase, collector: SocketAddr, more: &[&str]) -> Kohorta {
    let mut arguments = vec![
        "--database-url".to_owned(),
        database.url().to_owned(),
        format!("--otlp-endpoint=http://{collector}"),
    ];
    arguments.extend(more.iter().map(ToString::to_string));
    Kohorta::serve(&KohortaOptions {
        arguments,
        ..KohortaOptions::default()
    })
    .expect("the server starts")
}

/// The only span with this name, and those whose parent it is.
fn find<'a>(spans: &'a [Span], name: &str) -> (&'a Span, Vec<&'a str>) {
    let mut named = spans.iter().filter(|span| span.name == name);
    let (Some(span), None) = (named.next(), named.next()) else {
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        panic!("not one span {name}: {names:#?}");
    };
    let children = spans.iter().filter(|child| child.parent_span_id == span.span_id);
    (span, children.map(|child| child.name.as_str()).collect())
}

async fn request_operation_and_statements_are_one_trace(backend: Backend) {
    let database = TestDatabase::migrated(backend).await;
    let (collector, address) = Collector::start().await;
    let mut server = serve(&database, address, &[]);
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let headers = [
        ("traceparent", traceparent.as_str()),
        ("content-type", "application/json"),
    ];
    let variables = json!({ "input": { "userId": "a secret user", "eventType": "a secret type" } });
    let body = json!({ "query": INGEST, "variables": variables }).to_string();
    let answer = server
        .client()
        .send(Method::POST, "/graphql", &headers, body)
        .await;
    assert_eq!(
        answer.expect("an answer").json()["data"]["ingestEvent"]["status"],
        "STORED"
    );
    server.terminate().expect("the end is known");

    let spans = collector.spans();
    let (request, below_request) = find(&spans, "POST /graphql");
    assert_eq!(
        (hex(&request.trace_id), hex(&request.parent_span_id)),
        (TRACE.to_owned(), CALLER.to_owned())
    );
    assert!(below_request.contains(&"ingestEvent"), "{below_request:?}");
    assert!(find(&spans, "ingestEvent").1.contains(&"transaction"));
    let (_, statements) = find(&spans, "transaction");
    assert!(
        statements.contains(&"store: insert_new_events"),
        "{backend}: {statements:?}"
    );
    for span in &spans {
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        assert_eq!(hex(&span.trace_id), TRACE, "{} has a trace of its own", span.name);
        let texts = span.attributes.iter().filter_map(|attribute| {
            match attribute.value.as_ref()?.value.as_ref()? {
                AttributeValue::StringValue(text) => Some(text),
                _ => None,
            }
        });
        for text in texts {
            assert!(!text.contains("secret"), "{}: {text}", span.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_operation_and_statements_on_sqlite_are_one_trace() {
    request_operation_and_statements_are_one_trace(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_operation_and_statements_on_postgres_are_one_trace() {
    request_operation_and_statements_are_one_trace(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_share_that_is_asked_for_is_sent() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let (collector, address) = Collector::start().await;
    let mut server = serve(&database, address, &["--otlp-sample-ratio=0"]);
    let mut client = server.client();
    for _ in 0..20 {
        let answer = client.graphql("{ serverInfo { version } }", &json!({})).await;
        assert_eq!(answer.expect("an answer").status, 200);
    }
    server.terminate().expect("the end is known");
    assert_eq!(collector.spans(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_holds_nothing_up() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let mut server = serve(&database, nobody, &[]);
    let variables = json!({ "input": { "userId": "ana", "eventType": "login" } });
    let answer = server
        .client()
        .graphql(INGEST, &variables)
        .await
        .expect("an answer");
    assert_eq!(answer.json()["data"]["ingestEvent"]["status"], "STORED");
    let stopping = Instant::now();
    assert_eq!(server.terminate().expect("the end is known").code(), Some(0));
    assert!(
        stopping.elapsed() < Duration::from_secs(10),
        "{:?}",
        stopping.elapsed()
    );
}
