//! Reads active users.

use std::{collections::BTreeMap, sync::Arc};

use activity::{
    active_users::{ActiveUsersPoint, DayCounts, active_users, counts_of_sets, window_users},
    calendar::{Day, DayRange},
    set::UserSet,
};
use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use crate::{
    Store, StoreError,
    database::begin_snapshot,
    filter::Filter,
    filtered::{Passing, Source},
    frame::{Frame, FrameRequest, LAST_DAY},
    moment::{Basis, Moment},
    passing::{Reading, check_stored, events_by_day},
    view::{Need, View, no_days},
};

/// How many event types' sets may tell whose past need not be read: beyond that loading them costs more than it saves.
const MOST_NARROWING_TYPES: usize = 8;

/// Active users of each day from `from` to `to`, both included, in trailing windows of `window_days` days.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActiveUsersQuestion {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// The window's length in days, at least 1: the day itself and the ones before it.
    pub window_days: u32,
    /// Which events count, a checked filter; none: all of them.
    pub filter: Option<Filter>,
}

impl ActiveUsersQuestion {
    fn range(&self) -> DayRange {
        DayRange {
            from: self.from,
            to: self.to,
        }
    }

    /// The days of every window.
    fn window_range(&self) -> DayRange {
        let before = i32::try_from(self.window_days.saturating_sub(1)).unwrap_or(i32::MAX);
        DayRange {
            from: self.from.plus(-before),
            to: self.to,
        }
    }

    /// What one facet's answer needs: everybody's, or that of an event type.
    fn facet_request(&self, name: Option<&str>) -> FrameRequest {
        FrameRequest {
            everybody: name.is_none(),
            every_type: false,
            names: name.map(str::to_owned).into_iter().collect(),
            range: self.window_range(),
        }
    }

    fn facet_needs(&self, frame: &Frame, name: Option<&str>) -> Vec<Need> {
        let days = if self.window_days > 1 {
            self.window_range()
        } else {
            no_days()
        };
        let position = frame.position(name).into_iter();
        position
            .map(|position| Need {
                position,
                days,
                seen: false,
            })
            .collect()
    }
}

/// An answer, and what it was computed from.
type Answer = (Basis, Vec<ActiveUsersPoint>);

impl Store {
    /// Counts distinct users for each day of the question, oldest first; days without events are zeros.
    ///
    /// Days are calendar days in the reporting time zone; `now` decides which are complete. The cost follows the number
    /// of days. With windows of one day and an empty log no set is touched at all. A filter on more than event types is
    /// answered from the events on those days, and from the past of the users who pass it and may have passed it before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time.
    pub async fn active_users(
        &self,
        question: ActiveUsersQuestion,
        now: DateTime<Utc>,
    ) -> Result<Vec<ActiveUsersPoint>, StoreError> {
        self.ask(move |store| {
            let question = question.clone();
            async move {
                let computing = |moment| store.active_users_here(&question, moment, now);
                if question.filter.as_ref().is_some_and(|filter| !filter.is_short()) {
                    return Ok(computing(store.moment().await?).await?.1);
                }
                store
                    .inner
                    .answers
                    .active_users
                    .answer(&store, &question, now, computing)
                    .await
            }
        })
        .await
    }

    async fn active_users_here(
        &self,
        question: &ActiveUsersQuestion,
        moment: Arc<Moment>,
        now: DateTime<Utc>,
    ) -> Result<Answer, StoreError> {
        let Some(filter) = &question.filter else {
            let request = question.facet_request(None);
            let needs = |frame: &Frame| question.facet_needs(frame, None);
            let view = self.view(&moment, &request, needs).await?;
            return self.answer_of_facet(question, &view, None, now);
        };
        let snapshot = begin_snapshot(&self.inner.read).await?;
        let answer = match self.source(&snapshot, filter).await? {
            Source::Everybody => self.active_users_of_facet(&snapshot, question, None, now).await,
            Source::Types(names) => match &names[..] {
                [name] => {
                    self.active_users_of_facet(&snapshot, question, Some(name), now)
                        .await
                }
                _ => self.active_users_of_types(&snapshot, question, names, now).await,
            },
            Source::Events(passing) => {
                self.active_users_of_events(&snapshot, question, &passing, now)
                    .await
            }
        }?;
        snapshot.commit().await?;
        Ok(answer)
    }

