//! `topEvents`: the event types that happened most.

use activity::top_events::{Rank, TopEvent as Ranked, TopEvents as Ranking};
use async_graphql::{Context, Enum, Object, ScalarType, SimpleObject, Value};
use store::TopEventsQuestion;

use super::arguments::{bounded, day_range, question_cost};
use super::error::Result;
use super::filter::EventFilter;
use super::guard::Needs;
use super::resources::Resources;
use super::rows::{Row, Rows};
use super::scalars::{Count, LocalDate};
use crate::limits::MAX_TOP_EVENTS;

#[derive(Default)]
pub(super) struct TopEventsQuery;

#[Object]
impl TopEventsQuery {
    /// The event types that happened most, or to most users, over a range of days.
    ///
    /// With a filter, every number is about the events that pass it. A filter on event types alone is answered as fast as none;
    /// any other is read from the events themselves: that takes longer the more of them there are, and ends with TIMEOUT after
    /// ten seconds; then ask for fewer days.
    #[graphql(
        guard = "Needs::Query",
        complexity = "question_cost(filter.as_ref()) + child_complexity"
    )]
    async fn top_events(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The first day, in the reporting time zone.")] from: LocalDate,
        #[graphql(desc = "The last day, included; at most ten years after `from`.")] to: LocalDate,
        #[graphql(desc = "The most rows, from 1 to 1000.", default = 10)] limit: i32,
        #[graphql(desc = "What the rows are ranked by.", default_with = "TopEventsRank::Events")]
        rank_by: TopEventsRank,
        #[graphql(desc = "Which events count; without it, all of them.")] filter: Option<EventFilter>,
    ) -> Result<TopEvents> {
        let range = day_range(from, to)?;
        let limit = bounded("limit", limit, 1, MAX_TOP_EVENTS)?;
        let store = &Resources::of(context)?.store;
        let question = TopEventsQuestion {
            from: range.from,
            to: range.to,
            limit,
            rank: rank_by.into(),
            filter: filter.map(EventFilter::parse).transpose()?,
        };
        Ok(store.top_events(question).await?.into())
    }
}

/// What event types are ranked by; ties are in the order of their names.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum TopEventsRank {
    /// How many events there were.
    Events,
    /// How many distinct users had one.
    Users,
}

impl From<TopEventsRank> for Rank {
    fn from(rank: TopEventsRank) -> Self {
        match rank {
            TopEventsRank::Events => Self::Events,
            TopEventsRank::Users => Self::Users,
        }
    }
}

/// The event types that happened most over a range of days.
#[derive(SimpleObject)]
pub(super) struct TopEvents {
    /// The first event types of the ranking, best first.
    rows: Rows<TopEvent>,
    /// All events in range that pass the filter; rows and otherEvents add up to it.
    total_events: Count,
    /// Events of the types that have no row.
    other_events: Count,
    /// Distinct users with any of these events; not a sum, for a user may have events of several types.
    total_users: Count,
}

/// One event type over a range of days.
#[derive(SimpleObject)]
pub(super) struct TopEvent {
    /// The event type.
    event_type: String,
    /// How many events of this type there were.
    events: Count,
    /// How many distinct users had one.
    users: Count,
    /// events / totalEvents, from 0 to 1.
    share: Option<f64>,
}

impl From<Ranking> for TopEvents {
    fn from(ranking: Ranking) -> Self {
        Self {
            rows: ranking.rows.into_iter().map(TopEvent::from).collect(),
            total_events: Count(ranking.total_events),
            other_events: Count(ranking.other_events),
            total_users: Count(ranking.total_users),
        }
    }
}

impl Row for TopEvent {
    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "eventType" => self.event_type.as_str().into(),
            "events" => self.events.to_value(),
            "users" => self.users.to_value(),
            "share" => self.share.map_or(Value::Null, Value::from),
            _ => return None,
        })
    }
}

impl From<Ranked> for TopEvent {
    fn from(row: Ranked) -> Self {
        Self {
            event_type: row.event_type,
            events: Count(row.events),
            users: Count(row.users),
            share: row.share,
        }
    }
}
