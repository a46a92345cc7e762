//! The axis of values: a nice range, nice steps, and labels with their unit.

/// What an axis measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds, shown as µs, ms or s.
    Microseconds,
    /// A share of 1, shown as a percentage.
    Percent,
    /// Bytes, shown as kB, MB or GB (powers of ten).
    Bytes,
    /// Events per second.
    PerSecond,
    /// A plain number.
    Number,
}

/// An axis from `low` to `high` with a line each `step`. All three are in the unit of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValueAxis {
    /// Value at the bottom.
    pub low: f64,
    /// Value at the top.
    pub high: f64,
    /// Distance of grid lines.
    pub step: f64,
}

impl ValueAxis {
    /// An axis that starts at 0 and holds `greatest`, with about `lines` lines.
    pub(crate) fn from_zero(greatest: f64, lines: f64) -> Self {
        let greatest = drawable(greatest).filter(|greatest| *greatest > 1e-6).unwrap_or(1.0);
        let step = nice_step(greatest / lines);
        Self { low: 0.0, high: (greatest / step - 1e-9).ceil().max(1.0) * step, step }
    }

    /// An axis around `least` to `greatest`, not beyond `limits`, with about `lines` lines.
    pub(crate) fn around(least: f64, greatest: f64, limits: (f64, f64), lines: f64) -> Self {
        let (least, greatest) = if drawable(least).is_some() && drawable(greatest).is_some() && least <= greatest {
            (least, greatest)
        } else {
            (0.0, 1.0)
        };
        let size = least.abs().max(greatest.abs());
        let spread = (greatest - least).max(size * 0.02).max(1e-6);
        let step = nice_step(spread * 1.15 / lines);
        let low = ((least - spread * 0.07) / step).floor() * step;
        let high = ((greatest + spread * 0.07) / step).ceil() * step;
        Self { low: low.max(limits.0), high: high.min(limits.1), step }
    }

    /// The nearest value on the axis.
    pub(crate) fn clamp(&self, value: f64) -> f64 {
        value.max(self.low).min(self.high)
    }

    /// The values of the grid lines, from the bottom up.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-6).ceil() as i64;
        let last = (self.high / self.step + 1e-6).floor() as i64;
        // A damaged range must not draw for ever.
        (first..=last.min(first.saturating_add(20))).map(|index| index as f64 * self.step).collect()
    }

    /// The label of a grid line.
    pub(crate) fn label(&self, value: f64, unit: Unit) -> String {
        let (value, step, suffix) = match unit {
            Unit::Number => (value, self.step, ""),
            Unit::PerSecond => (value, self.step, "/s"),
            Unit::Bytes if self.high >= 1e9 => (value / 1e9, self.step / 1e9, " GB"),
            Unit::Bytes if self.high >= 1e6 => (value / 1e6, self.step / 1e6, " MB"),
            Unit::Bytes if self.high >= 1e3 => (value / 1e3, self.step / 1e3, " kB"),
            Unit::Bytes => (value, self.step, " B"),
            Unit::Percent => (value * 100.0, self.step * 100.0, "%"),
            Unit::Microseconds if self.high >= 2e6 => (value / 1e6, self.step / 1e6, " s"),
            Unit::Microseconds if self.high >= 1e3 => (value / 1e3, self.step / 1e3, " ms"),
            Unit::Microseconds => (value, self.step, " µs"),
        };
        let decimals = decimals_of(step);
        // -0 is written as 0.
        let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
        format!("{}{suffix}", with_minus(value, decimals))
    }
}

/// The value, if a chart can show it: finite and below 1e15, so that coordinates never overflow. Anything else counts as
/// not measured.
pub(crate) fn drawable(value: f64) -> Option<f64> {
    (value.abs() <= 1e15).then_some(value)
}

/// A number with a true minus sign.
pub(crate) fn with_minus(value: f64, decimals: usize) -> String {
    format!("{value:.decimals$}").replacen('-', "−", 1)
}

/// The least of 1, 2, 2.5, 5 times a power of ten that is not below `rough`.
fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let factor = rough / power;
    let nice = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|nice| factor <= nice + 1e-9).unwrap_or(10.0);
    nice * power
}

/// How many decimals show a step of this size exactly, at most six.
fn decimals_of(step: f64) -> usize {
    (0..6)
        .find(|&decimals| {
            let scaled = step * 10f64.powi(decimals);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1e-9) && scaled.round() > 0.0
        })
        .unwrap_or(6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(axis: ValueAxis, unit: Unit, labels: &[&str]) {
        let found: Vec<String> = axis.ticks().into_iter().map(|tick| axis.label(tick, unit)).collect();
        assert_eq!(found, labels);
    }

    #[test]
    fn latency_axes_start_at_zero() {
        check(ValueAxis::from_zero(65_300.0, 4.0), Unit::Microseconds, &["0 ms", "20 ms", "40 ms", "60 ms", "80 ms"]);
        check(ValueAxis::from_zero(7_100_000.0, 4.0), Unit::Microseconds, &["0 s", "2 s", "4 s", "6 s", "8 s"]);
        check(ValueAxis::from_zero(640.0, 4.0), Unit::Microseconds, &["0 µs", "200 µs", "400 µs", "600 µs", "800 µs"]);
        check(
            ValueAxis::from_zero(900.0, 4.0),
            Unit::Microseconds,
            &["0.00 ms", "0.25 ms", "0.50 ms", "0.75 ms", "1.00 ms"],
        );
        check(ValueAxis::from_zero(f64::NAN, 2.0), Unit::Number, &["0.0", "0.5", "1.0"]);
        check(ValueAxis::from_zero(230e6, 2.0), Unit::Bytes, &["0 MB", "200 MB", "400 MB"]);
        check(ValueAxis::from_zero(7.0, 2.0), Unit::PerSecond, &["0/s", "5/s", "10/s"]);
    }

    #[test]
    fn axes_around_values_stay_within_limits() {
        check(ValueAxis::around(0.69, 0.8, (0.0, 1.0), 4.0), Unit::Number, &["0.65", "0.70", "0.75", "0.80", "0.85"]);
        check(ValueAxis::around(0.99, 1.0, (0.0, 1.0), 4.0), Unit::Percent, &["98%", "99%", "100%"]);
        let constant = ValueAxis::around(0.5, 0.5, (0.0, 1.0), 4.0);
        assert!(constant.low < 0.5 && constant.high > 0.5);
        check(ValueAxis::around(-40.0, 10.0, (f64::MIN, 1.0), 4.0), Unit::Number, &["−60", "−40", "−20", "0"]);
    }
}
