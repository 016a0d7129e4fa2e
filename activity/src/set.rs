//! Sets of users: Roaring bitmaps of user ordinals.
//!
//! Stored in the portable format (<https://github.com/RoaringBitmap/RoaringFormatSpec>), the empty set as no bytes.
//! Decoding checks everything: a damaged set is an error, never a wrong number or a panic. A stored set says itself where it
//! ends, so several of them may stand one behind the other.

use std::borrow::Borrow;

use roaring::{MultiOps, RoaringBitmap};

/// Up to so many users are added one by one: a union reads every container that it touches, whole.
const FEW_USERS: u64 = 64;

/// A set of user ordinals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserSet(RoaringBitmap);

/// Bytes that are not a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a set of users: {0}")]
pub struct DamagedSet(String);

impl UserSet {
    /// Decodes a stored set.
    ///
    /// # Errors
    /// [`DamagedSet`] if the bytes are not exactly one set.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DamagedSet> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut rest = bytes;
        let set = Self::decode(&mut rest)?;
        if !rest.is_empty() {
            return Err(DamagedSet(format!("{} bytes too many", rest.len())));
        }
        Ok(set)
    }

    /// Adds any number of stored sets that stand one behind the other.
    ///
    /// # Errors
    /// [`DamagedSet`] if the bytes are something else; some of the sets may have been added then.
    pub fn add_stored(&mut self, bytes: &[u8]) -> Result<(), DamagedSet> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.add(&Self::decode(&mut rest)?);
        }
        Ok(())
    }

    /// Decodes the set that `rest` begins with, and takes it from there.
    fn decode(rest: &mut &[u8]) -> Result<Self, DamagedSet> {
        RoaringBitmap::deserialize_from(rest)
            .map(Self)
            .map_err(|error| DamagedSet(error.to_string()))
    }

    /// Encodes the set for storage; equal sets give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut set = self.0.clone();
        set.optimize();
        let mut bytes = Vec::with_capacity(set.serialized_size());
        // Writing into a Vec cannot fail.
        let _ = set.serialize_into(&mut bytes);
        bytes
    }

    /// About how many bytes the set takes in memory.
    pub fn memory_bytes(&self) -> u64 {
        let containers = self.0.statistics();
        let content = containers.n_bytes_array_containers
            + containers.n_bytes_run_containers
            + containers.n_bytes_bitset_containers;
        content + u64::from(containers.n_containers) * 40 + 64
    }

    /// How many users.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `user` is in it.
    pub fn contains(&self, user: u32) -> bool {
        self.0.contains(user)
    }

    /// Adds a user; false if it was there.
    pub fn insert(&mut self, user: u32) -> bool {
        self.0.insert(user)
    }

    /// Removes a user; false if it was not there.
    pub fn remove(&mut self, user: u32) -> bool {
        self.0.remove(user)
    }

    /// Every user, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter()
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        if other.len() > FEW_USERS {
            self.0 |= &other.0;
            return;
        }
        for user in other.iter() {
            self.0.insert(user);
        }
    }

    /// Removes all of `other`.
    pub fn subtract(&mut self, other: &Self) {
        self.0 -= &other.0;
    }

    /// Users in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }

    /// Users in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }

    /// Users here and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// How many users are in both.
    pub fn and_len(&self, other: &Self) -> u64 {
        self.0.intersection_len(&other.0)
    }

    /// How many users are in either.
    pub fn or_len(&self, other: &Self) -> u64 {
        self.0.union_len(&other.0)
    }

    /// Users in any of `sets`.
    pub fn union_of<'a, Set: Borrow<Self> + 'a>(sets: impl IntoIterator<Item = &'a Set>) -> Self {
        Self(sets.into_iter().map(|set| &set.borrow().0).union())
    }
}

