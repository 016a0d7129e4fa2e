//! Who is active when: users arrive day by day, come back with decaying probability, and some do far more than others.
//!
//! Nothing is kept per user: whether user u comes back on day d is a function of (seed, u, d), so memory follows the
//! events of the busiest day, not the number of users.

use super::random::{Random, mix};

/// One day in microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;

/// How many parts of the day's events fall into each hour (UTC): little at night, most in the evening.
const HOURS: [u64; 24] = [
    4, 2, 2, 1, 1, 2, 4, 7, 10, 12, 13, 14, 15, 14, 13, 13, 14, 15, 17, 19, 20, 18, 13, 8,
];
/// The share of an ordinary user's days on which they come back, one day after they arrived.
const RETURN_PROBABILITY: f64 = 0.4;
/// Nobody comes back more surely than this.
const MOST_RETURN_PROBABILITY: f64 = 0.95;
/// The most active user of a day does at most this many times what the least active one does.
const MOST_ACTIVE: f64 = 2_000.0;

/// An event before it has a text: who and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Microseconds since 1970 in UTC.
    pub(crate) at: i64,
    /// The event's number, unique in a run; everything else about the event follows from it.
    pub(crate) index: u64,
    /// The user's number, in order of arrival.
    pub(crate) user: u32,
    /// Whether it is the user's first event.
    pub(crate) first: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) events: u64,
    pub(crate) users: u32,
    pub(crate) days: u32,
    /// The first day's start, microseconds since 1970 in UTC.
    pub(crate) start: i64,
    pub(crate) seed: u64,
}

/// The plan, laid out over the days.
#[derive(Debug)]
pub(crate) struct Schedule {
    plan: Plan,
    /// How many users have arrived by the end of each day.
    arrived: Vec<u32>,
    /// How many events each day has.
    quota: Vec<u64>,
}

/// A user who is active on a day.
struct Active {
    user: u32,
    /// When they start, within the day.
    from: i64,
}

impl Schedule {
    /// Lays out `plan`, which has at least one day, and no more users than events.
    pub(crate) fn new(plan: Plan) -> Self {
        let arrived = arrivals(&plan);
        let quota = quotas(&plan, &arrived);
        Self { plan, arrived, quota }
    }

    /// The events of day number `day`, in order of time. `index` is the number of the day's first event.
    pub(crate) fn day(&self, day: usize, index: u64) -> Vec<Moment> {
        let quota = self.quota[day];
        if quota == 0 {
            return Vec::new();
        }
        let mut random = Random::new(self.plan.seed, 1_000 + day as u64);
        let old = if day == 0 { 0 } else { self.arrived[day - 1] };
        let arriving = self.arrived[day] - old;
        let mut active: Vec<Active> = (old..self.arrived[day])
            .map(|user| Active {
                user,
                from: time_of_day(&mut random),
            })
            .collect();
        self.add_returning(day, old, quota - u64::from(arriving), &mut random, &mut active);
        let start = self.plan.start + day as i64 * DAY;
        let mut moments: Vec<Moment> = Vec::with_capacity(quota as usize);
        for (position, who) in active.iter().enumerate() {
            let first = position < arriving as usize;
            let index = index + position as u64;
            moments.push(Moment {
                at: start + who.from,
                index,
                user: who.user,
                first,
            });
        }
        let cumulative = self.activity(&active);
        let total = cumulative.last().copied().unwrap_or_default();
        while (moments.len() as u64) < quota {
            let drawn = random.below(total);
            let who = &active[cumulative.partition_point(|sum| *sum <= drawn)];
            let at = start + later_in_session(who.from, &mut random);
            moments.push(Moment {
                at,
                index: index + moments.len() as u64,
                user: who.user,
                first: false,
            });
        }
        moments.sort_unstable();
        moments
    }

