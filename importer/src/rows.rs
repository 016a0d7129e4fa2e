//! Rows of a file one after the other, each with its line number and its own text.

use std::io;

use crate::{
    csv_text::{Scan, Values, scan},
    lines::{LineLength, MAX_ROW_BYTES, Window},
};

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The line it starts on, from 1.
    pub(crate) line: u64,
    /// Its first byte in the uncompressed text, from 0.
    pub(crate) offset: u64,
}

/// A row as it lies in the file.
#[derive(Debug)]
pub(crate) struct RawRow<'a> {
    pub(crate) place: Place,
    /// Its text, without the line end.
    pub(crate) text: &'a [u8],
    /// Why it cannot be taken apart, where that is so.
    pub(crate) fault: Option<RowFault>,
}

/// Why a row cannot be taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowFault {
    /// The quotes of the value at this position do not match; the phrase says how.
    Quotes(usize, &'static str),
    /// Longer than [`MAX_ROW_BYTES`]; its text is left out.
    TooLong,
}

/// Reads the rows of a CSV text.
pub(crate) struct CsvRows {
    window: Window,
    delimiter: u8,
    /// The length of the row that was answered last, not yet stepped over.
    pending: usize,
}

impl CsvRows {
    pub(crate) fn new(window: Window, delimiter: u8) -> Self {
        Self {
            window,
            delimiter,
            pending: 0,
        }
    }

    /// The next row, whose values are put into `values`; none at the end. A row whose quotes do not match, or that has no
    /// end, is cut off at the end of its first line, and reading goes on behind that.
    pub(crate) fn next(&mut self, values: &mut Values) -> io::Result<Option<RawRow<'_>>> {
        self.window.consume(std::mem::take(&mut self.pending));
        if !self.window.skip_empty_lines()? {
            return Ok(None);
        }
        let place = Place {
            line: self.window.line(),
            offset: self.window.offset(),
        };
        loop {
            match scan(
                self.window.text(),
                self.window.is_complete(),
                self.delimiter,
                values,
            ) {
                Scan::Row(length) => {
                    self.pending = length;
                    return Ok(Some(self.row(place, None)));
                }
                Scan::BadQuotes(position, problem) => {
                    return self
                        .first_line(place, RowFault::Quotes(position, problem))
                        .map(Some);
                }
                Scan::More if self.window.text().len() > MAX_ROW_BYTES => {
                    let fault = RowFault::Quotes(
                        values.len(),
                        "starts with a quote that is not closed within a mebibyte",
                    );
                    return self.first_line(place, fault).map(Some);
                }
                Scan::More => self.window.fill()?,
            }
        }
    }

    fn first_line(&mut self, place: Place, fault: RowFault) -> io::Result<RawRow<'_>> {
        match self.window.line_length()? {
            LineLength::Ends(length) => {
                self.pending = length;
                Ok(self.row(place, Some(fault)))
            }
            LineLength::TooLong => {
                self.window.skip_line()?;
                Ok(RawRow {
                    place,
                    text: &[],
                    fault: Some(RowFault::TooLong),
                })
            }
        }
    }

    fn row(&self, place: Place, fault: Option<RowFault>) -> RawRow<'_> {
        RawRow {
            place,
            text: without_line_end(&self.window.text()[..self.pending]),
            fault,
        }
    }
}

/// Reads the rows of an NDJSON text: its lines.
pub(crate) struct NdjsonRows {
    window: Window,
    pending: usize,
}

impl NdjsonRows {
    pub(crate) fn new(window: Window) -> Self {
        Self { window, pending: 0 }
    }

    /// The next line that is not blank; none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<RawRow<'_>>> {
        loop {
            self.window.consume(std::mem::take(&mut self.pending));
            if !self.window.skip_empty_lines()? {
                return Ok(None);
            }
            let place = Place {
                line: self.window.line(),
                offset: self.window.offset(),
            };
            match self.window.line_length()? {
                LineLength::TooLong => {
                    self.window.skip_line()?;
                    return Ok(Some(RawRow {
                        place,
                        text: &[],
                        fault: Some(RowFault::TooLong),
                    }));
                }
                LineLength::Ends(length) => self.pending = length,
            }
            if !self.window.text()[..self.pending].trim_ascii().is_empty() {
                let text = without_line_end(&self.window.text()[..self.pending]);
                return Ok(Some(RawRow {
                    place,
                    text,
                    fault: None,
                }));
            }
        }
    }
}

fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::{CsvRows, NdjsonRows, RowFault, Values, Window};

    /// One line per row: line number, then the values or the fault.
    fn csv(text: &[u8]) -> Vec<String> {
        let window = Window::new(Box::new(std::io::Cursor::new(text.to_vec()))).expect("readable");
        let mut rows = CsvRows::new(window, b',');
        let mut values = Values::default();
        let mut found = Vec::new();
        while let Some(row) = rows.next(&mut values).expect("readable") {
            let (line, fault) = (row.place.line, row.fault);
            let texts: Vec<_> = (0..values.len())
                .map(|at| String::from_utf8_lossy(values.at(at)))
                .collect();
            found.push(match fault {
                None => format!("{line}: {}", texts.join("|")),
                Some(RowFault::Quotes(at, _)) => {
                    format!("{line}: quotes of {at}: {}", String::from_utf8_lossy(row.text))
                }
                Some(RowFault::TooLong) => format!("{line}: too long"),
            });
        }
        found
    }

    #[test]
    fn line_numbers_count_quoted_newlines_empty_lines_and_both_line_ends() {
        let found = csv(b"a,b\r\n\r\n\"x\r\ny\",2\r\n\n\"\n\n\",3\nlast,4");
        assert_eq!(found, ["1: a|b", "3: x\r\ny|2", "6: \n\n|3", "9: last|4"]);
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_one_line() {
        let found = csv(b"a,\"b,c\nd,\"e\",f\ng,h,i\n");
        assert_eq!(found, ["1: quotes of 1: a,\"b,c", "2: d|e|f", "3: g|h|i"]);
        let found = csv(b"a,\"b,c\nd,e,f\ng,h,i\n");
        assert_eq!(found, ["1: quotes of 1: a,\"b,c", "2: d|e|f", "3: g|h|i"]);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_given_up_after_a_mebibyte() {
        let mut text = b"\"open\n".to_vec();
        for _ in 0..300_000 {
            text.extend_from_slice(b"a,b,c\n");
        }
        let found = csv(&text);
        assert_eq!(found.len(), 300_001);
        assert_eq!(found[0], "1: quotes of 0: \"open");
        assert_eq!(found[300_000], "300001: a|b|c");
    }

    #[test]
    fn a_line_without_end_is_one_bad_row() {
        let mut text = vec![b'x'; 3 << 20];
        text.extend_from_slice(b"\na,b\n");
        assert_eq!(csv(&text), ["1: too long", "2: a|b"]);
    }

    #[test]
    fn ndjson_rows_are_lines() {
        let text = b"{\"a\":1}\r\n\n  \n{\"b\":2}".to_vec();
        let window = Window::new(Box::new(std::io::Cursor::new(text))).expect("readable");
        let mut rows = NdjsonRows::new(window);
        let mut found = Vec::new();
        while let Some(row) = rows.next().expect("readable") {
            found.push(format!(
                "{}: {}",
                row.place.line,
                String::from_utf8_lossy(row.text)
            ));
        }
        assert_eq!(found, ["1: {\"a\":1}", "4: {\"b\":2}"]);
    }
}
