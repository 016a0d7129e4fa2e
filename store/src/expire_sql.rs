//! The statements of expiry, one text each per database.

use crate::dialect::Dialect;

/// Counts the events before a moment.
pub(crate) const EXPIRABLE: &str = "-- store: expirable
SELECT COUNT(*) AS events
FROM events
WHERE occurred_at < $1";

/// Deletes the oldest events of everybody between two moments.
pub(crate) fn expire_events(dialect: Dialect) -> String {
    let oldest = dialect.one_of(
        "id",
        "
  SELECT id
  FROM events
  WHERE occurred_at >= $1 AND occurred_at < $2
  ORDER BY occurred_at
  LIMIT $3
",
    );
    format!(
        "-- store: expire_events
DELETE FROM events
WHERE {oldest}
RETURNING occurred_at"
    )
}

#[cfg(test)]
mod tests {
    use super::{EXPIRABLE, expire_events};
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let all = [EXPIRABLE.to_owned(), expire_events(dialect)];
            insta::assert_snapshot!(format!("expire_{name}"), all.join(";\n\n"));
        }
    }
}
