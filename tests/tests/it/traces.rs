//! Traces over OTLP, received by a collector inside the test: one span for request, operation and statement, in the trace
//! of the caller, over a socket in one of its own; and nothing of what users sent.

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
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::json;
use tests::database::{Backend, TestDatabase};
use tests::kohorta::{Kohorta, KohortaOptions};
use tests::socket::Socket;
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
    let (operation, below_operation) = find(&spans, "ingestEvent");
    assert_eq!(text_of(operation, "graphql.operation.type"), "mutation");
    assert!(below_operation.contains(&"transaction"), "{below_operation:?}");
    let (_, statements) = find(&spans, "transaction");
    assert!(
        statements.contains(&"store: insert_new_events"),
        "{backend}: {statements:?}"
    );
    for span in &spans {
        assert_eq!(hex(&span.trace_id), TRACE, "{} has a trace of its own", span.name);
    }
    check_all(&spans);
}

/// No span ends before it begins, and none holds what users sent.
fn check_all(spans: &[Span]) {
    for span in spans {
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        for attribute in &span.attributes {
            let text = text_of(span, &attribute.key);
            assert!(!text.contains("secret"), "{}: {text}", span.name);
        }
    }
}

/// The text of an attribute; empty where it is another value, or absent.
fn text_of<'a>(span: &'a Span, key: &str) -> &'a str {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(AttributeValue::StringValue(text)) => text,
        _ => "",
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
async fn operations_over_a_socket_have_traces_of_their_own_linked_to_the_handshake() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let (collector, address) = Collector::start().await;
    let mut server = serve(&database, address, &[]);
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let headers = [
        ("sec-websocket-protocol", "graphql-transport-ws"),
        ("traceparent", traceparent.as_str()),
    ];
    let mut socket = Socket::try_open(server.address(), &headers)
        .await
        .expect("a socket");
    socket.say(&json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await.message()["type"], "connection_ack");
    let live = "subscription { eventAdded { eventId } }";
    socket.subscribe("live", live, json!({})).await;
    let variables = json!({ "input": { "userId": "a secret user", "eventType": "a secret type" } });
    socket.subscribe("once", INGEST, variables).await;
    while socket.hear().await.message() != json!({ "id": "once", "type": "complete" }) {}
    socket.say(&json!({ "id": "live", "type": "complete" })).await;
    // Answered after it, so the subscription has ended.
    socket.say(&json!({ "type": "ping" })).await;
    while socket.hear().await.message() != json!({ "type": "pong" }) {}
    server.terminate().expect("the end is known");

    let spans = collector.spans();
    let (handshake, below) = find(&spans, "GET /graphql");
    assert_eq!(
        (hex(&handshake.trace_id), hex(&handshake.parent_span_id)),
        (TRACE.to_owned(), CALLER.to_owned())
    );
    assert!(!below.contains(&"ingestEvent"), "{below:?}");
    for (name, kind) in [("ingestEvent", "mutation"), ("eventAdded", "subscription")] {
        let (operation, _) = find(&spans, name);
        assert!(operation.parent_span_id.is_empty(), "{operation:?}");
        assert_ne!(hex(&operation.trace_id), TRACE);
        let links: Vec<_> = operation
            .links
            .iter()
            .map(|link| (&link.trace_id, &link.span_id))
            .collect();
        assert_eq!(links, [(&handshake.trace_id, &handshake.span_id)], "{name}");
        assert_eq!(operation.kind(), SpanKind::Server, "{name}");
        assert_eq!(text_of(operation, "graphql.operation.type"), kind);
    }
    assert!(find(&spans, "ingestEvent").1.contains(&"transaction"));
    check_all(&spans);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_whose_results_are_a_stream_of_events_is_part_of_its_request() {
    let database = TestDatabase::migrated(Backend::Sqlite).await;
    let (collector, address) = Collector::start().await;
    let mut server = serve(&database, address, &[]);
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let headers = [
        ("traceparent", traceparent.as_str()),
        ("content-type", "application/json"),
        ("accept", "text/event-stream"),
    ];
    let variables = json!({ "input": { "userId": "a secret user", "eventType": "a secret type" } });
    let body = json!({ "query": INGEST, "variables": variables }).to_string();
    let answer = server
        .client()
        .send(Method::POST, "/graphql", &headers, body)
        .await
        .expect("an answer");
    assert!(answer.text().contains("STORED"), "{}", answer.text());
    server.terminate().expect("the end is known");

    let spans = collector.spans();
    let (request, below) = find(&spans, "POST /graphql");
    assert_eq!(hex(&request.trace_id), TRACE);
    assert!(below.contains(&"ingestEvent"), "{below:?}");
    let (operation, below) = find(&spans, "ingestEvent");
    assert!(below.contains(&"transaction"), "{below:?}");
    assert_eq!(text_of(operation, "graphql.operation.type"), "mutation");
    check_all(&spans);
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
