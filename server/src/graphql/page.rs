//! The arguments of connections, what a page costs, and what `pageInfo` says.

use async_graphql::{Context, Object};
use store::{EventsQuestion, Store};

use super::arguments::bounded;
use super::error::{ApiError, Result};
use super::resources::Resources;
use crate::limits::{DEFAULT_PAGE, ENTRY_FIELDS_PER_COST, MAX_PAGE, PAGE_COST, TIMELINE_COST};

/// How many entries a client wants, and from which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    First(u32),
    Last(u32),
}

impl Slice {
    /// What `first` and `last` say.
    pub(super) fn parse(first: Option<i32>, last: Option<i32>) -> Result<Self> {
        match (first, last) {
            (Some(_), Some(_)) => Err(ApiError::bad_input(
                "last",
                "and first exclude each other; give one of them",
            )),
            (None, Some(last)) => Ok(Self::Last(bounded("last", last, 0, MAX_PAGE)?)),
            (Some(first), None) => Ok(Self::First(bounded("first", first, 0, MAX_PAGE)?)),
            (None, None) => Ok(Self::First(DEFAULT_PAGE)),
        }
    }
}

/// What a page adds to the complexity of an operation: its length counts. Wrong arguments are refused later.
pub(super) fn cost(first: Option<i32>, last: Option<i32>, fields: usize) -> usize {
    let asked = first.into_iter().chain(last).max();
    let length = asked.map_or(DEFAULT_PAGE, |length| length.clamp(0, MAX_PAGE).unsigned_abs());
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let entries = length.saturating_mul(fields).div_ceil(ENTRY_FIELDS_PER_COST);
    entries.max(fields).saturating_add(PAGE_COST)
}

/// [`cost`] of a page that may stand in every entry of another one and takes a statement there.
pub(super) fn timeline_cost(first: Option<i32>, last: Option<i32>, fields: usize) -> usize {
    cost(first, last, fields).saturating_add(TIMELINE_COST)
}

/// Whether there are entries beyond an end of a page. Where reading the page has not told, it is looked up once somebody
/// asks.
#[derive(Debug, Clone)]
pub(super) enum Beyond {
    Known(bool),
    /// Whether there is an event between these places.
    Events(Box<EventsQuestion>),
    /// Whether there is an event type up to this name.
    EventTypesUpTo(String),
}

impl Beyond {
    async fn is_there(&self, store: &Store) -> Result<bool> {
        match self {
            Self::Known(known) => Ok(*known),
            Self::Events(question) => Ok(store.events(question.as_ref().clone()).await?.more),
            Self::EventTypesUpTo(name) => {
                let page = store.event_types(String::new(), 1).await?;
                Ok(page.event_types.first().is_some_and(|first| first.name <= *name))
            }
        }
    }
}

/// Where a page stands in its list.
#[derive(Debug, Clone)]
pub(super) struct PageInfo {
    pub(super) next: Beyond,
    pub(super) previous: Beyond,
    pub(super) start_cursor: Option<String>,
    pub(super) end_cursor: Option<String>,
}

/// Where a page stands in its list.
#[Object]
impl PageInfo {
    /// Whether the list goes on behind the last entry of the page.
    async fn has_next_page(&self, context: &Context<'_>) -> Result<bool> {
        self.next.is_there(&Resources::of(context)?.store).await
    }

    /// Whether there are entries before the first one of the page.
    async fn has_previous_page(&self, context: &Context<'_>) -> Result<bool> {
        self.previous.is_there(&Resources::of(context)?.store).await
    }

    /// The cursor of the first entry; null on an empty page.
    async fn start_cursor(&self) -> Option<&str> {
        self.start_cursor.as_deref()
    }

    /// The cursor of the last entry, for `after` of the next page; null on an empty page.
    async fn end_cursor(&self) -> Option<&str> {
        self.end_cursor.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::{Slice, cost};

    #[test]
    fn a_slice_is_from_one_end() {
        let parse = |first, last| Slice::parse(first, last).ok();
        assert_eq!(parse(None, None), Some(Slice::First(50)));
        assert_eq!(parse(Some(0), None), Some(Slice::First(0)));
        assert_eq!(parse(None, Some(1_000)), Some(Slice::Last(1_000)));
        for (first, last) in [
            (Some(1), Some(1)),
            (Some(-1), None),
            (None, Some(-1)),
            (Some(1_001), None),
        ] {
            assert_eq!(parse(first, last), None, "{first:?} {last:?}");
        }
    }

    #[test]
    fn costs_follow_length_and_fields() {
        assert_eq!(cost(Some(1_000), None, 8), 410);
        assert_eq!(cost(None, None, 8), 30);
        assert_eq!(cost(Some(0), None, 8), 18);
        assert_eq!(cost(Some(-5), None, 8), 18);
        assert_eq!(cost(None, Some(i32::MAX), 2), 110);
        assert!(cost(Some(1_000), None, usize::MAX) >= usize::MAX / 20);
    }
}
