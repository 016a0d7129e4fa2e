//! Events and their users, as answers.

use async_graphql::SimpleObject;
use store::StoredEvent;

use super::scalars::{Instant, JsonObject, Uuid};

/// A stored event.
#[derive(SimpleObject)]
pub(super) struct Event {
    /// The event's identity, for ever.
    event_id: Uuid,
    /// What happened.
    event_type: String,
    /// Whose event it is.
    user: User,
    /// When it happened; every number goes by this time.
    occurred_at: Instant,
    /// When the server got it.
    received_at: Instant,
    /// Everything else that was sent with it; an empty object if nothing was.
    properties: JsonObject,
}

/// Somebody with at least one event.
#[derive(SimpleObject)]
pub(super) struct User {
    /// The id under which the user's events were sent, byte for byte.
    user_id: String,
}

impl From<StoredEvent> for Event {
    fn from(event: StoredEvent) -> Self {
        Self {
            event_id: Uuid::new(event.event_id),
            event_type: event.event_type,
            user: User {
                user_id: event.user_id,
            },
            occurred_at: Instant::new(event.occurred_at),
            received_at: Instant::new(event.received_at),
            properties: JsonObject::new(event.properties),
        }
    }
}
