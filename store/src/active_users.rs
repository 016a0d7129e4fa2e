//! Reads active users.

use std::{collections::BTreeMap, sync::Arc};

use activity::{
    active_users::{ActiveUsersPoint, active_users, window_users},
    calendar::{Day, DayRange},
};
use chrono::{DateTime, Utc};

use crate::{
    Store, StoreError,
    answers::Basis,
    frame::{Frame, FrameRequest, Need, no_days},
};

/// Active users of each day from `from` to `to`, both included, in trailing windows of `window_days` days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ActiveUsersQuestion {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// The window's length in days, at least 1: the day itself and the ones before it.
    pub window_days: u32,
}

impl Store {
    /// Counts distinct users for each day of the question, oldest first; days without events are zeros.
    ///
    /// Days are calendar days in the reporting time zone; `now` decides which are complete. The cost follows the number
    /// of days. With windows of one day and an empty log no set is touched at all.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time.
    pub async fn active_users(
        &self,
        question: ActiveUsersQuestion,
        now: DateTime<Utc>,
    ) -> Result<Vec<ActiveUsersPoint>, StoreError> {
        self.ask(move |store| async move {
            let computing = store.active_users_here(question, now);
            store
                .inner
                .answers
                .active_users
                .answer(&store, &question, now, computing)
                .await
        })
        .await
    }

    async fn active_users_here(
        &self,
        question: ActiveUsersQuestion,
        now: DateTime<Utc>,
    ) -> Result<(Option<Basis>, Vec<ActiveUsersPoint>), StoreError> {
        let range = DayRange {
            from: question.from,
            to: question.to,
        };
        let before = i32::try_from(question.window_days.saturating_sub(1)).unwrap_or(i32::MAX);
        let window_range = DayRange {
            from: range.from.plus(-before),
            to: range.to,
        };
        let set_days = if question.window_days > 1 {
            window_range
        } else {
            no_days()
        };
        let request = FrameRequest {
            everybody: true,
            every_type: false,
            names: Vec::new(),
            range: window_range,
        };
        let needs = |frame: &Frame| {
            frame.position(None).map(|position| Need {
                position,
                days: set_days,
            })
        };
        let view = self
            .view(&request, |frame| needs(frame).into_iter().collect())
            .await?;
        let calendar = self.settings().calendar;
        let Some(position) = view.frame.position(None) else {
            return Err(StoreError::internal("there is no facet of everybody"));
        };
        let windows = (question.window_days > 1).then(|| {
            let active: BTreeMap<_, _> = view
                .sets(position, window_range)
                .map(|(day, row)| (day, Arc::clone(&row.active)))
                .collect();
            window_users(range, question.window_days, &active)
        });
        let points = active_users(range, &view.counts(position), windows.as_deref(), calendar, now);
        Ok((Basis::of(&view.frame), points))
    }
}
