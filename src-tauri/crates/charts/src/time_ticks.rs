//! The axis of time: ticks where a clock or a calendar in the person's zone turns over, with short labels.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use pilothouse_domain::TimestampMs;

use crate::error::ChartError;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances of ticks in milliseconds: divisors of an hour, hours that divide a day, then days, months and years.
const STEPS: [i64; 27] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    4 * DAY,
    7 * DAY,
    14 * DAY,
    MONTH,
    3 * MONTH,
    6 * MONTH,
    12 * MONTH,
    60 * MONTH,
];
const MONTH: i64 = 30 * DAY;

/// A stretch of time shown in one zone.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeAxis {
    /// Its beginning, at the left edge.
    pub from: TimestampMs,
    /// Its end, at the right edge.
    pub to: TimestampMs,
    /// The zone that labels are written in.
    pub zone: TimeZone,
}

/// One tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) at: TimestampMs,
    pub(crate) label: String,
}

impl TimeAxis {
    pub(crate) fn check(&self) -> Result<(), ChartError> {
        if self.to > self.from { Ok(()) } else { Err(ChartError::EmptyRange) }
    }

    /// Whether the range holds this time, its ends included.
    pub fn holds(&self, at: TimestampMs) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// At most `most` ticks at natural boundaries of the zone.
    pub(crate) fn ticks(&self, most: usize) -> Vec<Tick> {
        let span = self.to.since(self.from);
        let wanted = span / most.max(1) as i64;
        let last = STEPS[STEPS.len() - 1];
        let step = STEPS.into_iter().find(|&step| step >= wanted).unwrap_or(last);
        let Some(start) = self.local(self.from) else { return Vec::new() };
        let times = if step < HOUR {
            self.even_times(&start, step)
        } else if step < DAY {
            self.hours(start.date(), step / HOUR)
        } else if step < MONTH {
            self.days(start.date(), step / DAY)
        } else {
            self.months(start.date(), step / MONTH)
        };
        self.labelled(times, step, most)
    }

    /// Seconds or minutes: even steps from the last local boundary before `start`.
    fn even_times(&self, start: &Zoned, step: i64) -> Vec<TimestampMs> {
        // Zones differ from UTC by whole quarters of an hour today, but by odd seconds in the past: the offset decides.
        let local = self.from.plus_ms(i64::from(start.offset().seconds()) * SECOND);
        let first = self.from.plus_ms(-local.0.rem_euclid(step));
        (0..=200).map(|index| first.plus_ms(index * step)).take_while(|at| *at <= self.to).collect()
    }

