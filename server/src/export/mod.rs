//! Exports: stored events as text that `kohorta-import` reads, into a file or over HTTP.

mod packer;

use activity::calendar::{Calendar, Day};
use chrono::NaiveDate;
use clap::ValueEnum;
use store::filter::{Filter, StringTest};
use store::{EventsQuestion, Order};

pub(crate) use packer::Packer;

/// How events are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated values with a header line (RFC 4180)
    Csv,
    /// One JSON object a line
    Ndjson,
}

/// Which events are exported.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// The first day, in the reporting time zone.
    pub(crate) from: Option<NaiveDate>,
    /// The last day, included.
    pub(crate) to: Option<NaiveDate>,
    /// Only these event types; all of them where the list is empty.
    pub(crate) event_types: Vec<String>,
}

/// How a text is made of events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) format: ExportFormat,
    pub(crate) gzip: bool,
    /// Whether it also says when each event was received, which cannot be imported.
    pub(crate) received_at: bool,
}

impl Selection {
    /// The events that are meant, oldest first, where days are those of `calendar`.
    ///
    /// # Errors
    /// A sentence that names the option that is wrong.
    pub(crate) fn question(self, calendar: Calendar) -> Result<EventsQuestion, String> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            return Err(format!("from {from} must not be after to {to}"));
        }
        let mut question = EventsQuestion::new(Order::OldestFirst);
        if let Some(from) = self.from {
            question = question.since(calendar.start_of(Day::from_date(from)));
        }
        if let Some(to) = self.to {
            question = question.until(calendar.end_of(Day::from_date(to)));
        }
        if !self.event_types.is_empty() {
            let filter = Filter::EventType(StringTest::In(self.event_types)).checked();
            let filter = filter.map_err(|error| format!("event type: {}", error.message))?;
            question.filter = Some(filter);
        }
        Ok(question)
    }
}
