//! Questions to a store, as short as a test wants them. Days are texts, `2026-03-01`.

use activity::calendar::{Day, Period};
use activity::retention::{Criterion, Entry};
use activity::top_events::Rank;
use store::{ActiveUsersQuestion, RetentionQuestion, TopEventsQuestion};

use crate::events::date;

/// A day, from its text.
///
/// # Panics
/// If `text` is not a calendar day.
pub fn day(text: &str) -> Day {
    Day::from_date(date(text))
}

/// Active users on the days `from..=to` with this window.
///
/// # Panics
/// If `from` or `to` is not a calendar day.
pub fn active_users(from: &str, to: &str, window_days: u32) -> ActiveUsersQuestion {
    ActiveUsersQuestion {
        from: day(from),
        to: day(to),
        window_days,
        filter: None,
    }
}

/// The `limit` top events of the days `from..=to`.
///
/// # Panics
/// If `from` or `to` is not a calendar day.
pub fn top_events(from: &str, to: &str, limit: u32, rank: Rank) -> TopEventsQuestion {
    TopEventsQuestion {
        from: day(from),
        to: day(to),
        limit,
        rank,
        filter: None,
    }
}

/// Retention of those who came in on the days `from..=to`: any event, first ever, on the period itself.
///
/// # Panics
/// If `from` or `to` is not a calendar day.
pub fn retention(from: &str, to: &str, period: Period, periods: u32) -> RetentionQuestion {
    RetentionQuestion {
        from: day(from),
        to: day(to),
        period,
        periods,
        start_event: None,
        return_event: None,
        entry: Entry::FirstEver,
        criterion: Criterion::On,
    }
}
