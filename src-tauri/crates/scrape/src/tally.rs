//! What a stretch of time adds up to: the one form in which every quantity is kept.
//!
//! Each quantity is a ratio of two sums: increase over seconds for a rate, seconds over requests for a duration, values
//! over looks for a gauge. Sums add up over minutes, hours and instances, so that the value of any window is exact and
//! never an average of averages.

use crate::histogram::{Estimate, Histogram};

/// A ratio of two sums, with the greatest single value, and the histogram where there is one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// The sum of what was measured, in the quantity's unit (for a rate: how often it happened).
    pub sum: f64,
    /// What it is divided by: seconds for a rate, requests for a duration, looks for a gauge.
    pub weight: f64,
    /// The greatest value between two looks.
    pub max: f64,
    /// Durations by size, in seconds, where the server counts them so.
    pub histogram: Option<Histogram>,
}

impl Tally {
    /// A tally of one stretch.
    pub fn new(sum: f64, weight: f64) -> Self {
        let max = if weight > 0.0 { sum / weight } else { 0.0 };
        Self { sum, weight, max, histogram: None }
    }

    /// The value of the whole stretch; `None` when nothing was measured.
    pub fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight).filter(|value| value.is_finite())
    }

    /// A quantile, where the server counts by size.
    pub fn quantile(&self, q: f64) -> Option<Estimate> {
        self.histogram.as_ref()?.quantile(q)
    }

    /// Adds a later stretch, or another instance's.
    pub fn merge(&mut self, other: &Self) {
        self.max = if self.weight > 0.0 { self.max.max(other.max) } else { other.max };
        self.sum += other.sum;
        self.weight += other.weight;
        match (&mut self.histogram, &other.histogram) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine @ None, theirs) => mine.clone_from(theirs),
            (Some(_), None) => {}
        }
    }

    /// The histogram's stored form.
    pub fn histogram_bytes(&self) -> Option<Vec<u8>> {
        self.histogram.as_ref().map(Histogram::to_bytes)
    }

    /// Takes back what [`Tally::histogram_bytes`] gave; false when the bytes are something else, and then there is none.
    #[must_use]
    pub fn set_histogram_bytes(&mut self, bytes: &[u8]) -> bool {
        self.histogram = Histogram::from_bytes(bytes);
        self.histogram.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_measured_is_no_value() {
        assert_eq!(Tally::default().value(), None);
        assert_eq!(Tally::new(6.0, 3.0).value(), Some(2.0));
        assert_eq!(Tally::new(0.0, 3.0).value(), Some(0.0), "nothing happened, and that was seen");
    }

    proptest! {
        /// The value of a whole is that of its parts, in whichever order they come.
        #[test]
        fn merging_adds_up(parts in proptest::collection::vec((0_u32..1_000, 1_u32..100), 1..8), split in 0_usize..8) {
            let tally = |parts: &[(u32, u32)]| {
                let mut sum = Tally::default();
                for (value, weight) in parts {
                    sum.merge(&Tally::new(f64::from(*value), f64::from(*weight)));
                }
                sum
            };
            let split = split.min(parts.len());
            let (mut left, right) = (tally(&parts[split..]), tally(&parts[..split]));
            left.merge(&right);
            prop_assert_eq!(left, tally(&parts));
        }
    }
}
