//! Top events: per event type how many events and how many distinct users.

use std::cmp::Reverse;

/// What a ranking goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rank {
    /// The number of events.
    Events,
    /// The number of distinct users.
    Users,
}

/// One event type in a range of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeTotals {
    /// Its name.
    pub event_type: String,
    /// How many events; at least one.
    pub events: u64,
    /// How many distinct users.
    pub users: u64,
}

/// The answer: the highest ranked types, and what the others add up to.
#[derive(Clone, Debug, PartialEq)]
pub struct TopEvents {
    /// The ranked types, highest first; ties by name ascending.
    pub rows: Vec<TopEvent>,
    /// All events in the range.
    pub total_events: u64,
    /// The events that are in no row.
    pub other_events: u64,
    /// Distinct users over all types.
    pub total_users: u64,
}

/// One ranked type.
#[derive(Clone, Debug, PartialEq)]
pub struct TopEvent {
    /// Its name.
    pub event_type: String,
    /// How many events.
    pub events: u64,
    /// How many distinct users.
    pub users: u64,
    /// Its events over all events in the range; none where there are no events.
    pub share: Option<f64>,
}

/// Sorts `types` by `key` descending, ties by name ascending (byte for byte), and keeps the first `limit`.
pub fn rank<T>(mut types: Vec<T>, limit: usize, key: impl Fn(&T) -> (u64, String)) -> Vec<T> {
    types.sort_by_cached_key(|item| {
        let (count, name) = key(item);
        (Reverse(count), name)
    });
    types.truncate(limit);
    types
}

/// Puts the ranked rows and the totals of the range together.
pub fn top_events(ranked: Vec<TypeTotals>, total_events: u64, total_users: u64) -> TopEvents {
    let in_rows: u64 = ranked.iter().map(|row| row.events).sum();
    let share = |events: u64| (total_events > 0).then(|| events as f64 / total_events as f64);
    let rows = ranked.into_iter().map(|row| TopEvent {
        share: share(row.events),
        event_type: row.event_type,
        events: row.events,
        users: row.users,
    });
    TopEvents {
        rows: rows.collect(),
        total_events,
        other_events: total_events - in_rows,
        total_users,
    }
}

#[cfg(test)]
mod tests {
    use super::{TypeTotals, rank, top_events};

    fn totals(event_type: &str, events: u64, users: u64) -> TypeTotals {
        TypeTotals {
            event_type: event_type.to_owned(),
            events,
            users,
        }
    }

    #[test]
    fn ties_go_by_name_and_the_rest_is_summed() {
        let types = vec![
            totals("b", 2, 1),
            totals("c", 5, 2),
            totals("a", 2, 2),
            totals("d", 1, 1),
        ];
        let ranked = rank(types, 2, |row| (row.events, row.event_type.clone()));
        let top = top_events(ranked, 10, 3);
        let rows: Vec<_> = top
            .rows
            .iter()
            .map(|row| (row.event_type.as_str(), row.share))
            .collect();
        assert_eq!(rows, vec![("c", Some(0.5)), ("a", Some(0.2))]);
        assert_eq!((top.total_events, top.other_events, top.total_users), (10, 3, 3));
    }

    #[test]
    fn nothing_at_all_has_no_shares() {
        let top = top_events(vec![totals("a", 0, 0)], 0, 0);
        assert_eq!(top.rows[0].share, None);
    }
}
