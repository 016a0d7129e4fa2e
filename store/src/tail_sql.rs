//! The statements of the tail, for each database.

use crate::dialect::Dialect;

/// What there is to read at this moment.
///
/// SQLite: the highest id. PostgreSQL: the snapshot in which this statement sees the database, the highest id in it, and the
/// transactions that may hold a lower one: an insert locks its table before it takes an id, until the transaction ends.
pub(crate) fn tail_head(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => "-- store: tail_head
SELECT COALESCE(MAX(id), 0) AS highest
FROM events"
            .to_owned(),
        Dialect::Postgres => "-- store: tail_head
SELECT
  pg_current_snapshot()::text AS snapshot,
  pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next,
  (SELECT COALESCE(MAX(id), 0) FROM events) AS highest,
  (SELECT COALESCE(STRING_AGG(virtualtransaction, ','), '')
   FROM pg_locks
   WHERE locktype = 'relation' AND relation = 'events'::regclass
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND mode = 'RowExclusiveLock' AND granted) AS writing"
            .to_owned(),
    }
}

/// Reads a page of events by id.
///
/// SQLite: with an id after the first parameter, up to the second; ids are given in the order of commits. PostgreSQL: with an
/// id after the first parameter, whose transaction the snapshot of the second sees and that of the third did not see
/// yet. A row tells the lower 32 bits of its transaction's number; the upper ones follow from the next number to be given.
pub(crate) fn tail_page(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => "-- store: tail_page
SELECT id, event_id, user_id, event_type, occurred_at, properties, received_at
FROM events
WHERE id > $1 AND id <= $2
ORDER BY id
LIMIT $3"
            .to_owned(),
        Dialect::Postgres => "-- store: tail_page
SELECT id, event_id, user_id, event_type, occurred_at, properties, received_at
FROM (
  SELECT events.*, (next - MOD(next - events.xmin::text::bigint, 4294967296))::text::xid8 AS stored_by
  FROM events
  CROSS JOIN (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) AS present
  WHERE id > $1
) AS candidates
WHERE pg_visible_in_snapshot(stored_by, $2::text::pg_snapshot)
  AND NOT pg_visible_in_snapshot(stored_by, $3::text::pg_snapshot)
ORDER BY id
LIMIT $4"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{tail_head, tail_page};
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let all = [tail_head(dialect), tail_page(dialect)];
            insta::assert_snapshot!(format!("tail_{name}"), all.join(";\n\n"));
        }
    }
}
