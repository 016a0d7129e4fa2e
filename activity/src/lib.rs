//! The pure core of Kohorta: sets of users per day, the fold that keeps them, and the arithmetic of every analytic.
//!
//! No I/O, no async, no clock and no SQL: "now" is passed in. What each number means is in `docs/analytics.md`; a
//! function here does exactly that and is tested against a naive recount on random data.

pub mod active_users;
pub mod calendar;
pub mod erase;
pub mod fold;
pub mod recount;
pub mod retention;
pub mod reuse;
pub mod set;
pub mod top_events;
