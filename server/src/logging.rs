//! Log lines: one JSON object per line on standard error, or plain text for people.
//!
//! ```text
//! {"level":"info","logger":"access","msg":"access method=GET path=/healthz status=200 request_id=0190…"}
//! ```
//!
//! `msg` is the event's message followed by its fields in the order of the source. What clients send never breaks a
//! line or a terminal: values are quoted and escaped where they hold anything but plain printable characters.
//! Properties, bodies and tokens are never logged.

use std::fmt::{self, Write as _};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::http::exchange::RequestId;
use crate::traces::Traces;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Time, level, logger and message, for people.
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not in the syntax of `tracing-subscriber`'s `EnvFilter`.
    #[error("invalid log filter {filter:?}; write levels and targets, such as info,sqlx=warn")]
    Filter {
        /// The filter as given.
        filter: String,
    },
    /// Something else in this process has set up logging before.
    #[error("logging is already set up")]
    AlreadySet,
}

/// Sends all log lines of the process to standard error, panics included, and its spans to `traces`.
///
/// # Errors
/// [`LoggingError`] if `filter` cannot be read or logging is already set up.
pub fn initialize(format: LogFormat, filter: &str, traces: Option<&Traces>) -> Result<(), LoggingError> {
    let filter = EnvFilter::try_new(filter).map_err(|_| LoggingError::Filter {
        filter: filter.to_owned(),
    })?;
    let registry = tracing_subscriber::registry();
    let set = match traces {
        // One filter for everything: what it turns off costs next to nothing.
        None => tracing::subscriber::set_global_default(registry.with(filter).with(lines(format))),
        Some(traces) => {
            let registry = registry.with(lines(format).with_filter(filter));
            tracing::subscriber::set_global_default(registry.with(traces.layer()))
        }
    };
    set.map_err(|_| LoggingError::AlreadySet)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// What writes the lines.
fn lines<S>(format: LogFormat) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .event_format(Lines { format })
}

/// `error` and the causes behind it in one line, outermost first; a cause that its effect repeats is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn log_panic(info: &std::panic::PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let request_id = RequestId::current()
        .map(|id| id.as_str().to_owned())
        .unwrap_or_default();
    tracing::error!(target: "panic", panic = message, location, request_id, "a defect: the code panicked");
}

struct Lines {
    format: LogFormat,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    level: &'static str,
    logger: &'a str,
    msg: &'a str,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.line();
        let level = level_name(*event.metadata().level());
        let logger = event.metadata().target();
        match self.format {
            LogFormat::Json => {
                let line = JsonLine {
                    level,
                    logger,
                    msg: &message,
                };
                writeln!(
                    writer,
                    "{}",
                    serde_json::to_string(&line).map_err(|_| fmt::Error)?
                )
            }
            LogFormat::Text => {
                let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
                writeln!(writer, "{time} {level:<5} {logger}: {message}")
            }
        }
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Collects the message and the fields of one event.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn line(mut self) -> String {
        if self.message.is_empty() {
            return self.rest.trim_start().to_owned();
        }
        self.message.push_str(&self.rest);
        self.message
    }

    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" && self.message.is_empty() {
            // The message is a constant of the source, but other crates format values into theirs.
            push_escaped(&mut self.message, value);
            return;
        }
        self.rest.push(' ');
        self.rest.push_str(field.name());
        self.rest.push('=');
        push_value(&mut self.rest, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }
}

/// Writes `value` plainly if it reads as one word, otherwise in quotes.
fn push_value(line: &mut String, value: &str) {
    let plain = |character: char| !needs_escape(character) && !matches!(character, ' ' | '"' | '=');
    if !value.is_empty() && value.chars().all(plain) {
        line.push_str(value);
        return;
    }
    line.push('"');
    for character in value.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            other => push_character(line, other),
        }
    }
    line.push('"');
}

fn push_escaped(line: &mut String, text: &str) {
    for character in text.chars() {
        push_character(line, character);
    }
}

fn push_character(line: &mut String, character: char) {
    if needs_escape(character) {
        // Writing to a String cannot fail.
        let _ = write!(line, "{}", character.escape_unicode());
    } else {
        line.push(character);
    }
}

/// Whether `character` could break a line, drive a terminal, or change the direction of the text around it.
fn needs_escape(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{Lines, LogFormat};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(format: LogFormat, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Lines { format })
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = captured.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("log lines are UTF-8")
    }

    #[test]
    fn access_line_is_exactly_as_documented() {
        let line = lines_of(LogFormat::Json, || {
            tracing::info!(target: "access", method = "GET", path = %"/healthz", status = 200_u16, request_id = "r-1", "access");
        });
        let expected = r#"{"level":"info","logger":"access","msg":"access method=GET path=/healthz status=200 request_id=r-1"}"#;
        assert_eq!(line, format!("{expected}\n"));
    }

    #[test]
    fn client_text_cannot_break_a_line_or_drive_a_terminal() {
        let hostile = "a\nb\u{1b}[31m\u{9b}2J\u{202e}x\u{7f}";
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = lines_of(format, || tracing::warn!(path = hostile, "{hostile}"));
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(!line.trim_end().chars().any(super::needs_escape), "{line:?}");
        }
    }

    #[test]
    fn values_that_are_not_one_word_are_quoted() {
        let line = lines_of(LogFormat::Json, || {
            tracing::info!(
                empty = "",
                spaced = "a b",
                quoted = "say \"x\"",
                pair = "a=b",
                rows = 3,
                "done"
            );
        });
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("the line is JSON");
        assert_eq!(
            parsed["msg"],
            r#"done empty="" spaced="a b" quoted="say \"x\"" pair="a=b" rows=3"#
        );
        assert_eq!(parsed["logger"], module_path!());
    }
}
