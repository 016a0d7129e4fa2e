//! One socket: the protocol from its opening to its close.
//!
//! Everything that comes in is checked before it costs anything, and every breach has its own close code. Several
//! operations run at once, up to a bound; the task of the socket is the only one that writes to it. What a client does
//! not read waits in bounded queues (see [`crate::http`]'s shared subscriptions), and writes that nobody takes end the connection
//! (see [`crate::stall`]).

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::close::Close;
use super::message::ClientMessage;
use crate::auth::Denied;
use crate::document::Refusal;
use crate::error_code::Code;
use crate::http::answer::{self, Errors};
use crate::http::body::BodyReader;
use crate::http::client_address::ClientAddress;
use crate::http::credentials::Credential;
use crate::http::exchange::RequestId;
use crate::http::live::LiveConnection;
use crate::http::operations::{Answers, Asker, Operations, Part};
use crate::http::parameters::Parameters;
use crate::limits::{
    MAX_SOCKET_MESSAGE_BYTES, MAX_SOCKET_OPERATIONS, SOCKET_CLOSE_TIMEOUT, SOCKET_PING_INTERVAL,
};
use crate::metrics;
use crate::traces::Cause;

/// A socket that is about to be opened.
pub(super) struct Session {
    pub(super) operations: Operations,
    pub(super) bodies: BodyReader,
    pub(super) address: Option<ClientAddress>,
    pub(super) id: RequestId,
    pub(super) cause: Cause,
    pub(super) credential: Credential,
    pub(super) init_timeout: Duration,
    pub(super) stop: CancellationToken,
    /// The server's stop waits for it.
    pub(super) _tracked: TaskTrackerToken,
    pub(super) _connection: LiveConnection,
}

impl Session {
    /// Speaks the protocol until either side ends it.
    pub(super) async fn serve(self, socket: WebSocket) {
        let id = self.id.clone();
        id.scope(async move {
            let (sink, mut source) = socket.split();
            let mut conversation = Conversation {
                session: &self,
                sink,
                credential: self.credential.clone(),
                asker: None,
                running: Vec::new(),
                turn: 0,
            };
            let end = conversation.talk(&mut source).await;
            let code = conversation.finish(end, &mut source).await;
            metrics::socket_closed(code);
            tracing::info!(
                target: "access",
                method = "WEBSOCKET",
                path = "/graphql",
                status = code,
                request_id = self.id.as_str(),
                "access"
            );
        })
        .await;
    }
}

/// Why the talk is over.
enum End {
    /// We close.
    Close(Close),
    /// The client closed, with this code.
    Closed(u16),
    /// The connection is gone.
    Gone,
}

/// The code that stands in the log where a connection ended without a close.
const NO_CLOSE: u16 = 1006;
/// The code that stands in the log where a client closed without one.
const NO_CODE: u16 = 1005;

struct Conversation<'a> {
    session: &'a Session,
    sink: SplitSink<WebSocket, Message>,
    credential: Credential,
    /// Known once the connection is initialised.
    asker: Option<Asker>,
    running: Vec<Running>,
    /// Which operation is asked first, so that none is kept waiting by its neighbours.
    turn: usize,
}

struct Running {
    id: String,
    /// The beginning of each of its `next` messages.
    prefix: String,
    answers: Answers,
}

