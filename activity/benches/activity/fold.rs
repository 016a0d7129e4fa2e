//! The fold of 10,000 log rows: of today, where ingest ordinarily is, and of a month ago, where a late file is.

use std::hint::black_box;

use activity::{
    calendar::Day,
    fold::{DayDelta, FacetActivity, FacetDelta, fold},
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use crate::data::{DAYS, USERS, active, facet};

/// What the server takes from the log at most in one fold is a small multiple of this.
const ROWS: usize = 10_000;

/// Folds rows into facets of every size; the facet is shared with readers, so what changes is copied first.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(ROWS as u64));
    for users in USERS {
        let stored = facet(users, 1);
        for (name, day) in [("today", DAYS - 1), ("a month ago", DAYS - 30)] {
            let delta = delta(users, day);
            let fold_one = |mut facet: FacetActivity| fold(black_box(&mut facet), black_box(&delta));
            group.bench_function(BenchmarkId::new(name, users), |bencher| {
                bencher.iter_batched(|| stored.clone(), fold_one, BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

/// [`ROWS`] events of one day, spread over users of that day and over others who came only later.
fn delta(users: u32, day: i32) -> FacetDelta {
    let of_day: Vec<u32> = active(users, day, 1).collect();
    let mut delta = DayDelta::default();
    for row in 0..ROWS {
        let user = if row % 4 == 0 {
            // Any user at all: some were never seen on this day, and some joined later.
            (row as u64 * 7_919 % u64::from(users)) as u32
        } else {
            of_day[row * 31 % of_day.len()]
        };
        delta.users.insert(user);
        delta.events += 1;
    }
    FacetDelta::from([(Day::new(day), delta)])
}
