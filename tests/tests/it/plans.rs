//! What reads `events` does so by an index, on both databases: the cost of an answer must not follow the number of
//! stored events. The statements are those of the store's snapshots.

use sea_orm::{ConnectionTrait, Statement, TransactionTrait, Value};
use tests::database::{Backend, TestDatabase};
use tests::events::{Event, numbered_events};
use uuid::Uuid;

on_both_databases!(
    the_order_on_a_day_is_read_by_type_and_time,
    the_order_of_a_user_is_read_by_user_and_time,
    events_of_known_ids_are_read_by_id,
    the_tail_is_read_by_id,
    a_users_events_are_erased_by_user_and_time,
    old_events_expire_by_time,
    pages_of_events_are_read_by_time,
    pages_of_a_users_events_are_read_by_user,
    facts_of_users_are_read_by_user,
    events_that_pass_are_read_by_time_or_type,
    whether_users_passed_before_is_read_by_user,
);

const SAME_DAY: [&str; 2] = [
    include_str!("../../../store/src/snapshots/store__same_day__tests__same_day_sqlite.snap"),
    include_str!("../../../store/src/snapshots/store__same_day__tests__same_day_postgres.snap"),
];
const INGEST: [&str; 2] = [
    include_str!("../../../store/src/snapshots/store__ingest_sql__tests__ingest_sqlite.snap"),
    include_str!("../../../store/src/snapshots/store__ingest_sql__tests__ingest_postgres.snap"),
];

const TAIL: [&str; 2] = [
    include_str!("../../../store/src/snapshots/store__tail_sql__tests__tail_sqlite.snap"),
    include_str!("../../../store/src/snapshots/store__tail_sql__tests__tail_postgres.snap"),
];
const EVENTS: [&str; 2] =
    [include_str!("../../../store/src/snapshots/store__events_sql__tests__events.snap"); 2];
const USERS: [&str; 2] = [
    include_str!("../../../store/src/snapshots/store__users__tests__users_sqlite.snap"),
    include_str!("../../../store/src/snapshots/store__users__tests__users_postgres.snap"),
];

const ERASE: [&str; 2] = [
    include_str!("../../../store/src/snapshots/store__erase_sql__tests__erase_sqlite.snap"),
    include_str!("../../../store/src/snapshots/store__erase_sql__tests__erase_postgres.snap"),
];
const EXPIRE: [&str; 2] = [
    include_str!("../../../store/src/snapshots/store__expire_sql__tests__expire_sqlite.snap"),
    include_str!("../../../store/src/snapshots/store__expire_sql__tests__expire_postgres.snap"),
];

const PASSING: [&str; 2] = [
    include_str!("../../../store/src/snapshots/store__passing__tests__passing_sqlite.snap"),
    include_str!("../../../store/src/snapshots/store__passing__tests__passing_postgres.snap"),
];

