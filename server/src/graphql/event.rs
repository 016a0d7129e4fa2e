//! Events and their users, as answers.

use async_graphql::{ScalarType, SimpleObject, Value};
use store::{Position, StoredEvent};

use super::rows::{PlainFields, Row};
use super::scalars::{Instant, JsonObject, Uuid};
use super::user::User;

/// A stored event.
#[derive(SimpleObject)]
pub(super) struct Event {
    /// The event's identity, for ever.
    event_id: Uuid,
    /// What happened.
    event_type: String,
    /// Whose event it is.
    pub(super) user: User,
    /// When it happened; every number goes by this time.
    occurred_at: Instant,
    /// When the server got it.
    received_at: Instant,
    /// Everything else that was sent with it; an empty object if nothing was.
    properties: JsonObject,
    /// Where it stands in every list of events.
    #[graphql(skip)]
    pub(super) position: Position,
}

impl Row for Event {
    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "eventId" => self.event_id.to_value(),
            "eventType" => self.event_type.as_str().into(),
            "occurredAt" => self.occurred_at.to_value(),
            "receivedAt" => self.received_at.to_value(),
            "properties" => self.properties.to_value(),
            _ => return None,
        })
    }

    fn object(&self, name: &str, fields: &PlainFields<'_>) -> Option<Value> {
        match name {
            "user" => fields.of_row(&self.user),
            _ => None,
        }
    }
}

impl From<StoredEvent> for Event {
    fn from(event: StoredEvent) -> Self {
        Self {
            position: Position::from(&event),
            event_id: Uuid::new(event.event_id),
            event_type: event.event_type,
            user: User::new(event.user_id),
            occurred_at: Instant::new(event.occurred_at),
            received_at: Instant::new(event.received_at),
            properties: JsonObject::new(event.properties),
        }
    }
}
