//! Everything counted from `events`, for `verify` and `rebuild`: one pass over the log of events, without the fold.
//!
//! Of days whose events have expired, who was active stands for the events; who joined is counted from that again.

use std::collections::BTreeMap;

use activity::{fold::FacetActivity, recount::Recount};
use chrono::DateTime;
use futures_util::TryStreamExt;
use sea_orm::{DatabaseTransaction, StreamTrait};

use crate::{dialect::Dialect, error::StoreError, fold::ordinal, settings::Settings};

/// How many events between two reports of progress.
const PROGRESS_EVERY: u64 = 100_000;

/// Reads every event from a moment on with its user's ordinal.
const ALL_EVENTS: &str = "-- store: all_events
SELECT users.user_no, events.event_type, events.occurred_at
FROM events
LEFT JOIN users ON users.user_id = events.user_id
WHERE events.occurred_at >= $1";

/// What the events say.
pub(crate) struct Recounted {
    /// By event type; `None` is everybody.
    pub(crate) facets: Facets,
    /// How many events there are.
    pub(crate) events: u64,
    /// How many of them belong to a user without an ordinal, and are in no facet therefore.
    pub(crate) without_user: u64,
}

/// Facets by event type; `None` is everybody.
pub(crate) type Facets = BTreeMap<Option<String>, FacetActivity>;

/// Counts every event that `snapshot` sees, telling `progress` how many it has. Of `stored`, the days before the horizon
/// are taken instead of their events.
pub(crate) async fn recount(
    snapshot: &DatabaseTransaction,
    dialect: Dialect,
    settings: Settings,
    stored: &Facets,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Recounted, StoreError> {
    let calendar = settings.calendar;
    let mut everybody = Recount::default();
    let mut types: BTreeMap<String, Recount> = BTreeMap::new();
    if let Some(horizon) = settings.horizon {
        for (name, facet) in stored {
            let recount = match name {
                Some(name) => types.entry(name.clone()).or_default(),
                None => &mut everybody,
            };
            for (day, row) in facet.days.range(..horizon) {
                recount.add_day(*day, row.events, &row.active);
            }
        }
    }
    let from = settings
        .horizon
        .map_or(i64::MIN, |day| calendar.start_of(day).timestamp_micros());
    let (mut events, mut without_user) = (0, 0);
    let mut rows = snapshot
        .stream_raw(dialect.statement(ALL_EVENTS, vec![from.into()]))
        .await?;
    while let Some(row) = rows.try_next().await? {
        events += 1;
        if events % PROGRESS_EVERY == 0 {
            progress(events);
        }
        let Some(user_no) = row.try_get_by_index::<Option<i64>>(0)? else {
            without_user += 1;
            continue;
        };
        let user = ordinal(user_no)?;
        let event_type: String = row.try_get_by_index(1)?;
        let occurred_at = DateTime::from_timestamp_micros(row.try_get_by_index(2)?)
            .ok_or_else(|| StoreError::internal("a stored time is out of range"))?;
        let day = calendar.day_of(occurred_at);
        everybody.add(day, user);
        match types.get_mut(&event_type) {
            Some(recount) => recount.add(day, user),
            None => types.entry(event_type).or_default().add(day, user),
        }
    }
    let mut facets: Facets = types
        .into_iter()
        .map(|(name, recount)| (Some(name), recount.finish()))
        .collect();
    facets.insert(None, everybody.finish());
    Ok(Recounted {
        facets,
        events,
        without_user,
    })
}
