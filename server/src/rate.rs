//! How many requests one address and one key may send: token buckets, in bounded memory.
//!
//! A bucket holds as many requests as may come at once and fills up steadily. A full one is as good as none, so it is
//! forgotten when room is needed; strangers beyond what the table holds share one bucket, so a flood from many addresses
//! neither grows the table nor passes unlimited.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::auth::Holder;
use crate::limits::MAX_RATE_BUCKETS;

/// How many requests may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// How many requests one client may send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateOptions {
    /// From one address that is not this machine's own; from however many if there is none.
    pub per_address: Option<Rate>,
    /// With one key of the database, from all addresses together; however many if there is none.
    pub per_key: Option<Rate>,
}

/// A request is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooOften {
    /// How many may come.
    pub(crate) rate: Rate,
    /// How long to wait.
    pub(crate) wait: Duration,
}

impl TooOften {
    /// How long to wait, in whole seconds.
    pub(crate) fn wait_seconds(&self) -> u64 {
        self.wait.as_secs_f64().ceil().max(1.0) as u64
    }

    /// A sentence for whoever sent it, `whose` it is.
    pub(crate) fn message(&self, whose: &str) -> String {
        let Rate { per_second, burst } = self.rate;
        format!(
            "too many requests {whose}: {per_second} a second and {burst} at once are allowed; try again after {} s",
            self.wait_seconds()
        )
    }
}

/// Counts requests against the rates.
#[derive(Debug)]
pub(crate) struct RateLimits {
    addresses: Option<Buckets<IpAddr>>,
    keys: Option<Buckets<Holder>>,
}

impl RateLimits {
    pub(crate) fn new(options: RateOptions) -> Self {
        Self {
            addresses: options.per_address.map(Buckets::new),
            keys: options.per_key.map(Buckets::new),
        }
    }

    /// One more request from this address.
    ///
    /// # Errors
    /// [`TooOften`], if it is one too many.
    pub(crate) fn take_address(&self, address: IpAddr) -> Result<(), TooOften> {
        match &self.addresses {
            // Whoever is on this machine needs no network to do harm.
            Some(buckets) if !address.is_loopback() => buckets.take(network(address), Instant::now()),
            _ => Ok(()),
        }
    }

    /// One more request with this key. The operator's own key is not limited.
    ///
    /// # Errors
    /// [`TooOften`], if it is one too many.
    pub(crate) fn take_key(&self, holder: Holder) -> Result<(), TooOften> {
        match (&self.keys, holder) {
            (Some(buckets), Holder::Key(_)) => buckets.take(holder, Instant::now()),
            _ => Ok(()),
        }
    }
}

/// Whose address it is: one customer has a whole /64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    most: usize,
    table: Mutex<Table<K>>,
}

#[derive(Debug)]
struct Table<K> {
    buckets: HashMap<K, Bucket>,
    /// For all whom the table has no room for.
    others: Bucket,
    swept_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        let others = Bucket::full(rate, Instant::now());
        Self {
            rate,
            most: MAX_RATE_BUCKETS,
            table: Mutex::new(Table {
                buckets: HashMap::new(),
                others,
                swept_at: None,
            }),
        }
    }

    fn take(&self, key: K, now: Instant) -> Result<(), TooOften> {
        let rate = self.rate;
        self.wait(key, now).map_err(|wait| TooOften { rate, wait })
    }

    /// Takes one, or says how long to wait.
    fn wait(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.buckets.len() >= self.most && !table.buckets.contains_key(&key) {
            table.sweep(self.rate, now);
            if table.buckets.len() >= self.most {
                return table.others.take(self.rate, now);
            }
        }
        let bucket = table.buckets.entry(key);
        bucket
            .or_insert_with(|| Bucket::full(self.rate, now))
            .take(self.rate, now)
    }
}

