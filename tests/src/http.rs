//! A small HTTP/1.1 client: one connection that is kept and made anew when it is gone.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// One header; empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Client {
    /// A client of the server at `address`; connects with the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connection: None,
        }
    }

    /// Sends one request with these headers, and `Host`, and waits for the answer.
    ///
    /// # Errors
    /// A sentence, if the connection fails before the answer is complete.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body.into()))
            .map_err(|error| error.to_string())?;
        let connection = self.connection().await?;
        let answer = connection
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let (parts, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }

    /// GETs `path`.
    ///
    /// # Errors
    /// A sentence, if the connection fails.
    pub async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// Sends one GraphQL operation.
    ///
    /// # Errors
    /// A sentence, if the connection fails.
    pub async fn graphql(&mut self, query: &str, variables: &Value) -> Result<Answer, String> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let headers = [
            (CONTENT_TYPE.as_str(), "application/json"),
            ("accept", "application/json"),
        ];
        self.send(Method::POST, "/graphql", &headers, body).await
    }

    /// Makes the connection, if there is none: what fails later has been sent.
    ///
    /// # Errors
    /// A sentence, if nobody listens.
    pub async fn connect(&mut self) -> Result<(), String> {
        self.connection().await.map(|_| ())
    }

    async fn connection(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, String> {
        let usable = match &mut self.connection {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(self.address)
                .await
                .map_err(|error| error.to_string())?;
            // Small requests must not wait for each other's acknowledgements.
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let (sender, driver) = handshake(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            tokio::spawn(driver);
            self.connection = Some(sender);
        }
        self.connection.as_mut().ok_or_else(|| "no connection".to_owned())
    }
}