impl Conversation<'_> {
    async fn talk(&mut self, source: &mut SplitStream<WebSocket>) -> End {
        let mut init_timeout = pin!(tokio::time::sleep(self.session.init_timeout));
        let mut pings = interval_at(Instant::now() + SOCKET_PING_INTERVAL, SOCKET_PING_INTERVAL);
        let mut heard_since_ping = true;
        loop {
            let step = tokio::select! {
                () = self.session.stop.cancelled() => Err(End::Close(Close::stopping())),
                () = &mut init_timeout, if self.asker.is_none() => Err(End::Close(Close::init_timeout())),
                message = source.next() => {
                    heard_since_ping = true;
                    self.hear(message).await
                }
                (position, part) = next_part(&mut self.running, &mut self.turn) => self.pass_on(position, part).await,
                _ = pings.tick() => {
                    let heard = std::mem::take(&mut heard_since_ping);
                    self.ping(heard).await
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Asks for a sign of life, if there was one since the last time and the key is still good.
    async fn ping(&mut self, heard: bool) -> Result<(), End> {
        if !heard {
            return Err(End::Close(Close::silent()));
        }
        if self.asker.is_some() {
            check(&self.credential).await?;
        }
        self.send([Message::Ping(Vec::new().into())]).await
    }

    /// Judges what a client shows when it begins, or has shown in the handshake.
    async fn admit(&mut self, shown: Option<String>) -> Result<(), Close> {
        if let Some(shown) = shown {
            self.credential.show(shown);
        }
        let principal = match self.credential.principal().await {
            Ok(principal) => principal,
            Err(Denied::Unavailable) => return Err(Close::try_again(Denied::Unavailable.message())),
            Err(denied) => return Err(Close::forbidden(denied.message())),
        };
        self.asker = Some(Asker {
            id: self.session.id.clone(),
            principal,
            address: self.session.address,
            cause: self.session.cause.clone(),
        });
        Ok(())
    }

    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        match message {
            Some(Ok(Message::Text(text))) => {
                // A message takes memory like the body of a request.
                let share = self.session.bodies.share_for(&text);
                let share = share.map_err(|error| End::Close(Close::try_again(&error.message)))?;
                let message = ClientMessage::parse(&text).map_err(End::Close)?;
                self.obey(message, share).await
            }
            Some(Ok(Message::Binary(_))) => {
                let fault = "Invalid message: messages are text, not binary";
                Err(End::Close(Close::invalid(fault)))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(frame))) => Err(End::Closed(frame.map_or(NO_CODE, |frame| frame.code))),
            Some(Err(error)) => Err(broken(error)),
            None => Err(End::Gone),
        }
    }

    async fn obey(&mut self, message: ClientMessage, share: OwnedSemaphorePermit) -> Result<(), End> {
        match message {
            ClientMessage::ConnectionInit { authorization } => {
                if self.asker.is_some() {
                    return Err(End::Close(Close::second_init()));
                }
                self.admit(authorization).await.map_err(End::Close)?;
                self.send([Message::from(r#"{"type":"connection_ack"}"#)]).await
            }
            ClientMessage::Ping => self.send([Message::from(r#"{"type":"pong"}"#)]).await,
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { id, parameters } => self.subscribe(id, parameters, share).await,
            ClientMessage::Complete { id } => {
                self.running.retain(|running| running.id != id);
                Ok(())
            }
        }
    }

    async fn subscribe(
        &mut self,
        id: String,
        parameters: Parameters,
        share: OwnedSemaphorePermit,
    ) -> Result<(), End> {
        let Some(asker) = &self.asker else {
            return Err(End::Close(Close::not_acknowledged()));
        };
        check(&self.credential).await?;
        if self.running.iter().any(|running| running.id == id) {
            return Err(End::Close(Close::id_in_use(&id)));
        }
        if self.running.len() >= MAX_SOCKET_OPERATIONS {
            let message =
                format!("this socket has {MAX_SOCKET_OPERATIONS} operations under way, the most allowed");
            let refusal = Refusal::new(Code::GraphqlLimitExceeded, message);
            let errors = answer::refusal(refusal, &self.session.id);
            return self.send([error_message(&id, &errors)]).await;
        }
        if let Err(refusal) = self.session.operations.count(asker) {
            let errors = answer::refusal(refusal, &self.session.id);
            return self.send([error_message(&id, &errors)]).await;
        }
        let answers = self.session.operations.run(parameters, asker, share);
        self.running.push(Running {
            prefix: format!("{{\"id\":{},\"type\":\"next\",\"payload\":", quoted(&id)),
            id,
            answers,
        });
        Ok(())
    }

    /// Sends what an operation answered; nothing more means that it is complete.
    async fn pass_on(&mut self, position: usize, part: Option<Part>) -> Result<(), End> {
        match part {
            Some(Part::Next(payloads)) => {
                let prefix = &self.running[position].prefix;
                let mut messages = Vec::with_capacity(payloads.texts().len());
                for payload in payloads.texts() {
                    let mut text = String::with_capacity(prefix.len() + payload.len() + 1);
                    text.push_str(prefix);
                    text.push_str(payload);
                    text.push('}');
                    messages.push(Message::from(text));
                }
                metrics::results_sent(messages.len());
                self.send(messages).await
            }
            Some(Part::Failed(errors)) => {
                let id = self.running.swap_remove(position).id;
                self.send([error_message(&id, &errors)]).await?;
                if errors.slow {
                    metrics::slow_reader(metrics::Transport::WebSocket);
                    return Err(End::Close(Close::too_slow()));
                }
                Ok(())
            }
            None => {
                let id = self.running.swap_remove(position).id;
                let text = format!("{{\"id\":{},\"type\":\"complete\"}}", quoted(&id));
                self.send([Message::from(text)]).await
            }
        }
    }

    /// Writes messages, together; waits for a client that is slow to read, unless the server stops.
    async fn send(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), End> {
        let sink = &mut self.sink;
        let writing = async {
            for message in messages {
                sink.feed(message).await?;
            }
            sink.flush().await
        };
        tokio::select! {
            written = writing => written.map_err(broken),
            () = self.session.stop.cancelled() => Err(End::Close(Close::stopping())),
        }
    }

    /// Closes if need be, and gives the client a moment to close as well; the code is for the log.
    async fn finish(mut self, end: End, source: &mut SplitStream<WebSocket>) -> u16 {
        self.running.clear();
        let code = match end {
            End::Closed(code) => code,
            End::Gone => return NO_CLOSE,
            End::Close(close) => {
                let code = close.code;
                let farewell = async {
                    let sent = self
                        .sink
                        .send(Message::Close(Some(CloseFrame::from(close))))
                        .await;
                    // A client that is still sending would not see the close if we hung up on it.
                    while sent.is_ok() && matches!(source.next().await, Some(Ok(_))) {}
                };
                // A client that does not answer has had its time.
                let _ = tokio::time::timeout(SOCKET_CLOSE_TIMEOUT, farewell).await;
                return code;
            }
        };
        // Answers the client's close.
        let _ = tokio::time::timeout(SOCKET_CLOSE_TIMEOUT, self.sink.close()).await;
        code
    }
}

/// Closes on who has been let in by a key that was taken back since.
async fn check(credential: &Credential) -> Result<(), End> {
    if credential.still_opens().await {
        return Ok(());
    }
    Err(End::Close(Close::forbidden("the key is no longer good")))
}

/// The next part that any operation has, and whose it is.
async fn next_part(running: &mut [Running], turn: &mut usize) -> (usize, Option<Part>) {
    poll_fn(|context| {
        let count = running.len();
        for step in 0..count {
            let position = (*turn + step) % count;
            if let Poll::Ready(part) = running[position].answers.poll_next_unpin(context) {
                *turn = position + 1;
                return Poll::Ready((position, part));
            }
        }
        Poll::Pending
    })
    .await
}

fn broken(error: axum::Error) -> End {
    use tungstenite::error::{CapacityError, Error};
    match error.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
            End::Close(Close::too_large(MAX_SOCKET_MESSAGE_BYTES))
        }
        Some(Error::Utf8(_)) => End::Close(Close::invalid("Invalid message: not UTF-8")),
        _ => End::Gone,
    }
}

fn error_message(id: &str, errors: &Errors) -> Message {
    let text = format!(
        "{{\"id\":{},\"type\":\"error\",\"payload\":{}}}",
        quoted(id),
        errors.json
    );
    Message::from(text)
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
