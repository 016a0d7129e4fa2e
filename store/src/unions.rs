//! Who was active in a facet over a range of days: the union of each day's set.
//!
//! The log only adds users, so the union of the stored rows is kept as long as no fold changes one of them, and what the log
//! holds is counted beside it. Most folds change today's row and no other. So the union of the days that no recent fold
//! has written is kept as well, and the next union is made of that and the few others.

use std::{collections::BTreeMap, sync::Arc};

use activity::{calendar::DayRange, set::UserSet};
use sea_orm::ConnectionTrait;

use crate::{
    Store, StoreError,
    cache::{SetKey, Version},
    frame::{FacetFrame, Frame},
    sets::{Keeping, LoadedSets, WantedSets},
    view::no_days,
};

/// A day that one of so many last folds has written may be written by the next one too.
const RECENT_FOLDS: i64 = 16;

/// By position of the facet: its users on the stored days of a range.
pub(crate) type Unions = BTreeMap<usize, Arc<UserSet>>;

/// What is known of a union.
struct Known {
    /// The facet's position in the frame.
    position: usize,
    users: Arc<UserSet>,
    /// The days that it lacks.
    missing: DayRange,
}

impl Store {
    /// The unions of these facets, if nothing has to be read for them.
    pub(crate) fn cached_unions(
        &self,
        frame: &Frame,
        positions: &[usize],
        range: DayRange,
    ) -> Option<Unions> {
        let known = self.known_unions(frame, positions, range);
        let loaded = self.cached_sets(&missing_sets(frame, &known))?;
        Some(self.complete_unions(frame, known, range, &loaded))
    }

    /// The unions of these facets, with sets from `snapshot`, which must be the one that the frame was read from.
    pub(crate) async fn load_unions(
        &self,
        snapshot: &impl ConnectionTrait,
        frame: &Frame,
        positions: &[usize],
        range: DayRange,
    ) -> Result<Unions, StoreError> {
        let known = self.known_unions(frame, positions, range);
        let loaded = self
            .load_sets(snapshot, &missing_sets(frame, &known), Keeping::InMemory)
            .await?;
        Ok(self.complete_unions(frame, known, range, &loaded))
    }

    fn known_unions(&self, frame: &Frame, positions: &[usize], range: DayRange) -> Vec<Known> {
        let known = |position: &usize| {
            let facet = &frame.facets[*position];
            let (settled, recent) = settled_and_recent(frame, facet, range);
            let kept = [(range, no_days()), (settled, recent)];
            let known = kept
                .into_iter()
                .find_map(|(days, missing)| Some((self.kept_union(facet, days)?, missing)));
            let (users, missing) = known.unwrap_or_else(|| (Arc::default(), range));
            Known {
                position: *position,
                users,
                missing,
            }
        };
        positions.iter().map(known).collect()
    }

    fn kept_union(&self, facet: &FacetFrame, days: DayRange) -> Option<Arc<UserSet>> {
        let (key, version) = union_key(facet, days);
        Some(self.inner.cache.get(key, version)?.active)
    }

    fn complete_unions(
        &self,
        frame: &Frame,
        known: Vec<Known>,
        range: DayRange,
        loaded: &LoadedSets,
    ) -> Unions {
        let complete = |known: Known| {
            let facet = &frame.facets[known.position];
            let union = |users: Arc<UserSet>, days: DayRange| {
                let sets = facet.stored(days).filter_map(|(day, _)| {
                    let sets = loaded.days.get(&(facet.facet, day))?;
                    Some(&sets.active)
                });
                Arc::new(UserSet::union_of([&users].into_iter().chain(sets)))
            };
            let keep = |users: &Arc<UserSet>, days: DayRange| {
                let (key, version) = union_key(facet, days);
                let cache = &self.inner.cache;
                cache.insert(key, version, Arc::clone(users), Arc::clone(users));
            };
            let mut users = known.users;
            if known.missing.length() > 0 {
                let (settled, recent) = settled_and_recent(frame, facet, range);
                if known.missing == range {
                    users = union(users, settled);
                    keep(&users, settled);
                }
                if recent.length() > 0 {
                    users = union(users, recent);
                    keep(&users, range);
                }
            }
            (known.position, users)
        };
        known.into_iter().map(complete).collect()
    }
}

/// The days of `range` parted where the first one is that a recent fold has written.
fn settled_and_recent(frame: &Frame, facet: &FacetFrame, range: DayRange) -> (DayRange, DayRange) {
    let since = frame.basis.fold - RECENT_FOLDS;
    let first = facet.stored(range).find(|(_, version)| *version > since);
    let from = first.map_or(range.to.next(), |(day, _)| day);
    let settled = DayRange {
        from: range.from,
        to: from.plus(-1),
    };
    let recent = DayRange { from, to: range.to };
    (settled, recent)
}

/// Where the union of a facet's sets on some days is kept, and its version.
fn union_key(facet: &FacetFrame, days: DayRange) -> (SetKey, Version) {
    let versions = facet.stored(days).map(|(_, version)| version);
    let version = versions.fold((0, 0), |(highest, rows), version| {
        (version.max(highest), rows + 1)
    });
    let key = SetKey::Union {
        facet: facet.facet,
        from: days.from,
        to: days.to,
    };
    (key, version)
}

fn missing_sets(frame: &Frame, known: &[Known]) -> WantedSets {
    let mut wanted = WantedSets::default();
    for Known {
        position, missing, ..
    } in known
    {
        let facet = &frame.facets[*position];
        let days = facet
            .stored(*missing)
            .map(|(day, version)| ((facet.facet, day), version));
        wanted.days.extend(days);
    }
    wanted
}
