//! Active users of trailing windows: 30 points of 7 and of 30 days.

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use activity::{active_users::window_users, calendar::Day, set::UserSet};
use criterion::{BenchmarkId, Criterion};

use crate::data::{USERS, facet, last_days};

/// Counts the windows' users for facets of every size.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("30 windows");
    for users in USERS {
        let facet = facet(users, 1);
        let active: BTreeMap<Day, Arc<UserSet>> = facet
            .days
            .iter()
            .map(|(day, row)| (*day, Arc::clone(&row.active)))
            .collect();
        for window_days in [7, 30] {
            group.bench_function(
                BenchmarkId::new(format!("of {window_days} days"), users),
                |bencher| bencher.iter(|| window_users(last_days(30), window_days, black_box(&active))),
            );
        }
    }
    group.finish();
}
