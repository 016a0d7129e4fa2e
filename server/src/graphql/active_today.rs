//! `activeToday`: the active users of the day, as they become more.

use async_graphql::{Context, Subscription};
use futures_util::stream::{self, Stream};

use super::active_users::ActiveUsersPoint;
use super::arguments::question_cost;
use super::error::{ApiError, Result};
use super::filter::EventFilter;
use super::guard::Needs;
use super::resources::Resources;
use crate::limits::MAX_TODAY_COUNTS;
use crate::today::Watching;

#[derive(Default)]
pub(super) struct ActiveTodaySubscription;

#[Subscription]
impl ActiveTodaySubscription {
    /// The answer to `dau` for one day, sent again whenever it changes, at most once a second.
    ///
    /// The day is the present one in the reporting time zone. The first answer comes at once; at midnight the new day begins.
    #[graphql(
        guard = "Needs::Query",
        complexity = "question_cost(filter.as_ref()) + child_complexity"
    )]
    async fn active_today(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which events count; without it, all of them.")] filter: Option<EventFilter>,
    ) -> Result<impl Stream<Item = Result<ActiveUsersPoint>> + use<>> {
        let filter = filter.map(EventFilter::parse).transpose()?;
        let watching = Resources::of(context)?.today.watch(filter);
        let watching = watching.ok_or_else(too_many)?;
        Ok(stream::unfold(Some(watching), async |watching| {
            let mut watching: Watching = watching?;
            match watching.next().await? {
                Ok(point) => Some((Ok(ActiveUsersPoint::from(point)), Some(watching))),
                Err(error) => Some((Err(error.into()), None)),
            }
        }))
    }
}

fn too_many() -> ApiError {
    ApiError::overloaded(&format!(
        "{MAX_TODAY_COUNTS} different filters are watched, the most at a time; try again"
    ))
}
