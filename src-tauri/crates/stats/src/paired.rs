//! Two versions on the same rows: is the second one really better or worse?
//!
//! What must stay true: rows are compared pairwise, never as two separate samples, since both versions answer the same
//! questions; the method and its seed are named in the result.

use statrs::distribution::{Binomial, DiscreteCDF};

use crate::error::StatsError;
use crate::interval::{affordable_resamples, bootstrap, wilson};
use crate::metrics::{MetricOptions, regression};

/// `after` minus `before`, with what chance alone would do.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedDifference {
    /// The metric of `after` minus the metric of `before`; negative when it became worse.
    pub difference: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Two-sided p-value of "no difference".
    pub p_value: f64,
    /// How interval and p-value were made.
    pub method: String,
}

/// The difference in accuracy of two versions, from whether each answered each row rightly.
///
/// The p-value is `McNemar`'s exact test: the binomial distribution over the rows on which they disagree. The interval is
/// method 10 of Newcombe 1998 ("Improved confidence intervals for the difference between binomial proportions based on
/// paired data", Statistics in Medicine 17:2635), from the two Wilson intervals and their correlation.
/// `None` when there are no rows or the lengths differ.
pub fn paired_difference(before: &[bool], after: &[bool]) -> Option<PairedDifference> {
    if before.len() != after.len() {
        return None;
    }
    let mut table = [[0u64; 2]; 2];
    for (&before, &after) in before.iter().zip(after) {
        table[usize::from(before)][usize::from(after)] += 1;
    }
    let [[neither, gained], [lost, both]] = table;
    let n = neither + gained + lost + both;
    let (wilson_after, wilson_before) = (wilson(both + gained, n)?, wilson(both + lost, n)?);
    let share = |count: u64| count as f64 / n as f64;
    let (after_share, before_share) = (share(both + gained), share(both + lost));
    let difference = (gained as f64 - lost as f64) / n as f64;

    let phi = correlation(both, gained, lost, neither);
    let spread = |own: f64, other: f64| (own * own - 2.0 * phi * own * other + other * other).max(0.0).sqrt();
    let low = difference - spread(after_share - wilson_after.low, wilson_before.high - before_share);
    let high = difference + spread(wilson_after.high - after_share, before_share - wilson_before.low);
    let p_value = mcnemar_exact(gained, lost)?;
    Some(PairedDifference { difference, low, high, p_value, method: "mcnemar exact, newcombe paired".to_owned() })
}

/// The difference in R² of two versions on the same rows, by a paired bootstrap: each resample draws rows once and scores
/// both versions on them. The p-value is twice the smaller share of resamples on either side of zero.
/// `None` when R² is undefined (fewer than two rows).
pub fn paired_r2_difference(
    labels: &[f64],
    before: &[f64],
    after: &[f64],
    options: &MetricOptions,
) -> Result<Option<PairedDifference>, StatsError> {
    for (what, column) in [("before", before), ("after", after)] {
        if column.len() != labels.len() {
            return Err(StatsError::LengthMismatch { what, found: column.len(), expected: labels.len() });
        }
    }
    let n = labels.len();
    let resamples = affordable_resamples(n, options.resamples);
    let difference_of =
        |counts: &[u32]| regression::r_squared(labels, after, counts) - regression::r_squared(labels, before, counts);
    let difference = difference_of(&vec![1; n]);
    if !difference.is_finite() {
        return Ok(None);
    }
    let (mut not_above, mut not_below, mut defined) = (0u32, 0u32, 0u32);
    let intervals = bootstrap(n, 1, resamples, options.seed, |counts, out| {
        let value = difference_of(counts);
        if value.is_finite() {
            defined += 1;
            not_above += u32::from(value <= 0.0);
            not_below += u32::from(value >= 0.0);
        }
        out[0] = value;
    });
    let Some(interval) = intervals[0] else { return Ok(None) };
    // One is added to both counts, so that a finite number of resamples never claims p = 0 (Davison and Hinkley 1997, 4.11).
    let p_value = (2.0 * f64::from(not_above.min(not_below) + 1) / f64::from(defined + 1)).min(1.0);
    let method = format!("paired bootstrap({resamples}, seed {})", options.seed);
    Ok(Some(PairedDifference { difference, low: interval.low, high: interval.high, p_value, method }))
}

/// `McNemar`'s exact two-sided test of `gained` against `lost`; 1 when nothing flipped.
fn mcnemar_exact(gained: u64, lost: u64) -> Option<f64> {
    let flips = gained + lost;
    if flips == 0 {
        return Some(1.0);
    }
    Some((2.0 * Binomial::new(0.5, flips).ok()?.cdf(gained.min(lost))).min(1.0))
}

