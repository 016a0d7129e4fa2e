//! `verify`: everything that is stored about activity, compared with a recount of `events`, in one snapshot.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use activity::{
    calendar::Day,
    fold::{DayActivity, FacetActivity, fold},
    set::UserSet,
};
use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, DatabaseTransaction, StreamTrait};

use crate::{
    Store,
    activity_log::delta_of_row,
    database::{Purpose, begin_snapshot},
    error::StoreError,
    fold::{Deltas, add_to_deltas, ordinal},
    recount::{Facets, Recounted, recount},
    settings,
};

/// Reads every facet.
const ALL_FACETS: &str = "-- store: all_facets
SELECT facet_id, kind, name, seen
FROM facets";
/// Reads every row of sets.
const ALL_ACTIVITY: &str = "-- store: all_activity
SELECT facet_id, day, events, users, new_users, active, joined
FROM activity";
/// Reads the log.
const ALL_LOG: &str = "-- store: all_log
SELECT day, event_type, user_no, events, users
FROM activity_log";

/// Reads every user's ordinal.
const ALL_USERS: &str = "-- store: all_users
SELECT user_no
FROM users";

impl Store {
    /// Recounts everything from `events` and returns every difference from what is stored, as sentences; none if the
    /// sets are right. Of days whose events have expired, the sets are checked for damage and against each other. Runs beside a working server: it reads one snapshot and blocks nobody.
    ///
    /// `progress` is told how many events are counted. Memory follows the sets, not the events.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database goes away.
    pub async fn verify(
        &self,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Vec<String>, StoreError> {
        let store = self.clone();
        self.spawn(async move { store.verify_here(&progress).await })
            .await
    }

    async fn verify_here(&self, progress: &(dyn Fn(u64) + Send + Sync)) -> Result<Vec<String>, StoreError> {
        let pool = self.open_pool(Purpose::Maintenance, 1).await?;
        let snapshot = begin_snapshot(&pool).await?;
        let settings = settings::read(&snapshot).await?;
        let mut differences = Vec::new();
        let mut stored = stored_facets(&snapshot, self.inner.dialect, &mut differences).await?;
        let recounted = recount(&snapshot, self.inner.dialect, settings, &stored, progress).await?;
        if let Some(horizon) = settings.horizon {
            compare_types_with_everybody(&stored, horizon, &mut differences);
        }
        let named = all_users(&snapshot, self.inner.dialect).await?;
        let deltas = all_deltas(&snapshot, self.inner.dialect, &mut differences).await?;
        snapshot.commit().await?;
        let _ = pool.close().await;
        for (name, delta) in &deltas {
            fold(stored.entry(name.clone()).or_default(), delta);
        }
        compare(&stored, &recounted, &mut differences);
        for (name, facet) in &stored {
            let nobody = facet.seen.minus(&named).len();
            if nobody > 0 {
                differences.push(format!(
                    "{}: {nobody} of its users are not in the table of users",
                    title(name)
                ));
            }
        }
        Ok(differences)
    }
}

/// Every stored facet. Damaged sets and counts that disagree with their sets are differences already.
async fn stored_facets(
    snapshot: &DatabaseTransaction,
    dialect: crate::dialect::Dialect,
    differences: &mut Vec<String>,
) -> Result<Facets, StoreError> {
    let mut names: BTreeMap<i32, Option<String>> = BTreeMap::new();
    let mut facets = Facets::new();
    for row in snapshot
        .query_all_raw(dialect.statement(ALL_FACETS, vec![]))
        .await?
    {
        let kind: String = row.try_get_by_index(1)?;
        let name = (kind != "all").then_some(row.try_get_by_index::<String>(2)?);
        let seen = decode(
            &row.try_get_by_index::<Vec<u8>>(3)?,
            &title(&name),
            "seen",
            differences,
        );
        names.insert(row.try_get_by_index(0)?, name.clone());
        facets.insert(
            name,
            FacetActivity {
                seen,
                days: BTreeMap::new(),
            },
        );
    }
    let mut rows = snapshot
        .stream_raw(dialect.statement(ALL_ACTIVITY, vec![]))
        .await?;
    while let Some(row) = rows.try_next().await? {
        let facet: i32 = row.try_get_by_index(0)?;
        let day = Day::new(row.try_get_by_index(1)?);
        let Some(name) = names.get(&facet) else {
            differences.push(format!("facet {facet} on {day}: there is no such facet"));
            continue;
        };
        let count = |column| Ok::<u64, StoreError>(row.try_get_by_index::<i64>(column)?.unsigned_abs());
        let (events, users, new_users) = (count(2)?, count(3)?, count(4)?);
        let place = format!("{} on {day}", title(name));
        let active = decode(
            &row.try_get_by_index::<Vec<u8>>(5)?,
            &place,
            "active",
            differences,
        );
        let joined = decode(
            &row.try_get_by_index::<Vec<u8>>(6)?,
            &place,
            "joined",
            differences,
        );
        if users != active.len() {
            differences.push(format!(
                "{place}: the row says {users} users, its set has {}",
                active.len()
            ));
        }
        if new_users != joined.len() {
            differences.push(format!(
                "{place}: the row says {new_users} new users, its set has {}",
                joined.len()
            ));
        }
        let row = DayActivity {
            events,
            active,
            joined,
        };
        facets.entry(name.clone()).or_default().days.insert(day, row);
    }
    Ok(facets)
}

fn decode(bytes: &[u8], place: &str, which: &str, differences: &mut Vec<String>) -> Arc<UserSet> {
    match UserSet::from_bytes(bytes) {
        Ok(set) => Arc::new(set),
        Err(error) => {
            differences.push(format!("{place}: the set {which} is damaged: {error}"));
            Arc::default()
        }
    }
}

/// What the log holds. A row whose set is damaged is a difference already, and as good as not there.
async fn all_deltas(
    snapshot: &DatabaseTransaction,
    dialect: crate::dialect::Dialect,
    differences: &mut Vec<String>,
) -> Result<Deltas, StoreError> {
    let mut deltas = Deltas::new();
    let mut rows = snapshot.stream_raw(dialect.statement(ALL_LOG, vec![])).await?;
    while let Some(row) = rows.try_next().await? {
        let day = Day::new(row.try_get_by_index(0)?);
        let event_type: String = row.try_get_by_index(1)?;
        let users: Option<Vec<u8>> = row.try_get_by_index(4)?;
        match delta_of_row(
            row.try_get_by_index(2)?,
            row.try_get_by_index(3)?,
            users.as_deref(),
        ) {
            Ok(delta) => add_to_deltas(&mut deltas, event_type, day, &delta),
            Err(StoreError::Damaged(damage)) => {
                differences.push(format!(
                    "the log of event type {event_type:?} on {day}: a set of users is damaged: {damage}"
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(deltas)
}

async fn all_users(
    snapshot: &DatabaseTransaction,
    dialect: crate::dialect::Dialect,
) -> Result<UserSet, StoreError> {
    let mut users = UserSet::default();
    let mut rows = snapshot.stream_raw(dialect.statement(ALL_USERS, vec![])).await?;
    while let Some(row) = rows.try_next().await? {
        users.insert(ordinal(row.try_get_by_index(0)?)?);
    }
    Ok(users)
}

/// Before the horizon there are no events to compare with, but everybody's days must still be those of all event types.
fn compare_types_with_everybody(stored: &Facets, horizon: Day, differences: &mut Vec<String>) {
    let mut of_types: BTreeMap<Day, (u64, UserSet)> = BTreeMap::new();
    for facet in stored
        .iter()
        .filter(|(name, _)| name.is_some())
        .map(|(_, facet)| facet)
    {
        for (day, row) in facet.days.range(..horizon) {
            let sum = of_types.entry(*day).or_default();
            sum.0 += row.events;
            sum.1.add(&row.active);
        }
    }
    let everybody = stored.get(&None).map(|facet| &facet.days);
    let of_everybody: BTreeMap<Day, &DayActivity> = everybody
        .into_iter()
        .flat_map(|days| days.range(..horizon))
        .map(|(day, row)| (*day, row))
        .collect();
    let days: BTreeSet<&Day> = of_types.keys().chain(of_everybody.keys()).collect();
    let nothing = DayActivity::default();
    for day in days {
        let (events, active) = of_types.get(day).cloned().unwrap_or_default();
        let row = of_everybody.get(day).copied().unwrap_or(&nothing);
        let place = format!("everybody on {day}");
        if row.events != events {
            differences.push(format!(
                "{place}: {} events, the event types have {events}",
                row.events
            ));
        }
        compare_sets(
            &place,
            "active users of the event types",
            &row.active,
            &active,
            differences,
        );
    }
}

/// A facet's name in a sentence.
fn title(name: &Option<String>) -> String {
    name.as_ref()
        .map_or_else(|| "everybody".to_owned(), |name| format!("event type {name:?}"))
}

fn compare(stored: &Facets, truth: &Recounted, differences: &mut Vec<String>) {
    if truth.without_user > 0 {
        differences.push(format!(
            "{} events belong to users without an ordinal",
            truth.without_user
        ));
    }
    let nothing = FacetActivity::default();
    let names: BTreeSet<_> = stored.keys().chain(truth.facets.keys()).collect();
    for name in names {
        let stored = stored.get(name).unwrap_or(&nothing);
        let truth = truth.facets.get(name).unwrap_or(&nothing);
        if stored.seen != truth.seen {
            let (title, seen, counted) = (title(name), stored.seen.len(), truth.seen.len());
            differences.push(format!(
                "{title}: the set of all users ever has {seen}, the events say {counted}"
            ));
        }
        let days: BTreeSet<&Day> = stored.days.keys().chain(truth.days.keys()).collect();
        for day in days {
            let stored = stored.days.get(day).cloned().unwrap_or_default();
            let truth = truth.days.get(day).cloned().unwrap_or_default();
            let place = format!("{} on {day}", title(name));
            if stored.events != truth.events {
                differences.push(format!(
                    "{place}: {} events, the events say {}",
                    stored.events, truth.events
                ));
            }
            compare_sets(&place, "active users", &stored.active, &truth.active, differences);
            compare_sets(&place, "new users", &stored.joined, &truth.joined, differences);
        }
    }
}

fn compare_sets(place: &str, what: &str, stored: &UserSet, truth: &UserSet, differences: &mut Vec<String>) {
    if stored == truth {
        return;
    }
    let (missing, extra) = (truth.minus(stored).len(), stored.minus(truth).len());
    differences.push(format!(
        "{place}: of the {what} {missing} are missing and {extra} are too many"
    ));
}
