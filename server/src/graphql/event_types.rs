//! `eventTypes`: what exists.

use async_graphql::{Context, Object, ScalarType, SimpleObject, Value};
use store::EventType as Stored;

use super::cursor::{into_name, of_name};
use super::error::Result;
use super::guard::Needs;
use super::page::{Beyond, PageInfo, Slice};
use super::resources::Resources;
use super::rows::{PlainFields, Row, Rows};
use super::scalars::{Count, LocalDate};

#[derive(Default)]
pub(super) struct EventTypesQuery;

#[Object]
impl EventTypesQuery {
    /// The event types that there are, by name ascending (byte for byte), in pages of up to 1,000.
    #[graphql(
        guard = "Needs::Query",
        complexity = "super::page::cost(first, None, child_complexity)"
    )]
    async fn event_types(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many event types: 0 to 1,000; 50 if left out.")] first: Option<i32>,
        #[graphql(desc = "Only event types behind the one with this cursor.")] after: Option<String>,
    ) -> Result<EventTypeConnection> {
        let (Slice::First(limit) | Slice::Last(limit)) = Slice::parse(first, None)?;
        let after = after.map(|cursor| into_name("after", &cursor)).transpose()?;
        let store = &Resources::of(context)?.store;
        let page = store
            .event_types(after.clone().unwrap_or_default(), limit)
            .await?;
        Ok(EventTypeConnection {
            event_types: page.event_types.into_iter().map(EventType::from).collect(),
            next: Beyond::Known(page.more),
            previous: after.map_or(Beyond::Known(false), Beyond::EventTypesUpTo),
        })
    }
}

/// A page of event types.
pub(super) struct EventTypeConnection {
    event_types: Vec<EventType>,
    next: Beyond,
    previous: Beyond,
}

/// A page of event types, by name ascending.
#[Object]
impl EventTypeConnection {
    /// The event types, each with its cursor.
    async fn edges(&self) -> Rows<EventTypeEdge<'_>> {
        self.event_types
            .iter()
            .map(|node| EventTypeEdge {
                cursor: of_name(&node.name),
                node,
            })
            .collect()
    }

    /// The event types.
    async fn nodes(&self) -> Rows<&EventType> {
        self.event_types.iter().collect()
    }

    /// Where the page stands in the list.
    async fn page_info(&self) -> PageInfo {
        let cursor = |event_type: Option<&EventType>| event_type.map(|event_type| of_name(&event_type.name));
        PageInfo {
            next: self.next.clone(),
            previous: self.previous.clone(),
            start_cursor: cursor(self.event_types.first()),
            end_cursor: cursor(self.event_types.last()),
        }
    }
}

/// An event type on a page.
#[derive(SimpleObject)]
pub(super) struct EventTypeEdge<'a> {
    /// Where the event type stands in the list: for `after`.
    cursor: String,
    /// The event type.
    node: &'a EventType,
}

/// What is known of an event type.
#[derive(SimpleObject)]
pub(super) struct EventType {
    /// The name, as it was sent.
    name: String,
    /// The day of the earliest event, in the reporting time zone.
    first_day: LocalDate,
    /// The day of the latest event.
    last_day: LocalDate,
    /// How many events of this type there are.
    events: Count,
    /// How many distinct users have one.
    users: Count,
}

impl Row for EventTypeEdge<'_> {
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

impl Row for EventType {
    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "name" => self.name.as_str().into(),
            "firstDay" => self.first_day.to_value(),
            "lastDay" => self.last_day.to_value(),
            "events" => self.events.to_value(),
            "users" => self.users.to_value(),
            _ => return None,
        })
    }
}

impl From<Stored> for EventType {
    fn from(stored: Stored) -> Self {
        Self {
            name: stored.name,
            first_day: LocalDate::new(stored.first_day),
            last_day: LocalDate::new(stored.last_day),
            events: Count(stored.events),
            users: Count(stored.users),
        }
    }
}
