//! In which order rows come: by time, with late and repeated rows further back, or shuffled.

use std::{cmp::Reverse, collections::BinaryHeap, io};

use super::{
    random::{Random, Selection},
    schedule::{Moment, Plan, Schedule},
};

/// Numbers of bad rows start here, far above those of events.
const FIRST_BAD: u64 = 1 << 48;

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An event that comes for the first time.
    Event,
    /// The same row as another one.
    Duplicate,
    /// A row that must be refused.
    Bad,
}

/// A row at its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Placed {
    pub(crate) moment: Moment,
    pub(crate) kind: Kind,
}

/// How many rows of each kind there are, as shares of the events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares {
    pub(crate) duplicates: f64,
    pub(crate) late: f64,
    pub(crate) bad: f64,
}

/// Calls `write` for every row of `plan`, in the order of the file.
pub(crate) fn run(
    plan: Plan,
    shares: Shares,
    shuffle: bool,
    mut write: impl FnMut(Placed) -> io::Result<()>,
) -> io::Result<()> {
    if !shuffle {
        return in_order(plan, shares, &mut write);
    }
    let mut rows = Vec::new();
    in_order(plan, shares, &mut |row| {
        rows.push(row);
        Ok(())
    })?;
    let mut random = Random::new(plan.seed, 3);
    for last in (1..rows.len()).rev() {
        rows.swap(last, random.below(last as u64 + 1) as usize);
    }
    rows.into_iter().try_for_each(write)
}

/// Rows held back until their time comes.
type Waiting = BinaryHeap<Reverse<(i64, Placed)>>;

fn in_order(plan: Plan, shares: Shares, write: &mut impl FnMut(Placed) -> io::Result<()>) -> io::Result<()> {
    let schedule = Schedule::new(plan);
    let select = |share: f64, stream| {
        Selection::new(
            Random::new(plan.seed, stream),
            (plan.events as f64 * share).round() as u64,
            plan.events,
        )
    };
    let (mut late, mut duplicates, mut bad) = (
        select(shares.late, 4),
        select(shares.duplicates, 5),
        select(shares.bad, 6),
    );
    let mut delays = Random::new(plan.seed, 7);
    let mut waiting = Waiting::new();
    let (mut index, mut bad_index) = (0, FIRST_BAD);
    for day in 0..plan.days as usize {
        let moments = schedule.day(day, index);
        index += moments.len() as u64;
        for moment in moments {
            release(&mut waiting, moment.at, write)?;
            let event = Placed {
                moment,
                kind: Kind::Event,
            };
            let from = if late.takes_next() {
                let release_at = moment.at + lateness(&mut delays);
                waiting.push(Reverse((release_at, event)));
                release_at
            } else {
                write(event)?;
                moment.at
            };
            if duplicates.takes_next() {
                let duplicate = Placed {
                    moment,
                    kind: Kind::Duplicate,
                };
                waiting.push(Reverse((from + repetition(&mut delays), duplicate)));
            }
            if bad.takes_next() {
                write(Placed {
                    moment: Moment {
                        index: bad_index,
                        ..moment
                    },
                    kind: Kind::Bad,
                })?;
                bad_index += 1;
            }
        }
    }
    release(&mut waiting, i64::MAX, write)
}

fn release(
    waiting: &mut Waiting,
    until: i64,
    write: &mut impl FnMut(Placed) -> io::Result<()>,
) -> io::Result<()> {
    while let Some(Reverse((at, _))) = waiting.peek() {
        if *at > until {
            return Ok(());
        }
        if let Some(Reverse((_, row))) = waiting.pop() {
            write(row)?;
        }
    }
    Ok(())
}

/// An hour to two weeks, mostly hours.
fn lateness(random: &mut Random) -> i64 {
    const HOUR: f64 = 3_600_000_000.0;
    (random.heavy_tailed(14.0 * 24.0) * HOUR) as i64
}

/// How much later a row comes again: seconds to a day.
fn repetition(random: &mut Random) -> i64 {
    const SECOND: f64 = 1_000_000.0;
    (random.heavy_tailed(86_400.0) * SECOND) as i64
}
