//! What every number should be: a recount that follows `docs/analytics.md` word by word.
//!
//! It is as dumb as possible on purpose. It walks over all events again for every single number, keeps no sets and
//! shares no arithmetic with the crate `activity`, of which it takes only the names of the answers. Slow is fine.

use activity::active_users::ActiveUsersPoint;
use activity::calendar::{Day, Period};
use activity::retention::{Cell, Cohort, Criterion, Entry, Pooled, Retention};
use activity::top_events::{Rank, TopEvent, TopEvents};
use chrono::{DateTime, Datelike, Days, DurationRound, NaiveDate, Offset, TimeDelta, Utc};
use chrono_tz::Tz;
use store::filter::Filter;
use store::{ActiveUsersQuestion, EventType, RetentionQuestion, StoredEvent, TopEventsQuestion, UserFacts};

use crate::events::Event;

/// All events that were stored, each with its day in one time zone.
#[derive(Debug)]
pub struct Oracle {
    zone: Tz,
    events: Vec<(NaiveDate, Event)>,
}

impl Oracle {
    /// Takes the events that were stored, each once, in any order.
    pub fn new(zone: Tz, stored: &[Event]) -> Self {
        let events = stored
            .iter()
            .map(|event| (local_day(zone, event.occurred_at), event.clone()))
            .collect();
        Self { zone, events }
    }

    /// What would have been stored of those events alone that pass a filter.
    fn passing(&self, filter: Option<&Filter>) -> Self {
        let passes =
            |event: &Event| filter.is_none_or(|filter| filter.matches(&StoredEvent::from(&event.parsed())));
        let events = self.events.iter().filter(|(_, event)| passes(event));
        Self {
            zone: self.zone,
            events: events.cloned().collect(),
        }
    }

    /// Active users: for each day the distinct users of the days `D - N + 1 ..= D`, and who was new on `D`.
    pub fn active_users(&self, question: &ActiveUsersQuestion, now: DateTime<Utc>) -> Vec<ActiveUsersPoint> {
        let today = local_day(self.zone, now);
        let passing = self.passing(question.filter.as_ref());
        days(question.from.date(), question.to.date())
            .map(|day| {
                let start = day - Days::new(u64::from(question.window_days) - 1);
                let users = passing.users_where(|other, _| start <= other && other <= day);
                let seen_before = passing.users_where(|other, _| other < day);
                let on_day = passing.users_where(|other, _| other == day);
                let new_users = on_day.iter().filter(|user| !seen_before.contains(user)).count();
                ActiveUsersPoint {
                    day: Day::from_date(day),
                    users: users.len() as u64,
                    new_users: new_users as u64,
                    complete: day < today,
                }
            })
            .collect()
    }

    /// Top events: per type its events and distinct users, ranked, ties by name.
    pub fn top_events(&self, question: &TopEventsQuestion) -> TopEvents {
        let passing = self.passing(question.filter.as_ref());
        let (from, to) = (question.from.date(), question.to.date());
        let in_range = |day: NaiveDate| from <= day && day <= to;
        let total_events = passing.events.iter().filter(|(day, _)| in_range(*day)).count() as u64;
        let mut types: Vec<&str> = Vec::new();
        for (day, event) in &passing.events {
            if in_range(*day) && !types.contains(&event.event_type.as_str()) {
                types.push(&event.event_type);
            }
        }
        let mut rows: Vec<TopEvent> = Vec::new();
        for event_type in types {
            let of_type = |day: NaiveDate, event: &Event| in_range(day) && event.event_type == event_type;
            let events = passing
                .events
                .iter()
                .filter(|(day, event)| of_type(*day, event))
                .count() as u64;
            rows.push(TopEvent {
                event_type: event_type.to_owned(),
                events,
                users: passing.users_where(of_type).len() as u64,
                share: Some(events as f64 / total_events as f64),
            });
        }
        rows.sort_by(|left, right| left.event_type.as_bytes().cmp(right.event_type.as_bytes()));
        rows.sort_by_key(|row| match question.rank {
            Rank::Events => u64::MAX - row.events,
            Rank::Users => u64::MAX - row.users,
        });
        rows.truncate(question.limit as usize);
        let shown: u64 = rows.iter().map(|row| row.events).sum();
        TopEvents {
            rows,
            total_events,
            other_events: total_events - shown,
            total_users: passing.users_where(|day, _| in_range(day)).len() as u64,
        }
    }

