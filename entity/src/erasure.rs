//! `erasures`: tombstones of erased users whose later events are refused.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};

/// One tombstone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "erasures")]
pub struct Model {
    /// SHA-256 of this database's salt and the user id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_hash: Vec<u8>,
    /// When the user was erased, microseconds since 1970 in UTC.
    pub erased_at: i64,
    /// The generation of the settings that began with it.
    pub generation: i64,
}

/// No relations: tables are joined by statements of the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
