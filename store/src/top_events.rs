//! Reads top events.

use std::sync::Arc;

use activity::{
    calendar::{Day, DayRange},
    set::UserSet,
    top_events::{Rank, TopEvents, TypeTotals, rank, top_events},
};
use chrono::DateTime;
use sea_orm::ConnectionTrait;

use crate::{
    Store, StoreError,
    database::begin_snapshot,
    filter::Filter,
    filtered::{Passing, Source},
    frame::{Frame, FrameRequest},
    moment::{Basis, Moment},
    passing::{Reading, check_stored, events_by_day},
    unions::Unions,
};

/// The event types with the most events or users from `from` to `to`, both included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopEventsQuestion {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// The most rows.
    pub limit: u32,
    /// What the ranking goes by.
    pub rank: Rank,
    /// Which events count, a checked filter; none: all of them.
    pub filter: Option<Filter>,
}

impl TopEventsQuestion {
    fn range(&self) -> DayRange {
        DayRange {
            from: self.from,
            to: self.to,
        }
    }

    fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }
}

/// Whose sets have the answer.
enum Types {
    /// Every event type's, and everybody's.
    Every,
    /// Those of these event types, in the order of their names.
    These(Vec<String>),
}

impl Types {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::Every => true,
            Self::These(names) => names.binary_search_by(|known| known.as_str().cmp(name)).is_ok(),
        }
    }
}

/// An answer, and what it was computed from.
type Answer = (Basis, TopEvents);

impl Store {
    /// Ranks event types by events or distinct users, highest first, ties by name ascending; types without events in the
    /// range are left out.
    ///
    /// The cost follows days times types; ranked by events, only the sets of the types in the answer are touched. A filter
    /// on more than event types is answered from the events in the range.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time.
    pub async fn top_events(&self, question: TopEventsQuestion) -> Result<TopEvents, StoreError> {
        self.ask(move |store| {
            let question = question.clone();
            async move {
                let computing = |moment| store.top_events_here(&question, moment);
                if question.filter.as_ref().is_some_and(|filter| !filter.is_short()) {
                    return Ok(computing(store.moment().await?).await?.1);
                }
                // No part of this answer depends on "now".
                let now = DateTime::UNIX_EPOCH;
                store
                    .inner
                    .answers
                    .top_events
                    .answer(&store, &question, now, computing)
                    .await
            }
        })
        .await
    }

    async fn top_events_here(
        &self,
        question: &TopEventsQuestion,
        moment: Arc<Moment>,
    ) -> Result<Answer, StoreError> {
        let request = FrameRequest {
            everybody: true,
            every_type: true,
            names: Vec::new(),
            range: question.range(),
        };
        let Some(filter) = &question.filter else {
            let frame = self.frame(&moment, &request).await?;
            let facets = Facets::new(question, &frame, &Types::Every);
            if let Some(unions) = self.cached_unions(&frame, &facets.all(), question.range()) {
                return Ok(answer_of_sets(question, &frame, &facets, &unions));
            }
            let snapshot = begin_snapshot(&self.inner.read).await?;
            let answer = self
                .load_answer(&snapshot, question, &request, &Types::Every)
                .await?;
            snapshot.commit().await?;
            return Ok(answer);
        };
        let snapshot = begin_snapshot(&self.inner.read).await?;
        let types = match self.source(&snapshot, filter).await? {
            Source::Everybody => Types::Every,
            Source::Types(names) => Types::These(names),
            Source::Events(passing) => {
                let answer = self.top_events_of_events(&snapshot, question, &passing).await?;
                snapshot.commit().await?;
                return Ok(answer);
            }
        };
        let answer = self.load_answer(&snapshot, question, &request, &types).await?;
        snapshot.commit().await?;
        Ok(answer)
    }

    async fn load_answer(
        &self,
        snapshot: &impl ConnectionTrait,
        question: &TopEventsQuestion,
        request: &FrameRequest,
        types: &Types,
    ) -> Result<Answer, StoreError> {
        let frame = self.frame_in(snapshot, request).await?;
        let facets = Facets::new(question, &frame, types);
        let unions = self
            .load_unions(snapshot, &frame, &facets.all(), question.range())
            .await?;
        Ok(answer_of_sets(question, &frame, &facets, &unions))
    }

