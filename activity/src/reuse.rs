//! What of an earlier retention still holds, so that the next one need compute only what has changed.
//!
//! While events come in, the sets of today change all the time and those of other days hardly ever. A retention of 30 × 31
//! cells then has one cell, or one for each cohort, that is another than a moment ago.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    calendar::Day,
    retention::{Criterion, Plan, Retention},
};

/// Marks of the sets of some days: where a day has the same mark in both, it has the same set. A day without one has no users.
pub type Marks = BTreeMap<Day, i64>;

/// The mark of a set that is like no other.
pub const CHANGING: i64 = i64::MIN;

/// A retention, and marks of the sets that it was computed from.
#[derive(Clone, Debug, PartialEq)]
pub struct Earlier {
    plan: Plan,
    starts: Marks,
    returns: Marks,
    cohorts: Vec<Counts<u64>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Counts<T> {
    size: T,
    retained: Vec<T>,
}

/// Counts that need not be computed again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reusable(Vec<Counts<Option<u64>>>);

impl Earlier {
    /// Notes what `answer` was computed from. Whatever tells the order on a day must follow from that day's two sets.
    pub fn new(plan: Plan, starts: Marks, returns: Marks, answer: &Retention) -> Self {
        let counts = answer.cohorts.iter().map(|cohort| Counts {
            size: cohort.size,
            retained: cohort.cells.iter().map(|cell| cell.retained).collect(),
        });
        Self {
            plan,
            starts,
            returns,
            cohorts: counts.collect(),
        }
    }

    /// What still holds of the same plan over sets with these marks.
    ///
    /// A cell depends on the start days of its cohort and the return days of its own period; where later returns count too,
    /// nothing is reused.
    pub fn reusable(&self, plan: &Plan, starts: &Marks, returns: &Marks) -> Reusable {
        if self.plan != *plan || plan.criterion != Criterion::On {
            return Reusable::default();
        }
        let periods = |days: BTreeSet<Day>| -> BTreeSet<i32> {
            days.into_iter().map(|day| plan.period.number_of(day)).collect()
        };
        let starts = periods(changed(&self.starts, starts));
        let returns = periods(changed(&self.returns, returns));
        let first = plan.period.number_of(plan.range.from);
        let cohorts = (first..).zip(&self.cohorts).map(|(number, counts)| {
            let same = !starts.contains(&number);
            let of_cell =
                |(period, retained): (i32, &u64)| (same && !returns.contains(&period)).then_some(*retained);
            Counts {
                size: same.then_some(counts.size),
                retained: (number..).zip(&counts.retained).map(of_cell).collect(),
            }
        });
        Reusable(cohorts.collect())
    }
}

impl Reusable {
    /// The size of the cohort at this position.
    pub(crate) fn size(&self, cohort: usize) -> Option<u64> {
        self.0.get(cohort)?.size
    }

