//! API keys: made, listed, taken back, and read by the servers that ask for them.
//!
//! Only the hash of a key is kept. Keys are never deleted, so that a name means one key for ever; how many are live at
//! once is bounded, so that a server can hold them all in memory. Those who make and take back keys need the tables but
//! no [`Store`]: opening one would fix the reporting time zone of a new database.

use std::fmt;

use chrono::{DateTime, Utc};
use entity::api_key;
use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder,
    sea_query::{Expr, ExprTrait},
};

use crate::{Store, database::begin_write, error::StoreError};

/// The most keys that are live at once: servers hold them in memory and read them every few seconds.
pub const MAX_LIVE_KEYS: u64 = 1_000;
/// The longest name of a key, in bytes.
pub const MAX_KEY_NAME_BYTES: usize = 64;

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To send events; nothing can be read with it.
    Ingest,
    /// To ask questions; nothing can be changed with it.
    Query,
    /// Everything, also to erase users and to export.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Ingest, Self::Query, Self::Admin];

    /// The word for it, in the database as everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Query => "query",
            Self::Admin => "admin",
        }
    }

    /// The scope that this word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The SHA-256 of a key's text.
pub type KeyHash = [u8; 32];

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What people will call it: up to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// The SHA-256 of its text.
    pub hash: KeyHash,
    /// From when on it is worth nothing.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its number.
    pub id: i64,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// The SHA-256 of its text.
    pub hash: KeyHash,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it is worth nothing.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last seen in use, give or take what the servers say they wait before they write it.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The keys that a server has to know.
#[derive(Clone, Debug, Default)]
pub struct LiveKeys {
    /// Those that were not taken back; some may have expired.
    pub keys: Vec<ApiKey>,
    /// Whether there is or ever was a key: from then on nobody gets in without one.
    pub wanted: bool,
}

/// Makes a key.
///
/// # Errors
/// [`StoreError::Invalid`] for a name that is taken or cannot be one, an end that has passed, and beyond
/// [`MAX_LIVE_KEYS`]; [`StoreError::Unavailable`] if the database is out of reach.
pub async fn create_key(
    database: &DatabaseConnection,
    key: NewKey,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    check_name(&key.name)?;
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(invalid("expiry", "it has passed already"));
    }
    let transaction = begin_write(database).await?;
    let named = api_key::Entity::find().filter(api_key::Column::Name.eq(key.name.as_str()));
    if named.one(&transaction).await?.is_some() {
        let reason = format!(
            "{} is taken, if only by a key that was revoked; choose another",
            key.name
        );
        return Err(invalid("name", &reason));
    }
    let live = api_key::Entity::find().filter(api_key::Column::RevokedAt.is_null());
    if live.count(&transaction).await? >= MAX_LIVE_KEYS {
        let reason = format!("there are {MAX_LIVE_KEYS} live keys, the most allowed; revoke some");
        return Err(invalid("keys", &reason));
    }
    let row = api_key::ActiveModel {
        id: ActiveValue::NotSet,
        name: ActiveValue::Set(key.name),
        scope: ActiveValue::Set(key.scope.as_str().to_owned()),
        hash: ActiveValue::Set(key.hash.to_vec()),
        created_at: ActiveValue::Set(now.timestamp_micros()),
        expires_at: ActiveValue::Set(key.expires_at.map(|end| end.timestamp_micros())),
        revoked_at: ActiveValue::Set(None),
        last_used_at: ActiveValue::Set(None),
    };
    api_key::Entity::insert(row)
        .exec_without_returning(&transaction)
        .await?;
    Ok(transaction.commit().await?)
}

/// Every key that was ever made, oldest first.
///
/// # Errors
/// [`StoreError::Unavailable`] if the database is out of reach.
pub async fn all_keys(database: &DatabaseConnection) -> Result<Vec<ApiKey>, StoreError> {
    let rows = api_key::Entity::find()
        .order_by_asc(api_key::Column::Id)
        .all(database)
        .await?;
    rows.into_iter().map(ApiKey::read).collect()
}

