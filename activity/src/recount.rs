//! The sets of one facet counted from scratch, without the fold: what `verify` compares with and `rebuild` writes.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    calendar::Day,
    fold::{DayActivity, FacetActivity},
    set::UserSet,
};

/// Counts events of one facet, in any order.
#[derive(Debug, Default)]
pub struct Recount {
    days: BTreeMap<Day, (u64, UserSet)>,
}

impl Recount {
    /// Counts one event.
    pub fn add(&mut self, day: Day, user: u32) {
        let (events, users) = self.days.entry(day).or_default();
        *events += 1;
        users.insert(user);
    }

    /// Counts a day whose events are not there to be counted any more: so many, and whose.
    pub fn add_day(&mut self, day: Day, events: u64, users: &UserSet) {
        let row = self.days.entry(day).or_default();
        row.0 += events;
        row.1.add(users);
    }

    /// The facet's activity: from the oldest day on, who was not seen before has joined.
    pub fn finish(self) -> FacetActivity {
        let mut seen = UserSet::default();
        let mut days = BTreeMap::new();
        for (day, (events, active)) in self.days {
            let joined = active.minus(&seen);
            seen.add(&joined);
            days.insert(
                day,
                DayActivity {
                    events,
                    active: Arc::new(active),
                    joined: Arc::new(joined),
                },
            );
        }
        FacetActivity {
            seen: Arc::new(seen),
            days,
        }
    }
}
