//! Retention: of the users who entered in a period, how many returned k periods later.
//!
//! The rules are in `docs/analytics.md`. Everything is sets of users per day; the one thing that sets cannot tell,
//! whether the return came before or after the entry on the very same day, comes in as [`SameDay::Ordered`].

use std::{cell::OnceCell, collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{
    calendar::{Calendar, Day, DayRange, Period},
    reuse::Reusable,
    set::UserSet,
};

/// Sets of users by day; a missing day is an empty set.
pub type DaySets = BTreeMap<Day, Arc<UserSet>>;

/// Which of a user's start events makes it enter a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// The earliest one in all stored history.
    FirstEver,
    /// The earliest one of each period.
    Recurring,
}

/// What counts as retained at period k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Criterion {
    /// A return in period k.
    On,
    /// A return in period k or any later one.
    OnOrAfter,
}

/// How a return on the day of entry is told from what came before the entry.
#[derive(Clone, Copy, Debug)]
pub enum SameDay<'a> {
    /// The entry event is itself a return (same event, or any event): everybody is retained at index 0.
    EntryReturns,
    /// For each day the users with a return event at or after their first start event of that day. Where any event
    /// starts, no return can precede the entry, and this is simply who had a return event.
    Ordered(&'a DaySets),
}

/// What to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The days on which users enter.
    pub range: DayRange,
    /// The unit of cohorts and cells.
    pub period: Period,
    /// The last cell's index.
    pub periods: u32,
    /// Which start event makes a user enter.
    pub entry: Entry,
    /// What counts as retained.
    pub criterion: Criterion,
}

impl Plan {
    /// The days whose start events matter: with recurring entry also those before `range` in its first period.
    pub fn start_days(&self) -> DayRange {
        let from = match self.entry {
            Entry::FirstEver => self.range.from,
            Entry::Recurring => self.period.days(self.period.number_of(self.range.from)).from,
        };
        DayRange {
            from,
            to: self.range.to,
        }
    }

    /// The days whose return events matter; unbounded above where later returns count.
    pub fn return_days(&self) -> DayRange {
        let last = self
            .period
            .number_of(self.range.to)
            .saturating_add_unsigned(self.periods);
        let to = match self.criterion {
            Criterion::On => self.period.days(last).to,
            Criterion::OnOrAfter => Day::new(i32::MAX),
        };
        DayRange {
            from: self.range.from,
            to,
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// One cohort for each period that overlaps the range, oldest first.
    pub cohorts: Vec<Cohort>,
    /// One average for each index.
    pub pooled: Vec<Pooled>,
}

/// The users who entered in one period.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// The period's first day.
    pub start: Day,
    /// How many users.
    pub size: u64,
    /// Cells 0 to `periods`.
    pub cells: Vec<Cell>,
}

/// How many of a cohort were retained at one index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Periods since the cohort's own.
    pub index: u32,
    /// How many users.
    pub retained: u64,
    /// Retained over size; none for an empty cohort.
    pub rate: Option<f64>,
    /// Whether the cell's period has ended.
    pub complete: bool,
}

/// The complete cells of one index, all cohorts together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pooled {
    /// Periods since the cohorts' own.
    pub index: u32,
    /// Sum of retained over sum of sizes; none where no cell is complete or all those cohorts are empty.
    pub rate: Option<f64>,
    /// Sum of retained.
    pub retained: u64,
    /// Sum of sizes.
    pub size: u64,
    /// How many cohorts have a complete cell here.
    pub cohorts: u32,
}

/// Computes retention.
///
/// `starts` has, over [`Plan::start_days`], who joined the start event's facet on each day (first ever) or who was
/// active in it (recurring). `returns` has who was active in the return event's facet over [`Plan::return_days`].
pub fn retention(
    plan: &Plan,
    starts: &DaySets,
    returns: &DaySets,
    same_day: SameDay<'_>,
    calendar: Calendar,
    now: DateTime<Utc>,
) -> Retention {
    retention_with(
        plan,
        starts,
        returns,
        same_day,
        calendar,
        now,
        &Reusable::default(),
    )
}