impl<K> Table<K> {
    /// Forgets full buckets; as that looks at all, it is done once a second at most.
    fn sweep(&mut self, rate: Rate, now: Instant) {
        const EVERY: Duration = Duration::from_secs(1);
        if self
            .swept_at
            .is_some_and(|at| now.saturating_duration_since(at) < EVERY)
        {
            return;
        }
        self.swept_at = Some(now);
        self.buckets
            .retain(|_, bucket| bucket.tokens_at(rate, now) < f64::from(rate.burst));
    }
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self {
            tokens: f64::from(rate.burst),
            at: now,
        }
    }

    fn tokens_at(&self, rate: Rate, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + elapsed * f64::from(rate.per_second)).min(f64::from(rate.burst))
    }

    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let tokens = self.tokens_at(rate, now);
        self.at = now.max(self.at);
        if tokens >= 1.0 {
            self.tokens = tokens - 1.0;
            return Ok(());
        }
        self.tokens = tokens;
        Err(Duration::from_secs_f64(
            (1.0 - tokens) / f64::from(rate.per_second),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    use super::{Buckets, Rate, RateLimits, RateOptions, network};
    use crate::auth::Holder;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn a_burst_passes_then_the_rate() {
        let buckets = Buckets::new(RATE);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.take("a", start), Ok(()));
        }
        let refused = buckets.take("a", start).expect_err("the burst is used up");
        let wait = refused.wait;
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(
            refused.message("from you"),
            "too many requests from you: 10 a second and 3 at once are allowed; try again after 1 s"
        );
        assert_eq!(buckets.take("b", start), Ok(()), "others are not held up");
        assert_eq!(buckets.take("a", start + wait), Ok(()));
        assert!(buckets.take("a", start + wait).is_err());
        let later = start + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", later), Ok(()));
        }
        assert!(
            buckets.take("a", later).is_err(),
            "no more than a burst is saved up"
        );
    }

    #[test]
    fn a_flood_of_strangers_neither_grows_the_table_nor_passes() {
        let mut buckets = Buckets::new(RATE);
        buckets.most = 100;
        let start = Instant::now();
        let passed = (0..10_000)
            .filter(|key| buckets.take(*key, start).is_ok())
            .count();
        assert_eq!(passed, 100 + 3, "one each, and those beyond share a burst");
        assert_eq!(buckets.table.lock().expect("not poisoned").buckets.len(), 100);
        let later = start + Duration::from_secs(2);
        assert_eq!(buckets.take(20_000, later), Ok(()), "full buckets make room");
        assert_eq!(buckets.table.lock().expect("not poisoned").buckets.len(), 1);
    }

    #[test]
    fn this_machine_and_the_operator_are_not_limited() {
        let one = Some(Rate {
            per_second: 1,
            burst: 1,
        });
        let limits = RateLimits::new(RateOptions {
            per_address: one,
            per_key: one,
        });
        let local: IpAddr = "127.0.0.1".parse().expect("an address");
        let remote: IpAddr = "192.0.2.7".parse().expect("an address");
        for _ in 0..5 {
            assert!(limits.take_address(local).is_ok());
            assert!(limits.take_key(Holder::Operator).is_ok() && limits.take_key(Holder::Anybody).is_ok());
        }
        assert!(limits.take_address(remote).is_ok() && limits.take_address(remote).is_err());
        assert!(limits.take_key(Holder::Key(1)).is_ok() && limits.take_key(Holder::Key(1)).is_err());
        assert!(limits.take_key(Holder::Key(2)).is_ok());
    }

    #[test]
    fn neighbours_in_ipv6_are_one() {
        let parse = |text: &str| -> IpAddr { text.parse().expect("an address") };
        assert_eq!(
            network(parse("2001:db8:1:2::3")),
            network(parse("2001:db8:1:2:ffff::1"))
        );
        assert_ne!(
            network(parse("2001:db8:1:2::3")),
            network(parse("2001:db8:1:3::3"))
        );
        assert_eq!(network(parse("::ffff:192.0.2.7")), parse("192.0.2.7"));
    }
}
