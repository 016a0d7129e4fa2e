//! The statements of ingest, one text each per database.

use crate::dialect::{ColumnType, Columns, Dialect};

pub(crate) const EVENT_COLUMNS: Columns = &[
    ("event_id", ColumnType::Uuid),
    ("user_id", ColumnType::Text),
    ("event_type", ColumnType::Text),
    ("occurred_at", ColumnType::BigInt),
    ("properties", ColumnType::Json),
    ("received_at", ColumnType::BigInt),
];
pub(crate) const ID_COLUMNS: Columns = &[("event_id", ColumnType::Uuid)];
pub(crate) const NAME_COLUMNS: Columns = &[("name", ColumnType::Text)];

/// Inserts events none of whose ids is known, or none at all: one known id is an error. Looking for known ones first, as
/// [`insert_events`] does, costs a third more.
pub(crate) fn insert_new_events(dialect: Dialect) -> String {
    format!("-- store: insert_new_events\n{}", insertion(dialect))
}

/// Inserts the events whose id is not known and returns their ids. `WHERE TRUE` keeps SQLite from reading `ON` as part
/// of a join.
pub(crate) fn insert_events(dialect: Dialect) -> String {
    format!(
        "-- store: insert_events
{}
WHERE TRUE
ON CONFLICT (event_id) DO NOTHING
RETURNING event_id",
        insertion(dialect)
    )
}

/// The same on SQLite for exactly this many events, each value a parameter: nothing is written as JSON and read again. The
/// parameters are without numbers, because the driver looks a numbered one up among all.
pub(crate) fn insert_event_rows(rows: usize) -> String {
    let rows = vec!["(?, ?, ?, ?, ?, ?)"; rows];
    format!(
        "-- store: insert_new_events
INSERT INTO events (event_id, user_id, event_type, occurred_at, properties, received_at)
VALUES {}",
        rows.join(",\n  ")
    )
}

fn insertion(dialect: Dialect) -> String {
    let new = dialect.rows("new", EVENT_COLUMNS);
    let properties = dialect.json("new.properties");
    format!(
        "INSERT INTO events (event_id, user_id, event_type, occurred_at, properties, received_at)
SELECT new.event_id, new.user_id, new.event_type, new.occurred_at, {properties}, new.received_at
FROM {new}"
    )
}

/// Reads the events with these ids.
pub(crate) fn stored_events(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", ID_COLUMNS);
    format!(
        "-- store: stored_events
SELECT events.event_id, events.user_id, events.event_type, events.occurred_at, events.properties, events.received_at
FROM {wanted}
JOIN events ON events.event_id = wanted.event_id"
    )
}

/// Counts the event types of this database.
pub(crate) const COUNT_TYPES: &str = "-- store: count_types
SELECT COUNT(*) AS types
FROM facets
WHERE kind = 'event_type'";

/// Which of these event types this database has.
pub(crate) fn known_types(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", NAME_COLUMNS);
    format!(
        "-- store: known_types
SELECT facets.name
FROM {wanted}
JOIN facets ON facets.kind = 'event_type' AND facets.name = wanted.name"
    )
}

/// Adds event types.
pub(crate) fn insert_types(dialect: Dialect) -> String {
    let new = dialect.rows("new", NAME_COLUMNS);
    let empty = dialect.no_bytes();
    format!(
        "-- store: insert_types
INSERT INTO facets (kind, name, seen, version)
SELECT 'event_type', new.name, {empty}, 0
FROM {new}
WHERE TRUE
ON CONFLICT DO NOTHING"
    )
}

#[cfg(test)]
mod tests {
    use super::{
        insert_event_rows, insert_events, insert_new_events, insert_types, known_types, stored_events,
    };
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let all = [
                insert_new_events(dialect),
                insert_events(dialect),
                stored_events(dialect),
                known_types(dialect),
                insert_types(dialect),
            ];
            insta::assert_snapshot!(format!("ingest_{name}"), all.join(";\n\n"));
        }
        insta::assert_snapshot!("ingest_sqlite_rows", insert_event_rows(2));
    }
}
