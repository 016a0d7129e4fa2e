//! `activity`: one row for each facet and day with events; the answer to nearly everything.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};

/// A facet on a day.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "activity")]
pub struct Model {
    /// The facet.
    #[sea_orm(primary_key, auto_increment = false)]
    pub facet_id: i32,
    /// The day, days since 1970-01-01 in the reporting time zone.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i32,
    /// How many events.
    pub events: i64,
    /// How many users are in `active`.
    pub users: i64,
    /// How many users are in `joined`.
    pub new_users: i64,
    /// Set of the users with an event on this day.
    pub active: Vec<u8>,
    /// Set of the users whose first event ever in this facet fell on this day.
    pub joined: Vec<u8>,
    /// The number of the fold that wrote this row.
    pub version: i64,
}

/// No relations: tables are joined by statements of the store.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
