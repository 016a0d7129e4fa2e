//! The fold: what ingest appended, taken into the sets.
//!
//! One pure function, [`fold`], used by the folder (which writes the result back) and by every read (which applies it
//! in memory to what the log still holds). So an answer is the same before and after folding. Order does not matter:
//! folding any parts of a stream in any order gives what [`crate::recount`] gives for the whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{active_users::DayCounts, calendar::Day, set::UserSet};

/// What is kept for one facet on one day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DayActivity {
    /// How many events.
    pub events: u64,
    /// The users with an event on this day.
    pub active: Arc<UserSet>,
    /// The users whose first event ever in this facet fell on this day.
    pub joined: Arc<UserSet>,
}

/// What is kept for one facet, or the part of it that was loaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FacetActivity {
    /// All users ever in this facet.
    pub seen: Arc<UserSet>,
    /// The days, each with at least one event.
    pub days: BTreeMap<Day, DayActivity>,
}

/// New events of one facet on one day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DayDelta {
    /// How many.
    pub events: u64,
    /// Whose.
    pub users: UserSet,
}

impl DayDelta {
    /// Adds other new events of the same facet and day: what one transaction logged to what others did.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.users.add(&other.users);
    }
}

/// New events of one facet.
pub type FacetDelta = BTreeMap<Day, DayDelta>;

/// Takes `delta` into `facet` and returns the days that changed.
///
/// `facet` must hold `seen`, and of the stored days every one from the earliest day of `delta` on: a late event may
/// make a user's first day earlier, and then the user moves from a later day's `joined` to this day's.
pub fn fold(facet: &mut FacetActivity, delta: &FacetDelta) -> BTreeSet<Day> {
    let (changed, newcomers) = fold_days(facet, delta);
    if !newcomers.is_empty() {
        Arc::make_mut(&mut facet.seen).add(&newcomers);
    }
    changed
}

/// [`fold`] without adding to `seen`, the largest set of all, which is copied where somebody else has it too: returns the days
/// that change, and who is to be added.
pub fn fold_days(facet: &mut FacetActivity, delta: &FacetDelta) -> (BTreeSet<Day>, UserSet) {
    let mut changed = BTreeSet::new();
    let mut newcomers = UserSet::default();
    for (day, new) in delta {
        let row = facet.days.entry(*day).or_default();
        row.events += new.events;
        Arc::make_mut(&mut row.active).add(&new.users);
        changed.insert(*day);

        let mut fresh = new.users.minus(&facet.seen);
        fresh.subtract(&newcomers);
        let mut known = new.users.minus(&fresh);
        known.subtract(&row.joined);
        if !fresh.is_empty() {
            newcomers.add(&fresh);
            Arc::make_mut(&mut row.joined).add(&fresh);
        }
        let earlier = take_from_later_days(facet, *day, known, &mut changed);
        if let Some(row) = facet.days.get_mut(day).filter(|_| !earlier.is_empty()) {
            Arc::make_mut(&mut row.joined).add(&earlier);
        }
    }
    (changed, newcomers)
}

/// The counts that [`fold_days`] would leave, where it takes no more than counting: `delta` is of one day, and `facet` has no later
/// one that users could move from. `None` elsewhere. `facet` must hold what [`fold`] needs.
pub fn fold_counts(facet: &FacetActivity, delta: &FacetDelta) -> Option<(Day, DayCounts)> {
    let (day, new) = delta.iter().next().filter(|_| delta.len() == 1)?;
    if facet.days.range(day.next()..).next().is_some() {
        return None;
    }
    let nothing = DayActivity::default();
    let row = facet.days.get(day).unwrap_or(&nothing);
    let fresh = new.users.len() - new.users.and_len(&facet.seen);
    let counts = DayCounts {
        events: row.events + new.events,
        users: row.active.or_len(&new.users),
        new_users: row.joined.len() + fresh,
    };
    Some((*day, counts))
}