    /// Events: those that `wanted` takes, newest first, ties by id, highest first.
    pub fn events(&self, wanted: impl Fn(&Event) -> bool) -> Vec<&Event> {
        let mut events: Vec<&Event> = self.events.iter().map(|(_, event)| event).collect();
        events.retain(|event| wanted(event));
        events.sort_by(|left, right| {
            let ids = right.event_id.as_bytes().cmp(left.event_id.as_bytes());
            right.occurred_at.cmp(&left.occurred_at).then(ids)
        });
        events
    }

    /// Event types by name, byte for byte: each with its first and last day, its events and distinct users.
    pub fn event_types(&self) -> Vec<EventType> {
        let mut names: Vec<&str> = self
            .events
            .iter()
            .map(|(_, event)| event.event_type.as_str())
            .collect();
        names.sort_by(|left, right| left.as_bytes().cmp(right.as_bytes()));
        names.dedup();
        let event_type = |name: &str| {
            let of_type = |event: &Event| event.event_type == name;
            let days = || {
                let of_type = self.events.iter().filter(|(_, event)| of_type(event));
                of_type.map(|(day, _)| Day::from_date(*day))
            };
            EventType {
                name: name.to_owned(),
                first_day: days().min().expect("the type of an event has one"),
                last_day: days().max().expect("the type of an event has one"),
                events: days().count() as u64,
                users: self.users_where(|_, event| of_type(event)).len() as u64,
            }
        };
        names.into_iter().map(event_type).collect()
    }

    /// What the events of a user say; nothing where there are none.
    pub fn user_facts(&self, user_id: &str) -> Option<UserFacts> {
        let events = self.events(|event| event.user_id == user_id);
        Some(UserFacts {
            first_seen: events.last()?.occurred_at,
            last_seen: events.first()?.occurred_at,
            event_count: events.len() as u64,
        })
    }

    /// Retention: the seven numbered rules, one after the other.
    pub fn retention(&self, question: &RetentionQuestion, now: DateTime<Utc>) -> Retention {
        let today = local_day(self.zone, now);
        let mut cohorts = Vec::new();
        let mut start = period_start(question.period, question.from.date());
        while start <= question.to.date() {
            cohorts.push(self.cohort(question, start, today));
            start = later_start(question.period, start, 1);
        }
        let pooled = (0..=question.periods)
            .map(|index| pooled(&cohorts, index))
            .collect();
        Retention { cohorts, pooled }
    }

    fn cohort(&self, question: &RetentionQuestion, start: NaiveDate, today: NaiveDate) -> Cohort {
        let mut members: Vec<(&str, DateTime<Utc>)> = Vec::new();
        for user in self.users_where(|_, _| true) {
            if let Some(entered) = self.entry(question, start, user) {
                members.push((user, entered));
            }
        }
        let size = members.len() as u64;
        let mut cells = Vec::new();
        for index in 0..=question.periods {
            let period = later_start(question.period, start, index);
            let came_back = |(user, entered): &&(&str, DateTime<Utc>)| {
                self.events.iter().any(|(day, event)| {
                    let event_period = period_start(question.period, *day);
                    let in_time = match question.criterion {
                        Criterion::On => event_period == period,
                        Criterion::OnOrAfter => event_period >= period,
                    };
                    event.user_id == *user
                        && matches(question.return_event.as_deref(), event)
                        && event.occurred_at >= *entered
                        && in_time
                })
            };
            let retained = members.iter().filter(came_back).count() as u64;
            cells.push(Cell {
                index,
                retained,
                rate: rate(retained, size),
                complete: today >= later_start(question.period, period, 1),
            });
        }
        Cohort {
            start: Day::from_date(start),
            size,
            cells,
        }
    }

    /// When `user` entered the cohort of the period that begins at `start`, if at all.
    fn entry(&self, question: &RetentionQuestion, start: NaiveDate, user: &str) -> Option<DateTime<Utc>> {
        let of_period = |day: NaiveDate| period_start(question.period, day) == start;
        let candidates = self.events.iter().filter(|(day, event)| {
            event.user_id == user
                && matches(question.start_event.as_deref(), event)
                && match question.entry {
                    Entry::FirstEver => true,
                    Entry::Recurring => of_period(*day),
                }
        });
        let (day, first) = candidates.min_by_key(|(_, event)| (event.occurred_at, event.event_id))?;
        let asked_for = question.from.date() <= *day && *day <= question.to.date();
        (asked_for && of_period(*day)).then_some(first.occurred_at)
    }

