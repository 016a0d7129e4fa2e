//! Reads top events.

use std::{collections::BTreeMap, sync::Arc};

use activity::{
    calendar::{Day, DayRange},
    set::UserSet,
    top_events::{Rank, TopEvents, TypeTotals, rank, top_events},
};
use chrono::DateTime;
use sea_orm::ConnectionTrait;

use crate::{
    Store, StoreError,
    cache::{SetKey, Version},
    database::begin_snapshot,
    filter::Filter,
    filtered::{Passing, Source},
    frame::{FacetFrame, Frame, FrameRequest, Need, View},
    moment::{Basis, Moment},
    passing::{Reading, check_stored, events_by_day},
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
            let unions = self.known_unions(question, &frame);
            let less = |frame: &Frame| needs(question, frame, &Types::Every, &unions);
            if let Some(view) = self.cached_view(frame, less) {
                return Ok(self.answer_of_sets(question, &view, &Types::Every, &unions));
            }
            let unions = Unions::new();
            let needs = |frame: &Frame| needs(question, frame, &Types::Every, &unions);
            let view = self.view(&moment, &request, needs).await?;
            return Ok(self.answer_of_sets(question, &view, &Types::Every, &unions));
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
        let unions = Unions::new();
        let needs = |frame: &Frame| needs(question, frame, &types, &unions);
        let view = self.view_in(&snapshot, &request, needs).await?;
        snapshot.commit().await?;
        Ok(self.answer_of_sets(question, &view, &types, &unions))
    }

    fn answer_of_sets(
        &self,
        question: &TopEventsQuestion,
        view: &View,
        types: &Types,
        unions: &Unions,
    ) -> Answer {
        let range = question.range();
        let frame = &view.frame;
        let totals = |position: usize| {
            let facet = &frame.facets[position];
            TypeTotals {
                event_type: facet.name.clone().unwrap_or_default(),
                events: facet.events(range),
                users: self.distinct_users(view, position, range, unions.get(&position)),
            }
        };
        let rows = candidates(question, frame, types)
            .into_iter()
            .map(totals)
            .collect();
        let ranked = rank_totals(question, rows);
        let (total_events, total_users) = match (types, frame.position(None)) {
            (Types::Every, Some(everybody)) => {
                let totals = totals(everybody);
                (totals.events, totals.users)
            }
            _ => {
                let positions = with_events(question, frame, types);
                let events = positions
                    .iter()
                    .map(|position| frame.facets[*position].events(range));
                let sets = positions.iter().flat_map(|position| view.sets(*position, range));
                let users = UserSet::union_of(sets.map(|(_, row)| &row.active));
                (events.sum(), users.len())
            }
        };
        (frame.basis, top_events(ranked, total_events, total_users))
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

    /// What is known of the settled days of the facets that may be in the answer.
    fn known_unions(&self, question: &TopEventsQuestion, frame: &Frame) -> Unions {
        let range = question.range();
        let known = |need: Need| {
            let facet = &frame.facets[need.position];
            let (settled, _) = settled_and_recent(facet, range);
            let (key, version) = union_key(facet, settled)?;
            Some((need.position, self.inner.cache.get(key, version)?.active))
        };
        let all = needs(question, frame, &Types::Every, &Unions::new());
        all.into_iter().filter_map(known).collect()
    }

    /// Distinct users of a facet over `range`. The view has the sets of all its days, or of the recent ones where the union of
    /// the settled ones is known.
    fn distinct_users(
        &self,
        view: &View,
        position: usize,
        range: DayRange,
        known: Option<&Arc<UserSet>>,
    ) -> u64 {
        let facet = &view.frame.facets[position];
        let (settled, recent) = settled_and_recent(facet, range);
        let recent = UserSet::union_of(view.sets(position, recent).map(|(_, row)| &row.active));
        let Some((key, version)) = union_key(facet, settled) else {
            return recent.len();
        };
        let cached = || self.inner.cache.get(key, version).map(|sets| sets.active);
        let settled = known.cloned().or_else(cached).unwrap_or_else(|| {
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

/// By position of the facet: the users of its settled days.
type Unions = BTreeMap<usize, Arc<UserSet>>;

/// The days of `range` parted: while events come in, the last ones change all the time and those before them hardly ever, so the
/// union of the latter is kept.
fn settled_and_recent(facet: &FacetFrame, range: DayRange) -> (DayRange, DayRange) {
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
    (settled, recent)
}

/// Where the union of a facet's sets on settled days is kept, and its version; none where there is no such day.
fn union_key(facet: &FacetFrame, settled: DayRange) -> Option<(SetKey, Version)> {
    if settled.length() == 0 {
        return None;
    }
    let rows = facet.rows.range(settled.from..=settled.to);
    let version = rows.fold((0, 0), |(highest, rows), (_, row)| (row.1.max(highest), rows + 1));
    let key = SetKey::Union {
        facet: facet.facet,
        from: settled.from,
        to: settled.to,
    };
    Some((key, version))
}

/// The event types of the question with events in its range, by position.
fn with_events(question: &TopEventsQuestion, frame: &Frame, types: &Types) -> Vec<usize> {
    let has_events = |position: &usize| {
        let facet = &frame.facets[*position];
        let asked = facet.name.as_deref().is_some_and(|name| types.has(name));
        asked && facet.events(question.range()) > 0
    };
    (0..frame.facets.len()).filter(has_events).collect()
}

/// The event types that may be in the answer: ranked by events, the counts tell which.
fn candidates(question: &TopEventsQuestion, frame: &Frame, types: &Types) -> Vec<usize> {
    let types = with_events(question, frame, types);
    match question.rank {
        Rank::Users => types,
        Rank::Events => rank(types, question.limit(), |position| {
            let facet = &frame.facets[*position];
            (
                facet.events(question.range()),
                facet.name.clone().unwrap_or_default(),
            )
        }),
    }
}

/// The sets of the candidates, and those that tell how many users there are over all types; of the recent days alone where
/// the union of the settled ones is known.
fn needs(question: &TopEventsQuestion, frame: &Frame, types: &Types, unions: &Unions) -> Vec<Need> {
    let positions = match types {
        Types::Every => {
            let mut positions = candidates(question, frame, types);
            positions.extend(frame.position(None));
            positions
        }
        Types::These(_) => with_events(question, frame, types),
    };
    let range = question.range();
    let need = |position| Need {
        position,
        days: match unions.contains_key(&position) {
            true => settled_and_recent(&frame.facets[position], range).1,
            false => range,
        },
        seen: false,
    };
    positions.into_iter().map(need).collect()
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
