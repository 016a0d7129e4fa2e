//! Retention of 30 daily cohorts over 30 days: of anybody, and of one event type to another.

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use activity::{
    calendar::{Calendar, DayRange, Period},
    fold::FacetActivity,
    retention::{Criterion as ReturnCriterion, DaySets, Entry, Plan, SameDay, retention},
};
use chrono::{DateTime, Utc};
use criterion::{BenchmarkId, Criterion};

use crate::data::{USERS, facet, last_days};

/// Computes the matrix for facets of every size.
pub(crate) fn bench(criterion: &mut Criterion) {
    let range = DayRange {
        to: last_days(31).from,
        ..last_days(60)
    };
    let plan = Plan {
        range,
        period: Period::Day,
        periods: 30,
        entry: Entry::FirstEver,
        criterion: ReturnCriterion::On,
    };
    let calendar = Calendar::new(chrono_tz::UTC);
    let now = DateTime::<Utc>::MAX_UTC;
    let mut group = criterion.benchmark_group("retention 30x30");
    for users in USERS {
        let start = facet(users, 1);
        let returning = facet(users, 2);
        let joined = joined(&start, plan.start_days());
        let active_in_start = active(&start, plan.return_days());
        group.bench_function(BenchmarkId::new("anybody", users), |bencher| {
            bencher.iter(|| {
                let same_day = SameDay::EntryReturns;
                retention(
                    &plan,
                    black_box(&joined),
                    black_box(&active_in_start),
                    same_day,
                    calendar,
                    now,
                )
            });
        });
        let active_in_return = active(&returning, plan.return_days());
        let ordered = after_entry(&joined, &active_in_return);
        group.bench_function(BenchmarkId::new("one type to another", users), |bencher| {
            bencher.iter(|| {
                let same_day = SameDay::Ordered(black_box(&ordered));
                retention(
                    &plan,
                    black_box(&joined),
                    black_box(&active_in_return),
                    same_day,
                    calendar,
                    now,
                )
            });
        });
    }
    group.finish();
}

fn joined(facet: &FacetActivity, days: DayRange) -> DaySets {
    let rows = facet.days.range(days.from..=days.to);
    rows.map(|(day, row)| (*day, Arc::clone(&row.joined))).collect()
}

fn active(facet: &FacetActivity, days: DayRange) -> DaySets {
    let rows = facet.days.range(days.from..=days.to);
    rows.map(|(day, row)| (*day, Arc::clone(&row.active))).collect()
}

/// Half of those who have both events on the day of entry have them in the right order.
fn after_entry(joined: &DaySets, returns: &DaySets) -> DaySets {
    let mut ordered = BTreeMap::new();
    for (day, users) in joined {
        let Some(returned) = returns.get(day) else {
            continue;
        };
        let both = users.and(returned);
        let half = both.iter().filter(|user| user % 2 == 0).collect();
        ordered.insert(*day, Arc::new(half));
    }
    ordered
}