/// [`retention`], with counts of an earlier one that still hold.
pub fn retention_with(
    plan: &Plan,
    starts: &DaySets,
    returns: &DaySets,
    same_day: SameDay<'_>,
    calendar: Calendar,
    now: DateTime<Utc>,
    reusable: &Reusable,
) -> Retention {
    let first = plan.period.number_of(plan.range.from);
    let last = plan.period.number_of(plan.range.to);
    let by_period = returns_by_period(plan, returns);
    let after = match plan.criterion {
        Criterion::On => BTreeMap::new(),
        Criterion::OnOrAfter => unions_from_each_period_on(&by_period, first),
    };
    let cohorts = (first..=last).enumerate().map(|(position, number)| {
        let (of_days, of_period) = (OnceCell::new(), OnceCell::new());
        let entered = || of_days.get_or_init(|| entries(plan, number, starts));
        let users = || of_period.get_or_init(|| UserSet::union_of(entered().values()));
        let size = reusable.size(position).unwrap_or_else(|| users().len());
        let retained = |index: u32| {
            let period = number.saturating_add_unsigned(index);
            if let Some(retained) = reusable.retained(position, index) {
                return retained;
            }
            if index == 0 {
                let later = after_period(&after, period.saturating_add(1));
                return returned_at_once(plan, number, entered(), users(), returns, same_day, later);
            }
            let returned = match plan.criterion {
                Criterion::On => by_period.get(&period).map(AsRef::as_ref),
                Criterion::OnOrAfter => after_period(&after, period),
            };
            returned.map_or(0, |returned: &UserSet| users().and_len(returned))
        };
        let cell = |index: u32| {
            let period = number.saturating_add_unsigned(index);
            let retained = retained(index);
            Cell {
                index,
                retained,
                rate: rate(retained, size),
                complete: calendar.end_of(plan.period.days(period).to) <= now,
            }
        };
        Cohort {
            start: plan.period.first_day(number),
            size,
            cells: (0..=plan.periods).map(cell).collect(),
        }
    });
    let cohorts: Vec<Cohort> = cohorts.collect();
    let pooled = (0..=plan.periods).map(|index| pool(&cohorts, index)).collect();
    Retention { cohorts, pooled }
}

fn rate(retained: u64, size: u64) -> Option<f64> {
    (size > 0).then(|| retained as f64 / size as f64)
}

fn pool(cohorts: &[Cohort], index: u32) -> Pooled {
    let mut pooled = Pooled {
        index,
        rate: None,
        retained: 0,
        size: 0,
        cohorts: 0,
    };
    for cohort in cohorts {
        let Some(cell) = cohort.cells.get(index as usize).filter(|cell| cell.complete) else {
            continue;
        };
        pooled.retained += cell.retained;
        pooled.size += cohort.size;
        pooled.cohorts += 1;
    }
    pooled.rate = rate(pooled.retained, pooled.size);
    pooled
}

/// Who enters in the period, by day of entry: the users of that day who did not enter earlier in the period.
fn entries(plan: &Plan, number: i32, starts: &DaySets) -> DaySets {
    let period = plan.period.days(number);
    let mut earlier = UserSet::default();
    let mut entered = DaySets::new();
    for (day, users) in starts.range(period.from..=period.to) {
        let users = match plan.entry {
            Entry::FirstEver => Arc::clone(users),
            Entry::Recurring if earlier.is_empty() => Arc::clone(users),
            Entry::Recurring => Arc::new(users.minus(&earlier)),
        };
        if plan.entry == Entry::Recurring && *day != period.to {
            earlier.add(&users);
        }
        if plan.range.contains(*day) && !users.is_empty() {
            entered.insert(*day, users);
        }
    }
    entered
}

fn returns_by_period(plan: &Plan, returns: &DaySets) -> BTreeMap<i32, Arc<UserSet>> {
    let days = plan.return_days();
    let mut by_period: BTreeMap<i32, Arc<UserSet>> = BTreeMap::new();
    for (day, users) in returns.range(days.from..=days.to) {
        by_period
            .entry(plan.period.number_of(*day))
            .and_modify(|union| Arc::make_mut(union).add(users))
            .or_insert_with(|| Arc::clone(users));
    }
    by_period
}

/// For each period with returns, who returned in it or later.
fn unions_from_each_period_on(by_period: &BTreeMap<i32, Arc<UserSet>>, first: i32) -> BTreeMap<i32, UserSet> {
    let mut unions = BTreeMap::new();
    let mut users = UserSet::default();
    for (number, returned) in by_period.range(first..).rev() {
        users.add(returned);
        unions.insert(*number, users.clone());
    }
    unions
}

/// Who returned in the period or later: the union kept for the next period that has returns.
fn after_period(after: &BTreeMap<i32, UserSet>, number: i32) -> Option<&UserSet> {
    after.range(number..).next().map(|(_, users)| users)
}

/// How many of the cohort returned in its own period (or, where `later` is given, in a later one).
fn returned_at_once(
    plan: &Plan,
    number: i32,
    entered: &DaySets,
    users: &UserSet,
    returns: &DaySets,
    same_day: SameDay<'_>,
    later: Option<&UserSet>,
) -> u64 {
    let SameDay::Ordered(ordered) = same_day else {
        return users.len();
    };
    let period = plan.period.days(number);
    let mut returned = later.map(|later| users.and(later)).unwrap_or_default();
    let mut on_later_days = UserSet::default();
    let mut above = period.to.next();
    for (day, entered) in entered.iter().rev() {
        for (_, active) in returns.range(day.next()..above) {
            on_later_days.add(active);
        }
        above = day.next();
        returned.add(&entered.and(&on_later_days));
        if let Some(ordered) = ordered.get(day) {
            returned.add(&entered.and(ordered));
        }
    }
    returned.len()
}
