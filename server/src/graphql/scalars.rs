//! The scalars of the API.
//!
//! Those that clients send keep what was sent: whether it is a UUID or a date is judged by the resolver, which can
//! reject one event of a batch, or name the argument. The GraphQL library would refuse the whole request. The doc
//! comments on the `impl`s are what API users read.

use activity::calendar::Day;
use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use store::new_event::{parse_instant, quoted};

use crate::answer_memory::{weight, weight_of_members};

/// A value of ours, or one that a client sent and nobody has judged yet.
#[derive(Debug, Clone)]
enum Lenient<T> {
    Ours(T),
    Sent(Value),
}

impl<T> Lenient<T> {
    fn to_value(&self, convert: impl FnOnce(&T) -> Value) -> Value {
        match self {
            Self::Ours(value) => convert(value),
            Self::Sent(value) => value.clone(),
        }
    }
}

/// What a client sent, as text: a string as it is, anything else in GraphQL's notation.
fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// `UUID` in the API.
#[derive(Debug, Clone)]
pub(super) struct Uuid(Lenient<uuid::Uuid>);

impl Uuid {
    pub(super) fn new(uuid: uuid::Uuid) -> Self {
        Self(Lenient::Ours(uuid))
    }

    /// The text that was sent.
    pub(super) fn into_text(self) -> String {
        match self.0 {
            Lenient::Ours(uuid) => uuid.to_string(),
            Lenient::Sent(value) => text_of(value),
        }
    }

    /// The UUID, or a phrase that says what is wrong.
    pub(super) fn into_uuid(self) -> Result<uuid::Uuid, String> {
        let text = self.into_text();
        uuid::Uuid::try_parse(&text).map_err(|_| {
            format!(
                "{} is not a UUID, such as 0190a5f0-3c1b-7d52-8a1e-6f1c2b3d4e5f",
                quoted(&text)
            )
        })
    }
}

/// A UUID in the notation of RFC 9562, such as `0190a5f0-3c1b-7d52-8a1e-6f1c2b3d4e5f`.
#[Scalar(name = "UUID", specified_by_url = "https://www.rfc-editor.org/rfc/rfc9562")]
impl ScalarType for Uuid {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(Lenient::Sent(value)))
    }

    fn to_value(&self) -> Value {
        self.0.to_value(|uuid| Value::String(uuid.to_string()))
    }
}

/// `DateTime` in the API.
#[derive(Debug, Clone)]
pub(super) struct Instant(Lenient<DateTime<Utc>>);

impl Instant {
    pub(super) fn new(instant: DateTime<Utc>) -> Self {
        Self(Lenient::Ours(instant))
    }

    /// The text that was sent.
    pub(super) fn into_text(self) -> String {
        match self.0 {
            Lenient::Ours(instant) => instant_text(instant),
            Lenient::Sent(value) => text_of(value),
        }
    }

    /// The instant, or a phrase that says what is wrong.
    pub(super) fn into_instant(self) -> Result<DateTime<Utc>, String> {
        parse_instant(&self.into_text())
    }
}

fn instant_text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// An instant in the notation of RFC 3339 with an offset, such as `2026-03-01T08:30:00.123456Z`. Any offset is taken;
/// answers are in UTC, with up to six digits of a second.
#[Scalar(
    name = "DateTime",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339"
)]
impl ScalarType for Instant {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(Lenient::Sent(value)))
    }

    fn to_value(&self) -> Value {
        self.0.to_value(|instant| Value::String(instant_text(*instant)))
    }
}

/// `LocalDate` in the API.
#[derive(Debug, Clone)]
pub(super) struct LocalDate(Lenient<Day>);

impl LocalDate {
    pub(super) fn new(day: Day) -> Self {
        Self(Lenient::Ours(day))
    }

