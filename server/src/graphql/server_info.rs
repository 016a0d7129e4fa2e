//! `serverInfo`: what the server is and what it takes.

use async_graphql::{Context, Object, SimpleObject};
use store::MAX_EVENT_TYPES;
use store::new_event::{MAX_PROPERTIES_BYTES, MAX_PROPERTY_DEPTH};

use super::error::Result;
use super::guard::Needs;
use super::resources::Resources;
use super::scalars::TimeZone;
use crate::limits::{
    MAX_ALIASES, MAX_ANSWER_BYTES, MAX_BATCH_EVENTS, MAX_DIRECTIVES, MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_NESTING, MAX_DOCUMENT_TOKENS, MAX_EXPORTS, MAX_FRAGMENTS, MAX_GRAPHQL_NAME_BYTES, MAX_PAGE,
    MAX_QUERY_COMPLEXITY, MAX_QUERY_DEPTH, MAX_RANGE_DAYS, MAX_RETENTION_CELLS, MAX_RETENTION_PERIODS,
    MAX_SOCKET_MESSAGE_BYTES, MAX_SOCKET_OPERATIONS, MAX_TOP_EVENTS, MAX_WINDOW_DAYS,
};

#[derive(Default)]
pub(super) struct ServerInfoQuery;

#[Object]
impl ServerInfoQuery {
    /// What this server is, and the limits that clients meet; these may be asked for with any key.
    #[graphql(guard = "Needs::AnyScope")]
    async fn server_info(&self, context: &Context<'_>) -> Result<ServerInfo> {
        let resources = Resources::of(context)?;
        let store = &resources.store;
        Ok(ServerInfo {
            version: if resources.hardened {
                "hidden"
            } else {
                env!("CARGO_PKG_VERSION")
            },
            database: store.backend_name(),
            timezone: TimeZone(store.timezone()),
            limits: Limits {
                max_batch_events: int(MAX_BATCH_EVENTS),
                max_event_bytes: int(MAX_PROPERTIES_BYTES),
                max_property_depth: int(MAX_PROPERTY_DEPTH),
                max_range_days: MAX_RANGE_DAYS,
                max_query_depth: int(MAX_QUERY_DEPTH),
                max_query_complexity: int(MAX_QUERY_COMPLEXITY),
                max_query_aliases: int(MAX_ALIASES),
                max_query_directives: int(MAX_DIRECTIVES),
                max_query_fragments: int(MAX_FRAGMENTS),
                max_document_bytes: int(MAX_DOCUMENT_BYTES),
                max_document_tokens: int(MAX_DOCUMENT_TOKENS),
                max_document_nesting: int(MAX_DOCUMENT_NESTING),
                max_document_name_bytes: int(MAX_GRAPHQL_NAME_BYTES),
                max_body_bytes: int(resources.body_limit_bytes),
                max_answer_bytes: int(MAX_ANSWER_BYTES),
                max_page_size: MAX_PAGE,
                max_window_days: MAX_WINDOW_DAYS,
                max_top_events: MAX_TOP_EVENTS,
                max_retention_periods: MAX_RETENTION_PERIODS,
                max_retention_cells: int(MAX_RETENTION_CELLS as usize),
                max_event_types: int(MAX_EVENT_TYPES as usize),
                max_exports: int(MAX_EXPORTS),
                max_socket_message_bytes: int(MAX_SOCKET_MESSAGE_BYTES),
                max_socket_operations: int(MAX_SOCKET_OPERATIONS),
                max_future_seconds: int(resources.max_ahead.num_seconds().unsigned_abs() as usize),
                request_timeout_seconds: int(resources.request_timeout.as_secs() as usize),
            },
        })
    }
}

/// What a server is.
#[derive(SimpleObject)]
pub(super) struct ServerInfo {
    /// The version of Kohorta; `hidden` where introspection is turned off.
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
    /// The highest cost of an operation: each field costs 1, `dau` and `topEvents` 50 more, with a filter 200, `retention` and
    /// `ingestEvents` 100 more, `ingestEvent`, `event` and `user` 10 more. A page of a connection costs 10, and a twentieth
    /// of its fields for each entry that is asked for; the events of a user 40 more.
    max_query_complexity: i32,
    /// The most aliases in a document.
    max_query_aliases: i32,
    /// The most directives in a document.
    max_query_directives: i32,
    /// The most fragments in a document.
    max_query_fragments: i32,
    /// The longest document, in bytes; variables are not part of it.
    max_document_bytes: i32,
    /// The most tokens in a document: names, punctuation and values.
    max_document_tokens: i32,
    /// The deepest nesting of brackets in a document.
    max_document_nesting: i32,
    /// The longest name in a document, in bytes: of an alias, a variable or an operation.
    max_document_name_bytes: i32,
    /// The largest body of a request, in bytes, after inflating.
    max_body_bytes: i32,
    /// The largest answer, in bytes of JSON; what it takes in memory while it is made is bounded as well.
    max_answer_bytes: i32,
    /// The most entries on one page of a connection.
    max_page_size: i32,
    /// The longest `windowDays`.
    max_window_days: i32,
    /// The highest `limit` of `topEvents`.
    max_top_events: i32,
    /// The most `periods` of `retention`.
    max_retention_periods: i32,
    /// The most cells of `retention`: cohorts times one more than `periods`.
    max_retention_cells: i32,
    /// The most event types that the database takes.
    max_event_types: i32,
    /// The most exports over HTTP at a time.
    max_exports: i32,
    /// The largest message on a WebSocket, in bytes.
    max_socket_message_bytes: i32,
    /// The most operations under way on one WebSocket.
    max_socket_operations: i32,
    /// How far ahead of the server's clock an event may lie, in seconds.
    max_future_seconds: i32,
    /// How long a request may take before it is answered TIMEOUT, in seconds.
    request_timeout_seconds: i32,
}

/// All limits are far below 2^31.
fn int(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}
