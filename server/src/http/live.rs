//! Connections that live on: WebSockets and event streams, bounded in number and told when the server stops.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::HttpError;
use crate::error_code::Code;
use crate::metrics::{self, Counted, Transport};

/// How many such connections may be open.
#[derive(Clone)]
pub(super) struct LiveConnections(Arc<Semaphore>);

/// One of them, for as long as it lives.
pub(super) struct LiveConnection {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

impl LiveConnections {
    pub(super) fn new(bound: usize) -> Self {
        Self(Arc::new(Semaphore::new(bound.min(Semaphore::MAX_PERMITS))))
    }

    pub(super) fn admit(&self, transport: Transport) -> Result<LiveConnection, HttpError> {
        let permit = self.0.clone().try_acquire_owned().map_err(|_| {
            let message = "the server has as many WebSockets and event streams as it takes; try again";
            HttpError::unavailable(Code::Overloaded, message)
        })?;
        Ok(LiveConnection {
            _permit: permit,
            _counted: metrics::live_connection(transport),
        })
    }
}
