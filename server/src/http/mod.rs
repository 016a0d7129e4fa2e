//! HTTP: the routes, and the layers around them.
//!
//! From the outside in: metrics; the exchange (request id, error bodies, access log); panics become errors; the host
//! check; the route. Every error has one JSON shape, also for unknown paths and methods.

mod answer;
mod body;
pub(crate) mod error;
pub(crate) mod exchange;
pub(crate) mod graphql;
mod health;
pub(crate) mod hosts;
mod negotiation;
mod parameters;
mod playground;

use std::any::Any;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::AppState;
use body::BodyReader;
use error::HttpError;
use graphql::Endpoint;

/// All routes of the server.
pub(crate) fn router(app: AppState) -> Router {
    let endpoint = Endpoint {
        schema: app.schema.clone(),
        bodies: BodyReader::new(app.options.body_limit_bytes, app.options.bodies_limit_bytes),
        timeout: app.options.request_timeout,
    };
    let graphql: MethodRouter<AppState> = get(graphql::get)
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
    let hosts = app.options.allowed_hosts.clone();
    let metrics = app.metrics.http_layer();
    router
        .fallback(async || HttpError::not_found())
        .with_state(app)
        .layer(from_fn_with_state(hosts, hosts::check))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(from_fn(exchange::run))
        .layer(metrics)
}

/// The panic itself is logged by the process' panic hook.
fn after_panic(_payload: Box<dyn Any + Send + 'static>) -> Response {
    HttpError::internal().into_response()
}
