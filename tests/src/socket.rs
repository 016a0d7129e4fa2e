//! A client of GraphQL over WebSocket that can also behave badly.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{Bytes, Error};
use tokio_tungstenite::{WebSocketStream, client_async};

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A message of the protocol.
    Message(Value),
    /// It closed, with this code and reason; 1006 where the connection just ended.
    Closed(u16, String),
}

impl Heard {
    /// The message.
    ///
    /// # Panics
    /// If the server closed instead.
    #[must_use]
    pub fn message(self) -> Value {
        match self {
            Self::Message(message) => message,
            Self::Closed(code, reason) => panic!("the server closed the socket: {code} {reason}"),
        }
    }

    /// The code with which the server closed.
    ///
    /// # Panics
    /// If it said something instead.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Message(message) => panic!("the server did not close, it said {message}"),
            Self::Closed(code, _) => code,
        }
    }
}

impl Socket {
    /// Opens a socket with these headers; the HTTP status of the refusal otherwise.
    ///
    /// # Errors
    /// The status.
    ///
    /// # Panics
    /// If there is no answer of HTTP at all.
    pub async fn try_open(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/graphql")
            .into_client_request()
            .expect("an address");
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, value.parse().expect("a header"));
        }
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket");
        match client_async(request, stream).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("the server does not answer: {error}"),
        }
    }

    /// Opens a socket for `graphql-transport-ws`, without saying anything.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn open(address: SocketAddr) -> Self {
        let headers = [("sec-websocket-protocol", "graphql-transport-ws")];
        Self::try_open(address, &headers).await.expect("a socket")
    }

    /// Opens a socket and initialises it.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn ready(address: SocketAddr) -> Self {
        let mut socket = Self::open(address).await;
        socket.say(&json!({ "type": "connection_init" })).await;
        let answer = socket.hear().await.message();
        assert_eq!(answer, json!({ "type": "connection_ack" }));
        socket
    }

    /// Says something; a server that hangs up meanwhile is heard later.
    pub async fn say(&mut self, message: &Value) {
        self.say_text(&message.to_string()).await;
    }

    /// Says any text.
    pub async fn say_text(&mut self, text: &str) {
        let _ = self.stream.send(Message::text(text)).await;
    }

    /// Says bytes.
    pub async fn say_bytes(&mut self, bytes: &'static [u8]) {
        let _ = self.stream.send(Message::binary(Bytes::from_static(bytes))).await;
    }

    /// Begins an operation.
    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.say(&json!({ "id": id, "type": "subscribe", "payload": payload }))
            .await;
    }

    /// The next thing the server says; pings are answered and passed over.
    pub async fn hear(&mut self) -> Heard {
        match self.next_text().await {
            Ok(text) => Heard::Message(serde_json::from_str(&text).unwrap_or_default()),
            Err(closed) => closed,
        }
    }

    /// The next message as it came, letter for letter.
    ///
    /// # Panics
    /// If the server closes instead.
    pub async fn hear_text(&mut self) -> String {
        match self.next_text().await {
            Ok(text) => text,
            Err(closed) => panic!("the server closed the socket: {closed:?}"),
        }
    }

    async fn next_text(&mut self) -> Result<String, Heard> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err(Heard::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(Message::Close(None))) => return Err(Heard::Closed(1005, String::new())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Heard::Closed(1006, error.to_string())),
                None => return Err(Heard::Closed(1006, String::new())),
            }
        }
    }
}
