//! The statements that read events in their order.
//!
//! Each begins at a place in the order and stops at a limit, so its cost follows the page, not the table. Both bounds
//! are places as well (a period is one), compared as a whole: an index leads from one to the other.

/// From which end events are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Latest first.
    NewestFirst,
    /// Earliest first.
    OldestFirst,
}

/// What is read of which events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventsShape<'a> {
    pub(crate) order: Order,
    /// Whether one user's events are wanted.
    pub(crate) of_user: bool,
    /// A further condition.
    pub(crate) filter: Option<&'a str>,
}

/// Reads events between two places, both excluded. The parameters are a time and an id that they are newer than, the same
/// that they are older than, the limit, the user where one is wanted, and those of the filter.
pub(crate) fn events_sql(shape: EventsShape<'_>) -> String {
    let (name, direction) = match shape.order {
        Order::NewestFirst => ("newest_first", "DESC"),
        Order::OldestFirst => ("oldest_first", "ASC"),
    };
    let (subject, user) = if shape.of_user {
        ("user_events", "\n  AND user_id = $6")
    } else {
        ("events", "")
    };
    let filter = shape
        .filter
        .map_or_else(String::new, |filter| format!("\n  AND {filter}"));
    format!(
        "-- store: {subject}_{name}
SELECT event_id, user_id, event_type, occurred_at, properties, received_at
FROM events
WHERE (occurred_at, event_id) > ($1, $2)
  AND (occurred_at, event_id) < ($3, $4){user}{filter}
ORDER BY occurred_at {direction}, event_id {direction}
LIMIT $5"
    )
}

/// The statements without a filter, made once.
pub(crate) struct EventsSql([String; 4]);

impl EventsSql {
    pub(crate) fn new() -> Self {
        let text = |order, of_user| {
            events_sql(EventsShape {
                order,
                of_user,
                filter: None,
            })
        };
        Self([
            text(Order::NewestFirst, false),
            text(Order::OldestFirst, false),
            text(Order::NewestFirst, true),
            text(Order::OldestFirst, true),
        ])
    }

    pub(crate) fn text(&self, order: Order, of_user: bool) -> &str {
        &self.0[usize::from(order == Order::OldestFirst) + 2 * usize::from(of_user)]
    }
}

#[cfg(test)]
mod tests {
    use super::{EventsShape, EventsSql, Order, events_sql};

    /// Both databases take the same texts.
    #[test]
    fn statements() {
        let made = EventsSql::new();
        let filtered = EventsShape {
            order: Order::NewestFirst,
            of_user: false,
            filter: Some("(events.event_type = $6)"),
        };
        let all = [
            made.text(Order::NewestFirst, false).to_owned(),
            made.text(Order::OldestFirst, false).to_owned(),
            made.text(Order::NewestFirst, true).to_owned(),
            made.text(Order::OldestFirst, true).to_owned(),
            events_sql(filtered),
        ];
        insta::assert_snapshot!("events", all.join(";\n\n"));
    }
}
