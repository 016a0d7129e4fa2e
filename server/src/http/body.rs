//! Request bodies: of bounded size, in bounded time, gzip at most.
//!
//! The size is bounded three times: by `Content-Length` before anything is read, while reading, and while inflating; a body
//! takes its share of the memory before it grows, never after. All bodies together are bounded as well, with what reading their JSON takes, so that requests cannot take the memory,
//! neither many large ones nor one whose values are small and many.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::HttpError;
use crate::error_code::Code;
use crate::limits::{BODY_PIECE_TIMEOUT, BODY_TIMEOUT};

/// How request bodies are read.
#[derive(Debug, Clone)]
pub(super) struct BodyReader {
    limit_bytes: usize,
    budget_bytes: usize,
    /// What all bodies under way may still take together, in bytes.
    budget: Arc<Semaphore>,
    piece_timeout: Duration,
}

/// A body, still compressed if it came so, with its share of the memory for bodies.
pub(super) struct RawBody {
    bytes: Bytes,
    encoding: Encoding,
    limit_bytes: usize,
    budget_bytes: usize,
    budget: Arc<Semaphore>,
    shares: Vec<OwnedSemaphorePermit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
}

impl BodyReader {
    pub(super) fn new(limit_bytes: usize, budget_bytes: usize) -> Self {
        let budget_bytes = budget_bytes.min(Semaphore::MAX_PERMITS);
        let budget = Arc::new(Semaphore::new(budget_bytes));
        Self {
            limit_bytes,
            budget_bytes,
            budget,
            piece_timeout: BODY_PIECE_TIMEOUT,
        }
    }

    /// With this time for the next piece.
    pub(super) fn with_piece_timeout(self, piece_timeout: Duration) -> Self {
        Self {
            piece_timeout,
            ..self
        }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// 413 if it is too large, 415 if it is encoded in another way than gzip, 408 if the client stalls,
    /// 503 if all bodies together are too large.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<RawBody, HttpError> {
        let encoding = encoding_of(headers)?;
        if declared_length(headers).is_some_and(|length| length > self.limit_bytes as u64) {
            return Err(closing(HttpError::too_large(self.limit_bytes)));
        }
        let mut raw = RawBody {
            bytes: Bytes::new(),
            encoding,
            limit_bytes: self.limit_bytes,
            budget_bytes: self.budget_bytes,
            budget: self.budget.clone(),
            shares: Vec::new(),
        };
        raw.bytes = match timeout(BODY_TIMEOUT, self.collect(body, &mut raw)).await {
            Ok(bytes) => bytes?,
            Err(_) => return Err(stalled("body", BODY_TIMEOUT)),
        };
        Ok(raw)
    }

    /// Takes the memory for a text that has come in another way than as a body, with what reading it as JSON will take.
    ///
    /// # Errors
    /// 503 if all bodies together are too large.
    pub(super) fn share_for(&self, text: &str) -> Result<OwnedSemaphorePermit, HttpError> {
        let memory = memory_of_json(text.as_bytes()).saturating_add(text.len());
        let permits = u32::try_from(memory.min(self.budget_bytes)).unwrap_or(u32::MAX);
        let share = self.budget.clone().try_acquire_many_owned(permits);
        share.map_err(|_| too_many_bodies(self.budget_bytes))
    }

    async fn collect(&self, mut body: Body, raw: &mut RawBody) -> Result<Bytes, HttpError> {
        let mut collected = BytesMut::new();
        loop {
            let Ok(frame) = timeout(self.piece_timeout, body.frame()).await else {
                return Err(stalled("next piece of the body", self.piece_timeout));
            };
            let frame = match frame {
                None => return Ok(collected.freeze()),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Err(closing(HttpError::bad_request("the body ended early"))),
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if collected.len() + data.len() > self.limit_bytes {
                return Err(closing(HttpError::too_large(self.limit_bytes)));
            }
            raw.charge(data.len())?;
            collected.extend_from_slice(&data);
        }
    }
}

impl RawBody {
    /// Inflates the body if need be, and takes what reading it as JSON will take. Takes time in proportion to its size.
    ///
    /// # Errors
    /// 413 if it is too large, inflated or read; 503 if all bodies together are.
    pub(super) fn into_json(mut self) -> Result<PlainBody, HttpError> {
        if self.encoding == Encoding::Gzip {
            let plain = self.inflated()?;
            self.bytes = plain.into();
        }
        let memory = memory_of_json(&self.bytes);
        if memory > self.budget_bytes {
            let message = format!(
                "the body holds more values than {} bytes of memory; send less at once",
                self.budget_bytes
            );
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(HttpError::new(status, Code::PayloadTooLarge, message));
        }
        self.charge(memory)?;
        Ok(PlainBody {
            bytes: self.bytes,
            _shares: self.shares,
        })
    }

