//! Days, weeks and months in the reporting time zone.
//!
//! Day D is the half-open interval from the first instant whose local date is D or later to the first instant whose
//! local date is after D. So days follow each other without gap or overlap even where a zone skips midnight
//! (America/Santiago 2024-09-08), skips a whole day (Pacific/Apia 2011-12-30, which has length zero) or sets its clock
//! back over midnight (America/St_Johns until 2011), and the earliest event of a user lies on the earliest day.

use std::fmt;

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// 1970-01-01 in chrono's count of days since year 1.
const EPOCH_FROM_CE: i32 = 719_163;

/// A calendar day, as the number of days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day with this number, 0 being 1970-01-01.
    pub const fn new(number: i32) -> Self {
        Self(number)
    }

    /// The day of a calendar date.
    pub fn from_date(date: NaiveDate) -> Self {
        Self(date.num_days_from_ce() - EPOCH_FROM_CE)
    }

    /// Days since 1970-01-01.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The calendar date; dates beyond the calendar's bounds (some 262,000 years) become its bounds.
    pub fn date(self) -> NaiveDate {
        let bound = if self.0 < 0 {
            NaiveDate::MIN
        } else {
            NaiveDate::MAX
        };
        self.0
            .checked_add(EPOCH_FROM_CE)
            .and_then(NaiveDate::from_num_days_from_ce_opt)
            .unwrap_or(bound)
    }

    /// The day `days` later, or earlier where negative.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// The day after.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(formatter)
    }
}

/// Days from the first to the last, both included; empty where the last lies before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DayRange {
    /// The first day.
    pub from: Day,
    /// The last day, included.
    pub to: Day,
}

impl DayRange {
    /// Every day, oldest first.
    pub fn days(self) -> impl DoubleEndedIterator<Item = Day> {
        (self.from.0..=self.to.0).map(Day)
    }

    /// How many days.
    pub fn length(self) -> usize {
        usize::try_from(i64::from(self.to.0) - i64::from(self.from.0) + 1).unwrap_or(0)
    }

    /// Whether `day` is one of them.
    pub fn contains(self, day: Day) -> bool {
        self.from <= day && day <= self.to
    }
}

/// Where days begin and end in one time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    timezone: Tz,
}

impl Calendar {
    /// The calendar of an IANA time zone.
    pub fn new(timezone: Tz) -> Self {
        Self { timezone }
    }

    /// Its time zone.
    pub fn timezone(self) -> Tz {
        self.timezone
    }

    /// The day that contains `instant`.
    pub fn day_of(self, instant: DateTime<Utc>) -> Day {
        if self.timezone == Tz::UTC {
            return Day(clamp(instant.timestamp_micros().div_euclid(MICROS_PER_DAY)));
        }
        let local = Day::from_date(self.timezone.from_utc_datetime(&instant.naive_utc()).date_naive());
        // Only where a clock went back over midnight has the next day begun already.
        if self.start_of(local.next()) <= instant {
            local.next()
        } else {
            local
        }
    }

    /// The first instant of `day`.
    pub fn start_of(self, day: Day) -> DateTime<Utc> {
        let midnight = day.date().and_time(NaiveTime::MIN);
        if self.timezone == Tz::UTC {
            return midnight.and_utc();
        }
        match self.timezone.from_local_datetime(&midnight) {
            MappedLocalTime::Single(start) | MappedLocalTime::Ambiguous(start, _) => start.to_utc(),
            MappedLocalTime::None => self.end_of_gap(midnight),
        }
    }

    /// The first instant after `day`.
    pub fn end_of(self, day: Day) -> DateTime<Utc> {
        self.start_of(day.next())
    }

    /// The first instant whose local time is at or after `midnight`, which the zone skips.
    fn end_of_gap(self, midnight: chrono::NaiveDateTime) -> DateTime<Utc> {
        let reached = |instant: DateTime<Utc>| {
            self.timezone
                .from_utc_datetime(&instant.naive_utc())
                .naive_local()
                >= midnight
        };
        let mut before = midnight.and_utc() - TimeDelta::hours(50);
        let mut after = midnight.and_utc() + TimeDelta::hours(50);
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            if reached(middle) {
                after = middle;
            } else {
                before = middle;
            }
        }
        after
    }
}

fn clamp(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
}

/// The unit of cohorts: a calendar day, a week that starts on Monday, or a calendar month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// A calendar day.
    Day,
    /// Seven days from a Monday on.
    Week,
    /// A calendar month.
    Month,
}

impl Period {
    /// The number of the period that contains `day`; consecutive periods have consecutive numbers.
    pub fn number_of(self, day: Day) -> i32 {
        match self {
            Self::Day => day.0,
            // 1970-01-01 was a Thursday, three days after a Monday.
            Self::Week => day.0.saturating_add(3).div_euclid(7),
            Self::Month => day.date().year() * 12 + day.date().month0() as i32,
        }
    }

    /// The first day of the period with this number.
    pub fn first_day(self, number: i32) -> Day {
        match self {
            Self::Day => Day(number),
            Self::Week => Day(number.saturating_mul(7).saturating_sub(3)),
            Self::Month => {
                let date =
                    NaiveDate::from_ymd_opt(number.div_euclid(12), number.rem_euclid(12) as u32 + 1, 1);
                Day::from_date(date.unwrap_or(NaiveDate::MAX))
            }
        }
    }

