//! Answers as text: of bounded size, and with their memory until they are sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde::Serialize;

use crate::answer_memory::AnswerMemory;
use crate::limits::{ANSWER_PIECE_BYTES, MAX_ANSWER_BYTES};

/// The answer would be larger than [`MAX_ANSWER_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// `value` as JSON; it is given up where it grows too large, not when it is done.
pub(super) fn bounded_json(value: &impl Serialize) -> Result<Vec<u8>, TooLarge> {
    bounded(value, MAX_ANSWER_BYTES)
}

fn bounded(value: &impl Serialize, most: usize) -> Result<Vec<u8>, TooLarge> {
    let mut text = Bounded {
        bytes: Vec::new(),
        most,
    };
    // Values of GraphQL always have a JSON form, so nothing else can fail.
    serde_json::to_writer(&mut text, value).map_err(|_| TooLarge)?;
    Ok(text.bytes)
}

struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body of an answer. A large one keeps its memory until the client has taken it, and is handed on in pieces: the
/// connection copies what it is given.
pub(super) fn body(text: Vec<u8>, memory: AnswerMemory) -> Body {
    if text.len() <= ANSWER_PIECE_BYTES {
        return text.into();
    }
    memory.shrink_to(text.len());
    Body::new(Pieces {
        rest: Bytes::from_owner(Held {
            text,
            _memory: memory,
        }),
    })
}

struct Held {
    text: Vec<u8>,
    _memory: AnswerMemory,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

struct Pieces {
    rest: Bytes,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(ANSWER_PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use http_body_util::BodyExt;

    use super::{ANSWER_PIECE_BYTES, HttpBody, TooLarge, body, bounded};
    use crate::answer_memory::AnswersMemory;

    #[test]
    fn a_text_is_as_large_as_allowed_or_given_up() {
        let value = serde_json::json!({ "a": [1, "two"] });
        let text = value.to_string();
        assert_eq!(bounded(&value, text.len()), Ok(text.clone().into_bytes()));
        assert_eq!(bounded(&value, text.len() - 1), Err(TooLarge));
    }

    #[tokio::test]
    async fn a_large_text_arrives_whole_in_pieces() {
        let text: Vec<u8> = (0..3 * ANSWER_PIECE_BYTES + 1)
            .map(|number| number as u8)
            .collect();
        let mut whole = body(text.clone(), AnswersMemory::new().of_one());
        assert_eq!(whole.size_hint().exact(), Some(text.len() as u64));
        let first = whole.frame().await.expect("a piece").expect("no error");
        let mut said = first.into_data().expect("data").to_vec();
        assert_eq!(said.len(), ANSWER_PIECE_BYTES);
        said.extend(to_bytes(whole, usize::MAX).await.expect("the rest"));
        assert_eq!(said, text);
    }
}
