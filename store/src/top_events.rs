//! Reads top events.

use std::sync::Arc;

use activity::{
    calendar::{Day, DayRange},
    set::UserSet,
    top_events::{Rank, TopEvents, TypeTotals, rank, top_events},
};
use chrono::DateTime;

use crate::{
    Store, StoreError,
    answers::Basis,
    cache::SetKey,
    frame::{Frame, FrameRequest, Need, View},
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
        self.ask(move |store| async move {
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
        let users = |position: usize| self.distinct_users(&view, position, range);
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

    /// Distinct users of a facet over `range`, whose sets the view has.
    ///
    /// While events come in, the last days change all the time and those before them hardly ever, so the union of the
    /// latter is kept.
    fn distinct_users(&self, view: &View, position: usize, range: DayRange) -> u64 {
        let facet = &view.frame.facets[position];
        let yesterday = range.to.plus(-1);
        let changing = facet
            .unfolded
            .first()
            .map_or(yesterday, |day| yesterday.min(*day));
        let settled = DayRange {
            from: range.from,
            to: changing.plus(-1),
        };
        let recent = DayRange {
            from: changing.max(range.from),
            to: range.to,
        };
        let recent = UserSet::union_of(view.sets(position, recent).map(|(_, row)| &row.active));
        if settled.length() == 0 {
            return recent.len();
        }
        let rows = facet.rows.range(settled.from..=settled.to);
        let version = rows.fold((0, 0), |(highest, rows), (_, row)| (row.1.max(highest), rows + 1));
        let key = SetKey::Union {
            facet: facet.facet,
            from: settled.from,
            to: settled.to,
        };
        let cached = self.inner.cache.get(key, version).map(|sets| sets.active);
        let settled = cached.unwrap_or_else(|| {
            let sets = view.sets(position, settled).map(|(_, row)| &row.active);
            let union = Arc::new(UserSet::union_of(sets));
            self.inner
                .cache
                .insert(key, version, Arc::clone(&union), Arc::clone(&union));
            union
        });
        settled.or_len(&recent)
    }
}