    /// The day, or a phrase that says what is wrong.
    pub(super) fn into_day(self) -> Result<Day, String> {
        let text = match self.0 {
            Lenient::Ours(day) => return Ok(day),
            Lenient::Sent(value) => text_of(value),
        };
        let shape_fits = text.len() == 10
            && text.bytes().enumerate().all(|(position, byte)| match position {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let date = if shape_fits {
            NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()
        } else {
            None
        };
        date.map(Day::from_date)
            .ok_or_else(|| format!("{} is not a calendar day, such as 2026-03-01", quoted(&text)))
    }
}

/// A calendar day in the reporting time zone, written `YYYY-MM-DD`.
#[Scalar(name = "LocalDate")]
impl ScalarType for LocalDate {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(Lenient::Sent(value)))
    }

    fn to_value(&self) -> Value {
        self.0.to_value(|day| Value::String(day.to_string()))
    }
}

/// `JSONObject` in the API.
#[derive(Debug, Clone)]
pub(super) struct JsonObject(Lenient<serde_json::Map<String, serde_json::Value>>);

impl JsonObject {
    pub(super) fn new(members: serde_json::Map<String, serde_json::Value>) -> Self {
        Self(Lenient::Ours(members))
    }

    /// About what it takes in memory as part of an answer.
    pub(super) fn weight(&self) -> usize {
        match &self.0 {
            Lenient::Ours(members) => weight_of_members(members),
            Lenient::Sent(value) => weight(value),
        }
    }

    /// What was sent, as JSON; it need not be an object.
    pub(super) fn into_json(self) -> serde_json::Value {
        match self.0 {
            Lenient::Ours(members) => serde_json::Value::Object(members),
            // Only a GraphQL value with an upload has no JSON form; uploads are not taken.
            Lenient::Sent(value) => value.into_json().unwrap_or_default(),
        }
    }
}

/// A JSON object. Numbers are kept exactly: those that neither a 64-bit integer nor a double holds are refused.
#[Scalar(name = "JSONObject")]
impl ScalarType for JsonObject {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(Lenient::Sent(value)))
    }

    fn to_value(&self) -> Value {
        self.0.to_value(|members| {
            Value::from_json(serde_json::Value::Object(members.clone())).unwrap_or_default()
        })
    }
}

/// `JSON` in the API: whatever a client sent.
#[derive(Debug, Clone)]
pub(super) struct Json(Value);

impl Json {
    /// What was sent, as JSON.
    pub(super) fn into_json(self) -> serde_json::Value {
        // Only a GraphQL value with an upload has no JSON form; uploads are not taken.
        self.0.into_json().unwrap_or_default()
    }
}

/// Any JSON value but null: a string, a number, a boolean, an array or an object. Numbers are kept exactly: those that neither a
/// 64-bit integer nor a double holds are refused.
#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(value))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}

/// `TimeZone` in the API.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeZone(pub(super) Tz);

/// The name of a time zone in the IANA database, such as `Europe/Berlin`.
#[Scalar(name = "TimeZone", specified_by_url = "https://www.iana.org/time-zones")]
impl ScalarType for TimeZone {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(name) => name
                .parse()
                .map(Self)
                .map_err(|_| InputValueError::expected_type(value)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.name().to_owned())
    }
}

/// `Count` in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

/// A non-negative integer up to 2^53-1, written as a JSON number. `Int` has only 32 bits.
#[Scalar(name = "Count")]
impl ScalarType for Count {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => number
                .as_u64()
                .map(Self)
                .ok_or_else(|| InputValueError::expected_type(value)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{ScalarType, Value};

    use super::LocalDate;

    #[test]
    fn days_have_exactly_one_notation() {
        let day = |text: &str| {
            LocalDate::parse(Value::from(text))
                .ok()
                .and_then(|date| date.into_day().ok())
                .map(|day| day.to_string())
        };
        for good in [
            "2026-03-01",
            "2024-02-29",
            "1970-01-01",
            "0001-01-01",
            "9999-12-31",
        ] {
            assert_eq!(day(good).as_deref(), Some(good));
        }
        for bad in [
            "2026-3-1",
            "2026-02-29",
            "2026-13-01",
            "20260301",
            "2026-03-01T00:00:00Z",
            " 2026-03-1",
            "+2026-03-1",
            "",
        ] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}
