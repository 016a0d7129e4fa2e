//! A valid event: the only validation, shared by every way in.
//!
//! [`NewEvent::parse`] turns raw input into a [`NewEvent`] or says everything that is wrong with it. A `NewEvent`
//! that exists can be stored in either database and read back unchanged; nothing is stripped, trimmed or normalised.

use chrono::{DateTime, SubsecRound, TimeDelta, Timelike, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::json;

/// The longest `user_id` and `event_type`, in bytes of UTF-8: both are index keys, and PostgreSQL's have a bound.
pub const MAX_NAME_BYTES: usize = 256;
/// The largest `properties`, in bytes of compact JSON: an event is a fact, not a document.
pub const MAX_PROPERTIES_BYTES: usize = 64 * 1024;
/// The deepest `properties`, in levels of objects and arrays, the outermost one included.
pub const MAX_PROPERTY_DEPTH: usize = 16;
/// How far `occurred_at` may lie ahead of the receiving clock by default: a sender's clock may be off, not by days.
pub const DEFAULT_MAX_AHEAD: TimeDelta = TimeDelta::hours(1);

/// An event as it came in, before anything is known about it.
#[derive(Debug, Clone, Default)]
pub struct RawEvent {
    /// A UUID in any spelling of RFC 9562; without it one is made (version 7).
    pub event_id: Option<String>,
    /// Whose event it is.
    pub user_id: String,
    /// What happened.
    pub event_type: String,
    /// When, in RFC 3339 with an offset; without it the moment of arrival.
    pub occurred_at: Option<String>,
    /// Anything else, a JSON object; without it (or null) an empty one.
    pub properties: Option<Value>,
}

/// A valid event.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    pub(crate) event_id: Uuid,
    pub(crate) user_id: String,
    pub(crate) event_type: String,
    pub(crate) occurred_at: DateTime<Utc>,
    /// False where the sender left the time out: a retry then is a duplicate whatever time was stored.
    pub(crate) occurred_at_given: bool,
    /// As they are stored: an object in compact JSON, numbers in their canonical spelling. As a text they take a fraction
    /// of the memory, and few events are asked for them again.
    pub(crate) properties: String,
    pub(crate) received_at: DateTime<Utc>,
}

/// A field of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventField {
    /// `event_id`
    EventId,
    /// `user_id`
    UserId,
    /// `event_type`
    EventType,
    /// `occurred_at`
    OccurredAt,
    /// `properties`
    Properties,
}

impl EventField {
    /// The column's name, as in tables and files.
    pub fn column(self) -> &'static str {
        match self {
            Self::EventId => "event_id",
            Self::UserId => "user_id",
            Self::EventType => "event_type",
            Self::OccurredAt => "occurred_at",
            Self::Properties => "properties",
        }
    }
}

/// What kind of rule an event breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViolationCode {
    /// Not of the right form.
    Invalid,
    /// `occurred_at` lies too far ahead of the receiving clock.
    FutureTimestamp,
    /// `occurred_at` lies before 1970, or before the day from which on the database still keeps events.
    TooOld,
    /// `properties` are larger than [`MAX_PROPERTIES_BYTES`].
    TooLarge,
    /// `properties` nest deeper than [`MAX_PROPERTY_DEPTH`].
    TooDeep,
    /// The user was erased, and later events of this user are refused.
    UserErased,
}

impl ViolationCode {
    /// The code as programs know it, in the API and in the importer's rejects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::FutureTimestamp => "FUTURE_TIMESTAMP",
            Self::TooOld => "TOO_OLD",
            Self::TooLarge => "TOO_LARGE",
            Self::TooDeep => "TOO_DEEP",
            Self::UserErased => "USER_ERASED",
        }
    }
}

/// One rule that an event breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The kind of rule.
    pub code: ViolationCode,
    /// The field that breaks it.
    pub field: EventField,
    /// Where inside `properties`: keys and array positions, outermost first; empty elsewhere.
    pub path: Vec<String>,
    /// What is wrong and what would be right, as a phrase that follows the field's name: "must not be empty".
    pub message: String,
}

