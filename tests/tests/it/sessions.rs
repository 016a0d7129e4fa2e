//! What holds on the connections that a store really uses, on PostgreSQL: read by the database itself, in the sessions that
//! write and ask, because a setting that was sent to another connection protects nobody.

use std::time::Duration;

use store::{Store, StoreOptions};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};

const SETTINGS: [&str; 6] = [
    "synchronous_commit",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "plan_cache_mode",
    "application_name",
];

/// Makes the database write down its settings whenever somebody stores an event or reads the store's settings.
async fn spied(database: &TestDatabase) {
    let settings = SETTINGS
        .map(|name| format!("current_setting('{name}')"))
        .join(" || ' ' || ");
    for statement in [
        "CREATE TABLE spied (who text, said text)".to_owned(),
        format!(
            "CREATE FUNCTION spy(who text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS \
             $$ BEGIN INSERT INTO spied VALUES (who, {settings}); RETURN true; END $$"
        ),
        "CREATE FUNCTION spy_on_writer() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM spy('writer'); RETURN NEW; END $$"
            .to_owned(),
        "CREATE TRIGGER spy BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION spy_on_writer()".to_owned(),
    ] {
        database.execute(&statement).await;
    }
}

/// From now on reading the settings is noticed as well.
async fn spied_on_readers(database: &TestDatabase) {
    for statement in [
        "ALTER TABLE settings RENAME TO real_settings",
        "CREATE VIEW settings AS SELECT * FROM real_settings WHERE spy('reader')",
    ] {
        database.execute(statement).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_postgresql_are_set_as_promised() {
    let database = TestDatabase::migrated(Backend::Postgres).await;
    let options = StoreOptions {
        question_timeout: Duration::from_secs(7),
        ..StoreOptions::new(database.url())
    };
    let store = Store::open(options).await.expect("the store opens");
    spied(&database).await;
    let events = numbered_events("session ", 3);
    let stored = store.ingest(events.iter().map(Event::parsed).collect()).await;
    assert!(stored.is_ok(), "{stored:?}");
    spied_on_readers(&database).await;
    store.ping(Duration::from_secs(5)).await.expect("the store reads");
    for (who, expected) in [
        ("writer", "on 5s 5s 10s force_generic_plan kohorta"),
        ("reader", "on 7s 7s 10s auto kohorta"),
    ] {
        let all = format!("SELECT COUNT(*) FROM spied WHERE who = '{who}'");
        let right = format!("{all} AND said = '{expected}'");
        let (all, right) = (database.number(&all).await, database.number(&right).await);
        assert!(all > 0 && all == right, "{who}: {right} of {all} are {expected}");
    }
}
