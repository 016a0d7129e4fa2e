//! Every bound on what one request may ask for, in one place, each with its reason.
//!
//! What an operator may want to change is an option (see [`crate::config`]) and has its default here.

use std::time::Duration;

/// The longest GraphQL document, in bytes; data belongs into variables, which have the body's limit.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// The most tokens in a GraphQL document; the introspection query of GraphiQL has about 300.
pub(crate) const MAX_DOCUMENT_TOKENS: usize = 2_000;
/// The deepest nesting of brackets in a GraphQL document; recursive parsers overflow the stack at about 2,000.
pub(crate) const MAX_DOCUMENT_NESTING: usize = 64;
/// The longest name in a GraphQL document, in bytes: an alias is written into every row of an answer.
pub(crate) const MAX_GRAPHQL_NAME_BYTES: usize = 128;
/// The most fragments in a GraphQL document.
pub(crate) const MAX_FRAGMENTS: usize = 10;
/// The most fields a document may have once its fragments are spread; spreads can double at each level.
pub(crate) const MAX_EXPANDED_FIELDS: usize = 2_000;
/// The most aliases in a GraphQL document: each may run a costly field once more.
pub(crate) const MAX_ALIASES: usize = 30;
/// The most directives in a GraphQL document.
pub(crate) const MAX_DIRECTIVES: usize = 10;
/// The most operations in a GraphQL document, of which one runs.
pub(crate) const MAX_OPERATIONS: usize = 5;
/// The deepest nesting of fields; GraphiQL's introspection query needs 15.
pub(crate) const MAX_QUERY_DEPTH: usize = 15;
/// The highest complexity of an operation: a field costs 1, an analytic question more (see the resolvers).
/// GraphiQL's introspection query needs 250.
pub(crate) const MAX_QUERY_COMPLEXITY: usize = 1_000;
/// The complexity of a question over a range of days.
pub(crate) const QUESTION_COMPLEXITY: usize = 50;
/// The same with a filter, which may have to be answered from the events themselves: a handful in one request.
pub(crate) const FILTERED_QUESTION_COMPLEXITY: usize = 200;

/// What documents that were executed may take in memory, so that they need not be parsed and validated again.
pub(crate) const DOCUMENT_CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// The longest document that is kept, in bytes; what is longer was written by a program for one request.
pub(crate) const MAX_CACHED_DOCUMENT_BYTES: usize = 8 * 1024;

/// The most events in one `ingestEvents`: about one transaction.
pub(crate) const MAX_BATCH_EVENTS: usize = 2_000;
/// The longest range of days in one question: ten years.
pub(crate) const MAX_RANGE_DAYS: i32 = 3_653;
/// The longest trailing window of `dau`: a year and a day.
pub(crate) const MAX_WINDOW_DAYS: i32 = 366;
/// The most rows of `topEvents`.
pub(crate) const MAX_TOP_EVENTS: i32 = 1_000;
/// The most periods that `retention` follows a cohort.
pub(crate) const MAX_RETENTION_PERIODS: i32 = 366;
/// The most cells in one answer of `retention`: cohorts times periods.
pub(crate) const MAX_RETENTION_CELLS: u64 = 50_000;

/// The most entries on one page of a connection.
pub(crate) const MAX_PAGE: i32 = 1_000;
/// The entries on a page where the client does not say how many.
pub(crate) const DEFAULT_PAGE: u32 = 50;
/// What a page adds to the complexity of an operation besides its entries: about one statement by index.
pub(crate) const PAGE_COST: usize = 10;
/// This many fields of a page's entries add 1 to the complexity: they are written down, not asked for one by one. So
/// the largest page with every field of its entries costs about 500.
pub(crate) const ENTRY_FIELDS_PER_COST: usize = 20;
/// What the events of a user add besides: inside of the entries of another page they take a statement for each. About
/// 300 of them fit into one operation.
pub(crate) const TIMELINE_COST: usize = 40;

