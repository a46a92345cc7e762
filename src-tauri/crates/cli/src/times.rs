//! Points in time: RFC 3339 or epoch milliseconds on input, UTC for people on output.

use jiff::Timestamp;
use pilothouse_domain::TimestampMs;

use crate::failure::Failure;

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Reads a time for clap.
pub(crate) fn parse(text: &str) -> Result<TimestampMs, String> {
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(TimestampMs(ms));
    }
    let read = text.parse::<Timestamp>();
    read.map(|at| TimestampMs(at.as_millisecond()))
        .map_err(|_| "give RFC 3339 such as 2026-03-01T12:00:00Z, or epoch milliseconds".to_owned())
}

/// A range with its defaults: the day before `to`, and `to` now. Refuses an empty one.
pub(crate) fn range(
    from: Option<TimestampMs>,
    to: Option<TimestampMs>,
    now: TimestampMs,
) -> Result<(TimestampMs, TimestampMs), Failure> {
    // Samples of this very millisecond belong to the answer.
    let to = to.unwrap_or(now.plus_ms(1));
    let from = from.unwrap_or(to.plus_ms(-DAY_MS));
    if from >= to {
        return Err(Failure::usage(format!("--from {} is not before --to {}", show(from), show(to))));
    }
    Ok((from, to))
}

/// UTC to the second.
pub(crate) fn show(at: TimestampMs) -> String {
    Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(parse(text).ok().map(|at| at.0), expect, "{text}");
        check("1767225600000", Some(1_767_225_600_000));
        check("2026-01-01T00:00:00Z", Some(1_767_225_600_000));
        check("2026-01-01T01:00:00.250+01:00", Some(1_767_225_600_250));
        check("yesterday", None);
        assert_eq!(show(TimestampMs(1_767_225_600_000)), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn an_empty_range_is_refused() {
        let at = TimestampMs;
        assert_eq!(range(None, None, at(DAY_MS)), Ok((at(1), at(DAY_MS + 1))));
        assert!(range(Some(at(5)), Some(at(5)), at(9)).is_err());
    }
}
