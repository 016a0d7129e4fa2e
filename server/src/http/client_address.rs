//! From which address a request comes, and whether it has sent too many. Every request carries its [`ClientAddress`].
//!
//! The address is the connection's, unless the operator says how many proxies stand in front: then it is the one that the
//! outermost of these wrote into `X-Forwarded-For`. What stands further left in that header anybody may have written.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};

use super::error::HttpError;
use crate::error_code::Code;
use crate::rate::{RateLimits, TooOften};

/// Whose requests are too many.
pub(super) const FROM_YOUR_ADDRESS: &str = "from your address";
/// The same.
pub(super) const WITH_THIS_KEY: &str = "with this API key";
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// What limits requests by address.
#[derive(Clone)]
pub(super) struct AddressLimit {
    pub(super) rates: Arc<RateLimits>,
    pub(super) trusted_proxies: usize,
}

/// The address that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl AddressLimit {
    /// Refuses requests from an address that has sent too many, and notes the address with the others. Health checks are never
    /// refused.
    ///
    /// # Errors
    /// 429 with the time to wait.
    pub(super) fn check(&self, request: &mut Request) -> Result<(), HttpError> {
        let is_health = matches!(request.uri().path(), "/healthz" | "/livez");
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        if let Some(ConnectInfo(peer)) = peer
            && !is_health
        {
            let address = client_address(peer.ip(), request.headers(), self.trusted_proxies);
            let taken = self.rates.take_address(address);
            taken.map_err(|too_often| too_many(FROM_YOUR_ADDRESS, too_often))?;
            request.extensions_mut().insert(ClientAddress(address));
        }
        Ok(())
    }
}

/// The refusal of a request that is one too many.
pub(super) fn too_many(whose: &str, too_often: TooOften) -> HttpError {
    let message = too_often.message(whose);
    HttpError::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message)
        .with_header(RETRY_AFTER, HeaderValue::from(too_often.wait_seconds()))
}

/// The address of the client behind `trusted_proxies` proxies; the nearest known if the header says less.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted_proxies: usize) -> IpAddr {
    if trusted_proxies == 0 {
        return peer;
    }
    let values = headers.get_all(X_FORWARDED_FOR).iter();
    let hops: Vec<&str> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let known = hops
        .iter()
        .rev()
        .take(trusted_proxies)
        .map_while(|hop| parse(hop));
    known.last().unwrap_or(peer)
}

/// An address as proxies write it: some with a port, some IPv6 in brackets.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .ok()
        .or_else(|| hop.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::http::{HeaderMap, HeaderValue};

    use super::client_address;

    fn address(forwarded: &[&'static str], trusted_proxies: usize) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        let peer: IpAddr = "192.0.2.1".parse().expect("an address");
        client_address(peer, &headers, trusted_proxies).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_counts() {
        let made_up = &["6.6.6.6, 203.0.113.5"][..];
        assert_eq!(address(made_up, 0), "192.0.2.1");
        assert_eq!(address(made_up, 1), "203.0.113.5");
        assert_eq!(
            address(&["6.6.6.6", "203.0.113.5, 198.51.100.2"], 2),
            "203.0.113.5"
        );
        assert_eq!(address(&[], 1), "192.0.2.1");
        assert_eq!(
            address(&["203.0.113.5"], 2),
            "203.0.113.5",
            "a proxy was left out"
        );
        assert_eq!(address(&["nonsense"], 1), "192.0.2.1");
        assert_eq!(address(&["203.0.113.5, nonsense"], 2), "192.0.2.1");
        assert_eq!(address(&["[2001:db8::1]:4711"], 1), "2001:db8::1");
        assert_eq!(address(&["203.0.113.5:4711"], 1), "203.0.113.5");
        assert_eq!(address(&["[2001:db8::1]"], 1), "2001:db8::1");
    }
}
