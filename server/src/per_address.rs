//! How many of something one address may have at a time: connections, sockets.
//!
//! This machine's own addresses are not counted: whoever is on it needs no network to do harm, and a proxy there speaks for
//! everybody. The table holds those who have something, and no others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::rate::network;

/// What each address has. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct PerAddress {
    /// None where addresses are not told apart.
    most: Option<usize>,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of what an address has, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Held {
    of: Option<(PerAddress, IpAddr)>,
}

/// An address has as many as it may, which is this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) usize);

impl PerAddress {
    /// At most so many each, or however many.
    pub(crate) fn new(most: Option<usize>) -> Self {
        Self {
            most,
            counts: Arc::default(),
        }
    }

    /// One more for `address`.
    ///
    /// # Errors
    /// [`TooMany`] if it has as many as it may.
    pub(crate) fn take(&self, address: IpAddr) -> Result<Held, TooMany> {
        let Some(most) = self.most.filter(|_| !address.to_canonical().is_loopback()) else {
            return Ok(Held { of: None });
        };
        let address = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&address).copied().unwrap_or(0);
        if count >= most {
            return Err(TooMany(most));
        }
        counts.insert(address, count + 1);
        Ok(Held {
            of: Some((self.clone(), address)),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((all, address)) = &self.of else {
            return;
        };
        let mut counts = all.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{PerAddress, TooMany};

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_and_gives_them_back() {
        let all = PerAddress::new(Some(2));
        let stranger = address("192.0.2.7");
        let first = all.take(stranger).expect("one");
        let second = all.take(address("::ffff:192.0.2.7")).expect("two");
        assert_eq!(all.take(stranger).err(), Some(TooMany(2)));
        let other = all.take(address("192.0.2.8")).expect("others are not held up");
        drop(first);
        let third = all.take(stranger).expect("one was given back");
        assert!(all.take(stranger).is_err());
        drop((second, third, other));
        assert!(
            all.counts.lock().expect("not poisoned").is_empty(),
            "nobody is remembered"
        );
    }

    #[test]
    fn neighbours_in_ipv6_share_and_this_machine_has_no_bound() {
        let all = PerAddress::new(Some(1));
        let _first = all.take(address("2001:db8:1:2::3")).expect("one");
        assert!(all.take(address("2001:db8:1:2:ffff::1")).is_err());
        for own in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let kept = [all.take(address(own)), all.take(address(own))];
            assert!(kept.iter().all(Result::is_ok), "{own}");
        }
        let unbounded = PerAddress::new(None);
        let kept = [
            unbounded.take(address("192.0.2.7")),
            unbounded.take(address("192.0.2.7")),
        ];
        assert!(kept.iter().all(Result::is_ok));
    }
}
