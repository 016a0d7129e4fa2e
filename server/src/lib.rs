//! The server of Kohorta: GraphQL over HTTP, health and metrics, and the command line of the binary `kohorta`.
//!
//! The only crate that knows HTTP, GraphQL and Prometheus. It promises that every answer, errors included, is JSON of a
//! documented shape, that no request does unbounded work, and that nothing internal reaches a client. What
//! numbers mean and how they are kept is not its business: resolvers parse, call the store, convert.
//!
//! Tests run it in process: [`app::App::start`] with a store, then [`app::App::router`], or
//! [`listener::run`] to have real connections.

mod answer_memory;
pub mod app;
mod auth;
pub mod clock;
pub mod commands;
pub mod config;
mod document;
mod error_code;
pub mod export;
mod graphql;
mod http;
mod limits;
pub mod listener;
pub mod logging;
mod metrics;
mod per_address;
mod process;
mod progress;
mod rate;
mod stall;
pub mod start;
mod today;
pub mod traces;
mod turns;

pub use auth::{AuthOptions, FixedKey, Policy};
pub use graphql::{Introspection, schema_sdl};
pub use http::cors::{Origin, Origins};
pub use http::hosts::AllowedHosts;
pub use metrics::MetricsError;
pub use rate::{Rate, RateOptions};