    /// The distinct users with an event that `qualifies`.
    fn users_where(&self, qualifies: impl Fn(NaiveDate, &Event) -> bool) -> Vec<&str> {
        let mut users: Vec<&str> = Vec::new();
        for (day, event) in &self.events {
            if qualifies(*day, event) && !users.contains(&event.user_id.as_str()) {
                users.push(&event.user_id);
            }
        }
        users
    }
}

/// The calendar day of an instant in `zone`. Where clocks are set back across midnight, a day that has begun does
/// not end again: it is the latest date that any clock has shown up to now.
///
/// Clocks change at whole minutes of UTC in every zone that tests use, and not twice within an hour.
pub fn local_day(zone: Tz, instant: DateTime<Utc>) -> NaiveDate {
    const HOURS_BACK: i64 = 26;
    let shown = |instant: DateTime<Utc>| instant.with_timezone(&zone);
    let today = shown(instant).date_naive();
    let offset = |hours_ago| shown(instant - TimeDelta::hours(hours_ago)).offset().fix();
    if (1..=HOURS_BACK).all(|hours_ago| offset(hours_ago) == offset(0)) {
        return today;
    }
    let minute = instant.duration_trunc(TimeDelta::minutes(1)).unwrap_or(instant);
    let just_before = |ago| minute - TimeDelta::minutes(ago) - TimeDelta::microseconds(1);
    (0..HOURS_BACK * 60)
        .map(|ago| shown(just_before(ago)).date_naive())
        .chain([today])
        .max()
        .unwrap_or(today)
}

/// All calendar days from `from` to `to`, both included.
pub fn days(from: NaiveDate, to: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    from.iter_days().take_while(move |day| *day <= to)
}

fn matches(event_type: Option<&str>, event: &Event) -> bool {
    event_type.is_none_or(|event_type| event.event_type == event_type)
}

fn rate(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn period_start(period: Period, day: NaiveDate) -> NaiveDate {
    match period {
        Period::Day => day,
        Period::Week => day - Days::new(u64::from(day.weekday().num_days_from_monday())),
        Period::Month => day - Days::new(u64::from(day.day0())),
    }
}

fn later_start(period: Period, start: NaiveDate, periods: u32) -> NaiveDate {
    let mut start = start;
    for _ in 0..periods {
        start = match period {
            Period::Day => start + Days::new(1),
            Period::Week => start + Days::new(7),
            Period::Month => period_start(Period::Month, start + Days::new(31)),
        };
    }
    start
}

fn pooled(cohorts: &[Cohort], index: u32) -> Pooled {
    let mut pooled = Pooled {
        index,
        rate: None,
        retained: 0,
        size: 0,
        cohorts: 0,
    };
    for cohort in cohorts {
        let cell = &cohort.cells[index as usize];
        if cell.complete {
            pooled.retained += cell.retained;
            pooled.size += cohort.size;
            pooled.cohorts += 1;
        }
    }
    pooled.rate = rate(pooled.retained, pooled.size);
    pooled
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::local_day;
    use crate::events::{date, instant};

    #[track_caller]
    fn check(zone: Tz, at: &str, day: &str) {
        assert_eq!(local_day(zone, instant(at)), date(day), "{at} in {zone}");
    }

    #[test]
    fn days_follow_the_clocks_of_the_zone() {
        check(Tz::UTC, "2024-03-04T23:59:59.999999Z", "2024-03-04");
        check(Tz::America__New_York, "2024-03-10T04:59:59Z", "2024-03-09");
        check(Tz::America__New_York, "2024-03-10T05:00Z", "2024-03-10");
        check(Tz::America__New_York, "2024-03-11T03:59:59Z", "2024-03-10");
        check(Tz::America__New_York, "2024-03-11T04:00Z", "2024-03-11");
        check(Tz::America__Santiago, "2024-09-08T03:59:59Z", "2024-09-07");
        check(Tz::America__Santiago, "2024-09-08T04:00Z", "2024-09-08");
    }

    #[test]
    fn a_day_that_has_begun_does_not_end_again() {
        // In St. John's clocks went back from 00:01 to 23:01 on 2006-10-29.
        check(Tz::America__St_Johns, "2006-10-29T02:29:59Z", "2006-10-28");
        check(Tz::America__St_Johns, "2006-10-29T02:30Z", "2006-10-29");
        check(Tz::America__St_Johns, "2006-10-29T02:31Z", "2006-10-29");
        check(Tz::America__St_Johns, "2006-10-29T03:29Z", "2006-10-29");
        check(Tz::America__St_Johns, "2006-10-29T04:00Z", "2006-10-29");
    }
}
