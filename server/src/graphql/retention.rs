//! `retention`: who came back.

use activity::calendar::{DayRange, Period as CalendarPeriod};
use activity::retention::{Cell, Cohort, Criterion, Entry, Pooled, Retention as Answer};
use async_graphql::{Context, Enum, Object, ScalarType, SimpleObject, Value};
use store::RetentionQuestion;

use super::arguments::{bounded, day_range, event_type};
use super::error::{ApiError, Result};
use super::guard::Needs;
use super::resources::Resources;
use super::rows::{PlainFields, Row, Rows};
use super::scalars::{Count, LocalDate, TimeZone};
use crate::limits::{MAX_RETENTION_CELLS, MAX_RETENTION_PERIODS};

#[derive(Default)]
pub(super) struct RetentionQuery;

#[Object]
impl RetentionQuery {
    /// Who came back: users by the period in which they started, and how many of them returned in each period after.
    ///
    /// `from` and `to` bound the day on which a user enters a cohort; returns are followed beyond `to`. A cohort has one
    /// cell for its own period and one for each of the `periods` that follow; there may be at most 50,000 cells.
    #[graphql(guard = "Needs::Query", complexity = "100 + child_complexity")]
    #[allow(
        clippy::too_many_arguments,
        reason = "one parameter for each argument of the field"
    )]
    async fn retention(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The first day on which users enter, in the reporting time zone.")] from: LocalDate,
        #[graphql(desc = "The last day on which users enter, included; at most ten years after `from`.")]
        to: LocalDate,
        #[graphql(desc = "The unit of cohorts and cells.", default_with = "Period::Day")] period: Period,
        #[graphql(
            desc = "How many periods to follow each cohort, from 0 to 366: 7 gives cells 0 to 7.",
            default = 7
        )]
        periods: i32,
        #[graphql(desc = "The event type that makes a user enter; without it any event does.")]
        start_event: Option<String>,
        #[graphql(desc = "The event type that is a return; without it any event is.")] return_event: Option<
            String,
        >,
        #[graphql(
            desc = "When a user enters a cohort.",
            default_with = "CohortEntry::FirstEver"
        )]
        entry: CohortEntry,
        #[graphql(
            desc = "Which returns count for a cell.",
            default_with = "ReturnCriterion::On"
        )]
        criterion: ReturnCriterion,
    ) -> Result<Retention> {
        let range = day_range(from, to)?;
        let period = CalendarPeriod::from(period);
        let periods = bounded("periods", periods, 0, MAX_RETENTION_PERIODS)?;
        check_cells(range, period, periods)?;
        let question = RetentionQuestion {
            from: range.from,
            to: range.to,
            period,
            periods,
            start_event: start_event
                .map(|name| event_type("startEvent", name))
                .transpose()?,
            return_event: return_event
                .map(|name| event_type("returnEvent", name))
                .transpose()?,
            entry: entry.into(),
            criterion: criterion.into(),
        };
        let resources = Resources::of(context)?;
        let answer = resources.store.retention(question, resources.now()).await?;
        Ok(Retention::new(answer, TimeZone(resources.store.timezone())))
    }
}

fn check_cells(range: DayRange, period: CalendarPeriod, periods: u32) -> Result<()> {
    let cohorts = period.number_of(range.to).abs_diff(period.number_of(range.from)) + 1;
    let cells = u64::from(cohorts) * (u64::from(periods) + 1);
    if cells <= MAX_RETENTION_CELLS {
        return Ok(());
    }
    let fault = format!(
        "{periods} makes {cells} cells for {cohorts} cohorts; at most {MAX_RETENTION_CELLS} are allowed: \
         ask for fewer periods, a shorter range, or a longer period"
    );
    Err(ApiError::bad_input("periods", &fault))
}

/// A unit of time.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    /// A calendar day in the reporting time zone.
    Day,
    /// Seven days from a Monday on.
    Week,
    /// A calendar month.
    Month,
}

impl From<Period> for CalendarPeriod {
    fn from(period: Period) -> Self {
        match period {
            Period::Day => Self::Day,
            Period::Week => Self::Week,
            Period::Month => Self::Month,
        }
    }
}

/// When a user enters a cohort.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum CohortEntry {
    /// Once, with the first start event in all stored history; so no user is new twice.
    FirstEver,
    /// In each period, with the first start event of that period; so a user may be in several cohorts.
    Recurring,
}

