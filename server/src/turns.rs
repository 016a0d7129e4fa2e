//! A stream that gives up when what is due from the client does not come: the first or the rest of a request's headers
//! within one time, the next request within another, longer one.
//!
//! An idle connection costs little and saves the client the next one; headers that stall are an attack or a broken line.
//! HTTP's own timer cannot tell one from the other, because it runs from the end of the last answer on. Bodies have a timer
//! of their own (see `http::body`), and what has become a WebSocket has none here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::task::AtomicWaker;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Whose turn it is on a connection: counted, so that a turn is never taken for an earlier one of its kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    number: AtomicU32,
    /// The read that waits although nothing is due; its time begins with the next turn.
    reader: AtomicWaker,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The headers of a request, from the client. A new connection begins with it.
    Headers = 0,
    /// An answer, from us.
    Answer = 1,
    /// Any word of a further request, from the client.
    Request = 2,
}

impl Turns {
    /// A request has come and is answered from now on.
    pub(crate) fn answering(&self) {
        self.go_on_to(Due::Answer);
    }

    fn number(&self) -> u32 {
        self.0.number.load(Ordering::Relaxed)
    }

    fn due(&self) -> Due {
        match self.number() % 3 {
            0 => Due::Headers,
            1 => Due::Answer,
            _ => Due::Request,
        }
    }

    /// Whoever reads, answers and writes does so in the one task of the connection.
    fn go_on_to(&self, due: Due) {
        let steps = (due as u32 + 3 - self.number() % 3) % 3;
        self.0.number.fetch_add(steps, Ordering::Relaxed);
        if due == Due::Request {
            self.0.reader.wake();
        }
    }
}

/// The times that a client has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TurnLimits {
    /// For the headers of a request, from its first byte on; for those of the first one from the beginning.
    pub(crate) headers: Duration,
    /// For the next request.
    pub(crate) idle: Duration,
}

/// A stream whose reads fail with [`io::ErrorKind::TimedOut`] when a client does not keep to its time.
pub(crate) struct TurnGuard<S> {
    stream: S,
    turns: Turns,
    limits: TurnLimits,
    /// Runs while a read waits, and the turn that it belongs to.
    waiting: Option<(u32, Pin<Box<Sleep>>)>,
}

impl<S> TurnGuard<S> {
    pub(crate) fn new(stream: S, turns: Turns, limits: TurnLimits) -> Self {
        Self {
            stream,
            turns,
            limits,
            waiting: None,
        }
    }

    /// Ready when the time is up.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (limit, what) = match self.turns.due() {
            Due::Answer => {
                self.turns.0.reader.register(context.waker());
                return Poll::Pending;
            }
            Due::Headers => (self.limits.headers, "the client does not send its headers"),
            Due::Request => (self.limits.idle, "the connection was idle"),
        };
        let turn = self.turns.number();
        if self.waiting.as_ref().is_none_or(|(of_turn, _)| *of_turn != turn) {
            self.waiting = None;
        }
        let (_, timer) = self.waiting.get_or_insert_with(|| (turn, Box::pin(sleep(limit))));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TurnGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() {
            return self.wait(context);
        }
        if buffer.filled().len() > before && self.turns.due() == Due::Request {
            self.turns.go_on_to(Due::Headers);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TurnGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The body of an answer; at its end it is the client's turn.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    body: Body,
    /// None where the client has no further turn.
    turns: Option<Turns>,
}

impl AnswerBody {
    /// The body of an answer that another request may follow.
    pub(crate) fn new(body: Body, turns: Turns) -> Self {
        Self {
            body,
            turns: Some(turns),
        }
    }

    /// The body of an answer after which the connection speaks another protocol.
    pub(crate) fn last(body: Body) -> Self {
        Self { body, turns: None }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(turns) = &self.turns
            && turns.due() == Due::Answer
        {
            turns.go_on_to(Due::Request);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::{Duration, Instant};

    use axum::body::Body;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{AnswerBody, TurnGuard, TurnLimits, Turns};

    const LIMITS: TurnLimits = TurnLimits {
        headers: Duration::from_millis(20),
        idle: Duration::from_millis(60),
    };
    const IDLE: &str = "the connection was idle";
    const HEADERS: &str = "the client does not send its headers";

    /// A read must fail for this reason, and not before its time.
    async fn gives_up(stream: &mut (impl AsyncReadExt + Unpin), reason: &str) {
        let began = Instant::now();
        let error = stream.read_u8().await.expect_err("nothing comes");
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::TimedOut, reason.to_owned())
        );
        let least = if reason == IDLE {
            LIMITS.idle
        } else {
            LIMITS.headers
        };
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    }

    /// A read must go on waiting.
    async fn waits(stream: &mut (impl AsyncReadExt + Unpin)) {
        let reading = tokio::time::timeout(4 * LIMITS.idle, stream.read_u8());
        assert!(reading.await.is_err(), "nothing is due");
    }

    #[tokio::test]
    async fn each_turn_has_its_time() {
        let (near, mut far) = tokio::io::duplex(16);
        let turns = Turns::default();
        let mut stream = TurnGuard::new(near, turns.clone(), LIMITS);
        // A new connection owes the headers of a request; while they are answered nothing is due.
        gives_up(&mut stream, HEADERS).await;
        turns.answering();
        waits(&mut stream).await;
        // After the answer the next request is, and once its first byte was seen, its headers.
        drop(AnswerBody::new(Body::empty(), turns.clone()));
        gives_up(&mut stream, IDLE).await;
        far.write_u8(b'G').await.expect("there is room");
        assert_eq!(stream.read_u8().await.expect("it came"), b'G');
        gives_up(&mut stream, HEADERS).await;
        // A read that waits already learns of the next turn.
        turns.answering();
        let answering = async {
            tokio::task::yield_now().await;
            drop(AnswerBody::new(Body::empty(), turns.clone()));
        };
        tokio::join!(gives_up(&mut stream, IDLE), answering);
        // Each turn has its whole time, also one that no read has seen begin.
        turns.answering();
        drop(AnswerBody::new(Body::empty(), turns.clone()));
        gives_up(&mut stream, IDLE).await;
        turns.answering();
        drop(AnswerBody::new(Body::empty(), turns.clone()));
        gives_up(&mut stream, IDLE).await;
        // What is no HTTP any more has no turns.
        turns.answering();
        drop(AnswerBody::last(Body::empty()));
        waits(&mut stream).await;
    }
}
