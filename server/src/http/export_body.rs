//! The body of an export: pieces of bounded size, taken one by one, and an end that only a whole export has.
//!
//! Where the end was not sent, the body fails: the connection is closed without the last chunk, which every client of
//! HTTP takes for an error.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::mpsc;

use crate::limits::EXPORT_PIECE_BYTES;

/// A piece of the body; none is its end.
type Piece = Option<Bytes>;

/// What fills a body.
pub(super) struct Pieces {
    sender: mpsc::Sender<Piece>,
    /// How long a client may take to take one of them.
    stall_timeout: Duration,
}

/// Why a piece was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    #[error("the client went away")]
    Gone,
    #[error("the client stopped reading")]
    Stalled,
}

/// A body, and what fills it.
pub(super) fn body(stall_timeout: Duration) -> (Pieces, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = stream::unfold(Some(receiver), async |receiver: Option<mpsc::Receiver<Piece>>| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Some(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(None) => None,
            None => Some((Err(io::Error::other("the export was cut off")), None)),
        }
    });
    let filling = Pieces {
        sender,
        stall_timeout,
    };
    (filling, Body::from_stream(pieces))
}

impl Pieces {
    /// Sends these bytes, a piece at a time.
    pub(super) async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), Unsent> {
        let mut rest: Bytes = bytes.into();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(EXPORT_PIECE_BYTES));
            self.hand_on(Some(piece)).await?;
        }
        Ok(())
    }

    /// Says that nothing is missing.
    pub(super) async fn end(self) -> Result<(), Unsent> {
        self.hand_on(None).await
    }

    /// Waits until nobody takes pieces any more.
    pub(super) async fn abandoned(&self) {
        self.sender.closed().await;
    }

    async fn hand_on(&self, piece: Piece) -> Result<(), Unsent> {
        match tokio::time::timeout(self.stall_timeout, self.sender.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Unsent::Gone),
            Err(_) => Err(Unsent::Stalled),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::to_bytes;

    use super::{Unsent, body};
    use crate::limits::EXPORT_PIECE_BYTES;

    #[tokio::test]
    async fn only_what_was_ended_is_whole() {
        let text = vec![b'x'; EXPORT_PIECE_BYTES * 2 + 1];
        let (pieces, whole) = body(Duration::from_secs(60));
        let sending = async {
            pieces.send(text.clone()).await?;
            pieces.end().await
        };
        let (sent, read) = tokio::join!(sending, to_bytes(whole, usize::MAX));
        assert!(sent.is_ok() && read.is_ok_and(|read| read == text));
        let (pieces, cut) = body(Duration::from_secs(60));
        pieces.send("x").await.expect("there is room for one");
        drop(pieces);
        assert!(to_bytes(cut, usize::MAX).await.is_err());
    }

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let (pieces, idle) = body(Duration::from_millis(20));
        pieces.send("x").await.expect("there is room for one");
        assert!(matches!(pieces.send("y").await, Err(Unsent::Stalled)));
        drop(idle);
        assert!(matches!(pieces.send("z").await, Err(Unsent::Gone)));
    }
}
