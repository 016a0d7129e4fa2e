//! HTTP: the routes, and the layers around them.
//!
//! From the outside in: metrics; the exchange (request id, error bodies, access log); panics become errors; pages from
//! elsewhere; requests of one address; the host check; the route. Every error has one JSON shape, also for unknown paths and methods.

mod answer;
mod body;
mod client_address;
pub(crate) mod cors;
mod credentials;
pub(crate) mod error;
mod event_stream;
pub(crate) mod exchange;
mod export;
mod export_body;
pub(crate) mod graphql;
mod health;
pub(crate) mod hosts;
mod live;
mod negotiation;
mod operations;
mod origin;
mod parameters;
mod playground;
mod shared;
mod websocket;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::AppState;
use crate::document::Documents;
use crate::graphql::InputTypes;
use crate::rate::RateLimits;
use body::BodyReader;
use client_address::AddressLimit;
use error::HttpError;
use export::ExportEndpoint;
use graphql::Endpoint;
use live::LiveConnections;
use operations::Operations;
use shared::SharedStreams;

/// All routes of the server.
pub(crate) fn router(app: AppState) -> Router {
    let rates = Arc::new(RateLimits::new(app.options.rates));
    let endpoint = Endpoint {
        rates: rates.clone(),
        origins: app.options.cors_origins.clone(),
        schema: app.schema.clone(),
        gate: app.gate.clone(),
        schema_of_known_documents: app.schema_of_known_documents.clone(),
        documents: Documents::new(),
        input_types: Arc::new(InputTypes::new()),
        bodies: BodyReader::new(app.options.body_limit_bytes, app.options.bodies_limit_bytes),
        timeout: app.options.request_timeout,
        introspection: app.options.introspection,
        operations: Operations {
            rates: rates.clone(),
            schema: app.schema.clone(),
            timeout: app.options.request_timeout,
            introspection: app.options.introspection,
            shared: SharedStreams::default(),
        },
        live: LiveConnections::new(app.options.live_connections),
        socket_init_timeout: app.options.socket_init_timeout,
    };
    let graphql: MethodRouter<AppState> = get(websocket::get)
        .post(graphql::post)
        .fallback(graphql::other_method)
        .with_state(endpoint);
    let mut router: Router<AppState> = Router::new()
        .route("/graphql", graphql)
        .route("/healthz", get(health::healthz).fallback(health::other_method))
        .route("/livez", get(health::livez).fallback(health::other_method))
        .route("/metrics", get(health::metrics).fallback(health::other_method));
    if app.options.playground {
        router = playground::add_routes(router);
    }
    let export: MethodRouter<AppState> =
        get(export::get)
            .fallback(export::other_method)
            .with_state(ExportEndpoint::new(
                app.store.clone(),
                app.gate.clone(),
                app.options.export_stall_timeout,
            ));
    router = router.route("/export", export);
    let hosts = app.options.allowed_hosts.clone();
    let origins = app.options.cors_origins.clone();
    let address_limit = AddressLimit {
        rates,
        trusted_proxies: app.options.trusted_proxies,
    };
    let metrics = app.metrics.http_layer();
    router
        .fallback(async || HttpError::not_found())
        .with_state(app)
        .layer(from_fn_with_state(hosts, hosts::check))
        .layer(from_fn_with_state(address_limit, client_address::limit))
        .layer(from_fn_with_state(origins, cors::share))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(from_fn(exchange::run))
        .layer(metrics)
}

/// The panic itself is logged by the process' panic hook.
fn after_panic(_payload: Box<dyn Any + Send + 'static>) -> Response {
    HttpError::internal().into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::error::HttpError;
    use super::{after_panic, exchange};

    async fn answer(path: &str) -> (u16, serde_json::Value) {
        let router = Router::new()
            .route(
                "/panic",
                get(async || -> &'static str { panic!("secret of the inside") }),
            )
            .fallback(async || HttpError::not_found())
            .layer(CatchPanicLayer::custom(after_panic))
            .layer(from_fn(exchange::run));
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