impl From<CohortEntry> for Entry {
    fn from(entry: CohortEntry) -> Self {
        match entry {
            CohortEntry::FirstEver => Self::FirstEver,
            CohortEntry::Recurring => Self::Recurring,
        }
    }
}

/// Which returns count for a cell.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReturnCriterion {
    /// A return in the cell's period.
    On,
    /// A return in the cell's period or any later one.
    OnOrAfter,
}

impl From<ReturnCriterion> for Criterion {
    fn from(criterion: ReturnCriterion) -> Self {
        match criterion {
            ReturnCriterion::On => Self::On,
            ReturnCriterion::OnOrAfter => Self::OnOrAfter,
        }
    }
}

/// Who came back.
#[derive(SimpleObject)]
pub(super) struct Retention {
    /// One cohort for each period of the range, oldest first, also where nobody started.
    cohorts: Rows<RetentionCohort>,
    /// Complete cells only: sum of retained over sum of sizes.
    pooled: Rows<RetentionAverage>,
    /// The reporting time zone, in which periods begin and end.
    timezone: TimeZone,
}

/// The users who started in one period.
#[derive(SimpleObject)]
pub(super) struct RetentionCohort {
    /// First day of the cohort's period (weeks start on Monday).
    start: LocalDate,
    /// Distinct users who entered in this period, within the range asked for.
    size: Count,
    /// Cell 0 is the cohort's own period.
    cells: Rows<RetentionCell>,
}

/// How many users of one cohort returned.
#[derive(SimpleObject)]
pub(super) struct RetentionCell {
    /// Periods since the cohort's own.
    index: i32,
    /// Distinct users of the cohort who returned.
    retained: Count,
    /// retained / size, from 0 to 1; null for a cohort without users.
    rate: Option<f64>,
    /// Whether the cell's period is over; until then its number rises.
    complete: bool,
}

/// All cohorts together, so many periods after their start.
#[derive(SimpleObject)]
pub(super) struct RetentionAverage {
    /// Periods since the cohorts' own.
    index: i32,
    /// retained / size, from 0 to 1; null if no cohort with users has a complete cell here.
    rate: Option<f64>,
    /// Users who returned, summed over the cohorts whose cell is complete.
    retained: Count,
    /// Sizes of these cohorts, summed.
    size: Count,
    /// How many cohorts these are.
    cohorts: i32,
}

impl Retention {
    fn new(answer: Answer, timezone: TimeZone) -> Self {
        Self {
            cohorts: answer.cohorts.into_iter().map(RetentionCohort::from).collect(),
            pooled: answer.pooled.into_iter().map(RetentionAverage::from).collect(),
            timezone,
        }
    }
}

impl From<Cohort> for RetentionCohort {
    fn from(cohort: Cohort) -> Self {
        Self {
            start: LocalDate::new(cohort.start),
            size: Count(cohort.size),
            cells: cohort.cells.into_iter().map(RetentionCell::from).collect(),
        }
    }
}

impl From<Cell> for RetentionCell {
    fn from(cell: Cell) -> Self {
        Self {
            index: index(cell.index),
            retained: Count(cell.retained),
            rate: cell.rate,
            complete: cell.complete,
        }
    }
}

impl Row for RetentionCohort {
    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "start" => self.start.to_value(),
            "size" => self.size.to_value(),
            _ => return None,
        })
    }

    fn object(&self, name: &str, fields: &PlainFields<'_>) -> Option<Value> {
        match name {
            "cells" => fields.of_rows(&self.cells.0),
            _ => None,
        }
    }
}

impl Row for RetentionCell {
    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "index" => self.index.into(),
            "retained" => self.retained.to_value(),
            "rate" => self.rate.map_or(Value::Null, Value::from),
            "complete" => self.complete.into(),
            _ => return None,
        })
    }
}

impl Row for RetentionAverage {
    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "index" => self.index.into(),
            "rate" => self.rate.map_or(Value::Null, Value::from),
            "retained" => self.retained.to_value(),
            "size" => self.size.to_value(),
            "cohorts" => self.cohorts.into(),
            _ => return None,
        })
    }
}

impl From<Pooled> for RetentionAverage {
    fn from(pooled: Pooled) -> Self {
        Self {
            index: index(pooled.index),
            rate: pooled.rate,
            retained: Count(pooled.retained),
            size: Count(pooled.size),
            cohorts: index(pooled.cohorts),
        }
    }
}

/// Indexes and numbers of cohorts are bounded by the most cells.
fn index(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
