//! JSON as Kohorta takes it: every number exact, or refused.
//!
//! Parsers of JSON turn `12345678901234567890123` into the nearest double and say nothing. Here a number is
//! accepted only if the value that is kept (a 64-bit integer or a double) denotes the same decimal number as the
//! text that was sent. [`canonical`] then gives each number one spelling, so that the same value read back from
//! SQLite (text) and PostgreSQL (`jsonb`) is the same text, and equal properties compare equal.
//!
//! Where an object names a key twice, the last one counts, as in JavaScript and in PostgreSQL's `jsonb`.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

/// The deepest nesting of JSON that is read at all; the parser's own recursion limit, far above what events allow.
pub const MAX_NESTING: usize = 127;

/// Why a text is not JSON that can be kept exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct JsonError {
    /// Position of the first byte that is wrong, counted from 0.
    pub offset: usize,
    /// What is wrong there, as a phrase.
    pub reason: String,
}

/// Parses one JSON text, refusing numbers that would change.
///
/// # Errors
/// [`JsonError`] if the text is not JSON in UTF-8, nests deeper than [`MAX_NESTING`], or holds a number that neither
/// a 64-bit integer nor a double represents exactly.
pub fn parse_exact(text: &[u8]) -> Result<Value, JsonError> {
    check_numbers_and_nesting(text)?;
    serde_json::from_slice(text).map_err(|error| JsonError {
        offset: byte_offset(text, error.line(), error.column()),
        reason: reason_of(&error),
    })
}

/// Whether `token`, a number in JSON's or GraphQL's syntax, denotes a value that a 64-bit integer or a double holds
/// without change: `1.50` and `1e3` do, `12345678901234567890123` and `0.1000000000000000055` do not.
pub fn is_exact_number(token: &str) -> bool {
    if token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok() {
        return true;
    }
    let Ok(double) = token.parse::<f64>() else {
        return false;
    };
    // As a double, -2^63 has a shortest decimal below every 64-bit integer, and a value that is one.
    const I64_START: f64 = -9_223_372_036_854_775_808.0;
    double.is_finite()
        && double != I64_START
        && Decimal::parse(token) == Decimal::parse(&format!("{double:e}"))
}

/// Gives every number inside `value` its one spelling: an integer where the value is one and fits 64 bits,
/// otherwise the shortest double. Negative zero becomes zero.
pub fn canonical(mut value: Value) -> Value {
    make_canonical(&mut value);
    value
}

/// [`canonical`] for the members of an object.
pub fn canonical_map(mut map: Map<String, Value>) -> Map<String, Value> {
    map.values_mut().for_each(make_canonical);
    map
}

fn make_canonical(value: &mut Value) {
    match value {
        Value::Number(number) => *number = canonical_number(number.clone()),
        Value::Array(items) => items.iter_mut().for_each(make_canonical),
        Value::Object(map) => map.values_mut().for_each(make_canonical),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// A double that is an integer becomes the one that its shortest decimal denotes, as it was sent: from 2^53 on that may be
/// another one than the double's own.
fn canonical_number(number: Number) -> Number {
    match number.as_f64() {
        Some(double) if number.is_f64() && double.fract() == 0.0 => {
            let digits = double.to_string();
            let negative = digits.parse::<i64>().map(Number::from);
            negative
                .or_else(|_| digits.parse::<u64>().map(Number::from))
                .unwrap_or(number)
        }
        _ => number,
    }
}

/// Compares two numbers in their canonical spelling, where a double is either no integer or beyond 64 bits.
pub(crate) fn compare_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    let integers = (left.as_i128(), right.as_i128());
    if let (Some(left), Some(right)) = integers {
        return Some(left.cmp(&right));
    }
    let rounded = left.as_f64()?.partial_cmp(&right.as_f64()?)?;
    // The largest integers round to 2^64, which as a canonical double is truly larger than they are.
    Some(match (rounded, integers) {
        (Ordering::Equal, (Some(_), None)) => Ordering::Less,
        (Ordering::Equal, (None, Some(_))) => Ordering::Greater,
        _ => rounded,
    })
}

/// [`compare_numbers`] for the texts of numbers; other texts come after them.
pub(crate) fn compare_number_texts(left: &str, right: &str) -> Ordering {
    let number = |text: &str| serde_json::from_str::<Number>(text).ok();
    match (number(left), number(right)) {
        (Some(left), Some(right)) => compare_numbers(&left, &right).unwrap_or(Ordering::Equal),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.cmp(right),
    }
}

/// A decimal number as sign, significant digits without zeros at either end, and the power of ten of the last digit.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn parse(token: &str) -> Option<Self> {
        let (mantissa, exponent) = match token.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (token, 0),
        };
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.trim_start_matches('-');
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let mut exponent = exponent.checked_sub(fraction.len() as i64)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.checked_add(1)?;
        }
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        Some(Self {
            negative,
            digits,
            exponent,
        })
    }
}

