//! `users`: the dense ordinals that make the sets small.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};

/// One user.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// The ordinal, below 2^32.
    #[sea_orm(primary_key)]
    pub user_no: i64,
    /// The identity that the sender gave.
    #[sea_orm(unique)]
    pub user_id: String,
}

/// No relations: tables are joined by statements of the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