    /// Inflates the body, and takes the memory for it before it grows into it.
    fn inflated(&mut self) -> Result<Vec<u8>, HttpError> {
        const PIECE_BYTES: usize = 16 * 1024;
        let compressed = std::mem::take(&mut self.bytes);
        let mut decoder = MultiGzDecoder::new(compressed.as_ref());
        let (mut plain, mut piece) = (Vec::new(), [0; PIECE_BYTES]);
        loop {
            let length = match decoder.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(HttpError::bad_request("the body is not valid gzip")),
            };
            if plain.len() + length > self.limit_bytes {
                return Err(HttpError::too_large(self.limit_bytes));
            }
            if plain.len() + length > plain.capacity() {
                let more = plain.capacity().max(PIECE_BYTES).min(self.limit_bytes);
                self.charge(more)?;
                plain.reserve_exact(plain.capacity() + more - plain.len());
            }
            plain.extend_from_slice(&piece[..length]);
        }
        Ok(plain)
    }

    /// Whether reading this body takes so long that it should not hold up other requests.
    pub(super) fn is_large(&self) -> bool {
        const LARGE_BYTES: usize = 64 * 1024;
        self.bytes.len() > LARGE_BYTES || self.encoding == Encoding::Gzip
    }

    fn charge(&mut self, bytes: usize) -> Result<(), HttpError> {
        let permits = u32::try_from(bytes).map_err(|_| HttpError::too_large(self.limit_bytes))?;
        let share = self.budget.clone().try_acquire_many_owned(permits);
        let share = share.map_err(|_| closing(too_many_bodies(self.budget_bytes)))?;
        self.shares.push(share);
        Ok(())
    }
}

fn too_many_bodies(budget_bytes: usize) -> HttpError {
    let message = format!(
        "the bodies of all requests under way take {budget_bytes} bytes of memory, the most at a time; try again"
    );
    HttpError::unavailable(Code::Overloaded, message)
}

/// About what the values of a JSON text take in memory while a request is answered, measured: those that are parsed, and the
/// same as GraphQL's, more than once. An object costs as much as if it had eleven members.
fn memory_of_json(text: &[u8]) -> usize {
    const OBJECT_BYTES: usize = 2_000;
    const VALUE_BYTES: usize = 400;
    let (mut memory, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        let costs = match byte {
            _ if escaped => {
                escaped = false;
                0
            }
            b'\\' => {
                escaped = in_string;
                0
            }
            b'"' => {
                in_string = !in_string;
                0
            }
            b'{' if !in_string => OBJECT_BYTES,
            b'[' | b',' if !in_string => VALUE_BYTES,
            _ => 0,
        };
        memory = memory.saturating_add(costs);
    }
    memory
}

/// A body as the client meant it; holds its share of the memory for bodies as long as it lives.
pub(super) struct PlainBody {
    pub(super) bytes: Bytes,
    _shares: Vec<OwnedSemaphorePermit>,
}

fn encoding_of(headers: &HeaderMap) -> Result<Encoding, HttpError> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let Some(first) = values.next() else {
        return Ok(Encoding::Plain);
    };
    let name = first.to_str().unwrap_or_default().trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "identity" if values.next().is_none() => Ok(Encoding::Plain),
        "gzip" | "x-gzip" if values.next().is_none() => Ok(Encoding::Gzip),
        _ => {
            let message = "the body's content-encoding must be gzip, or none";
            let error = HttpError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Code::UnsupportedMediaType,
                message,
            )
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            Err(closing(error))
        }
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn stalled(what: &str, limit: Duration) -> HttpError {
    let message = format!("the {what} did not arrive within {} s", limit.as_secs_f32());
    closing(HttpError::new(
        StatusCode::REQUEST_TIMEOUT,
        Code::Timeout,
        message,
    ))
}