/// The largest answer, in bytes of JSON: 50,000 cells of retention take 4 MB, a page of events 9 MB.
pub(crate) const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// What one answer may take in memory while it is made: about 30 times what it takes as JSON where its values are small.
pub(crate) const MAX_ANSWER_MEMORY_BYTES: usize = 128 * 1024 * 1024;
/// What all answers may take in memory together, until they are sent.
pub(crate) const MAX_ANSWERS_MEMORY_BYTES: usize = 256 * 1024 * 1024;
/// About what a field takes in memory while it waits to be resolved by itself, measured: rows of plain fields need none of it.
pub(crate) const RESOLVED_FIELD_BYTES: usize = 1_000;
/// The piece in which a large answer is handed to its connection.
pub(crate) const ANSWER_PIECE_BYTES: usize = 256 * 1024;

/// The most exports over HTTP at a time: each keeps a database connection and a snapshot.
pub(crate) const MAX_EXPORTS: usize = 2;
/// How long the client of an export may take for one piece: its snapshot keeps the database from clearing up.
pub(crate) const EXPORT_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest piece of an export that is handed to a connection at once: even a line of 5 kB a second takes one in time.
pub(crate) const EXPORT_PIECE_BYTES: usize = 256 * 1024;

/// The most errors in one answer, and the longest message: errors must not be larger than what caused them.
pub(crate) const MAX_ERRORS: usize = 10;
/// The longest message of an error, in characters.
pub(crate) const MAX_MESSAGE_CHARACTERS: usize = 500;
/// The most steps of an error's path, and of its places in the document, that are told: fields nest less deep.
pub(crate) const MAX_ERROR_STEPS: usize = 40;
/// The longest request id that is taken from a client.
pub(crate) const MAX_REQUEST_ID_BYTES: usize = 128;

/// How often the keys are read from the database: a key that was revoked opens nothing after that.
pub(crate) const KEYS_REFRESH: Duration = Duration::from_secs(5);
/// How often the keys are read at most because somebody shows one that is not known: it may have been made a moment ago,
/// but strangers must not keep the database busy.
pub(crate) const KEYS_READ_AGAIN: Duration = Duration::from_secs(1);
/// How long a request waits for keys to be read.
pub(crate) const KEYS_READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the keys that were read last count while the database is away. All that a key opens but this server's
/// version and limits needs the database as well.
pub(crate) const KEYS_TRUSTED: Duration = Duration::from_secs(300);
/// How far `last used` may lag: a busy key is written once in that time, not once a request.
pub(crate) const KEY_USE_PRECISION: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// The longest key: ours have 78 characters, those from the environment may have more.
pub(crate) const MAX_KEY_BYTES: usize = 256;
/// The shortest key from the environment: 32 hexadecimal digits are 128 bits, out of reach of guessing.
pub(crate) const MIN_FIXED_KEY_CHARACTERS: usize = 32;

/// How many requests from one address may come at once, and a second in the long run, unless told otherwise: a dashboard asks
/// one a second, a full batch of events is one; what reaches this rate would keep a small server busy for all others. This
/// machine's own addresses are not limited.
pub(crate) const ADDRESS_BURST: u32 = 10_000;
/// See [`ADDRESS_BURST`].
pub(crate) const ADDRESS_RATE: u32 = 5_000;
/// How many addresses, and keys, are told apart when requests are counted: about 1 MB. Those beyond share a bucket.
pub(crate) const MAX_RATE_BUCKETS: usize = 10_000;
/// How long a browser remembers that a page may use the API: a change to the list of origins is noticed after that.
pub(crate) const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// The line and headers of a request, in bytes, and what is read of a body at once. They are refused once so much is there and
/// their end is not, so a little more passes. With all connections this is what strangers can make the server hold.
pub(crate) const MAX_HEADER_BYTES: usize = 32 * 1024;
/// How many connections there may be from one address, unless told otherwise: a quarter of all, so one stranger cannot take
/// them, and many colleagues behind one address can work. This machine's own addresses are not limited.
pub(crate) const ADDRESS_CONNECTIONS: u32 = 1_024;
/// The share of the WebSockets and event streams that one address may have open: one in so many.
pub(crate) const ADDRESS_LIVE_SHARE: usize = 4;
/// The longest path that is written to the log, in characters.
pub(crate) const MAX_LOGGED_PATH_CHARACTERS: usize = 512;

