//! What every request passes on its way in, and its answer on its way out, in one layer.
//!
//! From the outside in: the exchange (request id, error bodies, access log); panics become errors; pages from elsewhere;
//! requests of one address; the host check; the route. They are one layer and not five, because each layer of the
//! router costs every request copies and boxes of all that lies inside of it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use super::client_address::AddressLimit;
use super::cors::Origins;
use super::error::HttpError;
use super::exchange;
use super::hosts::AllowedHosts;

/// What requests are checked against.
pub(super) struct Edge {
    pub(super) origins: Origins,
    pub(super) address_limit: AddressLimit,
    pub(super) hosts: AllowedHosts,
}

/// Lets a request pass, or answers it.
pub(super) async fn pass(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    exchange::run(request, |request| async move {
        // What a panic has left half done is gone with the request.
        let answering = AssertUnwindSafe(edge.answer(request, next));
        answering.catch_unwind().await.unwrap_or_else(after_panic)
    })
    .await
}

impl Edge {
    async fn answer(&self, mut request: Request, next: Next) -> Response {
        let sharing = self.origins.sharing(&request);
        let response = match sharing.permission() {
            Some(permission) => permission,
            None => match self.refusal(&mut request) {
                Some(refusal) => refusal.into_response(),
                None => next.run(request).await,
            },
        };
        sharing.with(response)
    }

    fn refusal(&self, request: &mut Request) -> Option<HttpError> {
        let checked = self.address_limit.check(request);
        checked.and_then(|()| self.hosts.check(request)).err()
    }
}

/// The panic itself is logged by the process' panic hook.
fn after_panic(_payload: Box<dyn Any + Send + 'static>) -> Response {
    HttpError::internal().into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::{AddressLimit, AllowedHosts, Edge, HttpError, Origins, pass};
    use crate::rate::{RateLimits, RateOptions};

    async fn answer(path: &str) -> (u16, serde_json::Value) {
        let edge = Arc::new(Edge {
            origins: Origins::default(),
            address_limit: AddressLimit {
                rates: Arc::new(RateLimits::new(RateOptions::default())),
                trusted_proxies: 0,
            },
            hosts: AllowedHosts::Any,
        });
        let router = Router::new()
            .route(
                "/panic",
                get(async || -> &'static str { panic!("secret of the inside") }),
            )
            .fallback(async || HttpError::not_found())
            .layer(from_fn_with_state(edge, pass));
        let request = Request::get(path)
            .header("x-request-id", "r-1")
            .body(Body::empty());
        let response = router
            .oneshot(request.expect("a request"))
            .await
            .expect("routers never fail");
        assert_eq!(response.headers()["x-request-id"], "r-1");
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX)
            .await
            .expect("a body in memory");
        (status, serde_json::from_slice(&bytes).expect("the body is JSON"))
    }

    #[tokio::test]
    async fn panics_and_unknown_paths_have_the_shape_of_all_errors() {
        for (path, status, code) in [("/panic", 500, "INTERNAL"), ("/nothing", 404, "BAD_REQUEST")] {
            let (actual, body) = answer(path).await;
            assert_eq!(actual, status);
            let extensions = &body["errors"][0]["extensions"];
            assert_eq!(
                (&extensions["code"], &extensions["requestId"]),
                (&code.into(), &"r-1".into())
            );
            assert_eq!(extensions["retryable"], false);
            assert!(!body.to_string().contains("secret"));
        }
    }
}