    /// Local hours 0, n, 2n … of each day, whatever its length.
    fn hours(&self, first: Date, every: i64) -> Vec<TimestampMs> {
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok());
        let hours = (0..24i8).step_by(every as usize);
        days.flat_map(|day| hours.clone().map(move |hour| (day, hour)))
            .map_while(|(day, hour)| self.instant(day, hour))
            .take(200)
            .take_while(|at| *at <= self.to)
            .collect()
    }

    /// Local midnights whose day number is a multiple of `every`; for weeks these are Mondays.
    fn days(&self, first: Date, every: i64) -> Vec<TimestampMs> {
        // 1969-12-29, three days before the epoch, was a Monday.
        let number =
            first.to_zoned(TimeZone::UTC).map_or(0, |day| day.timestamp().as_second().div_euclid(DAY / SECOND)) + 3;
        let Ok(start) = first.checked_sub(number.rem_euclid(every).days()) else { return Vec::new() };
        std::iter::successors(Some(start), |day| day.checked_add(every.days()).ok())
            .map_while(|day| self.instant(day, 0))
            .take(200)
            .take_while(|at| *at <= self.to)
            .collect()
    }

    /// Firsts of months that are multiples of `every` since January of year 0.
    fn months(&self, first: Date, every: i64) -> Vec<TimestampMs> {
        let number = i64::from(first.year()) * 12 + i64::from(first.month()) - 1;
        let Ok(start) = first.first_of_month().checked_sub(number.rem_euclid(every).months()) else {
            return Vec::new();
        };
        std::iter::successors(Some(start), |day| day.checked_add(every.months()).ok())
            .map_while(|day| self.instant(day, 0))
            .take(200)
            .take_while(|at| *at <= self.to)
            .collect()
    }

    fn labelled(&self, times: Vec<TimestampMs>, step: i64, most: usize) -> Vec<Tick> {
        let several_days = self.to.since(self.from) > 2 * DAY;
        let mut previous = self.local(self.from);
        let mut ticks: Vec<Tick> = Vec::new();
        for at in times.into_iter().filter(|&at| self.holds(at)) {
            let Some(local) = self.local(at) else { continue };
            // A clock that is set back shows the same hour twice; one tick is enough.
            if ticks.last().is_some_and(|tick| tick.at >= at) {
                continue;
            }
            let new_day = previous.as_ref().is_some_and(|previous| previous.date() != local.date());
            let format = if step >= 12 * MONTH {
                "%Y"
            } else if step >= MONTH {
                "%b %Y"
            } else if step >= DAY || new_day || (several_days && local.hour() == 0 && local.minute() == 0) {
                "%-d %b"
            } else if step < MINUTE {
                "%H:%M:%S"
            } else {
                "%H:%M"
            };
            ticks.push(Tick { at, label: local.strftime(format).to_string() });
            previous = Some(local);
        }
        ticks.truncate(most + 1);
        ticks
    }

    fn local(&self, at: TimestampMs) -> Option<Zoned> {
        Some(Timestamp::from_millisecond(at.0).ok()?.to_zoned(self.zone.clone()))
    }

    fn instant(&self, day: Date, hour: i8) -> Option<TimestampMs> {
        let local = self.zone.to_zoned(day.at(hour, 0, 0, 0)).ok()?;
        Some(TimestampMs(local.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(zone: &str, from: &str, to: &str, most: usize, labels: &[&str]) {
        let zone = TimeZone::get(zone).unwrap();
        let at = |text: &str| {
            let local: jiff::civil::DateTime = text.parse().unwrap();
            TimestampMs(zone.to_timestamp(local).unwrap().as_millisecond())
        };
        let axis = TimeAxis { from: at(from), to: at(to), zone: zone.clone() };
        let found: Vec<String> = axis.ticks(most).into_iter().map(|tick| tick.label).collect();
        assert_eq!(found, labels);
    }

    #[test]
    fn ticks_stand_on_natural_boundaries_of_the_zone() {
        check("UTC", "2026-11-22T06:00", "2026-11-22T08:00", 5, &["06:00", "06:30", "07:00", "07:30", "08:00"]);
        check("Asia/Kathmandu", "2026-11-22T06:10", "2026-11-22T08:00", 5, &["06:30", "07:00", "07:30", "08:00"]);
        check("UTC", "2026-11-22T06:00:10", "2026-11-22T06:01", 4, &["06:00:15", "06:00:30", "06:00:45", "06:01:00"]);
        check("Europe/Berlin", "2026-11-21T20:00", "2026-11-22T08:00", 4, &["21:00", "22 Nov", "03:00", "06:00"]);
        check(
            "UTC",
            "2026-11-20T10:00",
            "2026-11-23T10:00",
            6,
            &["12:00", "21 Nov", "12:00", "22 Nov", "12:00", "23 Nov"],
        );
        check("UTC", "2026-11-01T10:00", "2026-11-30T10:00", 5, &["2 Nov", "9 Nov", "16 Nov", "23 Nov", "30 Nov"]);
        check("UTC", "2025-11-01T10:00", "2026-10-30T10:00", 5, &["Jan 2026", "Apr 2026", "Jul 2026", "Oct 2026"]);
    }

    #[test]
    fn a_change_of_the_clock_keeps_ticks_on_the_hour() {
        // Berlin goes from 02:00 to 03:00 on 29 March 2026 and back from 03:00 to 02:00 on 25 October.
        check("Europe/Berlin", "2026-03-28T23:00", "2026-03-29T09:00", 4, &["29 Mar", "03:00", "06:00", "09:00"]);
        check("Europe/Berlin", "2026-10-24T23:00", "2026-10-25T09:00", 4, &["25 Oct", "03:00", "06:00", "09:00"]);
    }

    #[test]
    fn senseless_ranges_end() {
        for (from, to) in [(0, 1), (i64::MIN, i64::MAX), (i64::MAX - 5, i64::MAX), (-1, i64::MAX)] {
            let axis = TimeAxis { from: TimestampMs(from), to: TimestampMs(to), zone: TimeZone::UTC };
            assert!(axis.ticks(5).len() <= 6);
        }
    }
}
