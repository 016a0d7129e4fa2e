//! Arguments of questions, turned into types that cannot be wrong.
//!
//! Every error names the argument, what is wrong with it and what would be right.

use activity::calendar::DayRange;
use store::new_event::MAX_NAME_BYTES;

use super::error::{ApiError, Result};
use super::filter::EventFilter;
use super::scalars::LocalDate;
use crate::limits::{FILTERED_QUESTION_COMPLEXITY, MAX_RANGE_DAYS, QUESTION_COMPLEXITY};

/// The complexity of a question over a range of days.
pub(super) fn question_cost(filter: Option<&EventFilter>) -> usize {
    match filter {
        None => QUESTION_COMPLEXITY,
        Some(_) => FILTERED_QUESTION_COMPLEXITY,
    }
}

/// The days from `from` to `to`, both included.
pub(super) fn day_range(from: LocalDate, to: LocalDate) -> Result<DayRange> {
    let from = from
        .into_day()
        .map_err(|fault| ApiError::bad_input("from", &fault))?;
    let to = to.into_day().map_err(|fault| ApiError::bad_input("to", &fault))?;
    if from > to {
        return Err(ApiError::bad_input(
            "from",
            &format!("{from} must not be after to {to}"),
        ));
    }
    let days = to.number() - from.number() + 1;
    if days > MAX_RANGE_DAYS {
        let fault = format!("{to} makes a range of {days} days; at most {MAX_RANGE_DAYS} are allowed");
        return Err(ApiError::bad_input("to", &fault));
    }
    Ok(DayRange { from, to })
}

/// `value`, which must lie between `least` and `most`, both included.
pub(super) fn bounded(field: &str, value: i32, least: u32, most: i32) -> Result<u32> {
    match u32::try_from(value) {
        Ok(number) if number >= least && value <= most => Ok(number),
        _ => Err(ApiError::bad_input(
            field,
            &format!("{value} must lie between {least} and {most}"),
        )),
    }
}

/// The name of an event type; what no event can have is refused.
pub(super) fn event_type(field: &str, name: String) -> Result<String> {
    if name.is_empty() {
        let fault = "must not be empty; leave it out to take any event";
        return Err(ApiError::bad_input(field, fault));
    }
    checked_name(field, name, "event types")
}

/// The id of a user; what no user can have is refused.
pub(super) fn user_id(field: &str, name: String) -> Result<String> {
    if name.is_empty() {
        return Err(ApiError::bad_input(field, "must not be empty"));
    }
    checked_name(field, name, "user ids")
}

fn checked_name(field: &str, name: String, kind: &str) -> Result<String> {
    let fault = if name.len() > MAX_NAME_BYTES {
        format!(
            "is {} bytes long; {kind} have at most {MAX_NAME_BYTES}",
            name.len()
        )
    } else if name.chars().any(char::is_control) {
        format!("has a control character; {kind} have none")
    } else {
        return Ok(name);
    };
    Err(ApiError::bad_input(field, &fault))
}
