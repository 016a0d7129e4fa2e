//! How spans travel to the collector: plain HTTP/1.1, one connection for each export.
//!
//! Exports happen every few seconds, so a connection is not worth keeping. Collectors stand beside the server; what
//! leaves the machine is theirs to encrypt.

use std::time::Duration;

use async_graphql::async_trait::async_trait;
use axum::http::header::HOST;
use axum::http::{HeaderValue, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// How long one export may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read; a collector has little to say.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A client for `http://` addresses whose work runs on a tokio runtime, wherever it is called from.
#[derive(Debug)]
pub(super) struct PlainClient {
    runtime: Handle,
}

impl PlainClient {
    /// A client that works on the present runtime.
    pub(super) fn of_present_runtime() -> Self {
        Self {
            runtime: Handle::current(),
        }
    }
}

#[async_trait]
impl HttpClient for PlainClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The caller is a thread of its own without a runtime, on which not even a timer can be made.
        let sending = async { tokio::time::timeout(TIMEOUT, send(request)).await };
        self.runtime.spawn(sending).await??
    }
}

async fn send(mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let authority = request
        .uri()
        .authority()
        .ok_or("the endpoint names no host")?
        .clone();
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse()?;
    let answer = sender.send_request(request.map(Full::new)).await?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
    driver.abort();
    Ok(Response::from_parts(parts, body))
}
