//! `eventAdded`: events as they are stored.

use async_graphql::{Context, Subscription};
use futures_util::stream::{self, Stream, StreamExt};
use store::filter::Filter;
use store::{Follower, StoredEvent, TailEnd};

use super::error::{ApiError, Result};
use super::event::Event;
use super::filter::EventFilter;
use super::guard::Needs;
use super::resources::Resources;

#[derive(Default)]
pub(super) struct EventAddedSubscription;

#[Subscription]
impl EventAddedSubscription {
    /// Stored events as they commit, whoever stored them. Duplicates never appear.
    ///
    /// It begins when it is asked for; what was stored before is found by `events`. Each event comes once, in the order in
    /// which events were committed, as far as the database tells. Whoever does not read what comes is cut off with the
    /// code SLOW_READER rather than served with gaps.
    #[graphql(guard = "Needs::Query")]
    async fn event_added(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which events come; without it, all of them.")] filter: Option<EventFilter>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let filter = filter.map(EventFilter::parse).transpose()?;
        let follower = Resources::of(context)?.store.follow().await?;
        let pages = stream::unfold((Some(follower), filter), async |(follower, filter)| {
            let mut follower = follower?;
            match page(&mut follower, filter.as_ref()).await {
                Ok(events) => Some((events, (Some(follower), filter))),
                Err(error) => Some((vec![Err(error)], (None, None))),
            }
        });
        Ok(pages.flat_map(stream::iter))
    }
}

/// The events of the next page that pass.
async fn page(follower: &mut Follower, filter: Option<&Filter>) -> Result<Vec<Result<Event>>> {
    let passes = |event: &&StoredEvent| filter.is_none_or(|filter| filter.matches(event));
    match follower.next().await {
        Ok(page) => Ok(page
            .iter()
            .filter(passes)
            .cloned()
            .map(Event::from)
            .map(Ok)
            .collect()),
        Err(TailEnd::TooSlow) => Err(ApiError::too_slow()),
        Err(TailEnd::Failed(error)) => Err(error.into()),
    }
}