/// How long a client may take to send the headers of a request: one that stalls holds a connection.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may lie idle between two requests: it saves its client the making of another one, but it is one
/// of those that there may be.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to send the next piece of a body.
pub(crate) const BODY_PIECE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send a whole body.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long `/healthz` waits for the database.
pub(crate) const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// How old an answer of the database to `/healthz` may be: whoever asks, and however often, it is asked four times a second.
pub(crate) const HEALTH_FRESH: Duration = Duration::from_millis(250);
/// How long the server still takes requests when it is told to stop: clients and load balancers that are about to send
/// something learn from an answer, not from a broken connection, that they have to go elsewhere.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// How long requests under way may take to finish when the server stops.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server folds what is left when it stops; the next start goes on where it ended.
pub(crate) const LAST_FOLD_TIMEOUT: Duration = Duration::from_secs(3);
/// How many rows of the log one fold takes: enough to be worth a transaction, few enough to be short.
pub(crate) const FOLD_ROWS: u64 = 20_000;
/// How often the log is looked at without a commit of ours: importers and other servers write to it as well.
pub(crate) const FOLD_IDLE: Duration = Duration::from_secs(5);

/// How long a client may take none of what is written to it before its connection is cut.
pub(crate) const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a WebSocket may take to say `connection_init`.
pub(crate) const SOCKET_INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a WebSocket is pinged; one that has said nothing since the last ping is closed.
pub(crate) const SOCKET_PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a WebSocket that is closed may take to close as well.
pub(crate) const SOCKET_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest message of a WebSocket; larger data have their place in POST.
pub(crate) const MAX_SOCKET_MESSAGE_BYTES: usize = 64 * 1024;
/// What is read from a WebSocket at once: idle ones should cost little.
pub(crate) const SOCKET_READ_BUFFER_BYTES: usize = 4 * 1024;
/// What is gathered before it is written to a WebSocket.
pub(crate) const SOCKET_WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// The most operations under way on one WebSocket: more than the charts of a dashboard.
pub(crate) const MAX_SOCKET_OPERATIONS: usize = 20;
/// The longest id of an operation on a WebSocket.
pub(crate) const MAX_OPERATION_ID_BYTES: usize = 128;
/// How often an event stream with nothing to say says so: proxies end silent ones after a minute or half.
pub(crate) const EVENT_STREAM_KEEP_ALIVE: Duration = Duration::from_secs(12);
/// The most subscriptions to `eventAdded` that differ from each other: each looks at every event.
pub(crate) const MAX_LIVE_OPERATIONS: usize = 1_000;
/// How many results of a subscription are handed on together.
pub(crate) const RESULTS_AT_ONCE: usize = 250;
/// What may wait for one slow reader, in bytes: about seven seconds of 2,000 events each.
pub(crate) const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;
/// What may wait for all slow readers together; equal subscriptions hold the same results once.
pub(crate) const MAX_QUEUES_BYTES: usize = 64 * 1024 * 1024;
/// The most different counts of today's active users that are taken: filtered ones read events.
pub(crate) const MAX_TODAY_COUNTS: usize = 64;
/// The least time between two counts of today's active users.
pub(crate) const TODAY_INTERVAL: Duration = Duration::from_secs(1);
/// How many times as long as the count of today's active users took nothing is counted.
pub(crate) const TODAY_REST: u32 = 4;
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        ADDRESS_BURST, ADDRESS_CONNECTIONS, ADDRESS_RATE, BODY_PIECE_TIMEOUT, BODY_TIMEOUT,
        EXPORT_STALL_TIMEOUT, HEADER_TIMEOUT, HEALTH_FRESH, IDLE_TIMEOUT, MAX_ALIASES, MAX_ANSWER_BYTES,
        MAX_ANSWER_MEMORY_BYTES, MAX_ANSWERS_MEMORY_BYTES, MAX_BATCH_EVENTS, MAX_DIRECTIVES,
        MAX_DOCUMENT_BYTES, MAX_DOCUMENT_NESTING, MAX_DOCUMENT_TOKENS, MAX_ERRORS, MAX_EXPANDED_FIELDS,
        MAX_EXPORTS, MAX_FRAGMENTS, MAX_GRAPHQL_NAME_BYTES, MAX_HEADER_BYTES, MAX_LIVE_OPERATIONS,
        MAX_LOGGED_PATH_CHARACTERS, MAX_MESSAGE_CHARACTERS, MAX_OPERATIONS, MAX_PAGE, MAX_QUERY_COMPLEXITY,
        MAX_QUERY_DEPTH, MAX_QUEUED_BYTES, MAX_QUEUES_BYTES, MAX_RANGE_DAYS, MAX_RATE_BUCKETS,
        MAX_RETENTION_CELLS, MAX_RETENTION_PERIODS, MAX_SOCKET_MESSAGE_BYTES, MAX_SOCKET_OPERATIONS,
        MAX_TODAY_COUNTS, MAX_TOP_EVENTS, MAX_WINDOW_DAYS, SOCKET_INIT_TIMEOUT, WRITE_STALL_TIMEOUT,
    };
    use crate::app::AppOptions;
    use crate::listener::ListenOptions;
    use store::new_event::{MAX_NAME_BYTES, MAX_PROPERTIES_BYTES, MAX_PROPERTY_DEPTH};

    /// The number as people read it: 65,536.
    fn grouped(number: impl TryInto<u64>) -> String {
        let digits = number.try_into().unwrap_or_default().to_string();
        let mut text = String::new();
        for (position, digit) in digits.chars().enumerate() {
            if position > 0 && (digits.len() - position) % 3 == 0 {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }

    #[test]
    fn the_page_on_security_gives_the_figures_of_the_code() {
        let page = include_str!("../../docs/security.md");
        let options = AppOptions::default();
        let seconds = |time: Duration| format!("{} s", time.as_secs());
        let bytes = |count: usize| format!("{} bytes", grouped(count));
        for (bound, figure) in [
            (
                "request body, after inflating",
                format!("{} bytes", grouped(options.body_limit_bytes)),
            ),
            (
                "all bodies under way",
                format!("{} bytes", grouped(options.bodies_limit_bytes)),
            ),
            (
                "GraphQL document",
                format!("{} bytes", grouped(MAX_DOCUMENT_BYTES)),
            ),
            ("tokens of a document", grouped(MAX_DOCUMENT_TOKENS)),
            ("nesting of brackets in a document", grouped(MAX_DOCUMENT_NESTING)),
            ("names in a document", bytes(MAX_GRAPHQL_NAME_BYTES)),
            ("fragments", grouped(MAX_FRAGMENTS)),
            ("fields once fragments are spread", grouped(MAX_EXPANDED_FIELDS)),
            ("aliases", grouped(MAX_ALIASES)),
            ("directives", grouped(MAX_DIRECTIVES)),
            ("operations in a document", grouped(MAX_OPERATIONS)),
            ("depth of fields", grouped(MAX_QUERY_DEPTH)),
            ("complexity", grouped(MAX_QUERY_COMPLEXITY)),
            ("answer", bytes(MAX_ANSWER_BYTES)),
            ("memory of an answer", bytes(MAX_ANSWER_MEMORY_BYTES)),
            ("memory of all answers", bytes(MAX_ANSWERS_MEMORY_BYTES)),
            ("entries of a page", grouped(MAX_PAGE)),
            ("properties of a page", bytes(store::MAX_PAGE_BYTES)),
            ("levels of a filter", grouped(store::MAX_FILTER_DEPTH)),
            ("tests and groups in a filter", grouped(store::MAX_FILTER_PARTS)),
            ("ids of users, names of event types", bytes(MAX_NAME_BYTES)),
            ("event types of a database", grouped(store::MAX_EVENT_TYPES)),
            ("events in a batch", grouped(MAX_BATCH_EVENTS)),
            (
                "`properties` of an event",
                format!(
                    "{} bytes, {MAX_PROPERTY_DEPTH} levels",
                    grouped(MAX_PROPERTIES_BYTES)
                ),
            ),
            ("range of days", grouped(MAX_RANGE_DAYS)),
            ("`windowDays`", grouped(MAX_WINDOW_DAYS)),
            ("rows of `topEvents`", grouped(MAX_TOP_EVENTS)),
            ("periods of `retention`", grouped(MAX_RETENTION_PERIODS)),
            ("cells of `retention`", grouped(MAX_RETENTION_CELLS)),
            ("time for a request", seconds(options.request_timeout)),
            ("events that wait to be stored", grouped(options.queue_events)),
            ("bytes of events that wait", bytes(store::DEFAULT_QUEUE_BYTES)),
            ("exports at a time", grouped(MAX_EXPORTS)),
            ("next piece of an export", seconds(EXPORT_STALL_TIMEOUT)),
            ("connections", grouped(ListenOptions::default().connections)),
            ("connections of one address", grouped(ADDRESS_CONNECTIONS)),
            ("line and headers of a request", bytes(MAX_HEADER_BYTES)),
            ("headers of a request", seconds(HEADER_TIMEOUT)),
            ("idle connection", seconds(IDLE_TIMEOUT)),
            ("PostgreSQL says nothing", seconds(store::DEFAULT_SILENCE_TIMEOUT)),
            ("next piece of a body", seconds(BODY_PIECE_TIMEOUT)),
            ("whole body", seconds(BODY_TIMEOUT)),
            ("WebSockets and event streams", grouped(options.live_connections)),
            ("beginning of a WebSocket", seconds(SOCKET_INIT_TIMEOUT)),
            (
                "message on a WebSocket",
                format!("{} bytes", grouped(MAX_SOCKET_MESSAGE_BYTES)),
            ),
            ("operations on a WebSocket", grouped(MAX_SOCKET_OPERATIONS)),
            (
                "results that wait for a slow reader",
                format!("{} bytes", grouped(MAX_QUEUED_BYTES)),
            ),
            (
                "different subscriptions to `eventAdded`",
                grouped(MAX_LIVE_OPERATIONS),
            ),
            ("different filters of `activeToday`", grouped(MAX_TODAY_COUNTS)),
            ("results that wait for all slow readers", bytes(MAX_QUEUES_BYTES)),
            ("a client that takes nothing", seconds(WRITE_STALL_TIMEOUT)),
            (
                "questions of `/healthz` to the database",
                format!("{} a second", 1_000 / HEALTH_FRESH.as_millis()),
            ),
            (
                "path in a line of the log",
                format!("{MAX_LOGGED_PATH_CHARACTERS} characters"),
            ),
            (
                "requests from one address",
                format!(
                    "{} a second, {} at once",
                    grouped(ADDRESS_RATE),
                    grouped(ADDRESS_BURST)
                ),
            ),
            ("addresses told apart", grouped(MAX_RATE_BUCKETS)),
            (
                "errors in an answer",
                format!("{MAX_ERRORS}, of {MAX_MESSAGE_CHARACTERS} characters"),
            ),
            ("live keys", grouped(store::MAX_LIVE_KEYS)),
        ] {
            let row = format!("| {bound} | {figure} |");
            assert!(page.contains(&row), "docs/security.md has no row {row}");
        }
    }
}
