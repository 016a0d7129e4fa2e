//! `/healthz`, `/livez` and `/metrics`: what those who operate the server ask it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use store::{Scope, Store};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client_address::{WITH_THIS_KEY, too_many};
use super::credentials;
use super::error::HttpError;
use crate::app::AppState;
use crate::limits::{HEALTH_FRESH, HEALTH_TIMEOUT};
use crate::rate::RateLimits;

/// Whether the database answers, asked once for all who want to know at about the same time: anybody may ask, without a
/// key and as often as they like.
#[derive(Clone, Default)]
pub(crate) struct DatabaseHealth(Arc<Mutex<Option<Finding>>>);

#[derive(Clone, Copy)]
struct Finding {
    at: Instant,
    is_well: bool,
}

impl DatabaseHealth {
    /// What was found out last, if it is fresh; otherwise one of those who wait asks, and the others take its answer.
    async fn is_well(&self, store: &Store) -> bool {
        self.look(HEALTH_FRESH, async || store.ping(HEALTH_TIMEOUT).await.is_ok())
            .await
    }

    async fn look(&self, fresh: Duration, ask: impl AsyncFnOnce() -> bool) -> bool {
        let mut last = self.0.lock().await;
        if let Some(finding) = *last
            && finding.at.elapsed() < fresh
        {
            return finding.is_well;
        }
        let is_well = ask().await;
        *last = Some(Finding {
            at: Instant::now(),
            is_well,
        });
        is_well
    }
}

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
    if app.health.is_well(&app.store).await {
        return report(StatusCode::OK, "ok", Some("ok"));
    }
    report(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        Some("unavailable"),
    )
}

/// 200 as long as the process works, whatever its database does.
pub(super) async fn livez() -> Response {
    report(StatusCode::OK, "ok", None)
}

/// All metrics in Prometheus' text format, for those with a key if the server is told to ask for one.
pub(super) async fn metrics(
    State(app): State<AppState>,
    Extension(rates): Extension<Arc<RateLimits>>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    if app.options.protect_metrics {
        let principal = credentials::principal_with(&app.gate, &headers, Scope::Query).await?;
        rates
            .take_key(principal.holder)
            .map_err(|too_often| too_many(WITH_THIS_KEY, too_often))?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::DatabaseHealth;

    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn a_flood_of_questions_asks_the_database_once() {
        let (health, asked) = (DatabaseHealth::default(), AtomicUsize::new(0));
        let look = async |fresh: Duration, is_well: bool| {
            let ask = async || {
                asked.fetch_add(1, Ordering::Relaxed);
                // All others come meanwhile.
                tokio::task::yield_now().await;
                is_well
            };
            health.look(fresh, ask).await
        };
        let answers = join_all((0..100).map(|_| look(LONG, true))).await;
        assert!(answers.into_iter().all(|is_well| is_well));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(look(LONG, false).await, "it is fresh");
        assert!(!look(Duration::ZERO, false).await, "it is not any more");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(!look(LONG, true).await, "bad news are as fresh");
    }

    #[tokio::test]
    async fn one_who_asks_and_goes_leaves_it_to_the_next() {
        let health = DatabaseHealth::default();
        let never = health.look(LONG, async || std::future::pending().await);
        let gone = tokio::time::timeout(Duration::from_millis(10), never).await;
        assert!(gone.is_err());
        assert!(health.look(LONG, async || true).await);
    }
}
