//! Migrations: there and back again on both databases, and from several servers at once.

use migration::{Migrator, migrate};
use sea_orm::ConnectionTrait;
use sea_orm_migration::MigratorTrait;
use store::{Store, StoreError, StoreOptions};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};
use tokio::task::JoinSet;

use crate::checks::{ingest, verify_is_clean};

on_both_databases!(
    up_down_up_leaves_the_same_schema,
    migrating_again_changes_nothing,
    a_log_that_the_version_before_cannot_read_is_not_taken_back,
    a_row_of_the_log_has_an_ordinal_or_a_set,
);

/// Every table and index of ours, in the words of the database.
async fn schema(database: &TestDatabase) -> Vec<String> {
    let sql = match database.backend() {
        Backend::Sqlite => {
            "SELECT name || ': ' || sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'seaql_migrations' ORDER BY 1"
        }
        Backend::Postgres => {
            "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable \
                    || COALESCE(' ' || collation_name, '') \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'seaql_migrations' \
             UNION ALL \
             SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'seaql_migrations' \
             ORDER BY 1"
        }
    };
    let rows = database.rows(sql).await;
    rows.iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect()
}

async fn up_down_up_leaves_the_same_schema(database: TestDatabase) {
    let first = schema(&database).await;
    assert!(
        first.iter().any(|line| line.contains("activity_log")),
        "{first:#?}"
    );
    let connection = database.connect().await;
    Migrator::down(&connection, None)
        .await
        .expect("every migration can be taken back");
    assert_eq!(
        schema(&database).await,
        Vec::<String>::new(),
        "down leaves nothing behind"
    );
    migrate(&connection).await.expect("and applied again");
    assert_eq!(schema(&database).await, first);
    let store = database.store().await;
    store
        .ingest(numbered_events("after ", 5).iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    verify_is_clean(&store).await;
}

async fn migrating_again_changes_nothing(database: TestDatabase) {
    let store = database.store().await;
    store
        .ingest(numbered_events("kept ", 5).iter().map(Event::parsed).collect())
        .await
        .expect("ingest works");
    let before = schema(&database).await;
    migrate(&database.connect().await)
        .await
        .expect("nothing is pending");
    assert_eq!(schema(&database).await, before);
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 5);
}

async fn a_log_that_the_version_before_cannot_read_is_not_taken_back(database: TestDatabase) {
    let store = database.store().await;
    ingest(&store, "2026-03-01T08:00Z ana login\n2026-03-01T08:00Z bo login").await;
    let connection = database.connect().await;
    let error = Migrator::down(&connection, None)
        .await
        .expect_err("the log has a set");
    assert!(error.to_string().contains("so that the log is folded"), "{error}");
    migrate(&connection).await.expect("nothing was lost");
    verify_is_clean(&store).await;
    store.fold_all().await.expect("the fold works");
    store.close().await;
    Migrator::down(&connection, None)
        .await
        .expect("every migration can be taken back");
}

async fn a_row_of_the_log_has_an_ordinal_or_a_set(database: TestDatabase) {
    let empty = match database.backend() {
        Backend::Sqlite => "x''",
        Backend::Postgres => "'\\x'",
    };
    let connection = database.connect().await;
    for (user_no, users, is_row) in [
        ("5", "NULL", true),
        ("-1", empty, true),
        ("5", empty, false),
        ("-1", "NULL", false),
    ] {
        let sql = format!(
            "INSERT INTO activity_log (day, event_type, user_no, events, users) VALUES (1, 'login', {user_no}, 1, {users})"
        );
        let inserted = connection.execute_unprepared(&sql).await;
        assert_eq!(inserted.is_ok(), is_row, "{sql}: {inserted:?}");
    }
    // As a server of the version before appends.
    let sql = "INSERT INTO activity_log (day, event_type, user_no, events) VALUES (1, 'login', 0, 1)";
    connection.execute_unprepared(sql).await.expect("a row");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_servers_migrate_an_empty_postgres_at_once() {
    four_at_once(&TestDatabase::empty(Backend::Postgres).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_servers_migrate_an_empty_sqlite_at_once() {
    four_at_once(&TestDatabase::empty(Backend::Sqlite).await).await;
}

async fn four_at_once(database: &TestDatabase) {
    let mut servers = JoinSet::new();
    for _ in 0..4 {
        let url = database.url().to_owned();
        servers.spawn(async move {
            let connection = store::connect(&url)
                .await
                .expect("the database takes connections");
            migrate(&connection).await.expect("migrations apply");
            Store::open(StoreOptions::new(url))
                .await
                .expect("the store opens")
        });
    }
    let stores = servers.join_all().await;
    for (number, store) in stores.iter().enumerate() {
        let events = numbered_events(&format!("server {number} "), 3);
        store
            .ingest(events.iter().map(Event::parsed).collect())
            .await
            .expect("ingest works");
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 12);
    assert_eq!(
        database.number("SELECT COUNT(*) FROM seaql_migrations").await as usize,
        Migrator::migrations().len()
    );
    verify_is_clean(&stores[0]).await;
}

#[tokio::test]
async fn a_store_without_tables_says_what_to_run() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let database = TestDatabase::empty(backend).await;
        let error = Store::open(StoreOptions::new(database.url()))
            .await
            .err()
            .expect("there are no tables");
        assert!(
            matches!(&error, StoreError::Mismatch(text) if text.contains("kohorta migrate")),
            "{error:?}"
        );
    }
}
