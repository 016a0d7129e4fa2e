//! Errors of the transport: everything that goes wrong before, around or instead of GraphQL.
//!
//! They have one shape, the same as errors of GraphQL: `{"errors":[{"message","extensions":{…}}]}`. A handler returns
//! an [`HttpError`]; [`super::exchange`] writes its body, because only there the request id is known.

use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::exchange::RequestId;
use crate::error_code::Code;
use crate::limits::MAX_MESSAGE_CHARACTERS;

/// An answer that is an error of the transport.
#[derive(Debug, Clone)]
pub(crate) struct HttpError {
    pub(super) status: StatusCode,
    pub(super) code: Code,
    pub(super) message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpError {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Code::BadRequest,
            "there is nothing at this path",
        )
    }

    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let message = format!("this path takes {allow} only");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, message)
            .with_header(ALLOW, HeaderValue::from_static(allow))
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        let message = format!("the body is larger than {limit_bytes} bytes, the most allowed");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge, message)
    }

    /// An error that may go away: the client is told to try again.
    pub(crate) fn unavailable(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
            .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(crate) fn internal() -> Self {
        let message = "an unexpected error of the server; its log has more under this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, message)
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body of the answer.
    pub(crate) fn body(&self, request_id: &RequestId) -> Vec<u8> {
        let extensions = ErrorExtensions::new(self.code, request_id);
        let message = shortened(&self.message);
        let body = ErrorBody {
            errors: [ErrorEntry {
                message: &message,
                extensions,
            }],
        };
        // Strings and booleans always have a JSON form.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// What every error says about itself under `extensions`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorExtensions<'a> {
    code: &'static str,
    request_id: &'a str,
    retryable: bool,
}

impl<'a> ErrorExtensions<'a> {
    pub(super) fn new(code: Code, request_id: &'a RequestId) -> Self {
        Self {
            code: code.as_str(),
            request_id: request_id.as_str(),
            retryable: code.retryable(),
        }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    errors: [ErrorEntry<'a>; 1],
}

#[derive(Serialize)]
struct ErrorEntry<'a> {
    message: &'a str,
    extensions: ErrorExtensions<'a>,
}

/// `message`, cut to the longest allowed.
pub(super) fn shortened(message: &str) -> String {
    if message.chars().count() <= MAX_MESSAGE_CHARACTERS {
        return message.to_owned();
    }
    let mut cut: String = message.chars().take(MAX_MESSAGE_CHARACTERS - 1).collect();
    cut.push('…');
    cut
}
