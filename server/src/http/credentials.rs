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
    Ok(gate.authorize(authorization(headers)).await?)
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => None,
        // What is no text is no key either.
        (Some(value), None) => Some(value.to_str().unwrap_or("")),
        (Some(_), Some(_)) => Some(""),
    }
}

/// What somebody shows who stays: looked at again now and then, because keys are taken back.
#[derive(Clone)]
pub(super) struct Credential {
    gate: Gate,
    authorization: Option<String>,
}

impl Credential {
    pub(super) fn of_headers(gate: &Gate, headers: &HeaderMap) -> Self {
        Self {
            gate: gate.clone(),
            authorization: authorization(headers).map(str::to_owned),
        }
    }

    /// Whether anything is shown.
    pub(super) fn is_some(&self) -> bool {
        self.authorization.is_some()
    }

    /// Shows this from now on.
    pub(super) fn show(&mut self, authorization: String) {
        self.authorization = Some(authorization);
    }

    /// Says whose it is.
    pub(super) async fn principal(&self) -> Result<Principal, Denied> {
        self.gate.authorize(self.authorization.as_deref()).await
    }

    /// Whether it opens still; that this cannot be known now shuts nobody out.
    pub(super) async fn still_opens(&self) -> bool {
        !matches!(self.principal().await, Err(denied) if denied != Denied::Unavailable)
    }
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
