//! Reads retention.

use std::sync::Arc;

use activity::{
    calendar::{Day, DayRange, Period},
    retention::{Criterion, DaySets, Entry, Plan, Retention, SameDay, retention, retention_with},
    reuse::{Earlier, Marks},
};
use chrono::{DateTime, Utc};

use crate::{
    Store, StoreError,
    answers::{LARGEST, Size as _},
    database::begin_snapshot,
    frame::{Frame, FrameRequest},
    moment::{Basis, Moment},
    same_day::SameDayQuestion,
    view::{Need, View},
};

/// Of the users who entered from `from` to `to`, both included, how many returned in later periods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RetentionQuestion {
    /// The first day on which users enter.
    pub from: Day,
    /// The last day on which users enter; returns are followed beyond it.
    pub to: Day,
    /// The unit of cohorts and cells.
    pub period: Period,
    /// The last cell's index.
    pub periods: u32,
    /// The event that makes a user enter; `None` is any.
    pub start_event: Option<String>,
    /// The event that is a return; `None` is any.
    pub return_event: Option<String>,
    /// Which start event makes a user enter.
    pub entry: Entry,
    /// What counts as retained.
    pub criterion: Criterion,
}

impl RetentionQuestion {
    fn plan(&self) -> Plan {
        let range = DayRange {
            from: self.from,
            to: self.to,
        };
        let (period, periods) = (self.period, self.periods);
        Plan {
            range,
            period,
            periods,
            entry: self.entry,
            criterion: self.criterion,
        }
    }

    fn request(&self, plan: &Plan) -> FrameRequest {
        let names = self.start_event.iter().chain(&self.return_event).cloned();
        FrameRequest {
            everybody: self.start_event.is_none() || self.return_event.is_none(),
            every_type: false,
            names: names.collect(),
            range: DayRange {
                from: plan.start_days().from,
                to: plan.return_days().to,
            },
        }
    }

    /// Whether a return may precede the entry on the same day: only where they are two different events.
    fn order_matters(&self) -> bool {
        matches!((&self.start_event, &self.return_event), (Some(start), Some(returning)) if start != returning)
    }

    fn starts(&self, plan: &Plan, view: &View) -> DaySets {
        let Some(position) = view.frame.position(self.start_event.as_deref()) else {
            return DaySets::new();
        };
        let users = view
            .sets(position, plan.start_days())
            .map(|(day, row)| match self.entry {
                Entry::FirstEver => (day, Arc::clone(&row.joined)),
                Entry::Recurring => (day, Arc::clone(&row.active)),
            });
        users.collect()
    }

    fn returns(&self, plan: &Plan, view: &View) -> DaySets {
        let Some(position) = view.frame.position(self.return_event.as_deref()) else {
            return DaySets::new();
        };
        view.sets(position, plan.return_days())
            .map(|(day, row)| (day, Arc::clone(&row.active)))
            .collect()
    }
}

impl Store {
    /// Computes retention; one cohort for each period that overlaps the question's range, oldest first, empty ones too.
    ///
    /// Days are calendar days in the reporting time zone; `now` decides which cells are complete. The cost follows
    /// cohorts times periods; where start and return are two different events, the order of both is read once for those who
    /// had both on the day of their entry, and then kept in the cache.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Timeout`] where the database does not answer in time,
    /// [`StoreError::Invalid`] where the answer depends on the order of expired events, which nothing tells any more.
    pub async fn retention(
        &self,
        question: RetentionQuestion,
        now: DateTime<Utc>,
    ) -> Result<Retention, StoreError> {
        self.ask(move |store| {
            let question = question.clone();
            async move {
                let computing = |moment| store.retention_here(&question, moment, now);
                store
                    .inner
                    .answers
                    .retention
                    .answer(&store, &question, now, computing)
                    .await
            }
        })
        .await
    }

    async fn retention_here(
        &self,
        question: &RetentionQuestion,
        moment: Arc<Moment>,
        now: DateTime<Utc>,
    ) -> Result<(Basis, Retention), StoreError> {
        let plan = question.plan();
        let request = question.request(&plan);
        let needs = |frame: &Frame| -> Vec<Need> {
            let start = frame.position(question.start_event.as_deref());
            let returning = frame.position(question.return_event.as_deref());
            match (start, returning) {
                (Some(start), Some(returning)) if start == returning => {
                    vec![Need {
                        position: start,
                        days: request.range,
                        seen: false,
                    }]
                }
                _ => {
                    let starts = start.map(|position| Need {
                        position,
                        days: plan.start_days(),
                        seen: false,
                    });
                    let returns = returning.map(|position| Need {
                        position,
                        days: plan.return_days(),
                        seen: false,
                    });
                    starts.into_iter().chain(returns).collect()
                }
            }
        };
        let frame = self.frame(&moment, &request).await?;
        if let Some(view) = self.cached_view(frame, needs) {
            let inputs = Inputs::of(question, &plan, view);
            let order = inputs
                .same_day_question()
                .map(|question| self.known_order(&question));
            if order.as_ref().is_none_or(|order| order.unknown.is_empty()) {
                let order = order.map(|order| order.ordered);
                return self.compute(question, &plan, &inputs, order, now);
            }
        }
        let snapshot = begin_snapshot(&self.inner.read).await?;
        let frame = self.frame_in(&snapshot, &request).await?;
        let inputs = Inputs::of(question, &plan, self.load_view(&snapshot, frame, needs).await?);
        let order = match inputs.same_day_question() {
            Some(question) => Some(self.load_order(&snapshot, &question).await?),
            None => None,
        };
        snapshot.commit().await?;
        self.compute(question, &plan, &inputs, order, now)
    }

