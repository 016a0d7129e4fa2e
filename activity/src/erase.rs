//! Erasure: one user taken out of what is kept.
//!
//! Nobody else is touched by it: whoever joined on a day joined on that day still, for sets know no order among users.

use std::sync::Arc;

use crate::{fold::DayActivity, set::UserSet};

/// Takes `user`, to whom `events` of the row's events belong, out of the row and returns how many events went.
///
/// Where nobody else is left, all that is left belonged to the user and goes as well: the row is then empty. Where
/// `events` is not known (events that have expired are not there to be counted), 0 leaves the number as it is.
pub fn take_out(row: &mut DayActivity, user: u32, events: u64) -> u64 {
    take_out_of_set(&mut row.active, user);
    take_out_of_set(&mut row.joined, user);
    let gone = if row.active.is_empty() {
        row.events
    } else {
        events.min(row.events)
    };
    row.events -= gone;
    gone
}

/// Takes `user` out of a set; false if it was not there.
pub fn take_out_of_set(set: &mut Arc<UserSet>, user: u32) -> bool {
    set.contains(user) && Arc::make_mut(set).remove(user)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::proptest, prop_assert_eq};

    use super::{take_out, take_out_of_set};
    use crate::{calendar::Day, fold::FacetActivity, recount::Recount};

    fn recounted(events: impl Iterator<Item = (i32, u32)>) -> FacetActivity {
        let mut recount = Recount::default();
        for (day, user) in events {
            recount.add(Day::new(day), user);
        }
        recount.finish()
    }

    proptest! {
        #[test]
        fn what_is_left_is_a_recount_without_the_user(
            events in vec((0..12_i32, 0..6_u32), 0..60),
            user in 0..6_u32,
        ) {
            let mut facet = recounted(events.iter().copied());
            for (day, row) in &mut facet.days {
                let own = events.iter().filter(|event| **event == (day.number(), user)).count();
                prop_assert_eq!(take_out(row, user, own as u64), own as u64);
            }
            facet.days.retain(|_, row| row.events > 0);
            take_out_of_set(&mut facet.seen, user);
            let others = events.iter().copied().filter(|event| event.1 != user);
            prop_assert_eq!(facet, recounted(others));
        }
    }

    #[test]
    fn the_events_of_a_day_that_was_the_users_alone_go_uncounted() {
        let mut facet = recounted([(1, 7), (1, 7), (2, 7), (2, 8)].into_iter());
        let gone: Vec<u64> = facet.days.values_mut().map(|row| take_out(row, 7, 0)).collect();
        assert_eq!(gone, [2, 0]);
    }
}