impl NewEvent {
    /// Checks `raw`, which arrived at `now`. Times are kept to the microsecond (later digits are cut off).
    ///
    /// # Errors
    /// Every rule that the event breaks, in the order of the fields; never empty.
    pub fn parse(raw: RawEvent, now: DateTime<Utc>, max_ahead: TimeDelta) -> Result<Self, Vec<Violation>> {
        let mut violations = Vec::new();
        let received_at = now.trunc_subsecs(6);
        let event_id = keep(parse_event_id(raw.event_id.as_deref()), &mut violations);
        check_name(EventField::UserId, &raw.user_id, &mut violations);
        check_name(EventField::EventType, &raw.event_type, &mut violations);
        let occurred_at_given = raw.occurred_at.is_some();
        let occurred_at = match &raw.occurred_at {
            Some(text) => keep(parse_occurred_at(text, now, max_ahead), &mut violations),
            None => Some(received_at),
        };
        let properties = keep(parse_properties(raw.properties), &mut violations);
        match (event_id, occurred_at, properties) {
            (Some(event_id), Some(occurred_at), Some(properties)) if violations.is_empty() => Ok(Self {
                event_id,
                user_id: raw.user_id,
                event_type: raw.event_type,
                occurred_at,
                occurred_at_given,
                properties,
                received_at,
            }),
            _ => Err(violations),
        }
    }

    /// The event's identity, for ever.
    pub fn event_id(&self) -> Uuid {
        self.event_id
    }

    /// Whose event it is.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// What happened.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// When it happened.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        self.occurred_at
    }

    /// When the receiving process got it.
    pub fn received_at(&self) -> DateTime<Utc> {
        self.received_at
    }

    /// About what it takes in memory while it waits.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.user_id.len() + self.event_type.len() + self.properties.len()
    }

    /// Everything else, numbers in their canonical spelling. Made anew each time.
    pub fn properties(&self) -> Map<String, Value> {
        serde_json::from_str(&self.properties).expect("the text was written from such a map")
    }
}

/// Reads an RFC 3339 instant with an offset, cut to the microsecond.
///
/// # Errors
/// A phrase that says what is wrong: not RFC 3339, no offset, or a leap second.
pub fn parse_instant(text: &str) -> Result<DateTime<Utc>, String> {
    let wrong = || {
        format!(
            "{} is not an RFC 3339 instant with an offset, such as 2026-03-01T08:30:00Z",
            quoted(text)
        )
    };
    // The library also takes a space between date and time; RFC 3339 wants a T.
    if text.len() < 20 || !matches!(text.as_bytes()[10], b'T' | b't') {
        return Err(wrong());
    }
    let instant = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?;
    if instant.nanosecond() >= 1_000_000_000 {
        return Err(format!(
            "{} is a leap second, which has no place on the time line; send second 59",
            quoted(text)
        ));
    }
    Ok(instant.with_timezone(&Utc).trunc_subsecs(6))
}

/// `text` in quotes, escaped and cut so that it is safe and short in a message.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return format!("{text:?}");
    }
    let cut: String = text.chars().take(SHOWN).collect();
    format!("{cut:?}…")
}

/// Checks what names a user, as for an event.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_user_id(text: &str) -> Result<(), Violation> {
    let mut violations = Vec::new();
    check_name(EventField::UserId, text, &mut violations);
    violations.pop().map_or(Ok(()), Err)
}

fn keep<T>(result: Result<T, Violation>, violations: &mut Vec<Violation>) -> Option<T> {
    result.map_err(|violation| violations.push(violation)).ok()
}

fn violation(code: ViolationCode, field: EventField, message: String) -> Violation {
    Violation {
        code,
        field,
        path: Vec::new(),
        message,
    }
}

fn parse_event_id(text: Option<&str>) -> Result<Uuid, Violation> {
    let Some(text) = text else {
        return Ok(Uuid::now_v7());
    };
    Uuid::try_parse(text).map_err(|_| {
        let message = format!(
            "{} is not a UUID, such as 0190a5f0-3c1b-7d52-8a1e-6f1c2b3d4e5f",
            quoted(text)
        );
        violation(ViolationCode::Invalid, EventField::EventId, message)
    })
}