/// The statement of this name in the snapshot of the database's dialect.
fn statement(database: &TestDatabase, snapshots: [&'static str; 2], name: &str) -> &'static str {
    let snapshot = match database.backend() {
        Backend::Sqlite => snapshots[0],
        Backend::Postgres => snapshots[1],
    };
    let start = snapshot
        .find(&format!("-- store: {name}\n"))
        .expect("the statement");
    let rest = &snapshot[start..];
    rest.split(";\n\n").next().unwrap_or(rest)
}

/// As [`statement`], the last one of this name: that of a filter on event types as well.
fn narrowed_statement(database: &TestDatabase, snapshots: [&'static str; 2], name: &str) -> &'static str {
    let snapshot = match database.backend() {
        Backend::Sqlite => snapshots[0],
        Backend::Postgres => snapshots[1],
    };
    let start = snapshot
        .rfind(&format!("-- store: {name}\n"))
        .expect("the statement");
    let rest = &snapshot[start..];
    rest.split(";\n\n").next().unwrap_or(rest)
}

/// SQLite's plan for a statement with these values.
async fn sqlite_plan(database: &TestDatabase, sql: &str, values: Vec<Value>) -> String {
    let connection = database.connect().await;
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), explain, values);
    let rows = connection.query_all_raw(statement).await.expect("a plan");
    let lines: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(3).expect("a text"))
        .collect();
    lines.join("\n")
}

/// PostgreSQL's plan for a statement with parameters of these types and values, where scanning is not worth it: the
/// tables of tests are so small that it always would be.
async fn postgres_plan(database: &TestDatabase, sql: &str, types: &str, values: &str) -> String {
    let connection = database.connect().await;
    let transaction = connection.begin().await.expect("a transaction");
    for statement in [
        "SET LOCAL enable_seqscan = off",
        &format!("PREPARE question ({types}) AS {sql}"),
    ] {
        transaction
            .execute_unprepared(statement)
            .await
            .expect("a statement");
    }
    let explain = format!("EXPLAIN EXECUTE question ({values})");
    let statement = Statement::from_string(connection.get_database_backend(), explain);
    let rows = transaction.query_all_raw(statement).await.expect("a plan");
    let lines: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect();
    lines.join("\n")
}

async fn the_order_on_a_day_is_read_by_type_and_time(database: TestDatabase) {
    let sql = statement(&database, SAME_DAY, "same_day");
    let plan = match database.backend() {
        Backend::Sqlite => {
            let values = vec!["[[0,0,86400000000]]".into(), "signup".into(), "open".into()];
            sqlite_plan(&database, sql, values).await
        }
        Backend::Postgres => {
            let types = "integer[], bigint[], bigint[], text, text";
            postgres_plan(
                &database,
                sql,
                types,
                "'{0}', '{0}', '{86400000000}', 'signup', 'open'",
            )
            .await
        }
    };
    assert!(plan.contains("events_by_type"), "{plan}");
    assert!(
        !plan.contains("SCAN events") && !plan.contains("Seq Scan on events"),
        "{plan}"
    );
}

async fn the_order_of_a_user_is_read_by_user_and_time(database: TestDatabase) {
    let sql = statement(&database, SAME_DAY, "same_day_of_users");
    let plan = match database.backend() {
        Backend::Sqlite => {
            let values = vec!["[[0,0,86400000000,7]]".into(), "signup".into(), "open".into()];
            sqlite_plan(&database, sql, values).await
        }
        Backend::Postgres => {
            let types = "integer[], bigint[], bigint[], bigint[], text, text";
            let values = "'{0}', '{0}', '{86400000000}', '{7}', 'signup', 'open'";
            postgres_plan(&database, sql, types, values).await
        }
    };
    assert!(plan.contains("events_by_user"), "{plan}");
    assert!(!plan.contains("events_by_type"), "{plan}");
}

async fn events_of_known_ids_are_read_by_id(database: TestDatabase) {
    let sql = statement(&database, INGEST, "stored_events");
    let plan = match database.backend() {
        Backend::Sqlite => {
            let values = vec![format!("[[\"{}\"]]", "0".repeat(32)).into()];
            sqlite_plan(&database, sql, values).await
        }
        Backend::Postgres => {
            let id = "'{00000000-0000-0000-0000-000000000000}'";
            postgres_plan(&database, sql, "uuid[]", id).await
        }
    };
    assert!(plan.contains("event"), "{plan}");
    assert!(
        !plan.contains("SCAN events") && !plan.contains("Seq Scan on events"),
        "{plan}"
    );
}

async fn the_tail_is_read_by_id(database: TestDatabase) {
    let sql = statement(&database, TAIL, "tail_page");
    let plan = match database.backend() {
        Backend::Sqlite => sqlite_plan(&database, sql, vec![7.into(), 9.into(), 250.into()]).await,
        Backend::Postgres => {
            let values = "7, '700:700:', '600:600:', 250";
            postgres_plan(&database, sql, "bigint, text, text, bigint", values).await
        }
    };
    assert!(
        plan.contains("PRIMARY KEY") || plan.contains("events_pkey"),
        "{plan}"
    );
    assert!(
        !plan.contains("SCAN events") && !plan.contains("Seq Scan on events"),
        "{plan}"
    );
}

async fn a_users_events_are_erased_by_user_and_time(database: TestDatabase) {
    let sql = statement(&database, ERASE, "erase_events");
    let plan = match database.backend() {
        Backend::Sqlite => {
            let values = vec!["ana".into(), 0_i64.into(), 10_i64.into()];
            sqlite_plan(&database, sql, values).await
        }
        Backend::Postgres => postgres_plan(&database, sql, "text, bigint, bigint", "'ana', 0, 10").await,
    };
    assert!(plan.contains("events_by_user"), "{plan}");
    assert!(
        !plan.contains("SCAN events") && !plan.contains("Seq Scan on events") && !plan.contains("Sort"),
        "{plan}"
    );
}

/// An instant behind every event: a range that holds them all.
const FAR: i64 = 9_000_000_000_000_000;

async fn old_events_expire_by_time(database: TestDatabase) {
    store_some_events(&database, "expire").await;
    let sql = statement(&database, EXPIRE, "expire_events");
    let plan = match database.backend() {
        Backend::Sqlite => {
            let values = vec![0_i64.into(), FAR.into(), 10_i64.into()];
            sqlite_plan(&database, sql, values).await
        }
        Backend::Postgres => {
            postgres_plan(&database, sql, "bigint, bigint, bigint", &format!("0, {FAR}, 10")).await
        }
    };
    assert!(plan.contains("events_by_time"), "{plan}");
    assert!(
        !plan.contains("SCAN events") && !plan.contains("Seq Scan on events") && !plan.contains("Sort"),
        "{plan}"
    );
}

/// Some events to choose from: on an empty table PostgreSQL sorts the two rows that it expects.
async fn store_some_events(database: &TestDatabase, name: &str) {
    let store = database.store().await;
    let events = numbered_events(name, 3_000);
    let stored = store.ingest(events.iter().map(Event::parsed).collect());
    stored.await.expect("ingest works");
    if database.backend() == Backend::Postgres {
        database.execute("ANALYZE events").await;
    }
}

/// The plan for a page of events between two places, for one user where `user` says so, with some events to choose from.
async fn page_plan(database: &TestDatabase, name: &str, user: bool) -> String {
    store_some_events(database, name).await;
    let sql = statement(database, EVENTS, name);
    match database.backend() {
        Backend::Sqlite => {
            let (least, most) = (vec![0_u8; 16], vec![255_u8; 16]);
            let mut values: Vec<Value> = vec![
                0_i64.into(),
                least.into(),
                i64::MAX.into(),
                most.into(),
                51_i64.into(),
            ];
            values.extend(user.then(|| "ana".into()));
            sqlite_plan(database, sql, values).await
        }
        Backend::Postgres => {
            let (id, most) = (Uuid::nil(), Uuid::max());
            let (types, values) = if user { (", text", ", 'ana'") } else { ("", "") };
            postgres_plan(
                database,
                sql,
                &format!("bigint, uuid, bigint, uuid, bigint{types}"),
                &format!("0, '{id}', 1800000000000000, '{most}', 51{values}"),
            )
            .await
        }
    }
}

async fn pages_of_events_are_read_by_time(database: TestDatabase) {
    for name in ["events_newest_first", "events_oldest_first"] {
        let plan = page_plan(&database, name, false).await;
        assert!(plan.contains("events_by_time"), "{name}: {plan}");
        assert!(
            !plan.contains("Sort") && !plan.contains("TEMP B-TREE"),
            "the index has the order: {plan}"
        );
    }
}

async fn pages_of_a_users_events_are_read_by_user(database: TestDatabase) {
    for name in ["user_events_newest_first", "user_events_oldest_first"] {
        let plan = page_plan(&database, name, true).await;
        assert!(plan.contains("events_by_user"), "{name}: {plan}");
        assert!(
            !plan.contains("FOR ORDER BY"),
            "only events of the same time are sorted: {plan}"
        );
    }
}

async fn facts_of_users_are_read_by_user(database: TestDatabase) {
    let sql = statement(&database, USERS, "user_facts");
    let plan = match database.backend() {
        Backend::Sqlite => sqlite_plan(&database, sql, vec![r#"[["ana"]]"#.into()]).await,
        Backend::Postgres => postgres_plan(&database, sql, "text[]", "'{ana}'").await,
    };
    assert_eq!(plan.matches("events_by_user").count(), 3, "{plan}");
    assert!(
        !plan.contains("SCAN events") && !plan.contains("Seq Scan on events"),
        "{plan}"
    );
}

async fn events_that_pass_are_read_by_time_or_type(database: TestDatabase) {
    for (name, narrowed, index) in [
        ("passing_days", false, "events_by_time"),
        ("passing_days", true, "events_by_type"),
        ("passing_types", false, "events_by_time"),
        ("passing_types", true, "events_by_type"),
    ] {
        let sql = if narrowed {
            narrowed_statement(&database, PASSING, name)
        } else {
            statement(&database, PASSING, name)
        };
        let of_days = name == "passing_days";
        let plan = match database.backend() {
            Backend::Sqlite => {
                let mut values: Vec<Value> = if of_days {
                    vec!["[[0,0,86400000000]]".into()]
                } else {
                    vec![0_i64.into(), 86_400_000_000_i64.into()]
                };
                if narrowed {
                    values.push("[\"buy\"]".into());
                }
                values.extend(["$.\"plan\"".into(), "\"pro\"".into()]);
                sqlite_plan(&database, sql, values).await
            }
            Backend::Postgres => {
                let (types, values) = if of_days {
                    ("integer[], bigint[], bigint[]", "'{0}', '{0}', '{86400000000}'")
                } else {
                    ("bigint, bigint", "0, 86400000000")
                };
                let (narrow_type, narrow_value) = if narrowed {
                    (", text[]", ", '{buy}'")
                } else {
                    ("", "")
                };
                let types = format!("{types}{narrow_type}, text, text");
                let values = format!("{values}{narrow_value}, 'plan', '\"pro\"'");
                postgres_plan(&database, sql, &types, &values).await
            }
        };
        // An empty table has no statistics: PostgreSQL may find the time as good as the type.
        let found =
            plan.contains(index) || (database.backend() == Backend::Postgres && plan.contains("events_by_t"));
        assert!(found, "{name}: {plan}");
        assert!(
            !plan.contains("SCAN events") && !plan.contains("Seq Scan on events"),
            "{name}: {plan}"
        );
    }
}

async fn whether_users_passed_before_is_read_by_user(database: TestDatabase) {
    for narrowed in [false, true] {
        let sql = if narrowed {
            narrowed_statement(&database, PASSING, "passing_earlier")
        } else {
            statement(&database, PASSING, "passing_earlier")
        };
        let plan = match database.backend() {
            Backend::Sqlite => {
                let mut values: Vec<Value> = vec!["[[0]]".into(), 86_400_000_000_i64.into()];
                if narrowed {
                    values.push("[\"buy\"]".into());
                }
                values.extend(["$.\"plan\"".into(), "\"pro\"".into()]);
                sqlite_plan(&database, sql, values).await
            }
            Backend::Postgres => {
                let (narrow_type, narrow_value) = if narrowed {
                    (", text[]", ", '{buy}'")
                } else {
                    ("", "")
                };
                let types = format!("bigint[], bigint{narrow_type}, text, text");
                let values = format!("'{{0}}', 86400000000{narrow_value}, 'plan', '\"pro\"'");
                postgres_plan(&database, sql, &types, &values).await
            }
        };
        if database.backend() == Backend::Sqlite {
            assert!(plan.contains("events_by_user"), "{plan}");
        }
        assert!(
            !plan.contains("SCAN events") && !plan.contains("Seq Scan on events"),
            "{plan}"
        );
    }
}
