//! What is wrong with an event, as clients are told.

use async_graphql::{Enum, SimpleObject, Value};
use store::new_event::{EventField, Violation, ViolationCode};

use super::rows::Row;

/// One thing that is wrong with an event.
#[derive(SimpleObject)]
pub(super) struct UserError {
    /// What kind of rule it breaks.
    code: UserErrorCode,
    /// What is wrong and what would be right.
    message: String,
    /// Where it is: the path from the argument down, list positions counted from 0.
    field: Option<Vec<String>>,
}

/// What kind of rule an event breaks.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserErrorCode {
    /// A value is not of the right form.
    Invalid,
    /// `occurredAt` lies more than an hour ahead of the server's clock.
    FutureTimestamp,
    /// `occurredAt` lies before 1970, or so long ago that the events of its day have expired.
    TooOld,
    /// `properties` are larger than 64 KiB.
    TooLarge,
    /// `properties` nest deeper than 16 levels.
    TooDeep,
    /// The batch has too many events.
    BatchTooLarge,
    /// The same eventId was stored earlier with different content; the first write stands.
    EventIdConflict,
    /// The user was erased, and later events of this user are refused.
    UserErased,
}

/// What is wrong with the event at `path`.
pub(super) fn user_errors(violations: Vec<Violation>, path: &[&str]) -> Vec<UserError> {
    violations
        .into_iter()
        .map(|violation| UserError::new(violation, path))
        .collect()
}

impl UserError {
    fn new(violation: Violation, path: &[&str]) -> Self {
        let name = field_name(violation.field);
        let mut field: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        field.push(name.to_owned());
        field.extend(violation.path);
        let code = violation.code.into();
        Self {
            code,
            message: format!("{name} {}", violation.message),
            field: Some(field),
        }
    }

    /// The event at `path` has the id of another one.
    pub(super) fn conflict(path: &[&str]) -> Self {
        let mut field: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        field.push(field_name(EventField::EventId).to_owned());
        let message =
            "an event with this eventId was stored earlier with different content; the first write stands";
        Self {
            code: UserErrorCode::EventIdConflict,
            message: message.to_owned(),
            field: Some(field),
        }
    }
}

impl Row for UserError {
    fn value(&self, name: &str) -> Option<Value> {
        let steps =
            |steps: &Vec<String>| Value::List(steps.iter().map(|step| step.as_str().into()).collect());
        Some(match name {
            "code" => async_graphql::resolver_utils::enum_value(self.code),
            "message" => self.message.as_str().into(),
            "field" => self.field.as_ref().map_or(Value::Null, steps),
            _ => return None,
        })
    }
}

fn field_name(field: EventField) -> &'static str {
    match field {
        EventField::EventId => "eventId",
        EventField::UserId => "userId",
        EventField::EventType => "eventType",
        EventField::OccurredAt => "occurredAt",
        EventField::Properties => "properties",
    }
}

impl From<ViolationCode> for UserErrorCode {
    fn from(code: ViolationCode) -> Self {
        match code {
            ViolationCode::Invalid => Self::Invalid,
            ViolationCode::FutureTimestamp => Self::FutureTimestamp,
            ViolationCode::TooOld => Self::TooOld,
            ViolationCode::TooLarge => Self::TooLarge,
            ViolationCode::TooDeep => Self::TooDeep,
            ViolationCode::UserErased => Self::UserErased,
        }
    }
}
