//! Erased users whose later events are refused: their tombstones, kept in memory for ingest.
//!
//! A tombstone is the SHA-256 of this database's salt and the user id. So it can be told of a given id whether it is
//! blocked, while the table alone names nobody. Tombstones are never taken back. In memory each takes about 40 bytes.

use std::collections::HashSet;

use entity::erasure;
use rand::RngExt;
use sea_orm::{ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use sha2::{Digest, Sha256};

use crate::{error::StoreError, settings};

/// The setting that holds the salt, 64 hexadecimal digits: made with the database, never changed.
pub(crate) const SALT: &str = "erasure_salt";

/// A user id, hashed.
pub(crate) type UserHash = [u8; 32];

/// The salt of a new database.
pub(crate) fn new_salt() -> String {
    let salt: [u8; 32] = rand::rng().random();
    salt.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The erased users of a database whose later events are refused.
#[derive(Clone, Debug)]
pub(crate) struct ErasedUsers {
    salt: String,
    hashes: HashSet<UserHash>,
}

impl ErasedUsers {
    /// Reads all of them.
    pub(crate) async fn read(connection: &impl ConnectionTrait) -> Result<Self, StoreError> {
        let salt = settings::text(connection, SALT).await?;
        let salt =
            salt.ok_or_else(|| StoreError::Mismatch(format!("this database has no setting {SALT}")))?;
        let hashes = read_since(connection, 0).await?.into_iter().collect();
        Ok(Self { salt, hashes })
    }

    /// Whether later events of this user are refused.
    pub(crate) fn contains(&self, user_id: &str) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&self.hash(user_id))
    }

    pub(crate) fn add(&mut self, hashes: Vec<UserHash>) {
        self.hashes.extend(hashes);
    }

    pub(crate) fn hash(&self, user_id: &str) -> UserHash {
        let mut hasher = Sha256::new();
        hasher.update(self.salt.as_bytes());
        hasher.update(user_id.as_bytes());
        hasher.finalize().into()
    }
}

/// Reads the tombstones of later generations than this one.
pub(crate) async fn read_since(
    connection: &impl ConnectionTrait,
    generation: i64,
) -> Result<Vec<UserHash>, StoreError> {
    let hashes: Vec<Vec<u8>> = erasure::Entity::find()
        .select_only()
        .column(erasure::Column::UserHash)
        .filter(erasure::Column::Generation.gt(generation))
        .into_tuple()
        .all(connection)
        .await?;
    hashes
        .into_iter()
        .map(|hash| {
            hash.try_into()
                .map_err(|_| StoreError::internal("a tombstone is not 32 bytes long"))
        })
        .collect()
}

/// Whether there is a tombstone of this user.
pub(crate) async fn is_there(
    connection: &impl ConnectionTrait,
    user_hash: UserHash,
) -> Result<bool, StoreError> {
    let found = erasure::Entity::find_by_id(user_hash.to_vec())
        .one(connection)
        .await?;
    Ok(found.is_some())
}

/// Writes a tombstone, made in microseconds since 1970, which begins this generation.
pub(crate) async fn write(
    connection: &impl ConnectionTrait,
    user_hash: UserHash,
    erased_at: i64,
    generation: i64,
) -> Result<(), StoreError> {
    let row = erasure::ActiveModel {
        user_hash: ActiveValue::Set(user_hash.to_vec()),
        erased_at: ActiveValue::Set(erased_at),
        generation: ActiveValue::Set(generation),
    };
    erasure::Entity::insert(row)
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{ErasedUsers, new_salt};

    #[test]
    fn a_tombstone_is_of_one_user_in_one_database() {
        let mut users = ErasedUsers {
            salt: new_salt(),
            hashes: HashSet::new(),
        };
        assert!(!users.contains("ana"));
        users.add(vec![users.hash("ana")]);
        assert!(users.contains("ana"));
        assert!(!users.contains("Ana"));
        let elsewhere = ErasedUsers {
            salt: new_salt(),
            hashes: users.hashes.clone(),
        };
        assert!(!elsewhere.contains("ana"), "another database has another salt");
    }
}
