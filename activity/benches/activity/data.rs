//! Days of users that look like a product's: most of a day's users are recent ones, and old ones still come.
//!
//! Made by arithmetic alone, so that every run measures the same sets.

use std::{collections::BTreeMap, sync::Arc};

use activity::{
    calendar::{Day, DayRange},
    fold::{DayActivity, FacetActivity},
    set::UserSet,
};

/// How many users there are in all, from small to large.
pub(crate) const USERS: [u32; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// How many days they arrive over; the questions are about the last 60.
pub(crate) const DAYS: i32 = 90;

/// The last `days` days there are.
pub(crate) fn last_days(days: i32) -> DayRange {
    DayRange {
        from: Day::new(DAYS - days),
        to: Day::new(DAYS - 1),
    }
}

/// One facet: `users` users who arrive evenly, and of whom a tenth to a twentieth is active on a day.
///
/// `salt` makes facets differ: with another one, others of the users come back on a day.
pub(crate) fn facet(users: u32, salt: u64) -> FacetActivity {
    let mut seen = UserSet::default();
    let mut days = BTreeMap::new();
    for number in 0..DAYS {
        let active: UserSet = active(users, number, salt).collect();
        let joined = active.minus(&seen);
        seen.add(&joined);
        let row = DayActivity {
            events: active.len() * 3,
            active: Arc::new(active),
            joined: Arc::new(joined),
        };
        days.insert(Day::new(number), row);
    }
    FacetActivity {
        seen: Arc::new(seen),
        days,
    }
}

/// The users of one day: those who arrive on it, and of those who arrived earlier the fewer the longer ago it was.
pub(crate) fn active(users: u32, day: i32, salt: u64) -> impl Iterator<Item = u32> {
    let arrived = |day: i32| {
        let share = u64::from(users) * u64::from(day.unsigned_abs() + 1);
        u32::try_from(share / u64::from(DAYS.unsigned_abs())).unwrap_or(users)
    };
    let (before, until) = (if day == 0 { 0 } else { arrived(day - 1) }, arrived(day));
    let per_day = (users / DAYS.unsigned_abs()).max(1);
    (0..until).filter(move |user| {
        if *user >= before {
            return true;
        }
        let age = u64::from((before - user) / per_day + 1);
        let drawn = mixed(u64::from(*user) ^ (salt << 40) ^ (u64::from(day.unsigned_abs()) << 48)) % 1000;
        drawn * age.isqrt() < 200
    })
}

/// A number that looks random, always the same for the same input (the end of SplitMix64).
fn mixed(input: u64) -> u64 {
    let input = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let input = (input ^ (input >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let input = (input ^ (input >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    input ^ (input >> 31)
}