    fn compute(
        &self,
        question: &RetentionQuestion,
        plan: &Plan,
        inputs: &Inputs,
        order: Option<DaySets>,
        now: DateTime<Utc>,
    ) -> Result<(Basis, Retention), StoreError> {
        let same_day = match (&order, &question.start_event, &question.return_event) {
            (Some(order), _, _) => SameDay::Ordered(order),
            // Any event makes a user enter, so no return can come before it.
            (None, None, Some(_)) => SameDay::Ordered(&inputs.returns),
            (None, _, _) if question.order_matters() => SameDay::Ordered(&inputs.nothing),
            (None, _, _) => SameDay::EntryReturns,
        };
        let calendar = self.settings().calendar;
        // Where the order on some day is known no more, the answer must not depend on whether this process once knew it.
        let is_known = inputs.unknown_before().is_none();
        let earlier = self.inner.answers.earlier_retention.get(question);
        let earlier = earlier.filter(|_| is_known);
        let (starts, returns) = inputs.marks(question, plan);
        let reusable = earlier.map(|earlier| earlier.reusable(plan, &starts, &returns));
        let answer = retention_with(
            plan,
            &inputs.starts,
            &inputs.returns,
            same_day,
            calendar,
            now,
            &reusable.unwrap_or_default(),
        );
        if is_known && answer.size() <= LARGEST {
            let earlier = Arc::new(Earlier::new(*plan, starts, returns, &answer));
            self.inner
                .answers
                .earlier_retention
                .insert(question.clone(), earlier);
        }
        let compute = |same_day| retention(plan, &inputs.starts, &inputs.returns, same_day, calendar, now);
        if let (Some(mut order), Some(horizon)) = (order.clone(), inputs.unknown_before()) {
            // If none of those who might have returned did, and if all of them did.
            for day in &inputs.expired_days {
                order.insert(*day, inputs.returns.get(day).cloned().unwrap_or_default());
            }
            if compute(SameDay::Ordered(&order)) != answer {
                return Err(StoreError::Invalid {
                    field: "from",
                    reason: format!(
                        "is too early: for users who had both events on one day before {horizon}, nothing tells any \
                         more which came first, for the events of those days have expired; ask from {horizon} on, or \
                         for any event as the start or the return"
                    ),
                });
            }
        }
        Ok((inputs.view.frame.basis, answer))
    }
}

/// The sets that retention is computed from.
struct Inputs {
    view: View,
    starts: DaySets,
    returns: DaySets,
    nothing: DaySets,
    /// The facets, by position in the view, of two different events that both have occurred.
    two_events: Option<(usize, usize)>,
    entry: Entry,
    /// The days on which there are both entries and return events: the order of a user's events may matter.
    shared_days: Vec<Day>,
    /// The days on which it does matter for somebody, and whose events have expired: nothing tells it any more.
    expired_days: Vec<Day>,
}

impl Inputs {
    fn of(question: &RetentionQuestion, plan: &Plan, view: View) -> Self {
        let starts = question.starts(plan, &view);
        let returns = question.returns(plan, &view);
        let start = view.frame.position(question.start_event.as_deref());
        let returning = view.frame.position(question.return_event.as_deref());
        let two_events = start.zip(returning).filter(|_| question.order_matters());
        let shared = |day: &Day| plan.range.contains(*day) && returns.contains_key(day);
        let shared_days = starts.keys().copied().filter(shared);
        let shared_days: Vec<Day> = two_events.map(|_| shared_days.collect()).unwrap_or_default();
        let horizon = view.frame.horizon;
        let has_expired = |day: &Day| horizon.is_some_and(|horizon| *day < horizon);
        let (expired, shared_days): (Vec<Day>, Vec<Day>) = shared_days.into_iter().partition(has_expired);
        let matters = |day: &Day| starts[day].and_len(&returns[day]) > 0;
        let expired_days = expired.into_iter().filter(matters).collect();
        Self {
            view,
            starts,
            returns,
            nothing: DaySets::new(),
            two_events,
            entry: question.entry,
            shared_days,
            expired_days,
        }
    }

    /// The horizon, if the order on some day before it matters.
    fn unknown_before(&self) -> Option<Day> {
        self.view.frame.horizon.filter(|_| !self.expired_days.is_empty())
    }

    /// What tells the sets from those of another moment.
    fn marks(&self, question: &RetentionQuestion, plan: &Plan) -> (Marks, Marks) {
        let of = |name: &Option<String>, range| {
            let position = self.view.frame.position(name.as_deref());
            position.map_or(Marks::new(), |position| self.view.marks(position, range))
        };
        (
            of(&question.start_event, plan.start_days()),
            of(&question.return_event, plan.return_days()),
        )
    }

    fn same_day_question(&self) -> Option<SameDayQuestion<'_>> {
        let (start, returning) = self.two_events?;
        Some(SameDayQuestion {
            view: &self.view,
            start,
            returning,
            entry: self.entry,
            days: &self.shared_days,
            starts: &self.starts,
            returns: &self.returns,
        })
    }
}