    async fn top_events_of_events(
        &self,
        snapshot: &impl ConnectionTrait,
        question: &TopEventsQuestion,
        passing: &Passing,
    ) -> Result<Answer, StoreError> {
        let range = question.range();
        let request = FrameRequest {
            everybody: true,
            every_type: false,
            names: Vec::new(),
            range,
        };
        let frame = self.frame_in(snapshot, &request).await?;
        let Some(everybody) = frame.position(None).map(|position| &frame.facets[position]) else {
            return Err(StoreError::internal("there is no facet of everybody"));
        };
        let events = events_by_day(range, |day| everybody.events(DayRange { from: day, to: day }));
        check_stored(frame.horizon, &events)?;
        let found = Reading::new(self, snapshot, &passing.filter)
            .types(&events)
            .await?;
        let total_events = found.values().map(|of_type| of_type.0).sum();
        let mut users = UserSet::default();
        for of_type in found.values() {
            users.add(&of_type.1);
        }
        let rows = found.into_iter().map(|(event_type, (events, users))| TypeTotals {
            event_type,
            events,
            users: users.len(),
        });
        let ranked = rank_totals(question, rows.collect());
        Ok((frame.basis, top_events(ranked, total_events, users.len())))
    }
}

/// The facets that tell the answer, by position in the frame.
struct Facets {
    /// The event types that may be in the answer: ranked by events, the counts tell which.
    ranked: Vec<usize>,
    /// Those that have all events and users.
    total: Vec<usize>,
}

impl Facets {
    fn new(question: &TopEventsQuestion, frame: &Frame, types: &Types) -> Self {
        let range = question.range();
        let has_events = |position: &usize| {
            let facet = &frame.facets[*position];
            let asked = facet.name.as_deref().is_some_and(|name| types.has(name));
            asked && facet.events(range) > 0
        };
        let with_events: Vec<usize> = (0..frame.facets.len()).filter(has_events).collect();
        let total = match types {
            Types::Every => frame.position(None).into_iter().collect(),
            Types::These(_) => with_events.clone(),
        };
        let ranked = match question.rank {
            Rank::Users => with_events,
            Rank::Events => rank(with_events, question.limit(), |position| {
                let facet = &frame.facets[*position];
                (facet.events(range), facet.name.clone().unwrap_or_default())
            }),
        };
        Self { ranked, total }
    }

    fn all(&self) -> Vec<usize> {
        self.ranked.iter().chain(&self.total).copied().collect()
    }
}

/// The answer from the unions of the facets' stored days, and what the log adds to them.
fn answer_of_sets(question: &TopEventsQuestion, frame: &Frame, facets: &Facets, unions: &Unions) -> Answer {
    let range = question.range();
    let users = |positions: &[usize]| {
        let logged = positions
            .iter()
            .flat_map(|position| frame.facets[*position].logged(range));
        let logged = UserSet::union_of(logged);
        match positions {
            [position] => unions[position].or_len(&logged),
            positions => {
                UserSet::union_of(positions.iter().map(|position| &unions[position])).or_len(&logged)
            }
        }
    };
    let totals = |position: &usize| {
        let facet = &frame.facets[*position];
        TypeTotals {
            event_type: facet.name.clone().unwrap_or_default(),
            events: facet.events(range),
            users: users(&[*position]),
        }
    };
    let ranked = rank_totals(question, facets.ranked.iter().map(totals).collect());
    let events = facets
        .total
        .iter()
        .map(|position| frame.facets[*position].events(range));
    let answer = top_events(ranked, events.sum(), users(&facets.total));
    (frame.basis, answer)
}

fn rank_totals(question: &TopEventsQuestion, rows: Vec<TypeTotals>) -> Vec<TypeTotals> {
    rank(rows, question.limit(), |row| {
        let count = match question.rank {
            Rank::Events => row.events,
            Rank::Users => row.users,
        };
        (count, row.event_type.clone())
    })
}
