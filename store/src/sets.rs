//! Loading sets by key: from the cache where it has the wanted version, else from the database in one statement.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use activity::{calendar::Day, set::UserSet};
use sea_orm::ConnectionTrait;

use crate::{
    Store,
    cache::{CachedSets, SetKey},
    dialect::{Column, ColumnType, Columns, Dialect},
    error::StoreError,
};

const DAY_COLUMNS: Columns = &[("facet_id", ColumnType::Integer), ("day", ColumnType::Integer)];
const FACET_COLUMNS: Columns = &[("facet_id", ColumnType::Integer)];

/// Rows whose sets are wanted, each with its version.
#[derive(Debug, Default)]
pub(crate) struct WantedSets {
    pub(crate) days: HashMap<(i32, Day), i64>,
    pub(crate) seen: HashMap<i32, i64>,
}

/// Where sets are kept that a transaction reads from the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// In the cache: what is read is committed.
    InMemory,
    /// Nowhere: the transaction may be reading what it has written itself. Should it come to nothing, the versions of that
    /// are given again, to other sets.
    Nowhere,
}

/// Sets that were wanted.
#[derive(Debug, Default)]
pub(crate) struct LoadedSets {
    pub(crate) days: HashMap<(i32, Day), CachedSets>,
    pub(crate) seen: HashMap<i32, Arc<UserSet>>,
}

impl Store {
    /// The wanted sets that the cache has; `None` if one is missing.
    pub(crate) fn cached_sets(&self, wanted: &WantedSets) -> Option<LoadedSets> {
        let loaded = self.look_up(wanted);
        let complete = loaded.days.len() == wanted.days.len() && loaded.seen.len() == wanted.seen.len();
        complete.then_some(loaded)
    }

    /// The wanted sets, from the cache or from `connection`, which must see the rows in the wanted versions.
    pub(crate) async fn load_sets(
        &self,
        connection: &impl ConnectionTrait,
        wanted: &WantedSets,
        keeping: Keeping,
    ) -> Result<LoadedSets, StoreError> {
        let mut loaded = self.look_up(wanted);
        let missing: BTreeSet<(i32, Day)> = wanted
            .days
            .keys()
            .filter(|key| !loaded.days.contains_key(key))
            .copied()
            .collect();
        if !missing.is_empty() {
            self.load_days(connection, &missing, keeping, &mut loaded).await?;
        }
        let missing: BTreeSet<i32> = wanted
            .seen
            .keys()
            .filter(|facet| !loaded.seen.contains_key(facet))
            .copied()
            .collect();
        if !missing.is_empty() {
            self.load_seen(connection, missing, keeping, &mut loaded).await?;
        }
        if loaded.days.len() < wanted.days.len() || loaded.seen.len() < wanted.seen.len() {
            return Err(StoreError::internal("a row of sets vanished inside a snapshot"));
        }
        Ok(loaded)
    }

    fn look_up(&self, wanted: &WantedSets) -> LoadedSets {
        let mut loaded = LoadedSets::default();
        for (&(facet, day), &version) in &wanted.days {
            if let Some(sets) = self.inner.cache.get(SetKey::Day { facet, day }, (version, 0)) {
                loaded.days.insert((facet, day), sets);
            }
        }
        for (&facet, &version) in &wanted.seen {
            if let Some(sets) = self.inner.cache.get(SetKey::Seen { facet }, (version, 0)) {
                loaded.seen.insert(facet, sets.active);
            }
        }
        loaded
    }

    async fn load_days(
        &self,
        connection: &impl ConnectionTrait,
        missing: &BTreeSet<(i32, Day)>,
        keeping: Keeping,
        loaded: &mut LoadedSets,
    ) -> Result<(), StoreError> {
        let columns = vec![
            Column::Integer(missing.iter().map(|key| key.0).collect()),
            Column::Integer(missing.iter().map(|key| key.1.number()).collect()),
        ];
        let statement = self
            .inner
            .dialect
            .list_statement(&self.inner.sql.day_sets, columns, vec![]);
        for row in connection.query_all_raw(statement).await? {
            let facet: i32 = row.try_get_by_index(0)?;
            let day = Day::new(row.try_get_by_index(1)?);
            let version: i64 = row.try_get_by_index(2)?;
            let active = Arc::new(UserSet::from_bytes(&row.try_get_by_index::<Vec<u8>>(3)?)?);
            let joined = Arc::new(UserSet::from_bytes(&row.try_get_by_index::<Vec<u8>>(4)?)?);
            let key = SetKey::Day { facet, day };
            let sets = match keeping {
                Keeping::InMemory => self.inner.cache.insert(key, (version, 0), active, joined),
                Keeping::Nowhere => CachedSets::new((version, 0), active, joined),
            };
            loaded.days.insert((facet, day), sets);
        }
        Ok(())
    }

    async fn load_seen(
        &self,
        connection: &impl ConnectionTrait,
        missing: BTreeSet<i32>,
        keeping: Keeping,
        loaded: &mut LoadedSets,
    ) -> Result<(), StoreError> {
        let columns = vec![Column::Integer(missing.into_iter().collect())];
        let statement = self
            .inner
            .dialect
            .list_statement(&self.inner.sql.seen_sets, columns, vec![]);
        for row in connection.query_all_raw(statement).await? {
            let facet: i32 = row.try_get_by_index(0)?;
            let version: i64 = row.try_get_by_index(1)?;
            let seen = Arc::new(UserSet::from_bytes(&row.try_get_by_index::<Vec<u8>>(2)?)?);
            if keeping == Keeping::InMemory {
                self.keep_seen(facet, version, &seen);
            }
            loaded.seen.insert(facet, seen);
        }
        Ok(())
    }

    pub(crate) fn keep_seen(&self, facet: i32, version: i64, seen: &Arc<UserSet>) {
        self.inner.cache.insert(
            SetKey::Seen { facet },
            (version, 0),
            Arc::clone(seen),
            Arc::clone(seen),
        );
    }
}

/// Reads the sets of some days of some facets.
pub(crate) fn day_sets_sql(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", DAY_COLUMNS);
    format!(
        "-- store: day_sets
SELECT activity.facet_id, activity.day, activity.version, activity.active, activity.joined
FROM {wanted}
JOIN activity ON activity.facet_id = wanted.facet_id AND activity.day = wanted.day"
    )
}

/// Reads who was ever seen in some facets.
pub(crate) fn seen_sets_sql(dialect: Dialect) -> String {
    let wanted = dialect.rows("wanted", FACET_COLUMNS);
    format!(
        "-- store: seen_sets
SELECT facets.facet_id, facets.version, facets.seen
FROM {wanted}
JOIN facets ON facets.facet_id = wanted.facet_id"
    )
}

#[cfg(test)]
mod tests {
    use super::{day_sets_sql, seen_sets_sql};
    use crate::dialect::Dialect;

    #[test]
    fn statements() {
        for (name, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let all = [day_sets_sql(dialect), seen_sets_sql(dialect)];
            insta::assert_snapshot!(format!("sets_{name}"), all.join(";\n\n"));
        }
    }
}
