//! The integration tests of Kohorta: one binary, one module per subject.
//!
//! Tests of the store run on both databases, each in one of its own: [`on_both_databases`] makes `sqlite::name` and
//! `postgres::name` of a function.

/// Makes two tests of each named function of the calling module, which takes an empty migrated `TestDatabase`.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        on_both_databases!(@backend sqlite Sqlite $($test)+);
        on_both_databases!(@backend postgres Postgres $($test)+);
    };
    (@backend $module:ident $backend:ident $($test:ident)+) => {
        mod $module {
            use tests::database::{Backend, TestDatabase};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(TestDatabase::migrated(Backend::$backend).await).await;
                }
            )+
        }
    };
}

mod active_users;
mod app;
mod backup;
mod bad_input;
mod checkpoints;
mod checks;
mod concurrency;
mod containers;
mod cursors;
mod docs;
mod edges;
mod erase;
mod erase_api;
mod event_stream;
mod events;
mod examples;
mod expire;
mod expire_killed;
mod export;
mod export_cut;
mod faults;
mod faults_postgres;
mod faults_soak;
mod faults_sqlite;
mod faults_stop;
mod faults_together;
mod filter;
mod filtered;
mod fold;
mod graphql_answers;
mod graphql_events;
mod graphql_ingest;
mod house;
mod http;
mod importer_away;
mod importer_databases;
mod importer_files;
mod importer_generator;
mod importer_program;
mod importer_refused;
mod importer_rejects;
mod ingest;
mod insertion;
mod interleaved;
mod keys;
mod keys_program;
mod known_ingest;
mod live;
mod machinery;
mod memory;
mod migrations;
mod moments;
mod one_statement;
mod operate;
mod ordinals;
mod plans;
mod program;
mod promises;
mod retention;
mod sessions;
mod streams;
mod supply;
mod tail;
mod timezone;
mod top_events;
mod traces;
mod upgrade;
mod verify;
mod websocket;
mod writer;
