//! The clock of the server: the only place that reads the time of day.
//!
//! The clock says when an event arrived, what lies too far ahead, and which days are complete. Tests put a fixed one
//! in its place.

use chrono::{DateTime, Utc};

/// Where the time of day comes from.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Always the same instant.
    Fixed(DateTime<Utc>),
}

impl Clock {
    /// The present instant.
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now(),
            Self::Fixed(instant) => *instant,
        }
    }
}