impl FromIterator<u32> for UserSet {
    fn from_iter<I: IntoIterator<Item = u32>>(users: I) -> Self {
        Self(users.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::UserSet;

    /// What was decoded can be worked with: users ascend, and there are as many as it says.
    fn check(set: &UserSet) {
        let users: Vec<u32> = set.iter().take(100_000).collect();
        assert!(users.is_sorted_by(|one, next| one < next));
        assert_eq!(set.len().min(100_000), users.len() as u64);
        assert!(users.iter().all(|user| set.contains(*user)));
        assert_eq!(UserSet::from_bytes(&set.to_bytes()).as_ref(), Ok(set));
        assert_eq!(set.and_len(set), set.len());
        assert!(set.minus(set).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_set_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
            if let Ok(set) = UserSet::from_bytes(&bytes) {
                check(&set);
            }
        }

        #[test]
        fn any_damage_leaves_a_set_or_an_error(
            users in vec(0_u32..200_000, 1..300),
            run in 0_u32..70_000,
            damage in vec((any::<u16>(), any::<u8>()), 1..4),
            cut in any::<u16>(),
        ) {
            let all = users.iter().copied().chain(0..run).collect::<UserSet>();
            let mut bytes = all.to_bytes();
            for (position, mask) in damage {
                let position = usize::from(position) % bytes.len();
                bytes[position] ^= mask;
            }
            let kept = usize::from(cut) % bytes.len();
            for bytes in [&bytes[..], &bytes[..kept]] {
                if let Ok(set) = UserSet::from_bytes(bytes) {
                    check(&set);
                }
            }
        }

        #[test]
        fn every_set_survives_storage(users in vec(any::<u32>(), 0..2_000)) {
            let set = users.iter().copied().collect::<UserSet>();
            let read = UserSet::from_bytes(&set.to_bytes());
            prop_assert!(read.is_ok());
            prop_assert_eq!(read.unwrap_or_default(), set);
        }

        #[test]
        fn stored_sets_one_behind_the_other_are_their_union(
            sets in vec((vec(0_u32..300_000, 0..200), 0_u32..5_000), 0..6),
            damage in (any::<u16>(), 1..=u8::MAX),
        ) {
            let (mut bytes, mut all) = (Vec::new(), BTreeSet::new());
            for (users, run) in sets {
                let set = users.iter().copied().chain(0..run).collect::<UserSet>();
                bytes.extend(set.to_bytes());
                all.extend(set.iter());
            }
            let mut union = UserSet::default();
            prop_assert_eq!(union.add_stored(&bytes), Ok(()));
            prop_assert_eq!(union.iter().collect::<BTreeSet<u32>>(), all);
            if !bytes.is_empty() {
                prop_assert!(UserSet::default().add_stored(&bytes[..bytes.len() - 1]).is_err());
                let position = usize::from(damage.0) % bytes.len();
                bytes[position] ^= damage.1;
                let mut union = UserSet::default();
                if union.add_stored(&bytes).is_ok() {
                    check(&union);
                }
            }
        }

        #[test]
        fn adding_is_the_union_however_many_are_added(
            one in vec(0_u32..300_000, 0..300),
            other in vec(0_u32..300_000, 0..150),
        ) {
            let mut set = one.iter().copied().collect::<UserSet>();
            set.add(&other.iter().copied().collect());
            let all: BTreeSet<u32> = one.into_iter().chain(other).collect();
            prop_assert_eq!(set.iter().collect::<BTreeSet<u32>>(), all);
        }
    }

    #[test]
    fn sets_survive_storage() {
        let sets = [
            vec![],
            vec![0],
            vec![1, 5, u32::MAX],
            (0..100_000).collect(),
            (0..100_000).step_by(3).collect(),
        ];
        for users in sets {
            let set: UserSet = users.into_iter().collect();
            assert_eq!(UserSet::from_bytes(&set.to_bytes()), Ok(set));
        }
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let good = (0..5000).step_by(7).collect::<UserSet>().to_bytes();
        assert!(UserSet::from_bytes(&good[..good.len() - 1]).is_err());
        assert!(UserSet::from_bytes(&[good.as_slice(), b"x"].concat()).is_err());
        assert!(UserSet::from_bytes(b"not a set at all").is_err());
        for position in 0..good.len().min(64) {
            let mut bad = good.clone();
            bad[position] ^= 0xff;
            // Some flips give another valid set; none may panic.
            let _ = UserSet::from_bytes(&bad);
        }
    }
}
