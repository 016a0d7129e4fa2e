//! Reads top events.

use activity::{
    calendar::{Day, DayRange},
    set::UserSet,
    top_events::{Rank, TopEvents, TypeTotals, rank, top_events},
};
use chrono::DateTime;

use crate::{
    Store, StoreError,
    answers::Basis,
    frame::{Frame, FrameRequest, Need},
};

/// The event types with the most events or users from `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopEventsQuestion {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// The most rows.
    pub limit: u32,
    /// What the ranking goes by.
    pub rank: Rank,
}

impl Store {
    /// Ranks event types by events or distinct users, highest first, ties by name ascending; types without events in the
    /// range are left out.
    ///
    /// The cost follows days times types; ranked by events, only the sets of the types in the answer are touched.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time.
    pub async fn top_events(&self, question: TopEventsQuestion) -> Result<TopEvents, StoreError> {
        let store = self.clone();
        self.spawn(async move {
            let computing = store.top_events_here(question);
            // No part of this answer depends on "now".
            let now = DateTime::UNIX_EPOCH;
            store
                .inner
                .answers
                .top_events
                .answer(&store, &question, now, computing)
                .await
        })
        .await
    }

    async fn top_events_here(
        &self,
        question: TopEventsQuestion,
    ) -> Result<(Option<Basis>, TopEvents), StoreError> {
        let range = DayRange {
            from: question.from,
            to: question.to,
        };
        let request = FrameRequest {
            everybody: true,
            every_type: true,
            names: Vec::new(),
            range,
        };
        let limit = usize::try_from(question.limit).unwrap_or(usize::MAX);
        let candidates = |frame: &Frame| -> Vec<usize> {
            let types = (0..frame.facets.len()).filter(|position| frame.facets[*position].name.is_some());
            let types: Vec<usize> = types
                .filter(|position| frame.facets[*position].events(range) > 0)
                .collect();
            match question.rank {
                Rank::Users => types,
                Rank::Events => rank(types, limit, |position| {
                    let facet = &frame.facets[*position];
                    (facet.events(range), facet.name.clone().unwrap_or_default())
                }),
            }
        };
        let needs = |frame: &Frame| -> Vec<Need> {
            let positions = candidates(frame).into_iter().chain(frame.position(None));
            positions
                .map(|position| Need {
                    position,
                    days: range,
                })
                .collect()
        };
        let view = self.view(&request, needs).await?;
        let users = |position: usize| {
            let days = view.sets(position, range);
            UserSet::union_of(days.map(|(_, row)| &row.active)).len()
        };
        let totals = |position: usize| {
            let facet = &view.frame.facets[position];
            let event_type = facet.name.clone().unwrap_or_default();
            TypeTotals {
                event_type,
                events: facet.events(range),
                users: users(position),
            }
        };
        let types: Vec<TypeTotals> = candidates(&view.frame).into_iter().map(totals).collect();
        let ranked = rank(types, limit, |row| {
            let count = match question.rank {
                Rank::Events => row.events,
                Rank::Users => row.users,
            };
            (count, row.event_type.clone())
        });
        let everybody = view.frame.position(None);
        let total_events = everybody.map_or(0, |position| view.frame.facets[position].events(range));
        let answer = top_events(ranked, total_events, everybody.map_or(0, users));
        Ok((Basis::of(&view.frame), answer))
    }
}