/// Takes the key of this name back. Servers that run notice within seconds.
///
/// # Errors
/// [`StoreError::Invalid`] if there is no such key or it was taken back before, [`StoreError::Unavailable`] if the
/// database is out of reach.
pub async fn revoke_key(
    database: &DatabaseConnection,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let transaction = begin_write(database).await?;
    let revoked = api_key::Entity::update_many()
        .col_expr(
            api_key::Column::RevokedAt,
            Expr::value(Some(now.timestamp_micros())),
        )
        .filter(api_key::Column::Name.eq(name))
        .filter(api_key::Column::RevokedAt.is_null())
        .exec(&transaction)
        .await?;
    if revoked.rows_affected == 0 {
        return Err(invalid(
            "name",
            "there is no live key of this name; `kohorta keys list` shows all",
        ));
    }
    Ok(transaction.commit().await?)
}

/// Whether there is or ever was a key.
///
/// # Errors
/// [`StoreError::Unavailable`] if the database is out of reach, [`StoreError::Internal`] without the table.
pub async fn keys_are_wanted(database: &impl ConnectionTrait) -> Result<bool, StoreError> {
    Ok(api_key::Entity::find().one(database).await?.is_some())
}

impl Store {
    /// The keys that a server has to know, all at one moment.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database is out of reach.
    pub async fn live_keys(&self) -> Result<LiveKeys, StoreError> {
        let store = self.clone();
        self.spawn(async move {
            let read = &store.inner.read;
            let live = api_key::Entity::find().filter(api_key::Column::RevokedAt.is_null());
            let rows = live.all(read).await?;
            let wanted = !rows.is_empty() || keys_are_wanted(read).await?;
            let mut keys = Vec::with_capacity(rows.len());
            for row in rows {
                match ApiKey::read(row) {
                    Ok(key) => keys.push(key),
                    // It opens nothing, and must not keep the others from opening what they do.
                    Err(error) => tracing::warn!(%error, "an API key cannot be read"),
                }
            }
            Ok(LiveKeys { keys, wanted })
        })
        .await
    }

    /// Remembers when keys, by their numbers, were last used. A moment before the one remembered changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database is out of reach.
    pub async fn note_key_uses(&self, uses: Vec<(i64, DateTime<Utc>)>) -> Result<(), StoreError> {
        let store = self.clone();
        self.spawn(async move {
            let transaction = begin_write(&store.inner.write).await?;
            for (id, at) in uses {
                let micros = at.timestamp_micros();
                let earlier = api_key::Column::LastUsedAt
                    .is_null()
                    .or(api_key::Column::LastUsedAt.lt(micros));
                api_key::Entity::update_many()
                    .col_expr(api_key::Column::LastUsedAt, Expr::value(Some(micros)))
                    .filter(api_key::Column::Id.eq(id))
                    .filter(earlier)
                    .exec(&transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }
}

impl ApiKey {
    fn read(row: api_key::Model) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::internal(format!("the API key {} has no {what}", row.id));
        let instant = DateTime::from_timestamp_micros;
        Ok(Self {
            id: row.id,
            scope: Scope::parse(&row.scope).ok_or_else(|| damaged("known scope"))?,
            hash: row
                .hash
                .as_slice()
                .try_into()
                .map_err(|_| damaged("hash of 32 bytes"))?,
            created_at: instant(row.created_at).ok_or_else(|| damaged("possible time"))?,
            // An end that is no time at all must not make a key live for ever.
            expires_at: row
                .expires_at
                .map(|end| instant(end).unwrap_or(DateTime::UNIX_EPOCH)),
            revoked_at: row
                .revoked_at
                .map(|at| instant(at).unwrap_or(DateTime::UNIX_EPOCH)),
            last_used_at: row.last_used_at.and_then(instant),
            name: row.name,
        })
    }

    /// Whether it is worth nothing any more at `now`.
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// Names stand in logs and on command lines.
fn check_name(name: &str) -> Result<(), StoreError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fits = (1..=MAX_KEY_NAME_BYTES).contains(&name.len());
    if fits && name.bytes().all(plain) && !name.starts_with('-') {
        return Ok(());
    }
    let reason =
        format!("it must be 1 to {MAX_KEY_NAME_BYTES} letters, digits, dots, underscores or hyphens");
    Err(invalid("name", &reason))
}

fn invalid(field: &'static str, reason: &str) -> StoreError {
    StoreError::Invalid {
        field,
        reason: reason.to_owned(),
    }
}
