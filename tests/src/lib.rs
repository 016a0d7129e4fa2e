//! The machinery of the integration tests, and of the two programs that anybody can run against a server.
//!
//! - [`database`]: an empty or migrated database of its own for each test, SQLite or PostgreSQL.
//! - [`cluster`], [`shared_cluster`]: throw-away PostgreSQL clusters; one serves all the tests of a run.
//! - [`events`], [`streams`]: events written as lines of text, and random ones.
//! - [`filters`]: random filters, and properties that break what is not careful.
//! - [`questions`]: the questions to a store in one line each.
//! - [`oracle`]: what every number should be, by the dumbest recount that follows `docs/analytics.md`.
//! - [`http`], [`download`], [`socket`], [`kohorta`]: clients, and the real program started as a process.
//! - [`proxy`]: a network between a server and its database that can be cut, slowed down and stalled.
//! - [`small_disk`]: a file system that is full when a test wants it to be.
//! - [`ledger`], [`load`]: senders that do what a client should do, and what must be true of what they sent.
//! - [`markdown`]: the blocks of code in the documentation, to be run.
//! - [`chaos`]: the run that kills a server under load and counts what is left.
//! - [`soak`], [`soak_world`]: the long run with random faults.
//!
//! Nothing here is part of the product. What is missing on the machine is an error that says how to get it, never
//! a test that is skipped.

pub mod chaos;
pub mod cluster;
pub mod database;
pub mod download;
pub mod events;
pub mod filters;
pub mod http;
pub mod kohorta;
pub mod ledger;
pub mod load;
pub mod markdown;
pub mod oracle;
pub mod programs;
pub mod proxy;
pub mod questions;
pub mod shared_cluster;
pub mod small_disk;
pub mod soak;
pub mod soak_import;
pub mod soak_report;
pub mod soak_world;
pub mod socket;
pub mod streams;
