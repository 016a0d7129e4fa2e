//! What surrounds every exchange of a request and its answer: the request id, the body of errors, the access log.
//!
//! A request id is taken from `x-request-id` if it is a plain word, otherwise made; it is returned in the same header,
//! stands in every error and in every access line. A client that hangs up before its answer is logged with
//! status 499. Whoever logs an error while a request is answered asks for [`RequestId::current`].

use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use tracing::Instrument as _;
use uuid::Uuid;

use super::error::HttpError;
use crate::limits::{MAX_LOGGED_PATH_CHARACTERS, MAX_REQUEST_ID_BYTES};
use crate::{metrics, traces};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What the access log says of a request whose client did not wait for the answer.
const CLIENT_GONE: u16 = 499;

/// The name of one request, in logs and answers.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

tokio::task_local! {
    static CURRENT: RequestId;
}

impl RequestId {
    /// The id of the request that the present task answers; nothing outside of requests.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs `work` as part of the exchange with this id, also after the exchange itself.
    pub(super) async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    fn of(headers: &HeaderMap) -> Self {
        match headers.get(X_REQUEST_ID) {
            Some(value) if is_plain_word(value.as_bytes()) => Self(value.clone()),
            _ => Self::made(),
        }
    }

    /// A new request id.
    pub(crate) fn made() -> Self {
        let text = Uuid::now_v7().to_string();
        Self(HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown")))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

fn is_plain_word(bytes: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Runs one exchange, with what `answering` makes of the request. Goes around everything but the metrics.
pub(super) async fn run<A: Future<Output = Response>>(
    mut request: Request,
    answering: impl FnOnce(Request) -> A,
) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let mut line = AccessLine {
        method: request.method().clone(),
        path: request
            .uri()
            .path()
            .chars()
            .take(MAX_LOGGED_PATH_CHARACTERS)
            .collect(),
        status: CLIENT_GONE,
        id: id.clone(),
    };
    let span = traces::request_span(&request, id.as_str());
    let mut response = CURRENT
        .scope(id.clone(), answering(request))
        .instrument(span.clone())
        .await;
    if let Some(error) = response.extensions_mut().remove::<HttpError>() {
        write_error(&mut response, &error, &id);
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_REQUEST_ID, id.0);
    line.status = response.status().as_u16();
    traces::answered(&span, line.status);
    response
}

fn write_error(response: &mut Response, error: &HttpError, id: &RequestId) {
    metrics::error_answered(error.code);
    let body = error.body(id);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = body.into();
}

/// The access line of one exchange, written when it ends in whatever way.
struct AccessLine {
    method: Method,
    path: String,
    status: u16,
    id: RequestId,
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        tracing::info!(
            target: "access",
            method = self.method.as_str(),
            path = self.path.as_str(),
            status = self.status,
            request_id = self.id.as_str(),
            "access"
        );
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::RequestId;

    fn id_for(value: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-request-id",
            HeaderValue::from_bytes(value).expect("a header value"),
        );
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn plain_request_ids_are_taken_and_others_replaced() {
        assert_eq!(id_for(b"web-1.req_42"), "web-1.req_42");
        assert_eq!(id_for("x".repeat(128).as_bytes()), "x".repeat(128));
        for odd in [b"".as_slice(), b"a b", b"\xff", "x".repeat(129).as_bytes()] {
            let id = id_for(odd);
            assert_eq!(id.len(), 36, "{id}");
        }
    }
}
