//! OpenTelemetry traces, sent over OTLP (HTTP, protobuf) where `--otlp-endpoint` names a collector.
//!
//! One span for a request, one for the GraphQL operation in it, one for each statement that its operation has the
//! database run. A mutation's transaction is shared: it is a child of the first operation that waits for it and linked
//! to the others. The trace of a caller is taken over (W3C `traceparent`). Operations over a WebSocket have traces of their
//! own, linked to the handshake: a socket may live for days.
//!
//! Without a collector nobody is interested in these spans, which `tracing` finds out once per place in the code: a
//! request then costs a few loads of a number. No content is sent: no variables, properties, keys or values of statements.

mod client;
mod statements;

use std::time::Duration;

use axum::extract::Request;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use store::TRACE_TARGET;
use tracing::field::Empty;
use tracing::{Span, Subscriber, trace_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use client::PlainClient;
use statements::StatementSpans;

/// How long the last spans may take to go out when the server stops.
const LAST_EXPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The name of the service in every span.
const SERVICE: &str = "kohorta";

/// Where traces are sent, and how many of them.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOptions {
    /// The collector: `http://host:4318`; `/v1/traces` is added unless it stands there.
    pub endpoint: String,
    /// The share of traces that begin here and are sent, 0 to 1; a caller's trace follows the caller's decision.
    pub sample_ratio: f64,
}

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent to {endpoint}: {reason}")]
pub struct TracesError {
    endpoint: String,
    reason: String,
}

/// The way of traces to their collector.
#[derive(Debug, Clone)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins to send traces, from within a tokio runtime. A collector that is away costs spans, never an answer.
    ///
    /// # Errors
    /// [`TracesError`] if the endpoint is not an address.
    pub fn start(options: &TraceOptions) -> Result<Self, TracesError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(PlainClient::of_present_runtime())
            .with_endpoint(signal_address(&options.endpoint))
            .build()
            .map_err(|error| TracesError {
                endpoint: options.endpoint.clone(),
                reason: error.to_string(),
            })?;
        let instance = uuid::Uuid::now_v7().to_string();
        let resource = Resource::builder()
            .with_service_name(SERVICE)
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", instance),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                options.sample_ratio,
            ))))
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// What makes spans of what the process does; to be put beside the log.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let tracer = self.provider.tracer(SERVICE);
        let statements = StatementSpans::new(tracer.clone());
        let statements =
            statements.with_filter(filter_fn(|metadata| metadata.target() == statements::TARGET));
        let spans = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == TRACE_TARGET
            }));
        spans.and_then(statements)
    }

    /// Sends what is left, within two seconds.
    pub async fn close(self) {
        let closing =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(LAST_EXPORT_TIMEOUT));
        if let Ok(Err(error)) = closing.await {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn signal_address(endpoint: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    if base.ends_with("/v1/traces") {
        return base.to_owned();
    }
    format!("{base}/v1/traces")
}

/// The span of one request, in the trace of its caller if it names one.
pub(crate) fn request_span(request: &Request, request_id: &str) -> Span {
    let span = trace_span!(
        target: TRACE_TARGET,
        "request",
        otel.name = Empty,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = request.method().as_str(),
        url.path = request.uri().path(),
        http.response.status_code = Empty,
        request_id,
    );
    if span.is_disabled() {
        return span;
    }
    span.record(
        "otel.name",
        format!("{} {}", request.method(), request.uri().path()),
    );
    let caller = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
    if caller.span().span_context().is_valid() {
        // Fails where no trace is made, and then there is nothing to continue.
        let _ = span.set_parent(caller);
    }
    span
}

/// Notes in the span of a request how it was answered.
pub(crate) fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of one operation, named by the label that metrics have for it. `kind` is the operation's type, as the
/// conventions for GraphQL name it.
pub(crate) fn operation_span(operation: &'static str, kind: &'static str) -> Span {
    trace_span!(
        target: TRACE_TARGET,
        "operation",
        otel.name = operation,
        "graphql.operation.type" = kind,
    )
}

/// How an operation over a connection that lives on hangs together with the request that opened it.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    /// The request is about this operation alone, whose results are its answer.
    Request(Context),
    /// The request was the handshake of a socket that may live for days, with any number of operations.
    Handshake(Context),
}

impl Cause {
    /// The request that is answered now is about one operation.
    pub(crate) fn present_request() -> Self {
        Self::Request(Span::current().context())
    }

    /// The request that is answered now opens a socket.
    pub(crate) fn present_handshake() -> Self {
        Self::Handshake(Span::current().context())
    }
}

/// The span of an operation over a connection that lives on: a part of its request, or, over a socket, a trace of its own
/// that is linked to the handshake. Otherwise as [`operation_span`].
pub(crate) fn live_operation_span(operation: &'static str, kind: &'static str, cause: &Cause) -> Span {
    match cause {
        Cause::Request(request) => {
            let span = trace_span!(
                target: TRACE_TARGET,
                parent: None,
                "operation",
                otel.name = operation,
                "graphql.operation.type" = kind,
            );
            // Fails where no trace is made, and then there is nothing to continue.
            let _ = span.set_parent(request.clone());
            span
        }
        Cause::Handshake(handshake) => {
            let span = trace_span!(
                target: TRACE_TARGET,
                parent: None,
                "operation",
                otel.name = operation,
                otel.kind = "server",
                "graphql.operation.type" = kind,
            );
            span.add_link(handshake.span().span_context().clone());
            span
        }
    }
}

#[cfg(test)]
mod tests {
    use super::signal_address;

    #[test]
    fn the_path_of_traces_is_added_once() {
        for endpoint in [
            "http://collector:4318",
            "http://collector:4318/",
            "http://collector:4318/v1/traces",
        ] {
            assert_eq!(signal_address(endpoint), "http://collector:4318/v1/traces");
        }
    }
}
