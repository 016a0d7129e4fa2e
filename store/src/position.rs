//! Places in the order of events: by time, ties by id. The order never changes and no two events share a place, so a
//! place says where a page ends whatever is stored or deleted meanwhile.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::StoredEvent;

/// A place in the order of events; there need not be an event at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The time, in whole microseconds.
    pub occurred_at: DateTime<Utc>,
    /// Decides between events of the same time.
    pub event_id: Uuid,
}

impl Position {
    /// The last place before every event of `instant` and later.
    pub fn before(instant: DateTime<Utc>) -> Self {
        Self::first_of(instant).previous()
    }

    /// The first place that an event of `instant` can have.
    pub fn first_of(instant: DateTime<Utc>) -> Self {
        Self {
            occurred_at: instant,
            event_id: Uuid::nil(),
        }
    }

    /// The place right before this one.
    pub fn previous(self) -> Self {
        match self.event_id.as_u128().checked_sub(1) {
            Some(id) => Self {
                event_id: Uuid::from_u128(id),
                ..self
            },
            None => self.moved(-1, Uuid::max()),
        }
    }

    /// The place right behind this one.
    pub fn next(self) -> Self {
        match self.event_id.as_u128().checked_add(1) {
            Some(id) => Self {
                event_id: Uuid::from_u128(id),
                ..self
            },
            None => self.moved(1, Uuid::nil()),
        }
    }

    /// At the ends of time, where no event is, the place stays what it is.
    fn moved(self, micros: i64, event_id: Uuid) -> Self {
        match self
            .occurred_at
            .checked_add_signed(TimeDelta::microseconds(micros))
        {
            Some(occurred_at) => Self {
                occurred_at,
                event_id,
            },
            None => self,
        }
    }
}

impl From<&StoredEvent> for Position {
    fn from(event: &StoredEvent) -> Self {
        Self {
            occurred_at: event.occurred_at,
            event_id: event.event_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::prelude::{any, prop_oneof};
    use proptest::strategy::{Just, Strategy};
    use proptest::{prop_assert, prop_assert_eq, proptest};
    use uuid::Uuid;

    use super::Position;

    /// Any place, often one with an edge near by.
    fn positions() -> impl Strategy<Value = Position> {
        let (first, last) = (
            DateTime::<Utc>::MIN_UTC.timestamp_micros(),
            DateTime::<Utc>::MAX_UTC.timestamp_micros(),
        );
        let micros = prop_oneof![first..=last, Just(first), Just(last), -2_i64..3];
        let id = prop_oneof![any::<u128>(), Just(0), Just(u128::MAX), 0..3_u128];
        (micros, id).prop_map(|(micros, id)| Position {
            occurred_at: DateTime::from_timestamp_micros(micros).expect("in range"),
            event_id: Uuid::from_u128(id),
        })
    }

    proptest! {
        #[test]
        fn every_place_has_neighbours_or_is_an_end(position in positions()) {
            let (previous, next) = (position.previous(), position.next());
            prop_assert!(previous <= position && position <= next);
            if previous != position {
                prop_assert_eq!(previous.next(), position);
            }
            if next != position {
                prop_assert_eq!(next.previous(), position);
            }
            let first = Position::first_of(position.occurred_at);
            prop_assert!(first <= position);
            prop_assert!(Position::before(position.occurred_at) <= first);
        }
    }

    #[test]
    fn neighbours_have_nothing_between_them() {
        let at = |micros, id| Position {
            occurred_at: DateTime::from_timestamp_micros(micros).expect("in range"),
            event_id: Uuid::from_u128(id),
        };
        assert_eq!(at(5, 7).previous(), at(5, 6));
        assert_eq!(at(5, 7).next(), at(5, 8));
        assert_eq!(at(5, 0).previous(), at(4, u128::MAX));
        assert_eq!(at(5, u128::MAX).next(), at(6, 0));
        assert_eq!(Position::before(at(5, 3).occurred_at), at(4, u128::MAX));
        let end = Position {
            occurred_at: DateTime::from_timestamp_micros(DateTime::<Utc>::MAX_UTC.timestamp_micros())
                .expect("in range"),
            event_id: Uuid::max(),
        };
        assert!(end.next() >= end);
    }
}
