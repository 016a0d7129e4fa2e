//! A window on a text that is read piece by piece and knows where it stands.

use std::io::{self, Read};

/// How much the window holds at first; it grows up to [`MAX_ROW_BYTES`] and one piece more.
const PIECE_BYTES: usize = 1 << 18;
/// The longest row that is looked at: far above what an event may hold even when every character of it is escaped.
pub(crate) const MAX_ROW_BYTES: usize = 1 << 20;

/// The text that is at hand, from the present position on.
pub(crate) struct Window {
    input: Box<dyn Read + Send>,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    complete: bool,
    offset: u64,
    line: u64,
}

impl Window {
    /// A window on `input`, which starts at line 1. A byte order mark is skipped.
    pub(crate) fn new(input: Box<dyn Read + Send>) -> io::Result<Self> {
        let bytes = vec![0; PIECE_BYTES];
        let mut window = Self {
            input,
            bytes,
            start: 0,
            end: 0,
            complete: false,
            offset: 0,
            line: 1,
        };
        while !window.complete && window.text().len() < 4 {
            window.fill()?;
        }
        if window.text().starts_with(&[0xef, 0xbb, 0xbf]) {
            window.consume(3);
        }
        if window.text().starts_with(&[0xff, 0xfe]) || window.text().starts_with(&[0xfe, 0xff]) {
            let message = "the text is UTF-16; only UTF-8 is read (iconv -f UTF-16 -t UTF-8 converts it)";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(window)
    }

    /// What is at hand.
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether nothing follows [`Window::text`].
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The number of the line at the present position, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The present position in the uncompressed text, in bytes from 0.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads more of the text, keeping what is at hand.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        loop {
            match self.input.read(&mut self.bytes[self.end..]) {
                Ok(count) => {
                    self.complete = count == 0;
                    self.end += count;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Steps over the next `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        let passed = &self.bytes[self.start..self.start + count];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.offset += count as u64;
        self.start += count;
    }

    /// Steps over empty lines. Answers false where the text has ended.
    pub(crate) fn skip_empty_lines(&mut self) -> io::Result<bool> {
        loop {
            match self.text() {
                [b'\n', ..] => self.consume(1),
                [b'\r', b'\n', ..] => self.consume(2),
                [] | [b'\r'] if !self.complete => self.fill()?,
                [] => return Ok(false),
                _ => return Ok(true),
            }
        }
    }

    /// The length of the present line with its end, as far as [`MAX_ROW_BYTES`]; reads more where needed.
    pub(crate) fn line_length(&mut self) -> io::Result<LineLength> {
        let mut seen = 0;
        loop {
            if let Some(length) = self.text()[seen..].iter().position(|byte| *byte == b'\n') {
                return Ok(LineLength::Ends(seen + length + 1));
            }
            seen = self.text().len();
            if self.complete {
                return Ok(LineLength::Ends(seen));
            }
            if seen > MAX_ROW_BYTES {
                return Ok(LineLength::TooLong);
            }
            self.fill()?;
        }
    }

    /// Steps over the rest of the present line, however long it is.
    pub(crate) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            if let Some(length) = self.text().iter().position(|byte| *byte == b'\n') {
                self.consume(length + 1);
                return Ok(());
            }
            self.consume(self.text().len());
            if self.complete {
                return Ok(());
            }
            self.fill()?;
        }
    }
}

/// How long a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineLength {
    /// This long, with its end.
    Ends(usize),
    /// Longer than anything that can be a row.
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::{LineLength, MAX_ROW_BYTES, Window};

    fn window(text: &'static [u8]) -> Window {
        Window::new(Box::new(text)).expect("readable")
    }

    #[test]
    fn position_is_line_and_byte() {
        let mut window = window(b"\xef\xbb\xbfone\r\n\n\r\nfour\nfive");
        assert_eq!((window.line(), window.offset()), (1, 3));
        window.consume(5);
        assert!(window.skip_empty_lines().expect("readable"));
        assert_eq!(
            (window.line(), window.offset(), window.text()),
            (4, 11, &b"four\nfive"[..])
        );
        assert_eq!(window.line_length().expect("readable"), LineLength::Ends(5));
        window.consume(5);
        assert_eq!(window.line_length().expect("readable"), LineLength::Ends(4));
        window.skip_line().expect("readable");
        assert!(!window.skip_empty_lines().expect("readable"));
    }

    #[test]
    fn lines_without_end_are_stepped_over_in_bounded_memory() {
        let long: &'static [u8] = Box::leak(vec![b'x'; 5 * MAX_ROW_BYTES].into_boxed_slice());
        let text = std::io::Read::chain(long, &b"\nnext"[..]);
        let mut window = Window::new(Box::new(text)).expect("readable");
        assert_eq!(window.line_length().expect("readable"), LineLength::TooLong);
        window.skip_line().expect("readable");
        assert_eq!((window.line(), window.text()), (2, &b"next"[..]));
        assert!(window.bytes.len() <= 2 * MAX_ROW_BYTES);
    }
}