/// Newcombe's correlation of the paired shares, with the continuity correction of his method 10.
fn correlation(both: u64, gained: u64, lost: u64, neither: u64) -> f64 {
    let [both, gained, lost, neither] = [both, gained, lost, neither].map(|count| count as f64);
    let margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither);
    if margins == 0.0 {
        return 0.0;
    }
    let half_n = (both + gained + lost + neither) / 2.0;
    let agreement = both * neither - gained * lost;
    let corrected = if agreement > 0.0 { (agreement - half_n).max(0.0) } else { agreement };
    corrected / margins.sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(both: usize, gained: usize, lost: usize, neither: usize) -> (Vec<bool>, Vec<bool>) {
        let cells = [(both, true, true), (gained, false, true), (lost, true, false), (neither, false, false)];
        cells.iter().flat_map(|&(n, before, after)| std::iter::repeat_n((before, after), n)).unzip()
    }

    #[track_caller]
    fn check(cells: [usize; 4], low: f64, high: f64) {
        let (before, after) = rows(cells[0], cells[1], cells[2], cells[3]);
        let found = paired_difference(&before, &after).unwrap();
        assert!((found.low - low).abs() < 6e-5 && (found.high - high).abs() < 6e-5, "{found:?}");
    }

    #[test]
    fn intervals_equal_newcombes_method_10() {
        // The first is the paper's example; the others come from a Python transcription of R's
        // biostatUZH::confIntPairedProportion. Cells are both, gained, lost, neither.
        check([36, 12, 2, 0], 0.0569, 0.3404);
        check([20, 12, 2, 16], 0.0562, 0.3292);
        check([9, 3, 5, 20], -0.2051, 0.1008);
        check([212, 144, 256, 707], -0.1142, -0.0554);
        check([0, 0, 0, 50], -0.0713, 0.0713);
    }

    #[track_caller]
    fn check_p(gained: u64, lost: u64, expected: f64) {
        let found = mcnemar_exact(gained, lost).unwrap();
        assert!((found / expected - 1.0).abs() < 1e-12, "{found:e}");
    }

    #[test]
    fn mcnemar_is_the_exact_binomial_test() {
        check_p(0, 0, 1.0);
        check_p(3, 3, 1.0);
        check_p(0, 5, 2.0 / 32.0);
        // 2 (1 + 14 + 91) / 2^14.
        check_p(12, 2, 212.0 / 16_384.0);
        check_p(2, 12, 212.0 / 16_384.0);
        // A thousand flips underflow a naive product: 2 · 2^-1100 is far below the smallest number, so 0 is right.
        assert!(mcnemar_exact(0, 1_000).unwrap() < 1e-300);
    }

    #[test]
    fn a_clear_loss_is_clear() {
        let (before, after) = rows(170, 4, 30, 46);
        let found = paired_difference(&before, &after).unwrap();
        assert!(found.high < 0.0 && found.p_value < 1e-4, "{found:?}");
        assert_eq!(paired_difference(&[], &[]), None);
        assert_eq!(paired_difference(&[true], &[]), None);
    }

    proptest! {
        /// Law: swapping the versions mirrors the result.
        #[test]
        fn swapping_versions_mirrors(pairs in prop::collection::vec(any::<(bool, bool)>(), 1..200)) {
            let (before, after): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let (there, back) = (paired_difference(&before, &after).unwrap(), paired_difference(&after, &before).unwrap());
            prop_assert!((there.difference + back.difference).abs() < 1e-12);
            prop_assert!((there.low + back.high).abs() < 1e-12 && (there.high + back.low).abs() < 1e-12);
            prop_assert!((there.p_value - back.p_value).abs() < 1e-12);
            prop_assert!(there.low <= there.difference && there.difference <= there.high);
        }
    }

    #[test]
    fn r2_difference_is_paired_and_seeded() {
        let labels: Vec<f64> = (0..80).map(f64::from).collect();
        let wobble = |scale: f64| labels.iter().map(|&y| y + scale * (y * 1.7).sin()).collect::<Vec<_>>();
        let (before, after) = (wobble(2.0), wobble(14.0));
        let options = MetricOptions { seed: 3, resamples: 400 };
        let worse = paired_r2_difference(&labels, &before, &after, &options).unwrap().unwrap();
        assert!(worse.high < 0.0 && worse.p_value < 0.01, "{worse:?}");
        assert_eq!(worse.method, "paired bootstrap(400, seed 3)");
        let same = paired_r2_difference(&labels, &before, &before, &options).unwrap().unwrap();
        assert_eq!((same.difference, same.p_value), (0.0, 1.0));
        assert_eq!(paired_r2_difference(&[1.0], &[1.0], &[1.0], &options), Ok(None));
    }
}
