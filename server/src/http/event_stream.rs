//! GraphQL over server-sent events, in the "distinct connections mode"
//! (<https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>): one operation, its results as events of one answer.
//!
//! A comment every few seconds keeps proxies from taking the silence for an end. The stream ends with `complete` when the
//! operation does; without it when the server stops or the key is taken back, so that clients know to come again.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::credentials::Credential;
use super::live::LiveConnection;
use super::operations::{Answers, Part};
use crate::limits::EVENT_STREAM_KEEP_ALIVE;
use crate::listener::Stopping;
use crate::metrics::{self, Transport};

const COMMENT: &[u8] = b":\n\n";
const COMPLETE: &str = "event: complete\ndata:\n\n";
/// Tells nginx to pass each event on at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Whether a request names this way to be answered.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.any(|range| {
        let name = range.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("text/event-stream")
    })
}

/// An answer under way.
pub(super) struct Going {
    answers: Answers,
    credential: Credential,
    stopping: Stopping,
    _connection: LiveConnection,
    /// When the key is looked at again, and a comment is sent.
    next_check: Instant,
    /// Nothing has been sent yet.
    first: bool,
    ended: bool,
}

/// The answer of an operation as a stream of events.
pub(super) fn answer(going: Going) -> Response {
    let events = stream::unfold(going, async |mut going| {
        let bytes = going.next().await?;
        Some((Ok::<_, Infallible>(bytes), going))
    });
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        ),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    (StatusCode::OK, headers, Body::from_stream(events)).into_response()
}

impl Going {
    pub(super) fn new(
        answers: Answers,
        connection: LiveConnection,
        credential: Credential,
        stopping: Stopping,
    ) -> Self {
        Self {
            answers,
            credential,
            stopping,
            _connection: connection,
            next_check: Instant::now() + EVENT_STREAM_KEEP_ALIVE,
            first: true,
            ended: false,
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.first) {
            return Some(Bytes::from_static(COMMENT));
        }
        if self.ended {
            return None;
        }
        tokio::select! {
            () = self.stopping.token.cancelled() => None,
            part = self.answers.next() => Some(self.events(part)),
            () = tokio::time::sleep_until(self.next_check) => {
                self.next_check = Instant::now() + EVENT_STREAM_KEEP_ALIVE;
                self.credential.still_opens().await.then(|| Bytes::from_static(COMMENT))
            }
        }
    }

    fn events(&mut self, part: Option<Part>) -> Bytes {
        let mut text = String::new();
        match part {
            Some(Part::Next(payloads)) => {
                for payload in payloads.texts() {
                    push_next(&mut text, payload);
                }
                metrics::results_sent(payloads.texts().len());
            }
            Some(Part::Failed(errors)) => {
                if errors.slow {
                    metrics::slow_reader(Transport::EventStream);
                }
                push_next(&mut text, &format!("{{\"errors\":{}}}", errors.json));
                text.push_str(COMPLETE);
                self.ended = true;
            }
            None => {
                text.push_str(COMPLETE);
                self.ended = true;
            }
        }
        text.into()
    }
}

/// JSON has no line breaks, so one line of data holds it.
fn push_next(text: &mut String, payload: &str) {
    text.push_str("event: next\ndata: ");
    text.push_str(payload);
    text.push_str("\n\n");
}
