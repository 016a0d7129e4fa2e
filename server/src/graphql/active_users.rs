//! `dau`: distinct active users per day.

use activity::active_users::ActiveUsersPoint as Point;
use async_graphql::{Context, Object, ScalarType, SimpleObject, Value};
use store::ActiveUsersQuestion;

use super::arguments::{bounded, day_range, question_cost};
use super::error::Result;
use super::filter::EventFilter;
use super::guard::Needs;
use super::resources::Resources;
use super::rows::{Row, Rows};
use super::scalars::{Count, LocalDate, TimeZone};
use crate::limits::MAX_WINDOW_DAYS;

#[derive(Default)]
pub(super) struct ActiveUsersQuery;

#[Object]
impl ActiveUsersQuery {
    /// Distinct active users per day. windowDays 1 = DAU, 7 = WAU, 28 or 30 = MAU: trailing, the day itself included.
    ///
    /// The window reaches before `from`, so the first days are not too low. Every day of the range has a point, also
    /// a day without events.
    ///
    /// A filter on event types alone is answered as fast as no filter. Any other is read from the events themselves: that takes
    /// longer the more of them there are, and ends with TIMEOUT after ten seconds; then ask for fewer days.
    #[graphql(
        guard = "Needs::Query",
        complexity = "question_cost(filter.as_ref()) + child_complexity"
    )]
    async fn dau(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The first day, in the reporting time zone.")] from: LocalDate,
        #[graphql(desc = "The last day, included; at most ten years after `from`.")] to: LocalDate,
        #[graphql(
            desc = "How many days a user counts as active after an event, from 1 to 366.",
            default = 1
        )]
        window_days: i32,
        #[graphql(desc = "Which events count; without it, all of them.")] filter: Option<EventFilter>,
    ) -> Result<ActiveUsers> {
        let range = day_range(from, to)?;
        let window_days = bounded("windowDays", window_days, 1, MAX_WINDOW_DAYS)?;
        let resources = Resources::of(context)?;
        let question = ActiveUsersQuestion {
            from: range.from,
            to: range.to,
            window_days,
            filter: filter.map(EventFilter::parse).transpose()?,
        };
        let points = resources.store.active_users(question, resources.now()).await?;
        Ok(ActiveUsers {
            points: points.into_iter().map(ActiveUsersPoint::from).collect(),
            timezone: TimeZone(resources.store.timezone()),
        })
    }
}

/// Active users over a range of days.
#[derive(SimpleObject)]
pub(super) struct ActiveUsers {
    /// One point for each day of the range, oldest first.
    points: Rows<ActiveUsersPoint>,
    /// The reporting time zone, in which days begin and end.
    timezone: TimeZone,
}

/// Active users on one day.
#[derive(SimpleObject)]
pub(super) struct ActiveUsersPoint {
    /// The day.
    date: LocalDate,
    /// Distinct users with at least one event in the window that ends on this day.
    users: Count,
    /// Users whose first event ever (of those that pass the filter) fell on this day.
    new_users: Count,
    /// Whether the day is over; until then its numbers rise. Late events may raise those of complete days as well.
    complete: bool,
}

impl Row for ActiveUsersPoint {
    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "date" => self.date.to_value(),
            "users" => self.users.to_value(),
            "newUsers" => self.new_users.to_value(),
            "complete" => self.complete.into(),
            _ => return None,
        })
    }
}

impl From<Point> for ActiveUsersPoint {
    fn from(point: Point) -> Self {
        Self {
            date: LocalDate::new(point.day),
            users: Count(point.users),
            new_users: Count(point.new_users),
            complete: point.complete,
        }
    }
}
