//! The ordinals of users, and those that this process remembers, so that a known user costs ingest no statement.
//!
//! What is logged under an ordinal must be its user's, and hardly anything is as hard to mend as a log that says otherwise. So
//! what is remembered is never believed: the statement that appends to the log looks every ordinal up by its number, which
//! takes a fraction of looking names up and making sure that they are there, and writes nothing unless each has the name that
//! it is used for. Then the transaction is rolled back and runs once more, with the log locked from the start and all
//! ordinals read.
//!
//! Why that is enough, whatever happens meanwhile:
//! - **An erasure**, by this server or another, deletes the row of `users` under the lock on the log (SQLite: the write lock).
//!   The append has that lock before it looks (PostgreSQL: a statement has its locks before its snapshot) and keeps it to the
//!   end of its transaction. If the erasure was first, the append sees that the generation is another, and that the row is gone or
//!   another user's (SQLite gives the highest ordinal again). If the append is first, the erasure waits for its commit, and
//!   finds in the log what it has appended.
//! - **A rollback** of the transaction that made an ordinal: it is remembered after the commit, not before.
//! - **A rebuild** gives ordinals to users who have none and changes no other.
//! - **A database that goes back in time**, restored or left behind by a failover: ordinals of users from after that time are
//!   nobody's or somebody else's, which the append sees, and those from before are right.

use std::collections::{BTreeSet, HashMap};

use quick_cache::{Weighter, sync::Cache};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::{
    Store,
    dialect::{Column, ColumnType, Columns, Dialect},
    error::StoreError,
    fold::ordinal,
};

/// The bound of what is remembered: some 120,000 users with a UUID for a name. Those who send events these days are what
/// must fit, of however many users there are in all; for the others the database is asked, as for everybody at first.
const REMEMBERED_BYTES: u64 = 16 * 1024 * 1024;
/// What an entry takes beside the user's name: key and value, the name's allocation, places in tables that have room to grow.
const ENTRY_BYTES: u64 = 96;

pub(crate) const USER_COLUMNS: Columns = &[("user_id", ColumnType::Text)];
pub(crate) const ORDINAL_COLUMNS: Columns = &[("user_no", ColumnType::BigInt), ("user_id", ColumnType::Text)];

/// Whether ordinals are taken from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Those that are remembered.
    Used,
    /// None: every one is read from the database.
    Unused,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, u32> for ByBytes {
    fn weight(&self, user_id: &Box<str>, _: &u32) -> u64 {
        user_id.len() as u64 + ENTRY_BYTES
    }
}

/// The ordinals that this process remembers.
pub(crate) struct Ordinals {
    by_user: Cache<Box<str>, u32, ByBytes>,
}

impl Ordinals {
    pub(crate) fn new() -> Self {
        // Names of some forty bytes; it is an estimate and no bound.
        let entries = usize::try_from(REMEMBERED_BYTES / (ENTRY_BYTES + 40)).unwrap_or(usize::MAX);
        Self {
            by_user: Cache::with_weighter(entries, REMEMBERED_BYTES, ByBytes),
        }
    }

    /// Remembers the ordinals that a transaction has read or made, which is committed.
    pub(crate) fn remember(&self, users: &UserOrdinals<'_>) {
        for user_id in &users.asked_for {
            if let Some(user_no) = users.of(user_id) {
                self.by_user.insert((*user_id).into(), user_no);
            }
        }
    }
}

/// The ordinals of all users of a transaction.
#[derive(Debug, Default)]
pub(crate) struct UserOrdinals<'a> {
    by_user: HashMap<&'a str, u32>,
    /// Those users of whom the database was asked.
    asked_for: Vec<&'a str>,
}

impl UserOrdinals<'_> {
    /// The ordinal of one of the users.
    pub(crate) fn of(&self, user_id: &str) -> Option<u32> {
        self.by_user.get(user_id).copied()
    }

    /// All of them, as [`ORDINAL_COLUMNS`].
    pub(crate) fn columns(&self) -> Vec<Column> {
        let (users, ordinals): (Vec<String>, Vec<i64>) = self
            .by_user
            .iter()
            .map(|(user_id, user_no)| ((*user_id).to_owned(), i64::from(*user_no)))
            .unzip();
        vec![Column::BigInt(ordinals), Column::Text(users)]
    }
}

