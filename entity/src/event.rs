//! `events`: the log, the only source of truth.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait, Uuid,
};

/// One stored event.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    /// Surrogate key; says nothing about order.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The event's identity, unique for ever.
    #[sea_orm(unique)]
    pub event_id: Uuid,
    /// Whose event it is.
    pub user_id: String,
    /// What happened.
    pub event_type: String,
    /// When it happened, microseconds since 1970 in UTC.
    pub occurred_at: i64,
    /// Everything else, a JSON object.
    #[sea_orm(column_type = "JsonBinary")]
    pub properties: Json,
    /// When the server got it, microseconds since 1970 in UTC.
    pub received_at: i64,
}

/// No relations: tables are joined by statements of the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
