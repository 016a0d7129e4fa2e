//! `api_keys`: who may ask the server, and for what.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};

/// One key. Times are microseconds since 1970 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// What people call it; never given twice.
    #[sea_orm(unique)]
    pub name: String,
    /// What it allows: `ingest`, `query` or `admin`.
    pub scope: String,
    /// The SHA-256 of its text.
    #[sea_orm(unique)]
    pub hash: Vec<u8>,
    /// When it was made.
    pub created_at: i64,
    /// From when on it is worth nothing, if it ends by itself.
    pub expires_at: Option<i64>,
    /// When it was taken back, if it was.
    pub revoked_at: Option<i64>,
    /// When it was last seen in use, give or take some minutes.
    pub last_used_at: Option<i64>,
}

/// No relations: tables are joined by statements of the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
