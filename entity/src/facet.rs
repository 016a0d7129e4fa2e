//! `facets`: what sets are kept for: everybody, and each event type.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};

/// One facet.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "facets")]
pub struct Model {
    /// The key.
    #[sea_orm(primary_key)]
    pub facet_id: i32,
    /// `all` or `event_type`.
    pub kind: String,
    /// The event type; empty for `all`.
    pub name: String,
    /// Set of all users ever in this facet.
    pub seen: Vec<u8>,
    /// The number of the fold that wrote `seen`.
    pub version: i64,
}

/// No relations: tables are joined by statements of the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