/// Removes from the `joined` of days after `day` those of `known` that are there, and returns them.
fn take_from_later_days(
    facet: &mut FacetActivity,
    day: Day,
    mut known: UserSet,
    changed: &mut BTreeSet<Day>,
) -> UserSet {
    let mut taken = UserSet::default();
    for (later, row) in facet.days.range_mut(day.next()..) {
        if known.is_empty() {
            break;
        }
        let moved = known.and(&row.joined);
        if moved.is_empty() {
            continue;
        }
        Arc::make_mut(&mut row.joined).subtract(&moved);
        known.subtract(&moved);
        taken.add(&moved);
        changed.insert(*later);
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::proptest, prop_assert_eq};

    use super::{DayDelta, FacetActivity, FacetDelta, fold, fold_counts};
    use crate::{active_users::DayCounts, calendar::Day, recount::Recount, set::UserSet};

    fn delta(events: &[(i32, u32)]) -> FacetDelta {
        let mut delta = FacetDelta::new();
        for (day, user) in events {
            let entry = delta.entry(Day::new(*day)).or_default();
            entry.events += 1;
            entry.users.insert(*user);
        }
        delta
    }

    /// What some transactions log, put together: each leaves one row a day, with a set of users that was stored and read.
    fn delta_of_rows(transactions: &[&[(i32, u32)]]) -> FacetDelta {
        let mut together = FacetDelta::new();
        for transaction in transactions {
            for (day, row) in delta(transaction) {
                let users =
                    UserSet::from_bytes(&row.users.to_bytes()).expect("a set is read as it was stored");
                let row = DayDelta { users, ..row };
                together.entry(day).or_default().add(&row);
            }
        }
        together
    }

    fn recounted(events: &[(i32, u32)]) -> FacetActivity {
        let mut recount = Recount::default();
        for (day, user) in events {
            recount.add(Day::new(*day), *user);
        }
        recount.finish()
    }

    #[test]
    fn a_late_event_moves_the_user_to_its_day() {
        let mut facet = FacetActivity::default();
        fold(&mut facet, &delta(&[(10, 1), (12, 2)]));
        let changed = fold(&mut facet, &delta(&[(8, 1), (11, 2), (13, 1)]));
        let joined: BTreeMap<i32, Vec<u32>> = facet
            .days
            .iter()
            .map(|(day, row)| (day.number(), row.joined.iter().collect()))
            .collect();
        assert_eq!(
            joined,
            BTreeMap::from([
                (8, vec![1]),
                (10, vec![]),
                (11, vec![2]),
                (12, vec![]),
                (13, vec![])
            ])
        );
        assert_eq!(
            changed.iter().map(|day| day.number()).collect::<Vec<_>>(),
            vec![8, 10, 11, 12, 13]
        );
    }

    proptest! {
        #[test]
        fn folding_parts_in_any_order_equals_a_recount(
            events in vec((0..12_i32, 0..20_u32), 0..80),
            cuts in vec(1..10_usize, 1..20),
        ) {
            let mut facet = FacetActivity::default();
            let mut rest = events.as_slice();
            for cut in cuts {
                let (part, later) = rest.split_at(cut.min(rest.len()));
                fold(&mut facet, &delta(part));
                rest = later;
            }
            fold(&mut facet, &delta(rest));
            prop_assert_eq!(facet, recounted(&events));
        }

        #[test]
        fn rows_with_sets_fold_as_their_events_do(
            events in vec((0..6_i32, 0..400_u32), 0..400),
            transactions in vec(1..120_usize, 1..20),
            folds in vec(1..4_usize, 1..20),
        ) {
            let mut parts: Vec<&[(i32, u32)]> = Vec::new();
            let mut rest = events.as_slice();
            for size in transactions {
                let (part, later) = rest.split_at(size.min(rest.len()));
                parts.push(part);
                rest = later;
            }
            parts.push(rest);
            let mut facet = FacetActivity::default();
            let mut rest = parts.as_slice();
            for rows in folds {
                let (part, later) = rest.split_at(rows.min(rest.len()));
                fold(&mut facet, &delta_of_rows(part));
                rest = later;
            }
            fold(&mut facet, &delta_of_rows(rest));
            prop_assert_eq!(facet, recounted(&events));
        }

        #[test]
        fn counts_are_those_of_the_folded_sets(
            stored in vec((0..6_i32, 0..20_u32), 0..60),
            new in vec((4..6_i32, 0..25_u32), 1..12),
        ) {
            let mut facet = recounted(&stored);
            let last_stored = facet.days.keys().next_back().copied();
            let delta = delta(&new);
            let counted = fold_counts(&facet, &delta);
            fold(&mut facet, &delta);
            let (last, row) = facet.days.last_key_value().expect("a day with events");
            let is_last_alone = delta.len() == 1 && delta.contains_key(last) && last_stored <= Some(*last);
            let counts = DayCounts {
                events: row.events,
                users: row.active.len(),
                new_users: row.joined.len(),
            };
            prop_assert_eq!(counted, is_last_alone.then_some((*last, counts)));
        }

        #[test]
        fn only_days_from_the_earliest_new_one_on_are_needed(
            stored in vec((0..12_i32, 0..20_u32), 0..80),
            new in vec((0..12_i32, 0..20_u32), 1..20),
        ) {
            let whole = recounted(&stored);
            let earliest = Day::new(new.iter().map(|event| event.0).min().unwrap_or(0));
            let mut part = whole.clone();
            part.days = part.days.split_off(&earliest);
            fold(&mut part, &delta(&new));
            let mut days = whole.days;
            days.split_off(&earliest);
            days.extend(part.days);
            let all: Vec<_> = stored.iter().chain(&new).copied().collect();
            prop_assert_eq!(days, recounted(&all).days);
        }
    }
}
