//! What resolvers need, carried in the schema's data.

use std::time::Duration;

use async_graphql::Context;
use chrono::{DateTime, TimeDelta, Utc};
use store::{Store, Writer};

use super::error::{ApiError, Result};
use crate::clock::Clock;
use crate::today::Today;

/// What resolvers need.
#[derive(Clone)]
pub(crate) struct Resources {
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) clock: Clock,
    pub(crate) today: Today,
    /// How far an event may lie ahead of the clock.
    pub(crate) max_ahead: TimeDelta,
    /// The largest request body, inflated.
    pub(crate) body_limit_bytes: usize,
    /// How long a request may take.
    pub(crate) request_timeout: Duration,
    /// Whether the server tells as little as it can about itself.
    pub(crate) hardened: bool,
}

impl Resources {
    /// Those of the schema that runs `context`.
    pub(super) fn of<'a>(context: &Context<'a>) -> Result<&'a Self> {
        context
            .data::<Self>()
            .map_err(|_| ApiError::defect("the schema was built without resources"))
    }

    /// The present instant.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
