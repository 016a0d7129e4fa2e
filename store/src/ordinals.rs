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

use std::{
    collections::{BTreeSet, HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sea_orm::{ConnectionTrait, QueryResult};

use crate::{
    Store,
    dialect::{Column, ColumnType, Columns, Dialect},
    error::StoreError,
    fold::ordinal,
};

/// For how many users there is a place, 8 bytes each. Those who send events these days are what must fit, of however many users
/// there are in all; for the others the database is asked, as for everybody at first.
const PLACES: usize = 1 << 20;
/// Places that are made together, when the first of them is used.
const TOGETHER: usize = 512;

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

/// The ordinals that this process remembers: a table of places, each user's given by a hash of the name. A place holds another part
/// of the hash, to tell its user from others, and the ordinal; who comes later has it. Two users may be taken for one another, once
/// in 2^52: the append sees that, as it sees everything else.
pub(crate) struct Ordinals {
    places: Box<[OnceLock<Box<[AtomicU64]>>]>,
    /// Keyed anew in each process, so that nobody can make names that meet.
    hashing: RandomState,
}

impl Ordinals {
    pub(crate) fn new() -> Self {
        Self {
            places: std::iter::repeat_with(OnceLock::new)
                .take(PLACES / TOGETHER)
                .collect(),
            hashing: RandomState::new(),
        }
    }

    fn get(&self, user_id: &str) -> Option<u32> {
        let (place, mark) = self.place(user_id);
        let held = self.places[place / TOGETHER].get()?[place % TOGETHER].load(Ordering::Relaxed);
        // An ordinal is at least 1, so what is empty is nobody's.
        let user_no = held as u32;
        (held >> 32 == u64::from(mark) && user_no != 0).then_some(user_no)
    }

    fn insert(&self, user_id: &str, user_no: u32) {
        let (place, mark) = self.place(user_id);
        let empty = || {
            std::iter::repeat_with(AtomicU64::default)
                .take(TOGETHER)
                .collect()
        };
        let held = u64::from(mark) << 32 | u64::from(user_no);
        self.places[place / TOGETHER].get_or_init(empty)[place % TOGETHER].store(held, Ordering::Relaxed);
    }

    /// The number of a user's place, and what marks it as that user's.
    fn place(&self, user_id: &str) -> (usize, u32) {
        let hash = self.hashing.hash_one(user_id);
        (hash as usize % PLACES, (hash >> 32) as u32)
    }

    /// Remembers the ordinals that a transaction has read or made, which is committed.
    pub(crate) fn remember(&self, users: &UserOrdinals<'_>) {
        for user_id in &users.asked_for {
            if let Some(user_no) = users.of(user_id) {
                self.insert(user_id, user_no);
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
        missing.retain(|user_id| match self.inner.ordinals.get(user_id) {
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
    use super::{Ordinals, PLACES, UserOrdinals, find_users, insert_users};
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
        assert_eq!(ordinals.get("ana"), Some(8));
        assert_eq!(ordinals.get("bo"), None);
    }

    #[test]
    fn most_of_those_who_fit_are_remembered_and_nobody_as_another() {
        let ordinals = Ordinals::new();
        let users = PLACES as u32 / 2;
        for user_no in 1..=users {
            ordinals.insert(&format!("user-{user_no}"), user_no);
        }
        let held = |user_no: &u32| match ordinals.get(&format!("user-{user_no}")) {
            Some(found) => {
                assert_eq!(found, *user_no);
                true
            }
            None => false,
        };
        let remembered = (1..=users).filter(held).count();
        // With half as many users as places, two thirds and more keep theirs.
        assert!(remembered > users as usize * 2 / 3, "{remembered} of {users}");
        assert!((users + 1..users * 2).all(|stranger| ordinals.get(&format!("user-{stranger}")).is_none()));
    }
}