    /// Adds at most `limit` of the users before `old` who come back on `day`; at least one where any event needs a user.
    fn add_returning(&self, day: usize, old: u32, limit: u64, random: &mut Random, active: &mut Vec<Active>) {
        let mut returning: Vec<u32> = Vec::new();
        let mut arrival = 0;
        for user in 0..old {
            while self.arrived[arrival] <= user {
                arrival += 1;
            }
            if self.comes_back(user, day, (day - arrival) as u32) {
                returning.push(user);
            }
        }
        if returning.is_empty() && active.is_empty() && old > 0 {
            returning.push(random.below(u64::from(old)) as u32);
        }
        let selection_random = Random::new(random.next(), 0);
        let mut selection = super::random::Selection::new(selection_random, limit, returning.len() as u64);
        for user in returning {
            if selection.takes_next() {
                active.push(Active {
                    user,
                    from: time_of_day(random),
                });
            }
        }
    }

    fn comes_back(&self, user: u32, day: usize, age: u32) -> bool {
        // An engagement of 1 on average, heavy-tailed: 0.5 / sqrt(u).
        let engagement = 0.5 / self.of_user(user, 0).fraction().sqrt();
        let probability = RETURN_PROBABILITY * engagement / f64::from(age).sqrt();
        let mut today = Random::of_item(mix(self.plan.seed ^ 0xda7), (day as u64) << 32 | u64::from(user));
        today.chance(probability.min(MOST_RETURN_PROBABILITY))
    }

    /// The running sum of how much the active users do.
    fn activity(&self, active: &[Active]) -> Vec<u64> {
        let mut sum = 0;
        let weight = |who: &Active| (self.of_user(who.user, 1).heavy_tailed(MOST_ACTIVE) * 16.0) as u64;
        active
            .iter()
            .map(|who| {
                sum += weight(who);
                sum
            })
            .collect()
    }

    fn of_user(&self, user: u32, property: u64) -> Random {
        Random::of_item(mix(self.plan.seed ^ 0x05e7), property << 32 | u64::from(user))
    }
}

/// How many users have arrived by the end of each day: twice as many a day at the end as at the start, fewer at weekends.
fn arrivals(plan: &Plan) -> Vec<u32> {
    let days = u64::from(plan.days);
    let weights: Vec<u64> = (0..days)
        .map(|day| (days + day) * weekday_weight(plan, day))
        .collect();
    let total: u64 = weights.iter().sum();
    let mut sum = 0;
    let share = |sum: u64| (u128::from(plan.users) * u128::from(sum)).div_ceil(u128::from(total)) as u32;
    weights
        .iter()
        .map(|weight| {
            sum += weight;
            share(sum)
        })
        .collect()
}

/// How many events each day has: one for each user who arrives, the rest by how many are expected to be active.
fn quotas(plan: &Plan, arrived: &[u32]) -> Vec<u64> {
    let joining: Vec<u32> = arrived
        .iter()
        .scan(0, |before, now| Some(now - std::mem::replace(before, *now)))
        .collect();
    let mut running = 0.0;
    let mut weights: Vec<f64> = Vec::with_capacity(arrived.len());
    for day in 0..joining.len() {
        let mut active = f64::from(joining[day]);
        for (ago, joined) in joining[..day].iter().rev().enumerate() {
            active += f64::from(*joined) * RETURN_PROBABILITY / (ago as f64 + 1.0).sqrt();
        }
        running += active * weekday_weight(plan, day as u64) as f64;
        weights.push(running);
    }
    let spare = plan.events - u64::from(plan.users);
    let mut before = 0;
    let share = |weight: &f64| {
        if *weight >= running {
            spare
        } else {
            (spare as f64 * (weight / running)) as u64
        }
    };
    weights
        .iter()
        .zip(&joining)
        .map(|(weight, joined)| {
            let now = share(weight).max(before);
            u64::from(*joined) + now - std::mem::replace(&mut before, now)
        })
        .collect()
}

