//! `/healthz`, `/livez` and `/metrics`: what those who operate the server ask it.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use store::Scope;

use super::credentials;
use super::error::HttpError;
use crate::app::AppState;
use crate::limits::HEALTH_TIMEOUT;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'static str>,
}

/// 200 while requests can be served: the server is not stopping and its database answers. Otherwise 503, within about
/// a second.
pub(super) async fn healthz(State(app): State<AppState>) -> Response {
    if app.readiness.is_stopping() {
        return report(StatusCode::SERVICE_UNAVAILABLE, "stopping", None);
    }
    match app.store.ping(HEALTH_TIMEOUT).await {
        Ok(()) => report(StatusCode::OK, "ok", Some("ok")),
        Err(_) => report(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            Some("unavailable"),
        ),
    }
}

/// 200 as long as the process works, whatever its database does.
pub(super) async fn livez() -> Response {
    report(StatusCode::OK, "ok", None)
}

/// All metrics in Prometheus' text format, for those with a key if the server is told to ask for one.
pub(super) async fn metrics(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, HttpError> {
    if app.options.protect_metrics {
        credentials::principal_with(&app.gate, &headers, Scope::Query).await?;
    }
    let text = app.metrics.render(app.readings());
    let content_type = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, text).into_response())
}

pub(super) async fn other_method() -> HttpError {
    HttpError::method_not_allowed("GET")
}

fn report(status: StatusCode, word: &'static str, database: Option<&'static str>) -> Response {
    let health = Health {
        status: word,
        database,
    };
    (status, [(CACHE_CONTROL, "no-store")], axum::Json(health)).into_response()
}