    async fn active_users_of_facet(
        &self,
        snapshot: &impl ConnectionTrait,
        question: &ActiveUsersQuestion,
        name: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Answer, StoreError> {
        let request = question.facet_request(name);
        let needs = |frame: &Frame| question.facet_needs(frame, name);
        let view = self.view_in(snapshot, &request, needs).await?;
        self.answer_of_facet(question, &view, name, now)
    }

    fn answer_of_facet(
        &self,
        question: &ActiveUsersQuestion,
        view: &View,
        name: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Answer, StoreError> {
        let Some(position) = view.frame.position(name) else {
            return Err(StoreError::internal("a facet is missing"));
        };
        let active = view
            .sets(position, question.window_range())
            .map(|(day, row)| (day, Arc::clone(&row.active)))
            .collect();
        let points = self.points(question, &view.counts(position), &active, now);
        Ok((view.frame.basis, points))
    }

    /// Several event types taken as one. Who is new in all of them together was in none of them before, so it matters who
    /// was ever seen in each and who joined it since.
    async fn active_users_of_types(
        &self,
        snapshot: &impl ConnectionTrait,
        question: &ActiveUsersQuestion,
        names: Vec<String>,
        now: DateTime<Utc>,
    ) -> Result<Answer, StoreError> {
        let days = DayRange {
            from: question.window_range().from,
            to: LAST_DAY,
        };
        let request = FrameRequest {
            everybody: false,
            every_type: false,
            names,
            range: days,
        };
        let needs = |frame: &Frame| every_facet(frame, days);
        let view = self.view_in(snapshot, &request, needs).await?;
        let mut sets: BTreeMap<Day, Vec<&Arc<UserSet>>> = BTreeMap::new();
        let mut earlier = UserSet::default();
        for position in 0..view.frame.facets.len() {
            earlier.add(&view.users_before(position, question.from));
            for (day, row) in view.sets(position, question.window_range()) {
                sets.entry(day).or_default().push(&row.active);
            }
        }
        let active = sets
            .into_iter()
            .map(|(day, sets)| (day, Arc::new(UserSet::union_of(sets))))
            .collect();
        let counts = counts_of_sets(question.range(), &active, earlier);
        let points = self.points(question, &counts, &active, now);
        Ok((view.frame.basis, points))
    }

    /// The events of the windows tell who was active. Whether somebody had passed before is read from their own events, unless
    /// the sets tell that they had no event before, or none of a type that may pass.
    async fn active_users_of_events(
        &self,
        snapshot: &impl ConnectionTrait,
        question: &ActiveUsersQuestion,
        passing: &Passing,
        now: DateTime<Utc>,
    ) -> Result<Answer, StoreError> {
        let narrowing = passing.types.as_ref();
        let names = narrowing.filter(|types| types.len() <= MOST_NARROWING_TYPES);
        let (range, windows) = (question.range(), question.window_range());
        let request = FrameRequest {
            everybody: true,
            every_type: false,
            names: names.cloned().unwrap_or_default(),
            range: DayRange {
                from: windows.from,
                to: if names.is_some() { LAST_DAY } else { windows.to },
            },
        };
        let since = DayRange {
            from: range.from,
            to: LAST_DAY,
        };
        let needs = |frame: &Frame| {
            let mut needs = every_facet(frame, since);
            if let Some(everybody) = needs
                .iter_mut()
                .find(|need| frame.facets[need.position].name.is_none())
            {
                (everybody.days, everybody.seen) = (range, false);
            }
            needs
        };
        let view = self.view_in(snapshot, &request, needs).await?;
        let Some(everybody) = view.frame.position(None) else {
            return Err(StoreError::internal("there is no facet of everybody"));
        };
        let types: Vec<usize> = (0..view.frame.facets.len())
            .filter(|position| *position != everybody)
            .collect();
        let counted = if names.is_some() {
            types.clone()
        } else {
            vec![everybody]
        };
        let counts: Vec<BTreeMap<Day, DayCounts>> = counted
            .into_iter()
            .map(|position| view.counts(position))
            .collect();
        let events = events_by_day(windows, |day| {
            counts
                .iter()
                .filter_map(|counts| counts.get(&day))
                .map(|day| day.events)
                .sum()
        });
        check_stored(view.frame.horizon, &events)?;
        let reading = Reading::new(self, snapshot, &passing.filter);
        let active = reading.days(&events).await?;

        let mut earlier = UserSet::union_of(active.range(..range.from).map(|(_, users)| users));
        let mut unknown = UserSet::union_of(active.range(range.from..).map(|(_, users)| users));
        unknown.subtract(&earlier);
        unknown.subtract(&UserSet::union_of(
            view.sets(everybody, range).map(|(_, row)| &row.joined),
        ));
        if names.is_some() {
            let mut before = UserSet::default();
            for position in types {
                before.add(&view.users_before(position, range.from));
            }
            unknown = unknown.and(&before);
        }
        earlier.add(&reading.earlier(&unknown, windows.from).await?);
        let counts = counts_of_sets(range, &active, earlier);
        Ok((view.frame.basis, self.points(question, &counts, &active, now)))
    }

    /// The answer from the counts of each day and, for windows of several days, the users of each.
    fn points(
        &self,
        question: &ActiveUsersQuestion,
        counts: &BTreeMap<Day, DayCounts>,
        active: &BTreeMap<Day, Arc<UserSet>>,
        now: DateTime<Utc>,
    ) -> Vec<ActiveUsersPoint> {
        let range = question.range();
        let windows = (question.window_days > 1).then(|| window_users(range, question.window_days, active));
        active_users(range, counts, windows.as_deref(), self.settings().calendar, now)
    }
}

/// Every facet of a frame: its sets on these days, and who was ever seen in it.
fn every_facet(frame: &Frame, days: DayRange) -> Vec<Need> {
    (0..frame.facets.len())
        .map(|position| Need {
            position,
            days,
            seen: true,
        })
        .collect()
}
