//! Keys over HTTP: the `Authorization` header, and the answers to those who do not get in.

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use store::Scope;

use super::error::HttpError;
use crate::auth::{Denied, Gate, Principal};
use crate::error_code::Code;
use crate::metrics;

/// Says who sends a request with these headers.
///
/// # Errors
/// 401 without a good key where one is wanted, 503 if keys cannot be checked now.
pub(super) async fn principal(gate: &Gate, headers: &HeaderMap) -> Result<Principal, HttpError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => None,
        // What is no text is no key either.
        (Some(value), None) => Some(value.to_str().unwrap_or("")),
        (Some(_), Some(_)) => Some(""),
    };
    Ok(gate.authorize(value).await?)
}

/// Says who sends a request with these headers, if they may do what needs `scope`.
///
/// # Errors
/// As [`principal`]; 403 if the key has another scope.
pub(super) async fn principal_with(
    gate: &Gate,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<Principal, HttpError> {
    let principal = principal(gate, headers).await?;
    if principal.may(scope) {
        return Ok(principal);
    }
    metrics::denied("forbidden");
    let message = format!(
        "this path needs an API key with the scope {scope}; this one has the scope {}",
        principal.scope
    );
    Err(HttpError::new(StatusCode::FORBIDDEN, Code::Forbidden, message))
}

impl From<Denied> for HttpError {
    fn from(denied: Denied) -> Self {
        let challenge = match denied {
            Denied::Unavailable => return Self::unavailable(denied.code(), denied.message()),
            Denied::Missing => "Bearer realm=\"kohorta\"",
            Denied::Malformed => "Bearer realm=\"kohorta\", error=\"invalid_request\"",
            Denied::Unknown | Denied::Expired => "Bearer realm=\"kohorta\", error=\"invalid_token\"",
        };
        Self::new(StatusCode::UNAUTHORIZED, denied.code(), denied.message())
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }
}
