//! Random numbers that are the same on every machine and in every version.
//!
//! The algorithm (SplitMix64) is written out here, because the generator promises the same bytes for the same arguments
//! and libraries may change theirs. Only integers and the operations that IEEE 754 defines exactly (`+ - * /` and
//! square roots) are used; logarithms and powers differ between platforms.

/// The increment of SplitMix64: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The stream number `stream` of `seed`; different streams have nothing to do with one another.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self {
            state: mix(mix(seed.wrapping_add(STEP)) ^ mix(stream.wrapping_mul(STEP))),
        }
    }

    /// The stream of item `index` of the family that starts at `base`. Items never share a stream.
    pub(crate) fn of_item(base: u64, index: u64) -> Self {
        Self {
            state: mix(base.wrapping_add(index.wrapping_mul(STEP))),
        }
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A number from 0 to `bound - 1`; 0 where `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number above 0 and at most 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        ((self.next() >> 11) + 1) as f64 * UNIT
    }

    /// Whether something happens that has this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.fraction() <= probability
    }

    /// One of `items`.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// At least 1, mostly little more, now and then very much: a Pareto distribution whose variance is infinite
    /// (exponent 4/3), cut at `limit`.
    pub(crate) fn heavy_tailed(&mut self, limit: f64) -> f64 {
        let root = self.fraction().sqrt();
        (1.0 / (root * root.sqrt())).min(limit)
    }
}

/// A bijection of the 64-bit numbers that leaves no visible pattern.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Chooses exactly `wanted` of `total` items that come by one at a time, each as likely as any other.
#[derive(Debug)]
pub(crate) struct Selection {
    random: Random,
    wanted: u64,
    remaining: u64,
}

impl Selection {
    /// Prepares to choose `wanted` of `total`; all of them where more are wanted than there are.
    pub(crate) fn new(random: Random, wanted: u64, total: u64) -> Self {
        Self {
            random,
            wanted: wanted.min(total),
            remaining: total,
        }
    }

    /// Whether the next item is chosen.
    pub(crate) fn takes_next(&mut self) -> bool {
        if self.remaining == 0 {
            return false;
        }
        let taken = self.random.below(self.remaining) < self.wanted;
        self.remaining -= 1;
        self.wanted -= u64::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, Selection};

    #[test]
    fn numbers_are_the_same_for_ever() {
        let mut random = Random::new(42, 0);
        let numbers = [
            random.next(),
            random.next(),
            random.below(1000),
            random.below(1000),
        ];
        assert_eq!(
            numbers,
            [14_241_928_491_073_317_330, 7_040_222_520_599_051_659, 705, 601]
        );
    }

    #[test]
    fn selection_takes_exactly_what_is_wanted() {
        for (wanted, total) in [(0, 10), (3, 10), (10, 10), (20, 10), (1, 1), (0, 0)] {
            let mut selection = Selection::new(Random::new(1, wanted), wanted, total);
            let taken = (0..total).filter(|_| selection.takes_next()).count() as u64;
            assert_eq!(taken, wanted.min(total), "{wanted} of {total}");
        }
    }

    #[test]
    fn fractions_stay_above_zero_and_bounds_are_kept() {
        let mut random = Random::new(7, 7);
        for _ in 0..10_000 {
            let fraction = random.fraction();
            assert!(fraction > 0.0 && fraction <= 1.0);
            assert!(random.below(3) < 3);
            assert!((1.0..=100.0).contains(&random.heavy_tailed(100.0)));
        }
    }
}
