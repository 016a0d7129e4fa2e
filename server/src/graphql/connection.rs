//! `EventConnection`: a page of events, wherever a list of events is asked for.

use async_graphql::{Context, Object, SimpleObject, Value};
use store::EventsQuestion;
use store::Order;

use super::cursor::{into_position, of_event};
use super::error::Result;
use super::event::Event;
use super::page::{Beyond, PageInfo, Slice};
use super::resources::Resources;
use super::rows::{PlainFields, Row, Rows};
use super::user::Users;
use crate::answer_memory::AnswerMemory;

/// Which page of a list a client wants.
pub(super) struct PageArguments {
    pub(super) first: Option<i32>,
    pub(super) after: Option<String>,
    pub(super) last: Option<i32>,
    pub(super) before: Option<String>,
}

/// Events, newest first; those of the same time by their ids, highest first.
pub(super) struct EventConnection {
    events: Vec<Event>,
    next: Beyond,
    previous: Beyond,
}

/// A page of events, newest first; those of the same time by their ids, highest first.
///
/// A page ends early, with `hasNextPage` (or `hasPreviousPage` with `last`), where the properties of its events are
/// larger than 8 MiB together, or take more than 32 MiB of memory because they consist of many small values.
#[Object]
impl EventConnection {
    /// The events, each with its cursor.
    async fn edges(&self) -> Rows<EventEdge<'_>> {
        self.events
            .iter()
            .map(|node| EventEdge {
                cursor: of_event(node.position),
                node,
            })
            .collect()
    }

    /// The events.
    async fn nodes(&self) -> Rows<&Event> {
        self.events.iter().collect()
    }

    /// Where the page stands in the list.
    async fn page_info(&self) -> PageInfo {
        let cursor = |event: Option<&Event>| event.map(|event| of_event(event.position));
        PageInfo {
            next: self.next.clone(),
            previous: self.previous.clone(),
            start_cursor: cursor(self.events.first()),
            end_cursor: cursor(self.events.last()),
        }
    }
}

impl EventConnection {
    /// Reads a page of `list`, which has neither order nor length.
    pub(super) async fn read(
        context: &Context<'_>,
        list: EventsQuestion,
        page: PageArguments,
    ) -> Result<Self> {
        let slice = Slice::parse(page.first, page.last)?;
        let position = |field, cursor: Option<String>| {
            let position = cursor.map(|cursor| into_position(field, &cursor));
            position.transpose()
        };
        let (after, before) = (position("after", page.after)?, position("before", page.before)?);
        let (order, limit) = match slice {
            Slice::First(limit) => (Order::NewestFirst, limit),
            Slice::Last(limit) => (Order::OldestFirst, limit),
        };
        let mut question = EventsQuestion {
            order,
            limit,
            ..list.clone()
        };
        if let Some(after) = after {
            question = question.older_than(after);
        }
        if let Some(before) = before {
            question = question.newer_than(before);
        }
        let found = Resources::of(context)?.store.events(question).await?;
        let mut events: Vec<Event> = found.events.into_iter().map(Event::from).collect();
        if let Some(memory) = context.data_opt::<AnswerMemory>() {
            memory.take(events.iter().map(Event::weight).sum())?;
        }
        if order == Order::OldestFirst {
            events.reverse();
        }
        let selected = context.look_ahead();
        let selected = [selected.field("nodes"), selected.field("edges").field("node")];
        Users::fill(context, selected, &mut events).await?;

        let (start, end) = (events.first(), events.last());
        let (start, end) = (start.map(|event| event.position), end.map(|event| event.position));
        // A page that was cut off by a cursor has the rest of the list beyond it.
        let next = before.map(|before| list.clone().older_than(end.unwrap_or(before.next())));
        let previous = after.map(|after| list.newer_than(start.unwrap_or(after.previous())));
        let beyond = |more, rest: Option<EventsQuestion>| match (more, rest) {
            (false, Some(rest)) => Beyond::Events(Box::new(rest)),
            (more, _) => Beyond::Known(more),
        };
        Ok(Self {
            events,
            next: beyond(found.more && order == Order::NewestFirst, next),
            previous: beyond(found.more && order == Order::OldestFirst, previous),
        })
    }
}

/// An event on a page.
#[derive(SimpleObject)]
pub(super) struct EventEdge<'a> {
    /// Where the event stands in the list: for `after` and `before`.
    cursor: String,
    /// The event.
    node: &'a Event,
}

impl Row for EventEdge<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        (name == "cursor").then(|| self.cursor.as_str().into())
    }

    fn object(&self, name: &str, fields: &PlainFields<'_>) -> Option<Value> {
        match name {
            "node" => fields.of_row(self.node),
            _ => None,
        }
    }
}