/// Ends the connection after this answer: the rest of the body is not wanted.
fn closing(error: HttpError) -> HttpError {
    error.with_header(CONNECTION, HeaderValue::from_static("close"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::{HeaderMap, HeaderValue};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures_util::stream;

    use super::{BodyReader, Bytes, memory_of_json};

    const LIMIT: usize = 1_000;

    async fn read(headers: &[(&'static str, &'static str)], body: Body) -> Result<Bytes, u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let mut reader = BodyReader::new(LIMIT, 10 * LIMIT);
        reader.piece_timeout = Duration::from_millis(20);
        let raw = reader
            .read(&map, body)
            .await
            .map_err(|error| error.status.as_u16())?;
        raw.into_json()
            .map(|body| body.bytes)
            .map_err(|error| error.status.as_u16())
    }

    fn gzipped(length: usize) -> Body {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b' '; length]).expect("writing to memory");
        Body::from(encoder.finish().expect("writing to memory"))
    }

    fn pieces(count: usize) -> Body {
        let pieces = (0..count).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100]));
        Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()))
    }

    #[tokio::test]
    async fn size_is_bounded_at_the_limit() {
        assert_eq!(
            read(&[], Body::from(vec![b' '; LIMIT]))
                .await
                .map(|bytes| bytes.len()),
            Ok(LIMIT)
        );
        assert_eq!(read(&[], Body::from(vec![b' '; LIMIT + 1])).await, Err(413));
        assert_eq!(read(&[], pieces(10)).await.map(|bytes| bytes.len()), Ok(LIMIT));
        assert_eq!(read(&[], pieces(11)).await, Err(413));
        assert_eq!(read(&[("content-length", "1001")], Body::empty()).await, Err(413));
        assert_eq!(
            read(&[("content-encoding", "gzip")], gzipped(LIMIT))
                .await
                .map(|bytes| bytes.len()),
            Ok(LIMIT)
        );
        assert_eq!(
            read(&[("content-encoding", "gzip")], gzipped(LIMIT + 1)).await,
            Err(413)
        );
        assert_eq!(
            read(&[("content-encoding", "gzip")], gzipped(100_000_000)).await,
            Err(413)
        );
    }

    #[tokio::test]
    async fn memory_is_taken_before_a_body_is_inflated() {
        // Room for what has come, and for no more than the beginning of what it becomes.
        let reader = BodyReader::new(1_000_000, 20_000);
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        let raw = reader
            .read(&headers, gzipped(900_000))
            .await
            .expect("a small body");
        let refused = raw.into_json().err().map(|error| error.message);
        assert_eq!(
            refused.as_deref(),
            Some(
                "the bodies of all requests under way take 20000 bytes of memory, the most at a time; try again"
            )
        );
        assert_eq!(reader.budget.available_permits(), 20_000, "all is given back");
        let raw = reader
            .read(&headers, gzipped(10_000))
            .await
            .expect("a small body");
        assert_eq!(raw.into_json().map(|body| body.bytes.len()).ok(), Some(10_000));
    }

    #[tokio::test]
    async fn a_text_takes_its_share_like_a_body() {
        let reader = BodyReader::new(LIMIT, 3 * LIMIT);
        let share = reader.share_for("{}").expect("within the budget");
        assert_eq!(reader.budget.available_permits(), 3 * LIMIT - 2_002);
        assert!(reader.share_for("{}").is_err());
        drop(share);
        assert!(
            reader.share_for(&"{}".repeat(LIMIT)).is_ok(),
            "one is taken however large it is"
        );
    }

    #[tokio::test]
    async fn only_one_gzip_layer_is_taken() {
        assert_eq!(
            read(&[("content-encoding", "identity")], Body::from("{}")).await,
            Ok("{}".into())
        );
        assert_eq!(
            read(&[("content-encoding", "br")], Body::from("{}")).await,
            Err(415)
        );
        assert_eq!(
            read(&[("content-encoding", "gzip, gzip")], Body::from("{}")).await,
            Err(415)
        );
        assert_eq!(
            read(
                &[("content-encoding", "gzip"), ("content-encoding", "gzip")],
                Body::from("{}")
            )
            .await,
            Err(415)
        );
        assert_eq!(
            read(&[("content-encoding", "gzip")], Body::from("{}")).await,
            Err(400)
        );
    }

    #[tokio::test]
    async fn stalled_bodies_are_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(&[], never).await, Err(408));
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded() {
        let reader = BodyReader::new(LIMIT, 2 * LIMIT);
        let headers = HeaderMap::new();
        let full = || Body::from(vec![b' '; LIMIT]);
        let first = reader.read(&headers, full()).await.expect("within the budget");
        let _second = reader.read(&headers, full()).await.expect("within the budget");
        let third = reader.read(&headers, full()).await;
        assert_eq!(third.err().map(|error| error.status.as_u16()), Some(503));
        drop(first);
        assert!(reader.read(&headers, full()).await.is_ok());
    }

    #[test]
    fn values_cost_more_than_their_text() {
        for (text, memory) in [
            ("", 0),
            ("1", 0),
            (r#""{[,""#, 0),
            (r#""\"{[,""#, 0),
            (r#""\\",1"#, 400),
            ("[1,2,3]", 1_200),
            (r#"{"a":{},"b":[]}"#, 4_800),
        ] {
            assert_eq!(memory_of_json(text.as_bytes()), memory, "{text}");
        }
    }

    #[tokio::test]
    async fn small_values_in_large_numbers_are_too_large() {
        let objects = "{},".repeat(5);
        assert_eq!(read(&[], Body::from(objects)).await, Err(413));
        let reader = BodyReader::new(LIMIT, 10 * LIMIT);
        let headers = HeaderMap::new();
        let three = || Body::from("{},".repeat(3));
        let first = reader.read(&headers, three()).await.expect("within the budget");
        let first = first.into_json().expect("within the budget");
        let second = reader.read(&headers, three()).await.expect("within the budget");
        let refused = second.into_json().err().map(|error| error.status.as_u16());
        assert_eq!(refused, Some(503));
        drop(first);
        let third = reader.read(&headers, three()).await.expect("within the budget");
        assert!(third.into_json().is_ok());
    }
}
