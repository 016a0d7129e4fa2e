//! `activity_log`: what ingest appended and the fold has not yet taken.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};

/// How many new events of a type there were on a day, in one commit, and whose.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "activity_log")]
pub struct Model {
    /// The key, in order of insertion.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// The day, days since 1970-01-01 in the reporting time zone.
    pub day: i32,
    /// The event type.
    pub event_type: String,
    /// The ordinal of the one user whose events they are; -1 where they are several.
    pub user_no: i64,
    /// How many events.
    pub events: i64,
    /// Where they are several users: the set of them.
    pub users: Option<Vec<u8>>,
}

/// No relations: tables are joined by statements of the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
