//! One pass over the text of a document: size, nesting, tokens, names, exact numbers.
//!
//! Strings and comments are skipped by the same rules as the parser's, and a string that does not end is refused
//! here: what this pass takes for a string the parser must never read as brackets.

use store::json::is_exact_number;
use store::new_event::quoted;

use super::Refusal;
use crate::error_code::Code;
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_DOCUMENT_NESTING, MAX_DOCUMENT_TOKENS, MAX_GRAPHQL_NAME_BYTES};

/// Refuses a text that is too large to be parsed safely.
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(Refusal::limit(format!(
            "the document is {} bytes long; at most {MAX_DOCUMENT_BYTES} are allowed",
            text.len()
        )));
    }
    let mut scan = Scan { text, at: 0 };
    let mut tokens = 0_usize;
    let mut nesting = 0_usize;
    while let Some(token) = scan.next()? {
        tokens += 1;
        if tokens > MAX_DOCUMENT_TOKENS {
            let message =
                format!("the document has more than {MAX_DOCUMENT_TOKENS} tokens, the most allowed");
            return Err(Refusal::limit(message));
        }
        match token {
            Token::Open => nesting += 1,
            Token::Close => nesting = nesting.saturating_sub(1),
            Token::Other => {}
        }
        if nesting > MAX_DOCUMENT_NESTING {
            let message =
                format!("the document nests brackets deeper than {MAX_DOCUMENT_NESTING}, the most allowed");
            return Err(Refusal::limit(message));
        }
    }
    Ok(())
}

enum Token {
    Open,
    Close,
    Other,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn next(&mut self) -> Result<Option<Token>, Refusal> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => self.at += 1,
                b'#' => self.at += self.length_of(|byte| !matches!(byte, b'\n' | b'\r')),
                b'{' | b'[' | b'(' => return Ok(Some(self.take(1, Token::Open))),
                b'}' | b']' | b')' => return Ok(Some(self.take(1, Token::Close))),
                b'"' => {
                    let length = self.string_length()?;
                    return Ok(Some(self.take(length, Token::Other)));
                }
                b'-' | b'0'..=b'9' => {
                    let length = self.number_length()?;
                    return Ok(Some(self.take(length, Token::Other)));
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                    let length = self.name_length()?;
                    return Ok(Some(self.take(length, Token::Other)));
                }
                // Punctuation, or something that the parser will refuse.
                _ => return Ok(Some(self.take(1, Token::Other))),
            }
        }
        Ok(None)
    }

    fn take(&mut self, length: usize, token: Token) -> Token {
        self.at += length;
        token
    }

    fn length_of(&self, accepts: impl Fn(u8) -> bool) -> usize {
        self.text.as_bytes()[self.at..]
            .iter()
            .take_while(|byte| accepts(**byte))
            .count()
    }

    /// The length of the name at the present position. An alias stands in every row of an answer, a name in every error
    /// about it.
    fn name_length(&self) -> Result<usize, Refusal> {
        let length = self.length_of(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if length <= MAX_GRAPHQL_NAME_BYTES {
            return Ok(length);
        }
        Err(Refusal::limit(format!(
            "the document has a name of {length} bytes; at most {MAX_GRAPHQL_NAME_BYTES} are allowed"
        )))
    }

    fn string_length(&self) -> Result<usize, Refusal> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(b"\"\"\"") {
            return block_string_length(rest);
        }
        let mut at = 1;
        while let Some(byte) = rest.get(at) {
            match byte {
                b'"' => return Ok(at + 1),
                b'\n' | b'\r' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        Err(unterminated())
    }

    /// The length of the number at the present position, which must be kept exactly.
    fn number_length(&self) -> Result<usize, Refusal> {
        let accepted = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
        let length = self.length_of(accepted);
        let token = &self.text[self.at..self.at + length];
        if token.parse::<f64>().is_ok() && !is_exact_number(token) {
            let message = format!(
                "the number {} cannot be kept exactly as a 64-bit integer or a double; send it as a string",
                quoted(token)
            );
            return Err(Refusal::new(Code::BadUserInput, message));
        }
        Ok(length)
    }
}

fn block_string_length(rest: &[u8]) -> Result<usize, Refusal> {
    let mut at = 3;
    while at < rest.len() {
        if rest[at..].starts_with(b"\\\"\"\"") {
            at += 4;
        } else if rest[at..].starts_with(b"\"\"\"") {
            return Ok(at + 3);
        } else {
            at += 1;
        }
    }
    Err(unterminated())
}

fn unterminated() -> Refusal {
    Refusal::new(Code::GraphqlParseFailed, "syntax error: a string has no end")
}
