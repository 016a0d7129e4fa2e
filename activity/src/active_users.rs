//! Active users: distinct users with at least one event on the days D-N+1 … D.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{
    calendar::{Calendar, Day, DayRange},
    set::UserSet,
};

/// The answer for one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveUsersPoint {
    /// The day, the last of its window.
    pub day: Day,
    /// Distinct users with at least one event in the window.
    pub users: u64,
    /// Users whose first event ever fell on this day, whatever the window.
    pub new_users: u64,
    /// Whether the day has ended.
    pub complete: bool,
}

/// The counts that stand in a day's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCounts {
    /// How many events.
    pub events: u64,
    /// How many distinct users.
    pub users: u64,
    /// How many users whose first event ever fell on this day.
    pub new_users: u64,
}

/// One point for each day of `range`, oldest first; days that are missing in `counts` are zeros.
///
/// `window_users` has the distinct users of each day's window, as [`window_users`] gives them, or is `None` for windows
/// of one day, whose users stand in the counts.
pub fn active_users(
    range: DayRange,
    counts: &BTreeMap<Day, DayCounts>,
    window_users: Option<&[u64]>,
    calendar: Calendar,
    now: DateTime<Utc>,
) -> Vec<ActiveUsersPoint> {
    let point = |(position, day): (usize, Day)| {
        let counts = counts.get(&day).copied().unwrap_or_default();
        ActiveUsersPoint {
            day,
            users: window_users.map_or(counts.users, |users| users.get(position).copied().unwrap_or(0)),
            new_users: counts.new_users,
            complete: calendar.end_of(day) <= now,
        }
    };
    range.days().enumerate().map(point).collect()
}

/// The counts of the days of `range` from the users of each day, where no counts are kept.
///
/// `earlier` has those who qualified before `range`: they are new on none of its days, and everybody else is on the first one.
/// The number of events, which sets do not tell, is left at 0.
pub fn counts_of_sets(
    range: DayRange,
    active: &BTreeMap<Day, Arc<UserSet>>,
    earlier: UserSet,
) -> BTreeMap<Day, DayCounts> {
    let mut known = earlier;
    let mut counts = BTreeMap::new();
    for (day, users) in active.iter().filter(|(day, _)| range.contains(**day)) {
        let new_users = users.len() - users.and_len(&known);
        known.add(users);
        counts.insert(
            *day,
            DayCounts {
                events: 0,
                users: users.len(),
                new_users,
            },
        );
    }
    counts
}

/// Who was in a facet before some day: all who were ever seen in it, without those who joined on that day or later.
pub fn users_before<'a>(seen: &UserSet, joined_since: impl IntoIterator<Item = &'a Arc<UserSet>>) -> UserSet {
    seen.minus(&UserSet::union_of(joined_since))
}

/// Distinct users in the trailing window of `window_days` days for each day of `range`, oldest first.
///
/// `active` has the users of each day with events, from `window_days - 1` days before `range` on. Days are cut
/// into blocks as long as the window; each window is then the end of one block and the beginning of the next, so
/// every day costs about three unions whatever the window's length (van Herk 1992, Gil and Werman 1993).
pub fn window_users(range: DayRange, window_days: u32, active: &BTreeMap<Day, Arc<UserSet>>) -> Vec<u64> {
    let window = i32::try_from(window_days.max(1)).unwrap_or(i32::MAX);
    let mut counts = Vec::with_capacity(range.length());
    let mut block_start = range.from.plus(1 - window);
    while counts.len() < range.length() {
        let next_start = block_start.plus(window);
        let ends = unions_to_block_end(block_start, next_start, active);
        let mut beginning = UserSet::default();
        for offset in 0..window {
            // The window that starts at `block_start + offset` ends just before `next_start + offset`.
            if counts.len() == range.length() {
                break;
            }
            if let Some(users) = offset
                .checked_sub(1)
                .and_then(|last| active.get(&next_start.plus(last)))
            {
                beginning.add(users);
            }
            let end = ends.get(&block_start.plus(offset));
            counts.push(end.map_or(beginning.len(), |end| end.or_len(&beginning)));
        }
        block_start = next_start;
    }
    counts
}

/// For each day of the block, the users of the days from it to the block's end.
fn unions_to_block_end(start: Day, end: Day, active: &BTreeMap<Day, Arc<UserSet>>) -> BTreeMap<Day, UserSet> {
    let mut unions = BTreeMap::new();
    let mut users = UserSet::default();
    for day in (DayRange {
        from: start,
        to: end.plus(-1),
    })
    .days()
    .rev()
    {
        if let Some(set) = active.get(&day) {
            users.add(set);
        }
        unions.insert(day, users.clone());
    }
    unions
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        sync::Arc,
    };

    use proptest::{collection::vec, prelude::proptest, prop_assert_eq};

    use super::{counts_of_sets, users_before, window_users};
    use crate::{
        calendar::{Day, DayRange},
        recount::Recount,
        set::UserSet,
    };

    proptest! {
        #[test]
        fn windows_equal_a_naive_count(
            events in vec((0..40_i32, 0..15_u32), 0..120),
            from in 0..40_i32,
            length in 0..30_i32,
            window in 1..20_u32,
        ) {
            let mut active: BTreeMap<Day, Arc<UserSet>> = BTreeMap::new();
            for (day, user) in &events {
                Arc::make_mut(active.entry(Day::new(*day)).or_default()).insert(*user);
            }
            let naive: Vec<u64> = (from..from + length)
                .map(|day| {
                    let inside = |event: &&(i32, u32)| event.0 <= day && event.0 > day - window as i32;
                    events.iter().filter(inside).map(|event| event.1).collect::<BTreeSet<_>>().len() as u64
                })
                .collect();
            let range = DayRange { from: Day::new(from), to: Day::new(from + length - 1) };
            prop_assert_eq!(window_users(range, window, &active), naive);
        }

        /// Two facets taken as one: what the sets of both tell is what a recount of all their events does.
        #[test]
        fn facets_together_equal_a_recount(
            events in vec((0..20_i32, 0..15_u32, 0..2_usize), 0..80),
            from in 0..20_i32,
            length in 1..15_i32,
        ) {
            let range = DayRange { from: Day::new(from), to: Day::new(from + length - 1) };
            let mut parts = [Recount::default(), Recount::default()];
            let mut whole = Recount::default();
            for (day, user, part) in events {
                parts[part].add(Day::new(day), user);
                whole.add(Day::new(day), user);
            }
            let mut active: BTreeMap<Day, Arc<UserSet>> = BTreeMap::new();
            let mut earlier = UserSet::default();
            for facet in parts.map(Recount::finish) {
                earlier.add(&users_before(&facet.seen, facet.days.range(range.from..).map(|(_, row)| &row.joined)));
                for (day, row) in &facet.days {
                    Arc::make_mut(active.entry(*day).or_default()).add(&row.active);
                }
            }
            let counts = counts_of_sets(range, &active, earlier);
            let found: Vec<_> = counts.iter().map(|(day, counts)| (*day, counts.users, counts.new_users)).collect();
            let whole = whole.finish();
            let rows = whole.days.range(range.from..=range.to);
            let expected: Vec<_> = rows.map(|(day, row)| (*day, row.active.len(), row.joined.len())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