    /// How many of it were retained at this index.
    pub(crate) fn retained(&self, cohort: usize, index: u32) -> Option<u64> {
        *self.0.get(cohort)?.retained.get(index as usize)?
    }
}

/// The days whose sets may differ.
fn changed(before: &Marks, after: &Marks) -> BTreeSet<Day> {
    let days = before.keys().chain(after.keys()).copied();
    let differs = |day: &Day| before.get(day) != after.get(day) || after.get(day) == Some(&CHANGING);
    days.filter(differs).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use chrono::DateTime;
    use chrono_tz::Tz;
    use proptest::{
        collection::{btree_set, vec},
        option,
        prelude::{Strategy, any, prop_assert_eq, proptest},
        sample::select,
    };

    use super::{CHANGING, Earlier, Marks};
    use crate::{
        calendar::{Calendar, Day, DayRange, Period},
        retention::{Criterion, DaySets, Entry, Plan, SameDay, retention, retention_with},
    };

    const DAYS: i32 = 40;

    fn sets() -> impl Strategy<Value = DaySets> {
        let users = btree_set(0_u32..12, 0..8);
        vec(option::of(users), DAYS as usize).prop_map(|days| {
            let numbered = (0..).map(Day::new).zip(days);
            let present =
                numbered.filter_map(|(day, users)| Some((day, Arc::new(users?.into_iter().collect()))));
            present.collect()
        })
    }

    fn plans() -> impl Strategy<Value = Plan> {
        let periods = select(vec![Period::Day, Period::Week, Period::Month]);
        let entries = select(vec![Entry::FirstEver, Entry::Recurring]);
        let criteria = select(vec![Criterion::On, Criterion::OnOrAfter]);
        (periods, entries, criteria, 0..DAYS, 0..20_i32, 0..12_u32).prop_map(
            |(period, entry, criterion, from, length, periods)| Plan {
                range: DayRange {
                    from: Day::new(from),
                    to: Day::new(from + length),
                },
                period,
                periods,
                entry,
                criterion,
            },
        )
    }

    /// Every set's version; `other` has the sets of some days, in another version.
    fn mixed(sets: &DaySets, other: &DaySets, taken: &[bool]) -> (DaySets, Marks) {
        let (mut mixed, mut marks) = (DaySets::new(), Marks::new());
        for (number, taken) in (0..DAYS).zip(taken) {
            let day = Day::new(number);
            let (from, mark) = match taken {
                true => (other, if number % 2 == 0 { CHANGING } else { 2 }),
                false => (sets, 1),
            };
            if let Some(users) = from.get(&day) {
                mixed.insert(day, Arc::clone(users));
                marks.insert(day, mark);
            }
        }
        (mixed, marks)
    }

    proptest! {
        #[test]
        fn what_is_reused_changes_no_number(
            plan in plans(),
            ordered in any::<bool>(),
            starts in sets(),
            returns in sets(),
            others in (sets(), sets()),
            taken in (vec(any::<bool>(), DAYS as usize), vec(any::<bool>(), DAYS as usize)),
        ) {
            let calendar = Calendar::new(Tz::UTC);
            let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(30);
            let none = [false; DAYS as usize];
            let (starts, start_marks) = mixed(&starts, &others.0, &none);
            let (returns, return_marks) = mixed(&returns, &others.1, &none);
            let compute = |starts: &DaySets, returns: &DaySets| {
                let order: DaySets = match ordered {
                    true => returns.clone(),
                    false => BTreeMap::new(),
                };
                let same_day = if ordered { SameDay::Ordered(&order) } else { SameDay::EntryReturns };
                retention(&plan, starts, returns, same_day, calendar, now)
            };
            let earlier = Earlier::new(plan, start_marks, return_marks, &compute(&starts, &returns));
            let (starts, start_marks) = mixed(&starts, &others.0, &taken.0);
            let (returns, return_marks) = mixed(&returns, &others.1, &taken.1);
            let reusable = earlier.reusable(&plan, &start_marks, &return_marks);
            let same_day = if ordered { SameDay::Ordered(&returns) } else { SameDay::EntryReturns };
            let again = retention_with(&plan, &starts, &returns, same_day, calendar, now, &reusable);
            prop_assert_eq!(again, compute(&starts, &returns));
        }
    }

    #[test]
    fn one_changed_day_costs_one_cell_of_each_cohort() {
        let plan = Plan {
            range: DayRange {
                from: Day::new(0),
                to: Day::new(2),
            },
            period: Period::Day,
            periods: 3,
            entry: Entry::FirstEver,
            criterion: Criterion::On,
        };
        let day = |number| (Day::new(number), Arc::new([1].into_iter().collect()));
        let sets = DaySets::from_iter([day(0), day(3)]);
        let calendar = Calendar::new(Tz::UTC);
        let answer = retention(
            &plan,
            &sets,
            &sets,
            SameDay::EntryReturns,
            calendar,
            DateTime::UNIX_EPOCH,
        );
        let marks = Marks::from_iter([(Day::new(0), 1), (Day::new(3), 1)]);
        let earlier = Earlier::new(plan, marks.clone(), marks.clone(), &answer);
        let later = Marks::from_iter([(Day::new(0), 1), (Day::new(3), CHANGING)]);
        let reusable = earlier.reusable(&plan, &marks, &later);
        let missing =
            |cohort: usize| (0..=3).filter(move |index| reusable.retained(cohort, *index).is_none());
        assert_eq!(missing.clone()(0).collect::<Vec<_>>(), [3]);
        assert_eq!(missing.clone()(1).collect::<Vec<_>>(), [2]);
        assert_eq!(missing(2).collect::<Vec<_>>(), [1]);
    }
}
