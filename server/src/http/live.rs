//! Connections that live on: WebSockets and event streams, bounded in number, of all and of one address, and told when the
//! server stops.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::client_address::ClientAddress;
use super::error::HttpError;
use crate::error_code::Code;
use crate::limits::ADDRESS_LIVE_SHARE;
use crate::metrics::{self, Counted, Transport};
use crate::per_address::{Held, PerAddress, TooMany};

/// How many such connections may be open.
#[derive(Clone)]
pub(super) struct LiveConnections {
    permits: Arc<Semaphore>,
    most: usize,
    per_address: PerAddress,
}

/// One of them, for as long as it lives.
pub(super) struct LiveConnection {
    _permit: OwnedSemaphorePermit,
    _held: Option<Held>,
    _counted: Counted,
}

impl LiveConnections {
    pub(super) fn new(bound: usize) -> Self {
        let most = bound.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(most)),
            most,
            per_address: PerAddress::new(Some(most.div_ceil(ADDRESS_LIVE_SHARE))),
        }
    }

    /// One more of a client with this address, if it is known.
    pub(super) fn admit(
        &self,
        transport: Transport,
        address: Option<ClientAddress>,
    ) -> Result<LiveConnection, HttpError> {
        let overloaded = |whose: &str, most: usize| {
            let message =
                format!("{whose} {most} WebSockets and event streams, the most at a time; try again");
            HttpError::unavailable(Code::Overloaded, message)
        };
        let held = address.map(|ClientAddress(address)| self.per_address.take(address));
        let held = held
            .transpose()
            .map_err(|TooMany(most)| overloaded("your address has", most))?;
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| overloaded("the server has", self.most))?;
        Ok(LiveConnection {
            _permit: permit,
            _held: held,
            _counted: metrics::live_connection(transport),
        })
    }
}