fn check_numbers_and_nesting(text: &[u8]) -> Result<(), JsonError> {
    let mut at = 0;
    let mut nesting = 0_usize;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at),
            b'[' | b'{' => {
                nesting += 1;
                if nesting > MAX_NESTING {
                    let reason = format!("more than {MAX_NESTING} levels of nesting");
                    return Err(JsonError { offset: at, reason });
                }
                at += 1;
            }
            b']' | b'}' => {
                nesting = nesting.saturating_sub(1);
                at += 1;
            }
            b'-' | b'0'..=b'9' => at = check_number(text, at)?,
            _ => at += 1,
        }
    }
    Ok(())
}

/// The position behind the string that starts at `start`, or the end of the text.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// Checks the number that starts at `start` and returns the position behind it. Malformed ones are left to the parser.
fn check_number(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let length = text[start..]
        .iter()
        .take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        .count();
    let end = start + length;
    let token = std::str::from_utf8(&text[start..end]).unwrap_or_default();
    if length <= 15 || is_exact_number(token) {
        // Fifteen characters hold at most fifteen digits, which a double always represents.
        let exponent_too_large = length <= 15 && token.contains(['e', 'E']) && !is_exact_number(token);
        if !exponent_too_large {
            return Ok(end);
        }
    }
    let shown: String = token.chars().take(40).collect();
    Err(JsonError {
        offset: start,
        reason: format!(
            "the number {shown} cannot be kept exactly as a 64-bit integer or a double; send it as a string"
        ),
    })
}

fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.find(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn byte_offset(text: &[u8], line: usize, column: usize) -> usize {
    let before: usize = text
        .split(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(|line| line.len() + 1)
        .sum();
    (before + column.saturating_sub(1)).min(text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{canonical, is_exact_number, parse_exact};

    #[test]
    fn numbers_that_survive_are_accepted() {
        for token in [
            "0",
            "-0",
            "-0.0",
            "1",
            "-1",
            "1.5",
            "1.50",
            "0.1",
            "1e3",
            "1E+3",
            "1e-7",
            "1e300",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "9007199254740993",
            "1.7976931348623157e308",
            "5e-324",
            "100000000000000000000",
            "10000000000000000000000000",
        ] {
            assert!(is_exact_number(token), "{token}");
            assert!(parse_exact(token.as_bytes()).is_ok(), "{token}");
        }
    }

    #[test]
    fn numbers_that_would_change_are_refused() {
        for token in [
            "12345678901234567890123",
            "0.1000000000000000055511151231257827",
            "1e400",
            "-1e400",
            "1e-400",
            "9007199254740993.0",
            "3.14159265358979323846",
            "1e99999999999999999999",
            "4.9e-324",
            "-9.223372036854776e18",
        ] {
            assert!(!is_exact_number(token), "{token}");
            assert!(parse_exact(token.as_bytes()).is_err(), "{token}");
        }
    }

    #[test]
    fn digits_inside_strings_are_not_numbers() {
        let value = parse_exact(br#"{"a\"12345678901234567890123":"12345678901234567890123"}"#);
        assert_eq!(
            value,
            Ok(json!({ "a\"12345678901234567890123": "12345678901234567890123" }))
        );
    }

    #[test]
    fn canonical_numbers_have_one_spelling() {
        let value = parse_exact(b"[1.0, 1e2, -0.0, 1e16, 1e19, 1.5, 1e300, {\"a\": 2.0}]").map(canonical);
        let text = value.map(|value| value.to_string());
        assert_eq!(
            text.as_deref(),
            Ok("[1,100,0,10000000000000000,10000000000000000000,1.5,1e+300,{\"a\":2}]")
        );
    }

    #[test]
    fn large_integers_stay_the_decimal_that_was_sent() {
        let value =
            parse_exact(b"[9.223372036854778e18, 1152921504606847e3, 18446744073709552e3]").map(canonical);
        let text = value.map(|value| value.to_string());
        assert_eq!(
            text.as_deref(),
            Ok("[9223372036854778000,1152921504606847000,1.8446744073709552e+19]")
        );
    }

    #[test]
    fn nesting_is_bounded_before_the_parser_recurses() {
        let deep = "[".repeat(1_000_000);
        let error = parse_exact(deep.as_bytes()).err().map(|error| error.offset);
        assert_eq!(error, Some(127));
    }

    #[test]
    fn errors_name_the_byte() {
        let error = parse_exact(b"{\"a\": 1,\n \"b\": 12345678901234567890123}").err();
        assert_eq!(error.map(|error| error.offset), Some(15));
        assert!(parse_exact(b"{\"a\": ").is_err());
        assert!(parse_exact(b"\"\\ud800\"").is_err());
        assert!(parse_exact(b"\"\xff\"").is_err());
    }
}
