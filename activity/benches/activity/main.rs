//! How long the arithmetic takes, for 10⁴ to 10⁷ users: the fold, retention, and windows of active users.
//!
//! `cargo bench -p activity` runs all of it in under three minutes; a word after `--` picks benches by name, and
//! `-- --quick` is enough to see a difference of a tenth. What the numbers were is in `docs/benchmarks/README.md`.

mod data;
mod fold;
mod retention;
mod windows;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    fold::bench(&mut criterion);
    retention::bench(&mut criterion);
    windows::bench(&mut criterion);
    criterion.final_summary();
}
