//! The tables of Kohorta as SeaORM entities: what the columns are called and which Rust type they hold.
//!
//! No logic and no GraphQL. The DDL is in the crate `migration`. Instants are microseconds since 1970 in UTC, days are
//! days since 1970-01-01, sets are Roaring bitmaps of `user_no` in the portable format.

pub mod activity;
pub mod activity_log;
pub mod api_key;
pub mod erasure;
pub mod event;
pub mod facet;
pub mod setting;
pub mod user;
