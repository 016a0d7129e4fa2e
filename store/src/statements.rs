//! Statements told by their names, for those who count or time them.

use std::{fmt, sync::Arc, time::Duration};

use sea_orm::DatabaseConnection;

/// What the first line of every statement begins with; its name follows.
const NAMED: &str = "-- store: ";

/// Is told the name of each statement that a question runs and how long the database took. The names are a closed set.
#[derive(Clone)]
pub struct OnStatement(Arc<Listener>);

type Listener = dyn Fn(&str, Duration) + Send + Sync;

impl OnStatement {
    /// Calls `listener`, which must be quick: the answer waits for it.
    pub fn new(listener: impl Fn(&str, Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Listens to what runs on the connections of `pool` from now on.
    pub(crate) fn listen_to(self, pool: &mut DatabaseConnection) {
        pool.set_metric_callback(move |info| {
            if let Some(name) = name(&info.statement.sql) {
                (self.0)(name, info.elapsed);
            }
        });
    }
}

impl fmt::Debug for OnStatement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OnStatement(…)")
    }
}

/// The name of a statement; those of the database library have none.
fn name(sql: &str) -> Option<&str> {
    sql.strip_prefix(NAMED)?.lines().next()
}

#[cfg(test)]
mod tests {
    use super::name;
    use crate::frame::frame_sql;

    #[test]
    fn the_first_line_has_the_name() {
        assert_eq!(name(&frame_sql(crate::dialect::Dialect::Sqlite)), Some("frame"));
        assert_eq!(name("SELECT 1"), None);
    }
}