/// Weekends are quieter: 7 parts instead of 10.
fn weekday_weight(plan: &Plan, day: u64) -> u64 {
    // 1970-01-01 was a Thursday: Saturdays and Sundays are the days 2 and 3 after it.
    let weekday = (plan.start.div_euclid(DAY) + day as i64).rem_euclid(7);
    if matches!(weekday, 2 | 3) { 7 } else { 10 }
}

fn time_of_day(random: &mut Random) -> i64 {
    const HOUR: u64 = 3_600_000_000;
    let mut drawn = random.below(HOURS.iter().sum());
    let mut hour = 0;
    while drawn >= HOURS[hour] {
        drawn -= HOURS[hour];
        hour += 1;
    }
    (hour as u64 * HOUR + random.below(HOUR)) as i64
}

/// A moment after `from` and before the day ends: mostly minutes later, at times hours.
fn later_in_session(from: i64, random: &mut Random) -> i64 {
    let gap = (random.heavy_tailed(100_000.0) * 20_000_000.0 * random.fraction()) as i64 + 1;
    if from + gap < DAY {
        from + gap
    } else {
        from + random.below((DAY - from) as u64) as i64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{DAY, Moment, Plan, Schedule};

    fn all(plan: Plan) -> Vec<Moment> {
        let schedule = Schedule::new(plan);
        let mut moments = Vec::new();
        for day in 0..plan.days as usize {
            moments.extend(schedule.day(day, moments.len() as u64));
        }
        moments
    }

    #[test]
    fn every_plan_gives_exactly_its_events_and_users() {
        for (events, users, days) in [
            (1, 1, 1),
            (1, 1, 90),
            (1000, 1, 90),
            (7, 7, 3),
            (10_000, 10_000, 30),
            (20_000, 1000, 90),
            (500, 20, 1),
        ] {
            let moments = all(Plan {
                events,
                users,
                days,
                start: 0,
                seed: 42,
            });
            assert_eq!(moments.len() as u64, events, "{events} {users} {days}");
            assert!(moments.is_sorted(), "in order of time");
            let mut firsts: HashMap<u32, (i64, u32)> = HashMap::new();
            for moment in &moments {
                let entry = firsts.entry(moment.user).or_insert((moment.at, 0));
                entry.1 += u32::from(moment.first);
                assert!(
                    !moment.first || entry.0 == moment.at,
                    "the first event comes first"
                );
                assert!((0..i64::from(days) * DAY).contains(&moment.at));
            }
            assert_eq!(firsts.len(), users as usize);
            assert!(
                firsts.values().all(|(_, times)| *times == 1),
                "each user has one first event"
            );
        }
    }

    #[test]
    fn users_come_back_less_and_less_and_some_do_much_more() {
        let moments = all(Plan {
            events: 200_000,
            users: 10_000,
            days: 60,
            start: 0,
            seed: 3,
        });
        let mut joined: HashMap<u32, i64> = HashMap::new();
        let mut counts: HashMap<u32, u32> = HashMap::new();
        let mut active: HashMap<(u32, i64), u32> = HashMap::new();
        for moment in &moments {
            let day = moment.at.div_euclid(DAY);
            let first = *joined.entry(moment.user).or_insert(day);
            *counts.entry(moment.user).or_default() += 1;
            *active.entry((moment.user, day - first)).or_default() += 1;
        }
        let at_age = |age: i64| active.keys().filter(|(_, days)| *days == age).count() as f64;
        assert!(at_age(0) > 2.0 * at_age(1), "most do not come back the next day");
        assert!(
            at_age(1) > 1.5 * at_age(7),
            "fewer after a week: {} {}",
            at_age(1),
            at_age(7)
        );
        assert!(at_age(7) > 1.5 * at_age(30), "fewer still after a month");
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable();
        let top: u32 = counts[counts.len() * 9 / 10..].iter().sum();
        assert!(
            f64::from(top) > 0.4 * 200_000.0,
            "a tenth of the users do much of it: {top}"
        );
        assert!(counts[counts.len() / 2] < 15, "half of them do little");
    }
}
