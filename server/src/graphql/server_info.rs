//! `serverInfo`: what the server is and what it takes.

use async_graphql::{Context, Object, SimpleObject};
use store::new_event::{MAX_PROPERTIES_BYTES, MAX_PROPERTY_DEPTH};

use super::error::Result;
use super::guard::Needs;
use super::resources::Resources;
use super::scalars::TimeZone;
use crate::limits::{MAX_BATCH_EVENTS, MAX_QUERY_COMPLEXITY, MAX_QUERY_DEPTH, MAX_RANGE_DAYS};

#[derive(Default)]
pub(super) struct ServerInfoQuery;

#[Object]
impl ServerInfoQuery {
    /// What this server is, and the limits that clients meet; these may be asked for with any key.
    #[graphql(guard = "Needs::AnyScope")]
    async fn server_info(&self, context: &Context<'_>) -> Result<ServerInfo> {
        let store = &Resources::of(context)?.store;
        Ok(ServerInfo {
            version: env!("CARGO_PKG_VERSION"),
            database: store.backend_name(),
            timezone: TimeZone(store.timezone()),
            limits: Limits {
                max_batch_events: int(MAX_BATCH_EVENTS),
                max_event_bytes: int(MAX_PROPERTIES_BYTES),
                max_property_depth: int(MAX_PROPERTY_DEPTH),
                max_range_days: MAX_RANGE_DAYS,
                max_query_depth: int(MAX_QUERY_DEPTH),
                max_query_complexity: int(MAX_QUERY_COMPLEXITY),
            },
        })
    }
}

/// What a server is.
#[derive(SimpleObject)]
pub(super) struct ServerInfo {
    /// The version of Kohorta.
    #[graphql(guard = "Needs::Query")]
    version: &'static str,
    /// The database behind it: SQLite or PostgreSQL.
    #[graphql(guard = "Needs::Query")]
    database: &'static str,
    /// The reporting time zone: days, weeks and months begin and end in it.
    #[graphql(guard = "Needs::Query")]
    timezone: TimeZone,
    /// The limits that clients meet.
    limits: Limits,
}

/// The limits that clients meet.
#[derive(SimpleObject)]
pub(super) struct Limits {
    /// The most events in one `ingestEvents`.
    max_batch_events: i32,
    /// The largest `properties` of an event, in bytes of compact JSON.
    max_event_bytes: i32,
    /// The deepest `properties` of an event, in levels of objects and lists, the outermost included.
    max_property_depth: i32,
    /// The longest range from `from` to `to`, in days.
    max_range_days: i32,
    /// The deepest nesting of fields in a query.
    max_query_depth: i32,
    /// The highest cost of an operation: each field costs 1, `dau` and `topEvents` 50 more, `retention` and
    /// `ingestEvents` 100 more, `ingestEvent`, `event` and `user` 10 more. A page of a connection costs 10, and a twentieth
    /// of its fields for each entry that is asked for; the events of a user 40 more.
    max_query_complexity: i32,
}

/// All limits are far below 2^31.
fn int(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}
