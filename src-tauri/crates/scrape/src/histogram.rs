//! Classic histograms: counts under fixed bounds, and the quantiles they allow.
//!
//! What must stay true: counts are of the time between two looks, so that they add up over time and over instances; a
//! quantile comes with the bounds between which it surely lies, since within a bucket nothing is known.

use std::cmp::Ordering;

/// Bounds of one histogram at most. The default of the Prometheus clients is 15, Triton's and vLLM's stay below 40.
const BOUNDS_MAX: usize = 256;

/// Counts of values at or below each bound. The last bound is +∞ where the server wrote it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// `(upper bound, how many values are at or below it)`, by rising bound; the counts never fall.
    buckets: Vec<(f64, f64)>,
}

/// A quantile as far as a histogram tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Interpolated linearly within its bucket, as Prometheus' `histogram_quantile` does.
    pub value: f64,
    /// It surely lies above this.
    pub low: f64,
    /// It surely lies at or below this; `None` when only +∞ bounds it.
    pub high: Option<f64>,
}

impl Histogram {
    /// A histogram of cumulative counts in any order. Bounds that are not numbers are left out; a count below an earlier
    /// one is raised to it (servers read their buckets one after another while they count).
    pub fn new(buckets: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut buckets: Vec<(f64, f64)> = buckets
            .into_iter()
            .filter(|(bound, count)| !bound.is_nan() && count.is_finite() && *count >= 0.0)
            .collect();
        buckets.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
        buckets.dedup_by(|next, kept| next.0.partial_cmp(&kept.0) == Some(Ordering::Equal));
        buckets.truncate(BOUNDS_MAX);
        let mut greatest = 0.0_f64;
        for (_, count) in &mut buckets {
            greatest = greatest.max(*count);
            *count = greatest;
        }
        Self { buckets }
    }

    /// How many values it holds.
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// The bounds with their cumulative counts.
    pub fn buckets(&self) -> &[(f64, f64)] {
        &self.buckets
    }