    /// The days of the period with this number.
    pub fn days(self, number: i32) -> DayRange {
        DayRange {
            from: self.first_day(number),
            to: self.first_day(number.saturating_add(1)).plus(-1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Calendar, Day, DayRange, Period};
    use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone, Utc};
    use chrono_tz::Tz;

    fn day(text: &str) -> Day {
        Day::from_date(text.parse::<NaiveDate>().unwrap())
    }

    fn check_day(zone: Tz, text: &str, start: &str, end: &str) {
        let calendar = Calendar::new(zone);
        let show = |instant: DateTime<Utc>| instant.format("%Y-%m-%dT%H:%MZ").to_string();
        assert_eq!(
            show(calendar.start_of(day(text))),
            start,
            "start of {text} in {zone}"
        );
        assert_eq!(show(calendar.end_of(day(text))), end, "end of {text} in {zone}");
    }

    #[test]
    fn days_with_shifted_clocks_have_their_true_edges() {
        check_day(Tz::UTC, "2024-02-29", "2024-02-29T00:00Z", "2024-03-01T00:00Z");
        check_day(
            Tz::America__New_York,
            "2024-03-10",
            "2024-03-10T05:00Z",
            "2024-03-11T04:00Z",
        );
        check_day(
            Tz::America__New_York,
            "2024-11-03",
            "2024-11-03T04:00Z",
            "2024-11-04T05:00Z",
        );
        check_day(
            Tz::America__Santiago,
            "2024-09-08",
            "2024-09-08T04:00Z",
            "2024-09-09T03:00Z",
        );
        check_day(
            Tz::America__Santiago,
            "2024-04-06",
            "2024-04-06T03:00Z",
            "2024-04-07T04:00Z",
        );
        check_day(
            Tz::America__Havana,
            "2024-11-03",
            "2024-11-03T04:00Z",
            "2024-11-04T05:00Z",
        );
        check_day(
            Tz::Australia__Lord_Howe,
            "2024-04-07",
            "2024-04-06T13:00Z",
            "2024-04-07T13:30Z",
        );
        check_day(
            Tz::Pacific__Apia,
            "2011-12-29",
            "2011-12-29T10:00Z",
            "2011-12-30T10:00Z",
        );
        check_day(
            Tz::Pacific__Apia,
            "2011-12-30",
            "2011-12-30T10:00Z",
            "2011-12-30T10:00Z",
        );
        check_day(
            Tz::Pacific__Apia,
            "2011-12-31",
            "2011-12-30T10:00Z",
            "2011-12-31T10:00Z",
        );
    }

    #[test]
    fn every_instant_lies_inside_its_day() {
        let zones = [
            (Tz::America__St_Johns, "2006-10-28"),
            (Tz::America__St_Johns, "2006-04-01"),
            (Tz::America__Sao_Paulo, "2018-02-16"),
            (Tz::America__Sao_Paulo, "2018-11-03"),
            (Tz::Pacific__Apia, "2011-12-28"),
            (Tz::Africa__Casablanca, "2024-03-09"),
            (Tz::Asia__Kolkata, "2024-03-09"),
            (Tz::America__Havana, "2024-11-02"),
            (Tz::Atlantic__Azores, "2024-03-30"),
        ];
        for (zone, date) in zones {
            let calendar = Calendar::new(zone);
            let from =
                Utc.from_utc_datetime(&date.parse::<NaiveDate>().unwrap().and_hms_opt(0, 0, 0).unwrap());
            let mut previous = calendar.day_of(from);
            for minute in 0..5 * 24 * 60 {
                let instant = from + TimeDelta::minutes(minute);
                let day = calendar.day_of(instant);
                assert!(previous <= day, "days never go back: {zone} {instant}");
                assert!(calendar.start_of(day) <= instant, "{zone} {instant} {day}");
                assert!(instant < calendar.end_of(day), "{zone} {instant} {day}");
                previous = day;
            }
        }
    }

    #[test]
    fn weeks_start_on_monday_and_months_are_calendar_months() {
        let week = Period::Week.number_of(day("2024-12-29"));
        assert_eq!(Period::Week.first_day(week), day("2024-12-23"));
        assert_eq!(Period::Week.number_of(day("2024-12-30")), week + 1);
        let month = Period::Month.number_of(day("2024-02-29"));
        assert_eq!(
            Period::Month.days(month),
            DayRange {
                from: day("2024-02-01"),
                to: day("2024-02-29")
            }
        );
        assert_eq!(Period::Month.number_of(day("2025-01-01")), month + 11);
        assert_eq!(
            Period::Day.days(5),
            DayRange {
                from: Day::new(5),
                to: Day::new(5)
            }
        );
    }

    #[test]
    fn dates_and_numbers_convert_both_ways() {
        assert_eq!(day("1970-01-01").number(), 0);
        assert_eq!(day("1969-12-31").number(), -1);
        assert_eq!(Day::new(i32::MAX).date(), NaiveDate::MAX);
        assert_eq!(day("2024-02-29").to_string(), "2024-02-29");
    }
}
