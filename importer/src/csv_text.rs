//! CSV as text: finding where a row ends, taking it apart, writing a value.
//!
//! RFC 4180, strictly: a quoted value ends with its closing quote, and a quote inside it is doubled. A row whose quotes do
//! not match is reported instead of guessed at, because a guess could swallow the rows behind it. Lines end with `\n`
//! or `\r\n`.

/// The values of a row, unquoted.
#[derive(Debug, Default)]
pub(crate) struct Values {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    raw_ends: Vec<usize>,
}

impl Values {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Value number `position`; empty where the row has fewer.
    pub(crate) fn at(&self, position: usize) -> &[u8] {
        let Some(end) = self.ends.get(position) else {
            return &[];
        };
        let start = if position == 0 { 0 } else { self.ends[position - 1] };
        &self.bytes[start..*end]
    }

    /// Where value number `position` ends in the row's own text.
    pub(crate) fn raw_end(&self, position: usize) -> Option<usize> {
        self.raw_ends.get(position).copied()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.raw_ends.clear();
    }
}

/// What [`scan`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// A row; with its line end it is this long.
    Row(usize),
    /// The row goes on behind the text.
    More,
    /// The quotes of the value at this position (from 0) do not match.
    BadQuotes(usize, &'static str),
}

const AFTER_QUOTE: &str = "has text behind its closing quote; a quote inside a quoted value must be doubled";
const NEVER_CLOSED: &str = "starts with a quote that is never closed";

/// Takes the first row of `text` apart. `complete` says that nothing follows `text`.
pub(crate) fn scan(text: &[u8], complete: bool, delimiter: u8, values: &mut Values) -> Scan {
    values.clear();
    let mut at = 0;
    loop {
        at = if text.get(at) == Some(&b'"') {
            match quoted(text, at + 1, complete, delimiter, values) {
                Ok(Some(end)) => end,
                Ok(None) => return Scan::More,
                Err(problem) => return Scan::BadQuotes(values.len(), problem),
            }
        } else {
            let rest = &text[at..];
            let length = rest
                .iter()
                .position(|byte| *byte == delimiter || *byte == b'\n')
                .unwrap_or(rest.len());
            let mut end = at + length;
            if end == text.len() && !complete {
                return Scan::More;
            }
            // A carriage return belongs to the line end.
            if text.get(end) != Some(&delimiter) && end > at && text[end - 1] == b'\r' {
                end -= 1;
            }
            values.bytes.extend_from_slice(&text[at..end]);
            end
        };
        values.ends.push(values.bytes.len());
        values.raw_ends.push(at);
        match text.get(at) {
            Some(byte) if *byte == delimiter => at += 1,
            Some(b'\r') => return Scan::Row((at + 2).min(text.len())),
            _ => return Scan::Row((at + 1).min(text.len())),
        }
    }
}

/// Reads a quoted value whose text starts at `from`; answers where the delimiter or the line end behind it is.
fn quoted(
    text: &[u8],
    from: usize,
    complete: bool,
    delimiter: u8,
    values: &mut Values,
) -> Result<Option<usize>, &'static str> {
    let mut at = from;
    loop {
        let Some(length) = text[at..].iter().position(|byte| *byte == b'"') else {
            return if complete { Err(NEVER_CLOSED) } else { Ok(None) };
        };
        values.bytes.extend_from_slice(&text[at..at + length]);
        let behind = at + length + 1;
        match text.get(behind) {
            Some(b'"') => {
                values.bytes.push(b'"');
                at = behind + 1;
            }
            Some(b'\n') => return Ok(Some(behind)),
            Some(byte) if *byte == delimiter => return Ok(Some(behind)),
            Some(b'\r') => {
                return match text.get(behind + 1) {
                    Some(b'\n') => Ok(Some(behind)),
                    None if complete => Ok(Some(behind)),
                    None => Ok(None),
                    Some(_) => Err(AFTER_QUOTE),
                };
            }
            Some(_) => return Err(AFTER_QUOTE),
            None if complete => return Ok(Some(behind)),
            None => return Ok(None),
        }
    }
}

/// Writes `value`, in quotes where it needs them.
pub(crate) fn write_field(line: &mut Vec<u8>, value: &[u8], delimiter: u8) {
    let special = |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r') || *byte == delimiter;
    if !value.iter().any(special) {
        line.extend_from_slice(value);
        return;
    }
    line.push(b'"');
    for piece in value.split_inclusive(|byte| *byte == b'"') {
        line.extend_from_slice(piece);
        if piece.ends_with(b"\"") {
            line.push(b'"');
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::{AFTER_QUOTE, NEVER_CLOSED, Scan, Values, scan, write_field};

    fn check(text: &str, expected: Scan, fields: &[&str]) {
        let mut values = Values::default();
        assert_eq!(
            scan(text.as_bytes(), true, b',', &mut values),
            expected,
            "{text:?}"
        );
        if matches!(expected, Scan::Row(_)) {
            let found: Vec<&str> = (0..values.len())
                .map(|at| std::str::from_utf8(values.at(at)).expect("UTF-8"))
                .collect();
            assert_eq!(found, fields, "{text:?}");
        }
        // Cut anywhere, the text must ask for more instead of giving another row.
        if let Scan::Row(length) = expected
            && length == text.len()
        {
            for end in 0..length {
                assert_eq!(
                    scan(&text.as_bytes()[..end], false, b',', &mut values),
                    Scan::More,
                    "{text:?} {end}"
                );
            }
        }
    }

    #[test]
    fn rows_are_taken_apart() {
        check("a,b\n", Scan::Row(4), &["a", "b"]);
        check("a,b\r\n", Scan::Row(5), &["a", "b"]);
        check("a,b", Scan::Row(3), &["a", "b"]);
        check("a,b\r", Scan::Row(4), &["a", "b"]);
        check("a,\n", Scan::Row(3), &["a", ""]);
        check(",", Scan::Row(1), &["", ""]);
        check("a,b\nc,d\n", Scan::Row(4), &["a", "b"]);
        check("\"a\",\"b\"\n", Scan::Row(8), &["a", "b"]);
        check("\"a\nb\",\"c,d\"\r\n", Scan::Row(13), &["a\nb", "c,d"]);
        check("\"say \"\"hi\"\"\"\n", Scan::Row(13), &["say \"hi\""]);
        check("\"\",x\n", Scan::Row(5), &["", "x"]);
        check("a\"b,c\n", Scan::Row(6), &["a\"b", "c"]);
        check("a\rb,c\n", Scan::Row(6), &["a\rb", "c"]);
    }

    #[test]
    fn quotes_that_do_not_match_are_reported() {
        check("a,\"b\"c,d\n", Scan::BadQuotes(1, AFTER_QUOTE), &[]);
        check("\"a\r b\"\r c\n", Scan::BadQuotes(0, AFTER_QUOTE), &[]);
        check("a,\"b,c\n", Scan::BadQuotes(1, NEVER_CLOSED), &[]);
        check("\"{\"a\":1}\",x\n", Scan::BadQuotes(0, AFTER_QUOTE), &[]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in [
            "",
            "plain",
            "with,comma",
            "with \"quotes\"",
            "\"",
            "two\nlines",
            "cr\r",
            "ü",
        ] {
            let mut line = Vec::new();
            write_field(&mut line, value.as_bytes(), b',');
            line.push(b'\n');
            let mut values = Values::default();
            assert_eq!(scan(&line, true, b',', &mut values), Scan::Row(line.len()));
            assert_eq!(values.at(0), value.as_bytes());
        }
    }
}
