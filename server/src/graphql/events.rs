//! `events` and `event`: what was stored.

use async_graphql::{Context, Object};
use store::{EventsQuestion, Order};

use super::connection::{EventConnection, PageArguments};
use super::error::{ApiError, Result};
use super::event::Event;
use super::filter::EventFilter;
use super::guard::Needs;
use super::resources::Resources;
use super::scalars::{Instant, Uuid};

#[derive(Default)]
pub(super) struct EventsQuery;

#[Object]
impl EventsQuery {
    /// Stored events, newest first, in pages of up to 1,000.
    ///
    /// Cursors stay good whatever is stored meanwhile: nothing comes twice, and nothing that was there is left out.
    /// To read on, give the `endCursor` of a page as `after`; to see what is new since, its `startCursor` as `before`
    /// with `last`.
    #[graphql(
        guard = "Needs::Query",
        complexity = "super::page::cost(first, last, child_complexity)"
    )]
    #[allow(clippy::too_many_arguments, reason = "they are those of the API")]
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "How many events from the newest on, or behind `after`: 0 to 1,000; 50 if neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only events behind the one with this cursor, that is: older ones.")] after: Option<
            String,
        >,
        #[graphql(
            desc = "How many events up to the oldest, or before `before`: 0 to 1,000. Also newest first."
        )]
        last: Option<i32>,
        #[graphql(desc = "Only events before the one with this cursor, that is: newer ones.")] before: Option<
            String,
        >,
        #[graphql(desc = "Only events that happened at this instant or later.")] from: Option<Instant>,
        #[graphql(desc = "Only events that happened before this instant; not before `from`.")] to: Option<
            Instant,
        >,
        #[graphql(desc = "Only events that pass.")] filter: Option<EventFilter>,
    ) -> Result<EventConnection> {
        let list = EventsQuestion {
            filter: filter.map(EventFilter::parse).transpose()?,
            ..EventsQuestion::new(Order::NewestFirst)
        };
        let list = in_period(list, from, to)?;
        let page = PageArguments {
            first,
            after,
            last,
            before,
        };
        EventConnection::read(context, list, page).await
    }

    /// The event with this id; null if none is stored.
    #[graphql(guard = "Needs::Query", complexity = "10 + child_complexity")]
    async fn event(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The event's identity.")] event_id: Uuid,
    ) -> Result<Option<Event>> {
        let event_id = event_id
            .into_uuid()
            .map_err(|fault| ApiError::bad_input("eventId", &fault))?;
        let event = Resources::of(context)?.store.event(event_id).await?;
        Ok(event.map(Event::from))
    }
}

/// `list` from the instant `from` on and before `to`.
fn in_period(list: EventsQuestion, from: Option<Instant>, to: Option<Instant>) -> Result<EventsQuestion> {
    let instant = |field, instant: Option<Instant>| {
        let instant = instant.map(Instant::into_instant).transpose();
        instant.map_err(|fault| ApiError::bad_input(field, &fault))
    };
    let (from, to) = (instant("from", from)?, instant("to", to)?);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(ApiError::bad_input(
            "from",
            &format!("{} must not be after to {}", from.to_rfc3339(), to.to_rfc3339()),
        ));
    }
    let mut list = list;
    if let Some(from) = from {
        list = list.since(from);
    }
    if let Some(to) = to {
        list = list.until(to);
    }
    Ok(list)
}
