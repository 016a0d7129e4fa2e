//! The statements of the fold, one text each per database.

use crate::{
    dialect::{ColumnType, Columns, Dialect},
    ingest_sql::NAME_COLUMNS,
};

/// What a row of the log takes in memory beside its set, roughly.
pub(crate) const ROW_BYTES: u64 = 64;

pub(crate) const FROM_COLUMNS: Columns = &[("facet_id", ColumnType::Integer), ("day", ColumnType::Integer)];
pub(crate) const ACTIVITY_COLUMNS: Columns = &[
    ("facet_id", ColumnType::Integer),
    ("day", ColumnType::Integer),
    ("events", ColumnType::BigInt),
    ("users", ColumnType::BigInt),
    ("new_users", ColumnType::BigInt),
    ("active", ColumnType::Bytes),
    ("joined", ColumnType::Bytes),
];
pub(crate) const SEEN_COLUMNS: Columns = &[("facet_id", ColumnType::Integer), ("seen", ColumnType::Bytes)];

/// Takes the oldest rows from the log: so many at most, and none that stands behind so many bytes. A row is as large as its set,
/// and [`ROW_BYTES`] besides. They are all up to the last of them, which needs no join: on a log that was empty when PostgreSQL
/// planned the statement it chose one that compared every row with every other.
pub(crate) fn take_log(_: Dialect) -> String {
    format!(
        "-- store: take_log
DELETE FROM activity_log
WHERE seq <= (
  SELECT MAX(measured.seq)
  FROM (
    SELECT oldest.seq, oldest.bytes, SUM(oldest.bytes) OVER (ORDER BY oldest.seq) AS up_to
    FROM (
      SELECT seq, {ROW_BYTES} + COALESCE(LENGTH(users), 0) AS bytes
      FROM activity_log
      ORDER BY seq
      LIMIT $1
    ) AS oldest
  ) AS measured
  WHERE measured.up_to - measured.bytes < $2
)
RETURNING day, event_type, user_no, events, users"
    )
}

/// The facet of everybody and those of some event types.
pub(crate) fn facets_of_log(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", NAME_COLUMNS);
    format!(
        "-- store: facets_of_log
SELECT facet_id, kind, name, version
FROM facets
WHERE kind = 'all' OR (kind = 'event_type' AND name IN (SELECT wanted.name FROM {wanted}))"
    )
}

/// The rows of some facets from a day on, without their sets.
pub(crate) fn activity_from(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", FROM_COLUMNS);
    format!(
        "-- store: activity_from
SELECT activity.facet_id, activity.day, activity.events, activity.version
FROM {wanted}
JOIN activity ON activity.facet_id = wanted.facet_id AND activity.day >= wanted.day"
    )
}

/// The next number of a fold.
pub(crate) const NEXT_FOLD: &str = "-- store: next_fold
UPDATE settings
SET value = CAST(CAST(value AS bigint) + 1 AS text)
WHERE key = 'fold'
RETURNING value";

/// Writes rows of sets, in place of those that are there.
pub(crate) fn write_activity(dialect: Dialect) -> String {
    let new = dialect.rows("new", ACTIVITY_COLUMNS);
    let version = dialect.parameter(ACTIVITY_COLUMNS, 0);
    let version = match dialect {
        Dialect::Sqlite => version,
        Dialect::Postgres => format!("{version}::bigint"),
    };
    format!(
        "-- store: write_activity
INSERT INTO activity (facet_id, day, events, users, new_users, active, joined, version)
SELECT new.facet_id, new.day, new.events, new.users, new.new_users, new.active, new.joined, {version}
FROM {new}
WHERE TRUE
ON CONFLICT (facet_id, day) DO UPDATE
SET events = excluded.events,
    users = excluded.users,
    new_users = excluded.new_users,
    active = excluded.active,
    joined = excluded.joined,
    version = excluded.version"
    )
}

/// Writes who was ever seen in some facets.
pub(crate) fn write_facets(dialect: Dialect) -> String {
    let new = dialect.rows("new", SEEN_COLUMNS);
    let version = dialect.parameter(SEEN_COLUMNS, 0);
    format!(
        "-- store: write_facets
UPDATE facets
SET seen = new.seen,
    version = {version}
FROM {new}
WHERE facets.facet_id = new.facet_id"
    )
}

#[cfg(test)]
mod tests {
    use super::{NEXT_FOLD, activity_from, facets_of_log, take_log, write_activity, write_facets};
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let all = [
                take_log(dialect),
                facets_of_log(dialect),
                activity_from(dialect),
                NEXT_FOLD.to_owned(),
                write_activity(dialect),
                write_facets(dialect),
            ];
            insta::assert_snapshot!(format!("fold_{name}"), all.join(";\n\n"));
        }
    }
}
