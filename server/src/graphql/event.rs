//! Events and their users, as answers.

use async_graphql::{ComplexObject, Context, ScalarType, SimpleObject, Value};
use store::{Position, StoredEvent};

use super::error::Result;
use super::rows::{PlainFields, Row};
use super::scalars::{Instant, JsonObject, Uuid};
use super::user::User;
use crate::answer_memory::{AnswerMemory, OBJECT_BYTES};

/// A stored event.
#[derive(SimpleObject)]
#[graphql(complex)]
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
    #[graphql(skip)]
    properties: JsonObject,
    /// Where it stands in every list of events.
    #[graphql(skip)]
    pub(super) position: Position,
}

#[ComplexObject]
impl Event {
    /// Everything else that was sent with it; an empty object if nothing was.
    async fn properties(&self, context: &Context<'_>) -> Result<&JsonObject> {
        if let Some(memory) = context.data_opt::<AnswerMemory>() {
            memory.take(self.properties.weight())?;
        }
        Ok(&self.properties)
    }
}

impl Event {
    /// About what the event takes in memory as it was read: half of what it takes as part of an answer.
    pub(super) fn weight(&self) -> usize {
        OBJECT_BYTES + self.properties.weight() / 2
    }
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
