//! Times as databases print them, for `--assume-timezone`.

use chrono::{
    DateTime, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeZone, Utc,
};
use chrono_tz::Tz;

/// Rewrites `text` in RFC 3339, where it is a date, a date and time without offset (taken in `zone`), or one with an
/// offset in a spelling that RFC 3339 does not know (`2026-03-01 08:30:00+00`). Anything else is answered unchanged:
/// validation then says what is wrong.
///
/// Where a local time occurs twice (clocks going back) the first one is meant; one that does not occur is left
/// unchanged. A date alone is the first moment of that day that exists.
pub(crate) fn to_rfc3339(text: String, zone: Tz) -> String {
    match instant(&text, zone) {
        Some(instant) => instant.to_rfc3339_opts(SecondsFormat::Micros, true),
        None => text,
    }
}

/// Whether `text` is a time that lacks nothing but an offset.
pub(crate) fn lacks_offset(text: &str) -> bool {
    local(text).is_some() || text.parse::<NaiveDate>().is_ok()
}

fn instant(text: &str, zone: Tz) -> Option<DateTime<Utc>> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return start_of(date, zone);
    }
    if let Some(local) = local(text) {
        return zone
            .from_local_datetime(&local)
            .earliest()
            .map(|time| time.with_timezone(&Utc));
    }
    with_short_offset(text).map(|time| time.with_timezone(&Utc))
}

fn local(text: &str) -> Option<NaiveDateTime> {
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        // Leap seconds are left to validation.
        .filter(|local| chrono::Timelike::nanosecond(local) < 1_000_000_000)
}

fn with_short_offset(text: &str) -> Option<DateTime<FixedOffset>> {
    let full = if text.len() > 3 && matches!(text.as_bytes()[text.len() - 3], b'+' | b'-') {
        format!("{text}:00")
    } else {
        text.to_owned()
    };
    [
        "%Y-%m-%d %H:%M:%S%.f%:z",
        "%Y-%m-%d %H:%M:%S%.f %:z",
        "%Y-%m-%d %H:%M:%S%.f%#z",
        "%Y-%m-%dT%H:%M:%S%.f%:z",
    ]
    .iter()
    .find_map(|format| DateTime::parse_from_str(&full, format).ok())
    .filter(|time| chrono::Timelike::nanosecond(time) < 1_000_000_000)
}

fn start_of(date: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let midnight = date.and_time(NaiveTime::MIN);
    // Where clocks go forward at midnight, the day starts at the first quarter of an hour that exists.
    (0..=12).find_map(|quarter| {
        let local = midnight + chrono::TimeDelta::minutes(15 * quarter);
        match zone.from_local_datetime(&local) {
            MappedLocalTime::None => None,
            found => found.earliest().map(|time| time.with_timezone(&Utc)),
        }
    })
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::{lacks_offset, to_rfc3339};

    fn check(zone: Tz, text: &str, expected: &str) {
        assert_eq!(to_rfc3339(text.to_owned(), zone), expected, "{text}");
    }

    #[test]
    fn times_of_databases_become_instants() {
        check(Tz::UTC, "2026-03-01", "2026-03-01T00:00:00.000000Z");
        check(Tz::UTC, "2026-03-01 08:30:00", "2026-03-01T08:30:00.000000Z");
        check(
            Tz::UTC,
            "2026-03-01T08:30:00.123456",
            "2026-03-01T08:30:00.123456Z",
        );
        check(Tz::UTC, "2026-03-01 08:30:00+00", "2026-03-01T08:30:00.000000Z");
        check(
            Tz::UTC,
            "2026-03-01 08:30:00.5-03:30",
            "2026-03-01T12:00:00.500000Z",
        );
        check(Tz::UTC, "2026-03-01 08:30:00+0200", "2026-03-01T06:30:00.000000Z");
        check(
            Tz::America__New_York,
            "2026-03-01 08:30:00",
            "2026-03-01T13:30:00.000000Z",
        );
        check(
            Tz::America__New_York,
            "2026-11-01 01:30:00",
            "2026-11-01T05:30:00.000000Z",
        );
        check(Tz::America__Santiago, "2024-09-08", "2024-09-08T04:00:00.000000Z");
    }

    #[test]
    fn anything_else_is_left_to_validation() {
        for text in [
            "",
            "yesterday",
            "01.03.2026",
            "2026-02-30",
            "2026-03-01 08:30",
            "1767225600",
            "2026-03-01 23:59:60",
        ] {
            check(Tz::UTC, text, text);
        }
        check(
            Tz::America__New_York,
            "2026-03-08 02:30:00",
            "2026-03-08 02:30:00",
        );
    }

    #[test]
    fn times_without_offset_are_told_from_others() {
        assert!(lacks_offset("2026-03-01") && lacks_offset("2026-03-01 08:30:00"));
        assert!(!lacks_offset("2026-03-01T08:30:00Z") && !lacks_offset("yesterday"));
    }
}
