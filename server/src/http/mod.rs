//! HTTP: the routes, and the layers around them.
//!
//! From the outside in: metrics; the edge ([`edge`]); the route. Every error has one JSON shape, also for unknown paths
//! and methods.

mod answer;
mod answer_text;
mod body;
mod client_address;
pub(crate) mod cors;
mod credentials;
mod edge;
pub(crate) mod error;
mod event_stream;
pub(crate) mod exchange;
mod export;
mod export_body;
pub(crate) mod graphql;
pub(crate) mod health;
pub(crate) mod hosts;
mod live;
mod negotiation;
mod operations;
mod origin;
mod parameters;
mod playground;
mod shared;
mod websocket;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router};
use tower::ServiceBuilder;

use crate::answer_memory::AnswersMemory;
use crate::app::AppState;
use crate::document::Documents;
use crate::graphql::InputTypes;
use crate::rate::RateLimits;
use body::BodyReader;
use client_address::AddressLimit;
use edge::Edge;
use error::HttpError;
use export::ExportEndpoint;
use graphql::Endpoint;
use live::LiveConnections;
use operations::Operations;
use shared::SharedStreams;

/// All routes of the server.
pub(crate) fn router(app: AppState) -> Router {
    let rates = Arc::new(RateLimits::new(app.options.rates));
    let answers = AnswersMemory::new();
    let endpoint = Arc::new(Endpoint {
        rates: rates.clone(),
        origins: app.options.cors_origins.clone(),
        schema: app.schema.clone(),
        gate: app.gate.clone(),
        schema_of_known_documents: app.schema_of_known_documents.clone(),
        documents: Documents::new(),
        resources: app.resources.clone(),
        input_types: Arc::new(InputTypes::new()),
        answers: answers.clone(),
        bodies: BodyReader::new(app.options.body_limit_bytes, app.options.bodies_limit_bytes)
            .with_piece_timeout(app.options.body_piece_timeout),
        timeout: app.options.request_timeout,
        introspection: app.options.introspection,
        operations: Operations {
            rates: rates.clone(),
            answers,
            schema: app.schema.clone(),
            timeout: app.options.request_timeout,
            introspection: app.options.introspection,
            shared: SharedStreams::default(),
        },
        live: LiveConnections::new(app.options.live_connections),
        socket_init_timeout: app.options.socket_init_timeout,
    });
    let graphql: MethodRouter<AppState> = get(websocket::get)
        .post(graphql::post)
        .fallback(graphql::other_method)
        .with_state(endpoint);
    let mut router: Router<AppState> = Router::new()
        .route("/graphql", graphql)
        .route("/healthz", get(health::healthz).fallback(health::other_method))
        .route("/livez", get(health::livez).fallback(health::other_method))
        .route(
            "/metrics",
            get(health::metrics)
                .fallback(health::other_method)
                .layer(Extension(rates.clone())),
        );
    if app.options.playground {
        router = playground::add_routes(router);
    }
    let export: MethodRouter<AppState> =
        get(export::get)
            .fallback(export::other_method)
            .with_state(ExportEndpoint::new(
                app.store.clone(),
                app.gate.clone(),
                rates.clone(),
                app.options.export_stall_timeout,
            ));
    router = router.route("/export", export);
    let edge = Edge {
        origins: app.options.cors_origins.clone(),
        address_limit: AddressLimit {
            rates,
            trusted_proxies: app.options.trusted_proxies,
        },
        hosts: app.options.allowed_hosts.clone(),
    };
    let metrics = app.metrics.http_layer();
    // Together they are one layer of the router.
    let around = ServiceBuilder::new()
        .layer(metrics)
        .layer(from_fn_with_state(Arc::new(edge), edge::pass));
    router
        .fallback(async || HttpError::not_found())
        .with_state(app)
        .layer(around)
}
