//! A span for each statement, made of the line that the database library logs when a statement has ended.
//!
//! Only statements on behalf of something that is traced: what runs by itself (the fold, health checks) has no trace
//! that it would belong to.

use std::fmt;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as LayerContext;

/// The target under which `sqlx` logs statements.
pub(super) const TARGET: &str = "sqlx::query";

/// The layer that makes these spans.
pub(super) struct StatementSpans {
    tracer: SdkTracer,
}

impl StatementSpans {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self { tracer }
    }
}

impl<S: Subscriber> Layer<S> for StatementSpans {
    fn on_event(&self, event: &Event<'_>, _context: LayerContext<'_, S>) {
        let parent = Context::current();
        if !parent.span().span_context().is_sampled() {
            return;
        }
        let mut statement = Statement::default();
        event.record(&mut statement);
        let end = SystemTime::now();
        let start = end.checked_sub(statement.elapsed).unwrap_or(end);
        let mut span = self
            .tracer
            .span_builder(statement.name())
            .with_kind(SpanKind::Client)
            .with_start_time(start)
            .with_attributes([
                KeyValue::new("db.query.text", statement.text().to_owned()),
                KeyValue::new("db.response.returned_rows", statement.rows_returned),
                KeyValue::new("kohorta.rows_affected", statement.rows_affected),
            ])
            .start_with_context(&self.tracer, &parent);
        span.end_with_timestamp(end);
    }
}

/// What the log line of a statement says.
#[derive(Debug, Default)]
struct Statement {
    summary: String,
    text: String,
    elapsed: Duration,
    rows_returned: i64,
    rows_affected: i64,
}

impl Statement {
    /// The text with its parameters as `$1`; short statements stand in the summary alone.
    fn text(&self) -> &str {
        match self.text.trim() {
            "" => &self.summary,
            text => text,
        }
    }

    /// What the comment in the first line of our statements calls it, or the first words of one that is not ours.
    fn name(&self) -> String {
        let first_line = self.text().lines().next().unwrap_or_default();
        match first_line.strip_prefix("-- ") {
            Some(name) => name.trim().to_owned(),
            None => self.summary.trim_end_matches(" …").to_owned(),
        }
    }
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.text),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        match field.name() {
            "rows_returned" => self.rows_returned = value,
            "rows_affected" => self.rows_affected = value,
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::Statement;

    #[test]
    fn a_statement_is_named_by_its_comment_or_its_first_words() {
        let statement = |summary: &str, text: &str| Statement {
            summary: summary.to_owned(),
            text: text.to_owned(),
            ..Statement::default()
        };
        let ours = statement(
            "-- store: frame WITH …",
            "\n\n-- store: frame\nWITH days AS (…)\n",
        );
        assert_eq!(
            (ours.name().as_str(), ours.text().lines().count()),
            ("store: frame", 2)
        );
        let short = statement("COMMIT", "");
        assert_eq!((short.name().as_str(), short.text()), ("COMMIT", "COMMIT"));
        let other = statement(
            "SELECT pg_advisory_lock($1) FROM x …",
            "\n\nSELECT pg_advisory_lock($1) FROM x WHERE y\n",
        );
        assert_eq!(other.name(), "SELECT pg_advisory_lock($1) FROM x");
    }
}
