//! `activeToday`: the active users of the day, as they become more.

use async_graphql::{Context, Subscription};
use futures_util::stream::{self, Stream};

use super::active_users::ActiveUsersPoint;
use super::error::Result;
use super::guard::Needs;
use super::resources::Resources;
use crate::today::Watching;

#[derive(Default)]
pub(super) struct ActiveTodaySubscription;

#[Subscription]
impl ActiveTodaySubscription {
    /// The answer to `dau` for one day, sent again whenever it changes, at most once a second.
    ///
    /// The day is the present one in the reporting time zone. The first answer comes at once; at midnight the new day begins.
    #[graphql(guard = "Needs::Query", complexity = "50 + child_complexity")]
    async fn active_today(
        &self,
        context: &Context<'_>,
    ) -> Result<impl Stream<Item = Result<ActiveUsersPoint>> + use<>> {
        let watching = Resources::of(context)?.today.watch();
        Ok(stream::unfold(Some(watching), async |watching| {
            let mut watching: Watching = watching?;
            match watching.next().await? {
                Ok(point) => Some((Ok(ActiveUsersPoint::from(point)), Some(watching))),
                Err(error) => Some((Err(error.into()), None)),
            }
        }))
    }
}
