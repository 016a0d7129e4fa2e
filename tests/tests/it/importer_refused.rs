//! Rows that only the database can refuse: of users who were erased, of days that have expired.

use store::Store;
use tests::database::TestDatabase;
use tests::events::arrival;
use tests::questions::day;

use super::importer_program::{HEADER, Importing, event_id, row};
use crate::checks::verify_is_clean;
use crate::erase::erase;

on_both_databases!(
    rows_of_an_erased_user_are_rejected_and_can_be_mended,
    rows_of_expired_days_are_rejected_and_can_be_mended,
);

/// The row of `number`, whose user is bo.
fn of_bo(number: u32) -> String {
    row(number).replace(",ana,", ",bo,")
}

/// What the rejects file says of a row, behind which stands the row as it was.
fn check_reject(rejects: &str, said: [&str; 4], row: &str) {
    let [line, column, value, reason] = said;
    // Values are quoted only where they must be.
    let reason = if reason.contains(',') {
        format!("\"{reason}\"")
    } else {
        reason.to_owned()
    };
    let expected = format!("more.csv,{line},{column},{value},{reason},{row}");
    assert!(rejects.contains(&expected), "{expected}is not in\n{rejects}");
}

async fn is_clean_without(database: &TestDatabase, store: &Store, user: &str) {
    for table in ["events", "users"] {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE user_id = '{user}'");
        assert_eq!(database.number(&sql).await, 0, "{table}");
    }
    verify_is_clean(store).await;
}

async fn rows_of_an_erased_user_are_rejected_and_can_be_mended(database: TestDatabase) {
    let store = database.store().await;
    let importing = Importing::into_database(database.url());
    let before = HEADER.to_owned() + &row(1) + &of_bo(2);
    importing.write("before.csv", &before);
    importing.check(&["before.csv"], 0, [2, 0, 0, 0]);
    assert_eq!(erase(&store, "ana", true).await, 1);
    importing.write("more.csv", before + &row(3) + &of_bo(4));
    importing.check(&["more.csv", "--dry-run"], 1, [1, 1, 0, 2]);
    importing.check(&["more.csv", "--rejects", "bad.csv"], 1, [1, 1, 0, 2]);
    is_clean_without(&database, &store, "ana").await;
    let rejects = importing.read_text("bad.csv");
    let reason = "user_id names a user who was erased; later events of this user are refused (USER_ERASED)";
    for (line, number) in [("2", 1), ("4", 3)] {
        check_reject(&rejects, [line, "user_id", "ana", reason], &row(number));
    }
    importing.check(&["bad.csv"], 1, [0, 0, 0, 2]);
    importing.write("mended.csv", rejects.replace(",ana,open,", ",cy,open,"));
    importing.check(&["mended.csv"], 0, [2, 0, 0, 0]);
    let line = |number: u32, user: &str| {
        let id = event_id(number);
        format!(
            "{{\"event_id\":\"{id}\",\"user_id\":\"{user}\",\"event_type\":\"open\",\"occurred_at\":\"2026-03-01T08:30:00Z\"}}\n"
        )
    };
    importing.write("more.ndjson", line(5, "ana") + &line(6, "bo"));
    importing.check(&["more.ndjson", "--rejects", "bad.ndjson"], 1, [1, 0, 0, 1]);
    let rejects = importing.read_text("bad.ndjson");
    assert!(rejects.contains("(USER_ERASED)\""), "{rejects}");
    let mended = rejects.replace("\"user_id\":\"ana\"", "\"user_id\":\"cy\"");
    importing.write("mended.ndjson", mended);
    importing.check(&["mended.ndjson"], 0, [1, 0, 0, 0]);
    is_clean_without(&database, &store, "ana").await;
}

async fn rows_of_expired_days_are_rejected_and_can_be_mended(database: TestDatabase) {
    let store = database.store().await;
    let importing = Importing::into_database(database.url());
    let later = |number: u32| row(number).replace("2026-03-01T08:30:00Z", "2026-03-02T00:00:00Z");
    let before = HEADER.to_owned() + &row(1) + &later(2);
    importing.write("before.csv", &before);
    importing.check(&["before.csv"], 0, [2, 0, 0, 0]);
    let expired = store.expire(day("2026-03-02"), arrival(), |_| {}).await;
    assert_eq!(expired.expect("expiry works"), 1);
    importing.write("more.csv", before + &row(3) + &later(4));
    importing.check(&["more.csv", "--dry-run"], 1, [1, 1, 0, 2]);
    importing.check(&["more.csv", "--rejects", "bad.csv"], 1, [1, 1, 0, 2]);
    verify_is_clean(&store).await;
    let rejects = importing.read_text("bad.csv");
    let reason = "occurred_at lies before 2026-03-02; the events of earlier days have expired, and none is taken (TOO_OLD)";
    for (line, number) in [("2", 1), ("4", 3)] {
        let said = [line, "occurred_at", "2026-03-01T08:30:00Z", reason];
        check_reject(&rejects, said, &row(number));
    }
    importing.write(
        "mended.csv",
        rejects.replace(",open,2026-03-01T08:30:00Z,", ",open,2026-03-03T08:30:00Z,"),
    );
    importing.check(&["mended.csv"], 0, [2, 0, 0, 0]);
    verify_is_clean(&store).await;
    assert_eq!(database.number("SELECT COUNT(*) FROM events").await, 4);
}
