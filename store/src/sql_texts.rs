//! Every statement of ingest, the fold and the questions, in the SQL of one database.

use crate::{
    activity_log, dialect::Dialect, event_types, events_sql::EventsSql, fold_sql, frame, ingest_sql,
    insertion::SQLITE_ROWS, moment, one_statement, ordinals, same_day, sets, users,
};

/// The statements of this store's database, made once.
pub(crate) struct SqlTexts {
    pub(crate) insert_new_events: String,
    pub(crate) insert_event_rows: String,
    pub(crate) insert_events: String,
    pub(crate) stored_events: String,
    pub(crate) insert_users: String,
    pub(crate) find_users: String,
    pub(crate) append_log: String,
    /// Of PostgreSQL alone.
    pub(crate) ingest_in_one: String,
    pub(crate) known_types: String,
    pub(crate) insert_types: String,
    pub(crate) take_log: String,
    pub(crate) facets_of_log: String,
    pub(crate) activity_from: String,
    pub(crate) write_activity: String,
    pub(crate) write_facets: String,
    pub(crate) moment: String,
    pub(crate) frame: String,
    pub(crate) day_sets: String,
    pub(crate) seen_sets: String,
    pub(crate) same_day: String,
    pub(crate) same_day_of_users: String,
    pub(crate) events: EventsSql,
    pub(crate) user_facts: String,
    pub(crate) event_types: String,
}

impl SqlTexts {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            insert_new_events: ingest_sql::insert_new_events(dialect),
            insert_event_rows: ingest_sql::insert_event_rows(SQLITE_ROWS),
            insert_events: ingest_sql::insert_events(dialect),
            stored_events: ingest_sql::stored_events(dialect),
            insert_users: ordinals::insert_users(dialect),
            find_users: ordinals::find_users(dialect),
            append_log: activity_log::append_log(dialect),
            ingest_in_one: one_statement::ingest_in_one(dialect),
            known_types: ingest_sql::known_types(dialect),
            insert_types: ingest_sql::insert_types(dialect),
            take_log: fold_sql::take_log(dialect),
            facets_of_log: fold_sql::facets_of_log(dialect),
            activity_from: fold_sql::activity_from(dialect),
            write_activity: fold_sql::write_activity(dialect),
            write_facets: fold_sql::write_facets(dialect),
            moment: moment::moment_sql(dialect),
            frame: frame::frame_sql(dialect),
            day_sets: sets::day_sets_sql(dialect),
            seen_sets: sets::seen_sets_sql(dialect),
            same_day: same_day::same_day_sql(dialect),
            same_day_of_users: same_day::same_day_of_users_sql(dialect),
            events: EventsSql::new(),
            user_facts: users::user_facts_sql(dialect),
            event_types: event_types::event_types_sql(dialect),
        }
    }
}
