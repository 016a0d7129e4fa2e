//! `GET /export`: stored events as a stream of CSV or NDJSON, for those with a key of the scope `admin`.
//!
//! Parameters: `format` (csv, ndjson), `from` and `to` (days, both included), `eventType` (any number of times), `gzip`
//! (true: a gzip file; without it `Accept-Encoding` decides on the way only) and `receivedAt`. Once the answer has
//! begun, an error can only cut it off: the connection is closed before the end, which no client takes for the whole.

use std::sync::Arc;
use std::time::Duration;

use activity::calendar::Calendar;
use axum::extract::{Query, State};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use store::{Export, Scope, Store, StoreError, StoredEvent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::client_address::{WITH_THIS_KEY, too_many};
use super::credentials;
use super::error::HttpError;
use super::export_body::{Pieces, Unsent, body};
use crate::auth::Gate;
use crate::config::parse_day;
use crate::error_code::Code;
use crate::export::{ExportFormat, Packer, Packing, Selection};
use crate::limits::MAX_EXPORTS;
use crate::logging::chain;
use crate::rate::RateLimits;

/// What the handler needs.
#[derive(Clone)]
pub(super) struct ExportEndpoint {
    store: Store,
    gate: Gate,
    rates: Arc<RateLimits>,
    permits: Arc<Semaphore>,
    /// How long a client may take to take a piece.
    stall_timeout: Duration,
}

impl ExportEndpoint {
    pub(super) fn new(store: Store, gate: Gate, rates: Arc<RateLimits>, stall_timeout: Duration) -> Self {
        Self {
            store,
            gate,
            rates,
            permits: Arc::new(Semaphore::new(MAX_EXPORTS)),
            stall_timeout,
        }
    }
}

pub(super) async fn get(
    State(endpoint): State<ExportEndpoint>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, HttpError> {
    let principal = credentials::principal_with(&endpoint.gate, &headers, Scope::Admin).await?;
    let counted = endpoint.rates.take_key(principal.holder);
    counted.map_err(|too_often| too_many(WITH_THIS_KEY, too_often))?;
    let (selection, mut packing) = parameters(&uri)?;
    let is_file = packing.gzip;
    packing.gzip |= accepts_gzip(&headers);
    let question = selection
        .question(Calendar::new(endpoint.store.timezone()))
        .map_err(|fault| HttpError::new(axum::http::StatusCode::BAD_REQUEST, Code::BadUserInput, fault))?;
    let Ok(permit) = Arc::clone(&endpoint.permits).try_acquire_owned() else {
        let message = format!("{MAX_EXPORTS} exports are under way, the most at a time; try again");
        return Err(HttpError::unavailable(Code::Overloaded, message));
    };
    let mut export = endpoint.store.export(question);
    // While nothing is sent, an error can still be told.
    let first = export.next().await.map_err(|error| refused(&error))?;
    let (pieces, body) = body(endpoint.stall_timeout);
    tokio::spawn(async move {
        if let Err(error) = send(export, first, packing, pieces, permit).await {
            tracing::warn!(error = chain(error.as_ref()), "an export was cut off");
        }
    });
    let mut response = body.into_response();
    describe(response.headers_mut(), packing, is_file);
    Ok(response)
}

pub(super) async fn other_method() -> HttpError {
    HttpError::method_not_allowed("GET")
}

fn refused(error: &StoreError) -> HttpError {
    tracing::warn!(error = chain(error), "an export failed");
    if error.is_transient() {
        return HttpError::unavailable(Code::Unavailable, "the database is unavailable; try again");
    }
    HttpError::internal()
}

fn parameters(uri: &Uri) -> Result<(Selection, Packing), HttpError> {
    let bad =
        |message: String| HttpError::new(axum::http::StatusCode::BAD_REQUEST, Code::BadUserInput, message);
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Err(HttpError::bad_request("the query string cannot be decoded"));
    };
    let mut selection = Selection::default();
    let mut packing = Packing {
        format: ExportFormat::Csv,
        gzip: false,
        received_at: false,
    };
    for (name, value) in pairs {
        let day = || parse_day(&value).map_err(|fault| bad(format!("{name} is {fault}")));
        let switch = || match value.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(bad(format!("{name} must be true or false"))),
        };
        match name.as_str() {
            "format" => {
                packing.format = match value.as_str() {
                    "csv" => ExportFormat::Csv,
                    "ndjson" => ExportFormat::Ndjson,
                    _ => return Err(bad("format must be csv or ndjson".to_owned())),
                }
            }
            "from" => selection.from = Some(day()?),
            "to" => selection.to = Some(day()?),
            "eventType" => selection.event_types.push(value),
            "gzip" => packing.gzip = switch()?,
            "receivedAt" => packing.received_at = switch()?,
            _ => {
                let message = "the parameters are format, from, to, eventType, gzip and receivedAt";
                return Err(bad(message.to_owned()));
            }
        }
    }
    Ok((selection, packing))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','));
    codings
        .map(|coding| coding.replace(' ', "").to_ascii_lowercase())
        .any(|coding| {
            let (name, quality) = coding.split_once(";q=").unwrap_or((&coding, "1"));
            name == "gzip" && quality.parse().is_ok_and(|quality: f32| quality > 0.0)
        })
}

/// `is_file`: the gzip is what was asked for, not the way in which it travels.
fn describe(headers: &mut HeaderMap, packing: Packing, is_file: bool) {
    let (media_type, name) = match (packing.format, is_file) {
        (ExportFormat::Csv, false) => ("text/csv; charset=utf-8", "attachment; filename=\"events.csv\""),
        (ExportFormat::Ndjson, false) => ("application/x-ndjson", "attachment; filename=\"events.ndjson\""),
        (ExportFormat::Csv, true) => ("application/gzip", "attachment; filename=\"events.csv.gz\""),
        (ExportFormat::Ndjson, true) => ("application/gzip", "attachment; filename=\"events.ndjson.gz\""),
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if packing.gzip && !is_file {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

/// Sends the whole of an export, and its end. The permit is held until then.
async fn send(
    mut export: Export,
    first: Option<Vec<StoredEvent>>,
    packing: Packing,
    pieces: Pieces,
    _permit: OwnedSemaphorePermit,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut packer = Packer::new(packing);
    let mut next = first;
    while let Some(events) = next {
        // Compressing a page takes a core for milliseconds.
        let packed = tokio::task::spawn_blocking(move || {
            let bytes = packer.pack(&events);
            bytes.map(|bytes| (bytes, packer))
        });
        let bytes;
        (bytes, packer) = packed.await??;
        pieces.send(bytes).await?;
        next = tokio::select! {
            next = export.next() => next?,
            () = pieces.abandoned() => return Err(Unsent::Gone.into()),
        };
    }
    pieces.send(packer.finish()?).await?;
    Ok(pieces.end().await?)
}