fn check_name(field: EventField, text: &str, violations: &mut Vec<Violation>) {
    let message = if text.is_empty() {
        "must not be empty".to_owned()
    } else if text.len() > MAX_NAME_BYTES {
        format!(
            "is {} bytes long; at most {MAX_NAME_BYTES} are allowed",
            text.len()
        )
    } else if let Some(position) = text.chars().position(char::is_control) {
        format!(
            "has a control character at position {}; none is allowed",
            position + 1
        )
    } else {
        return;
    };
    violations.push(violation(ViolationCode::Invalid, field, message));
}

fn parse_occurred_at(
    text: &str,
    now: DateTime<Utc>,
    max_ahead: TimeDelta,
) -> Result<DateTime<Utc>, Violation> {
    let field = EventField::OccurredAt;
    let instant = parse_instant(text).map_err(|message| violation(ViolationCode::Invalid, field, message))?;
    if instant < DateTime::UNIX_EPOCH {
        let message = format!(
            "{} lies before 1970-01-01T00:00:00Z, the earliest time allowed",
            quoted(text)
        );
        return Err(violation(ViolationCode::TooOld, field, message));
    }
    if instant > now + max_ahead {
        let message = format!(
            "{} lies more than {} minutes ahead of the receiving clock, which says {}",
            quoted(text),
            max_ahead.num_minutes(),
            now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        );
        return Err(violation(ViolationCode::FutureTimestamp, field, message));
    }
    Ok(instant)
}

/// The text that is stored.
fn parse_properties(value: Option<Value>) -> Result<String, Violation> {
    let field = EventField::Properties;
    let map = match value {
        None | Some(Value::Null) => return Ok("{}".to_owned()),
        Some(Value::Object(map)) => map,
        Some(other) => {
            let message = format!("must be a JSON object, not {}", kind_of(&other));
            return Err(violation(ViolationCode::Invalid, field, message));
        }
    };
    check_members(&map, 1).map_err(|fault| Violation {
        code: fault.code,
        field,
        path: fault.path.into_iter().rev().collect(),
        message: fault.message,
    })?;
    let text = serde_json::to_string(&json::canonical_map(map)).map_err(|error| {
        let message = format!("cannot be written as JSON: {error}");
        violation(ViolationCode::Invalid, field, message)
    })?;
    let bytes = text.len();
    if bytes > MAX_PROPERTIES_BYTES {
        let message = format!("are {bytes} bytes of JSON; at most {MAX_PROPERTIES_BYTES} are allowed");
        return Err(violation(ViolationCode::TooLarge, field, message));
    }
    Ok(text)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// What is wrong inside of properties.
struct Fault {
    code: ViolationCode,
    message: String,
    /// Where it is, innermost first.
    path: Vec<String>,
}

impl Fault {
    fn new(code: ViolationCode, message: String) -> Self {
        let path = Vec::new();
        Self { code, message, path }
    }

    fn below(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }
}

/// Checks the members of an object at this depth, the outermost one being at 1.
fn check_members(map: &Map<String, Value>, depth: usize) -> Result<(), Fault> {
    for (key, value) in map {
        let checked = if key.contains('\0') {
            let message = "has a NUL character in a key, which PostgreSQL cannot store";
            Err(Fault::new(ViolationCode::Invalid, message.to_owned()))
        } else {
            check_value(value, depth)
        };
        checked.map_err(|fault| fault.below(key.clone()))?;
    }
    Ok(())
}

/// Checks a value inside of an object or array at this depth.
fn check_value(value: &Value, depth: usize) -> Result<(), Fault> {
    match value {
        Value::String(text) if text.contains('\0') => {
            let message = "has a NUL character, which PostgreSQL cannot store";
            Err(Fault::new(ViolationCode::Invalid, message.to_owned()))
        }
        Value::Object(_) | Value::Array(_) if depth >= MAX_PROPERTY_DEPTH => {
            let message = format!("nest deeper than {MAX_PROPERTY_DEPTH} levels");
            Err(Fault::new(ViolationCode::TooDeep, message))
        }
        Value::Object(map) => check_members(map, depth + 1),
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                check_value(item, depth + 1).map_err(|fault| fault.below(position.to_string()))?;
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}