impl Store {
    /// The ordinals of those of `users` who have one, remembered or read, and the others.
    pub(crate) async fn known_ordinals<'a>(
        &self,
        connection: &impl ConnectionTrait,
        users: BTreeSet<&'a str>,
    ) -> Result<(UserOrdinals<'a>, BTreeSet<&'a str>), StoreError> {
        let (mut found, mut missing) = self.remembered_ordinals(users);
        let sql = &self.inner.sql.find_users;
        self.ask_for_ordinals(connection, sql, &mut found, &mut missing)
            .await?;
        Ok((found, missing))
    }

    fn remembered_ordinals<'a>(&self, users: BTreeSet<&'a str>) -> (UserOrdinals<'a>, BTreeSet<&'a str>) {
        let mut found = UserOrdinals::default();
        let mut missing = users;
        missing.retain(|user_id| match self.inner.ordinals.by_user.get(*user_id) {
            Some(user_no) => {
                found.by_user.insert(*user_id, user_no);
                false
            }
            None => true,
        });
        (found, missing)
    }

    /// Moves those whom a statement tells the ordinals of from `missing` to `found`.
    async fn ask_for_ordinals<'a>(
        &self,
        connection: &impl ConnectionTrait,
        sql: &str,
        found: &mut UserOrdinals<'a>,
        missing: &mut BTreeSet<&'a str>,
    ) -> Result<(), StoreError> {
        if missing.is_empty() {
            return Ok(());
        }
        let names = missing.iter().map(|user_id| (*user_id).to_owned()).collect();
        let names = vec![Column::Text(names)];
        let statement = self.inner.dialect.list_statement(sql, names, vec![]);
        for row in connection.query_all_raw(statement).await? {
            let (user_id, user_no) = user_and_ordinal(&row)?;
            if let Some(user_id) = missing.take(user_id.as_str()) {
                found.by_user.insert(user_id, user_no);
                found.asked_for.push(user_id);
            }
        }
        Ok(())
    }

    /// The ordinals of `users`, made for those who have none. `None` if a user is neither to be made nor to be found, because
    /// an erasure has just taken the row away.
    ///
    /// Rows are made in the order of their keys, so two transactions never wait for each other in a circle.
    pub(crate) async fn ordinals_of<'a>(
        &self,
        transaction: &impl ConnectionTrait,
        users: BTreeSet<&'a str>,
        memory: Memory,
    ) -> Result<Option<UserOrdinals<'a>>, StoreError> {
        let (mut found, mut missing) = match memory {
            Memory::Used => self.remembered_ordinals(users),
            Memory::Unused => (UserOrdinals::default(), users),
        };
        // Most who are not remembered are new, so they are made before anybody is looked for. Whoever is made by somebody
        // else at this moment is waited for, and found then.
        for sql in [&self.inner.sql.insert_users, &self.inner.sql.find_users] {
            self.ask_for_ordinals(transaction, sql, &mut found, &mut missing)
                .await?;
        }
        Ok(missing.is_empty().then_some(found))
    }
}

fn user_and_ordinal(row: &QueryResult) -> Result<(String, u32), StoreError> {
    Ok((row.try_get_by_index(0)?, ordinal(row.try_get_by_index(1)?)?))
}

/// Gives an ordinal to the users who have none, and returns those.
pub(crate) fn insert_users(dialect: Dialect) -> String {
    let new = dialect.rows("new", USER_COLUMNS);
    format!(
        "-- store: insert_users
INSERT INTO users (user_id)
SELECT new.user_id
FROM {new}
WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.user_id = new.user_id)
ON CONFLICT DO NOTHING
RETURNING user_id, user_no"
    )
}

/// Reads the ordinals of users.
pub(crate) fn find_users(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", USER_COLUMNS);
    format!(
        "-- store: find_users
SELECT users.user_id, users.user_no
FROM {wanted}
JOIN users ON users.user_id = wanted.user_id"
    )
}

#[cfg(test)]
mod tests {
    use super::{ENTRY_BYTES, Ordinals, REMEMBERED_BYTES, UserOrdinals, find_users, insert_users};
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let all = [insert_users(dialect), find_users(dialect)];
            insta::assert_snapshot!(format!("ordinals_{name}"), all.join(";\n\n"));
        }
    }

    fn remember(ordinals: &Ordinals, user_id: &str, user_no: u32) {
        ordinals.remember(&UserOrdinals {
            by_user: [(user_id, user_no)].into(),
            asked_for: vec![user_id],
        });
    }

    #[test]
    fn what_was_read_last_is_remembered() {
        let ordinals = Ordinals::new();
        remember(&ordinals, "ana", 7);
        remember(&ordinals, "ana", 8);
        assert_eq!(ordinals.by_user.get("ana"), Some(8));
        assert_eq!(ordinals.by_user.get("bo"), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let ordinals = Ordinals::new();
        for user_no in 0..400_000 {
            remember(&ordinals, &format!("user-{user_no}"), user_no);
        }
        assert!(ordinals.by_user.weight() <= REMEMBERED_BYTES);
        let entries = ordinals.by_user.len() as u64;
        assert!(entries <= REMEMBERED_BYTES / ENTRY_BYTES, "{entries}");
        assert!(entries > 50_000, "{entries}");
    }
}