    /// Adds another one. Where their bounds differ (a server was upgraded), those that both have remain: a count under a
    /// bound of both is exact, and one under a bound of only one would not be.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        if other.buckets.is_empty() {
            return;
        }
        let mut theirs = other.buckets.iter().peekable();
        self.buckets.retain_mut(|(bound, count)| {
            while theirs.next_if(|(other, _)| other.total_cmp(bound).is_lt()).is_some() {}
            match theirs.next_if(|(other, _)| other.total_cmp(bound).is_eq()) {
                Some((_, more)) => {
                    *count += more;
                    true
                }
                None => false,
            }
        });
    }

    /// The value below which a part `q` (0 to 1) of all values lies. `None` without values, or when no bound is known
    /// below +∞.
    ///
    /// Linear interpolation within the bucket as in Prometheus' `histogram_quantile` (promql/quantile.go): the lowest
    /// bucket begins at 0 when its bound is positive; in the +∞ bucket the answer is its lower bound.
    pub fn quantile(&self, q: f64) -> Option<Estimate> {
        let total = self.count();
        let (highest_finite, _) = *self.buckets.iter().rev().find(|(bound, _)| bound.is_finite())?;
        if total <= 0.0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = q * total;
        let at = self.buckets.iter().position(|(_, count)| *count >= rank && *count > 0.0)?;
        let (bound, count) = self.buckets[at];
        if bound == f64::INFINITY {
            return Some(Estimate { value: highest_finite, low: highest_finite, high: None });
        }
        let (begin, before) = match at.checked_sub(1) {
            Some(previous) => self.buckets[previous],
            None if bound > 0.0 => (0.0, 0.0),
            None => return Some(Estimate { value: bound, low: f64::NEG_INFINITY, high: Some(bound) }),
        };
        let within = count - before;
        let part = if within > 0.0 { ((rank - before) / within).clamp(0.0, 1.0) } else { 1.0 };
        Some(Estimate { value: begin + (bound - begin) * part, low: begin, high: Some(bound) })
    }

    /// What was counted since `before`, bound by bound. A count that fell began again at zero.
    pub(crate) fn since(&self, before: &Self) -> Self {
        // One bucket below its former count means that the process began anew; then all of it is new.
        let began_anew = self.count() < before.count()
            || self
                .buckets
                .iter()
                .zip(&before.buckets)
                .any(|(now, then)| now.0.total_cmp(&then.0).is_eq() && now.1 < then.1);
        if began_anew || before.buckets.is_empty() {
            return self.clone();
        }
        let earlier = |bound: f64| before.buckets.iter().find(|(other, _)| other.total_cmp(&bound).is_eq());
        let differences = self.buckets.iter().filter_map(|(bound, count)| Some((*bound, count - earlier(*bound)?.1)));
        Self::new(differences)
    }

    /// The form in which it is stored: per bucket the bound (8 bytes, little endian) and what it adds (LEB128).
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.buckets.len() * 10);
        let mut before = 0.0;
        for (bound, count) in &self.buckets {
            bytes.extend_from_slice(&bound.to_le_bytes());
            let mut more = (count - before).round().max(0.0) as u64;
            while more >= 0x80 {
                bytes.push((more & 0x7f) as u8 | 0x80);
                more >>= 7;
            }
            bytes.push(more as u8);
            before = *count;
        }
        bytes
    }

    /// Reads what [`Histogram::to_bytes`] wrote; `None` for anything else.
    pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut buckets = Vec::new();
        let mut count = 0.0;
        while !bytes.is_empty() {
            let (bound, rest) = bytes.split_first_chunk::<8>()?;
            bytes = rest;
            let mut more = 0_u64;
            for shift in (0..).step_by(7) {
                let (byte, rest) = bytes.split_first()?;
                bytes = rest;
                more |= u64::from(byte & 0x7f).checked_shl(shift)?;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            count += more as f64;
            if buckets.len() == BOUNDS_MAX {
                return None;
            }
            buckets.push((f64::from_le_bytes(*bound), count));
        }
        let rising = buckets.is_sorted_by(|a: &(f64, f64), b| a.0 < b.0);
        (rising && buckets.iter().all(|(bound, _)| !bound.is_nan())).then_some(Self { buckets })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_are_those_of_prometheus() {
        // The expected values are histogram_quantile's of Prometheus 2.42 on the same buckets.
        let check = |buckets: &[(f64, f64)], q, expect: Option<(f64, f64, Option<f64>)>| {
            let found = Histogram::new(buckets.iter().copied()).quantile(q);
            let rounded = found.map(|e| ((e.value * 1e9).round() / 1e9, e.low, e.high));
            assert_eq!(rounded, expect, "{buckets:?} at {q}");
        };
        let usual = [(0.1, 50.0), (0.2, 90.0), (0.5, 100.0), (INF, 100.0)];
        check(&usual, 0.5, Some((0.1, 0.0, Some(0.1))));
        check(&usual, 0.7, Some((0.15, 0.1, Some(0.2))));
        check(&usual, 1.0, Some((0.5, 0.2, Some(0.5))));
        check(&[(0.1, 1.0), (INF, 10.0)], 0.95, Some((0.1, 0.1, None)));
        check(&[(INF, 10.0)], 0.5, None);
        check(&[(0.1, 0.0), (INF, 0.0)], 0.5, None);
        check(&[], 0.5, None);
        check(&[(-1.0, 4.0), (INF, 4.0)], 0.5, Some((-1.0, f64::NEG_INFINITY, Some(-1.0))));
        // Empty buckets below the first value are not where it lies.
        check(&[(0.1, 0.0), (0.2, 4.0), (INF, 4.0)], 0.0, Some((0.1, 0.1, Some(0.2))));
    }

    #[test]
    fn after_a_restart_all_counts_are_new() {
        let before = Histogram::new([(1.0, 5.0), (INF, 9.0)]);
        let check = |now: &[(f64, f64)], expect: &[(f64, f64)]| {
            assert_eq!(Histogram::new(now.iter().copied()).since(&before).buckets(), expect);
        };
        check(&[(1.0, 6.0), (INF, 12.0)], &[(1.0, 1.0), (INF, 3.0)]);
        check(&[(1.0, 2.0), (INF, 3.0)], &[(1.0, 2.0), (INF, 3.0)]);
        // As many requests as before, yet faster ones: the process began anew although the total does not tell.
        check(&[(1.0, 3.0), (INF, 9.0)], &[(1.0, 3.0), (INF, 9.0)]);
    }

    fn histogram() -> impl Strategy<Value = Histogram> {
        proptest::collection::vec((0_u8..6, 0_u16..50), 0..6).prop_map(|parts| {
            Histogram::new(parts.into_iter().map(|(bound, n)| (f64::from(bound) / 4.0, f64::from(n))))
        })
    }

    fn merged(a: &Histogram, b: &Histogram) -> Histogram {
        let mut sum = a.clone();
        sum.merge(b);
        sum
    }

    proptest! {
        /// Sums do not depend on the order, as long as there is a bound in common.
        #[test]
        fn merging_is_commutative(a in histogram(), b in histogram()) {
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        }

        /// With the same bounds, merging is associative and counts add up.
        #[test]
        fn counts_add_up(counts in proptest::collection::vec([0_u16..50, 0_u16..50, 0_u16..50], 3)) {
            let [a, b, c] = [0, 1, 2].map(|i: usize| Histogram::new([1.0, 2.0, INF].into_iter().zip(counts[i].map(f64::from))));
            let (left, right) = (merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert!((left.count() - a.count() - b.count() - c.count()).abs() < 0.5);
            prop_assert_eq!(left, right);
        }

        /// A quantile lies within its bounds and does not fall with q.
        #[test]
        fn quantiles_rise(a in histogram(), q in 0.0_f64..1.0, p in 0.0_f64..1.0) {
            if let (Some(low), Some(high)) = (a.quantile(q.min(p)), a.quantile(q.max(p))) {
                prop_assert!(low.value <= high.value);
                prop_assert!(low.low <= low.value && low.high.is_none_or(|high| low.value <= high));
            }
        }

        /// What is stored comes back; anything else is refused or read, and never panics.
        #[test]
        fn stored_forms_come_back(a in histogram(), noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(Histogram::from_bytes(&a.to_bytes()), Some(a));
            let _ = Histogram::from_bytes(&noise);
        }

        /// Differences are never negative.
        #[test]
        fn increases_are_never_negative(a in histogram(), b in histogram()) {
            prop_assert!(b.since(&a).buckets().iter().all(|(_, count)| *count >= 0.0));
        }
    }
}
