//! Reads events as they were stored: one by its id, and pages of them in their order.

use std::pin::pin;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sea_orm::{Statement, StreamTrait, Value};
use uuid::Uuid;

use crate::{
    Position, Store, StoreError, StoredEvent,
    events_sql::{EventsShape, Order, events_sql},
    filter::Filter,
    filter_sql::filter_sql,
};

/// The most bytes of properties that a page holds, as compact JSON: what the largest request may bring by default. A
/// page that reaches it ends early, with at least one event.
pub const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// What the properties of a page may take in memory, about: those that consist of small values take eighty times as much as
/// their text. A page that reaches it ends early as well.
pub const MAX_PAGE_MEMORY_BYTES: usize = 32 * 1024 * 1024;

/// A page of events: those between two places, from one of the ends.
#[derive(Clone, Debug, PartialEq)]
pub struct EventsQuestion {
    /// Only this user's events.
    pub user_id: Option<String>,
    /// Only events that pass; a checked filter.
    pub filter: Option<Filter>,
    /// Only events behind this place in time.
    pub newer_than: Option<Position>,
    /// Only events before this place in time.
    pub older_than: Option<Position>,
    /// From which end.
    pub order: Order,
    /// The most events.
    pub limit: u32,
}

impl EventsQuestion {
    /// No bounds, no events.
    pub fn new(order: Order) -> Self {
        Self {
            user_id: None,
            filter: None,
            newer_than: None,
            older_than: None,
            order,
            limit: 0,
        }
    }

    /// Only events behind `position`, and behind what is asked already.
    #[must_use]
    pub fn newer_than(mut self, position: Position) -> Self {
        self.newer_than = Some(self.newer_than.map_or(position, |known| known.max(position)));
        self
    }

    /// Only events before `position`, and before what is asked already.
    #[must_use]
    pub fn older_than(mut self, position: Position) -> Self {
        self.older_than = Some(self.older_than.map_or(position, |known| known.min(position)));
        self
    }

    /// Only events from this instant on.
    #[must_use]
    pub fn since(self, instant: DateTime<Utc>) -> Self {
        self.newer_than(Position::before(instant))
    }

    /// Only events before this instant.
    #[must_use]
    pub fn until(self, instant: DateTime<Utc>) -> Self {
        self.older_than(Position::first_of(instant))
    }
}

/// Events in the order that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct EventsPage {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

impl Store {
    /// The event with this id, if it is stored.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time.
    pub async fn event(&self, event_id: Uuid) -> Result<Option<StoredEvent>, StoreError> {
        self.ask(move |store| async move {
            let mut stored = store.stored(&store.inner.read, vec![event_id]).await?;
            Ok(stored.remove(&event_id))
        })
        .await
    }

    /// Reads a page of events, in the order of the question. Events stored at the same moment as they are read are in it
    /// or not; those stored before are.
    ///
    /// A page has fewer events than asked for where there are no more, or where their properties are larger than
    /// [`MAX_PAGE_BYTES`], or take more than [`MAX_PAGE_MEMORY_BYTES`]: [`EventsPage::more`] tells. The cost follows the page, not the number of stored events; with a
    /// filter that few events pass, it follows those that are passed over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time.
    pub async fn events(&self, question: EventsQuestion) -> Result<EventsPage, StoreError> {
        self.ask(move |store| {
            let question = question.clone();
            async move { store.events_from(&store.inner.read, &question).await }
        })
        .await
    }

    /// [`Store::events`] from a connection of the caller's.
    pub(crate) async fn events_from(
        &self,
        connection: &impl StreamTrait,
        question: &EventsQuestion,
    ) -> Result<EventsPage, StoreError> {
        let limit = usize::try_from(question.limit).unwrap_or(usize::MAX);
        let mut rows = pin!(connection.stream_raw(self.events_statement(question)).await?);
        let mut page = EventsPage {
            events: Vec::new(),
            more: false,
        };
        let (mut bytes, mut memory) = (0, 0);
        while let Some(row) = rows.try_next().await? {
            if page.events.len() >= limit || bytes >= MAX_PAGE_BYTES || memory >= MAX_PAGE_MEMORY_BYTES {
                page.more = true;
                break;
            }
            let event = StoredEvent::from_row(&row)?;
            let text = serde_json::to_vec(&event.properties).unwrap_or_default();
            bytes += text.len();
            memory += memory_of_json(&text);
            page.events.push(event);
        }
        Ok(page)
    }

    /// Asks for one event more than wanted, to know whether there is one.
    fn events_statement(&self, question: &EventsQuestion) -> Statement {
        let bound = |position: Option<Position>, open: (i64, Uuid)| -> [Value; 2] {
            let (micros, id) = position.map_or(open, |position| {
                (position.occurred_at.timestamp_micros(), position.event_id)
            });
            [micros.into(), id.into()]
        };
        let mut values = Vec::with_capacity(6);
        values.extend(bound(question.newer_than, (i64::MIN, Uuid::nil())));
        values.extend(bound(question.older_than, (i64::MAX, Uuid::max())));
        values.push((i64::from(question.limit) + 1).into());
        if let Some(user_id) = &question.user_id {
            values.push(user_id.clone().into());
        }
        let dialect = self.inner.dialect;
        let of_user = question.user_id.is_some();
        let Some(filter) = &question.filter else {
            return dialect.statement(self.inner.sql.events.text(question.order, of_user), values);
        };
        let (condition, of_filter) = filter_sql(dialect, filter, values.len() + 1);
        values.extend(of_filter);
        let shape = EventsShape {
            order: question.order,
            of_user,
            filter: Some(&condition),
        };
        dialect.statement(&events_sql(shape), values)
    }
}

/// About what the values of a compact JSON text take in memory, with the text: an object has a node of eleven members.
fn memory_of_json(text: &[u8]) -> usize {
    const OBJECT_BYTES: usize = 600;
    const VALUE_BYTES: usize = 64;
    let (mut memory, mut in_string, mut escaped) = (text.len(), false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' if !in_string => memory += OBJECT_BYTES,
            b'[' | b',' if !in_string => memory += VALUE_BYTES,
            _ => {}
        }
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::memory_of_json;

    #[test]
    fn small_values_take_more_than_their_text() {
        for (text, memory) in [
            ("{}", 602),
            (r#"{"a":[1,2]}"#, 11 + 600 + 2 * 64),
            (r#"{"a":"\"[,{"}"#, 13 + 600),
        ] {
            assert_eq!(memory_of_json(text.as_bytes()), memory, "{text}");
        }
    }
}
