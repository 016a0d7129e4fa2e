//! The statements of erasure, one text each per database.

use crate::dialect::{ColumnType, Columns, Dialect};

pub(crate) const KEY_COLUMNS: Columns = &[("facet_id", ColumnType::Integer), ("day", ColumnType::Integer)];
pub(crate) const FACET_COLUMNS: Columns = &[("facet_id", ColumnType::Integer)];

/// Deletes the oldest events of a user from a moment on.
pub(crate) fn erase_events(dialect: Dialect) -> String {
    let oldest = dialect.one_of(
        "id",
        "
  SELECT id
  FROM events
  WHERE user_id = $1 AND occurred_at >= $2
  ORDER BY occurred_at
  LIMIT $3
",
    );
    format!(
        "-- store: erase_events
DELETE FROM events
WHERE {oldest}
RETURNING event_type, occurred_at"
    )
}

/// A user's ordinal.
pub(crate) const USER_NO: &str = "-- store: user_no
SELECT user_no
FROM users
WHERE user_id = $1";

/// Deletes a user's ordinal.
pub(crate) const ERASE_USER: &str = "-- store: erase_user
DELETE FROM users
WHERE user_no = $1";

/// Every facet and who was ever in it.
pub(crate) const SEEN_OF_ALL: &str = "-- store: seen_of_all
SELECT facet_id, kind, name, seen
FROM facets";

/// Everybody's active users on days before one.
pub(crate) const ACTIVE_BEFORE: &str = "-- store: active_before
SELECT activity.day, activity.active
FROM facets
JOIN activity ON activity.facet_id = facets.facet_id AND activity.day < $1
WHERE facets.kind = 'all'";

/// Reads rows with their sets.
pub(crate) fn rows_of_sets(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", KEY_COLUMNS);
    format!(
        "-- store: rows_of_sets
SELECT activity.facet_id, activity.day, activity.events, activity.active, activity.joined
FROM {wanted}
JOIN activity ON activity.facet_id = wanted.facet_id AND activity.day = wanted.day"
    )
}

/// Deletes rows of sets.
pub(crate) fn delete_rows(dialect: Dialect) -> String {
    let gone = dialect.rows("gone", KEY_COLUMNS);
    format!(
        "-- store: delete_rows
DELETE FROM activity
WHERE (facet_id, day) IN (SELECT gone.facet_id, gone.day FROM {gone})"
    )
}

/// Deletes facets.
pub(crate) fn delete_facets(dialect: Dialect) -> String {
    let gone = dialect.rows("gone", FACET_COLUMNS);
    format!(
        "-- store: delete_facets
DELETE FROM facets
WHERE facet_id IN (SELECT gone.facet_id FROM {gone})"
    )
}

#[cfg(test)]
mod tests {
    use super::{
        ACTIVE_BEFORE, ERASE_USER, SEEN_OF_ALL, USER_NO, delete_facets, delete_rows, erase_events,
        rows_of_sets,
    };
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let all = [
                erase_events(dialect),
                USER_NO.to_owned(),
                ERASE_USER.to_owned(),
                SEEN_OF_ALL.to_owned(),
                ACTIVE_BEFORE.to_owned(),
                rows_of_sets(dialect),
                delete_rows(dialect),
                delete_facets(dialect),
            ];
            insta::assert_snapshot!(format!("erase_{name}"), all.join(";\n\n"));
        }
    }
}
