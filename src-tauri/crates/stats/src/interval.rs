//! Intervals of 95 %: Wilson's score interval for shares, the seeded percentile bootstrap for everything else.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Row draws beyond which a bootstrap makes fewer resamples, so that a table of a million rows still answers in seconds.
const MAX_ROW_DRAWS: u64 = 50_000_000;
/// The fewest resamples to which a large table may be cut.
const MIN_RESAMPLES: u32 = 100;
/// The share of resamples in which a metric must be defined for its interval to be given.
const MIN_DEFINED_SHARE: f64 = 0.9;

/// An interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Wilson's score interval of the share `successes / n` (Wilson 1927, without continuity correction), 95 %.
/// `None` for `n = 0` or more successes than `n`.
pub fn wilson(successes: u64, n: u64) -> Option<Interval> {
    if n == 0 || successes > n {
        return None;
    }
    let (share, n_rows) = (successes as f64 / n as f64, n as f64);
    let scale = 1.0 + Z * Z / n_rows;
    let centre = (share + Z * Z / (2.0 * n_rows)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n_rows + Z * Z / (4.0 * n_rows * n_rows)).sqrt();
    // The ends are exactly 0 and 1 for shares of 0 and 1; rounding must not move them.
    let low = if successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes == n { 1.0 } else { (centre + half).min(1.0) };
    Some(Interval { low, high })
}

/// Percentile bootstrap of several statistics at once, 95 %: rows are drawn with replacement `resamples` times and each
/// statistic is computed from how often each row was drawn.
///
/// `score(counts, values)` writes one value per statistic, NaN where it is undefined. Returns one interval per statistic,
/// `None` where fewer than 90 % of the resamples defined it. The same `seed` gives the same intervals on every machine.
pub fn bootstrap(
    n: usize,
    statistics: usize,
    resamples: u32,
    seed: u64,
    mut score: impl FnMut(&[u32], &mut [f64]),
) -> Vec<Option<Interval>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut counts = vec![0u32; n];
    let mut row = vec![f64::NAN; statistics];
    let mut drawn = vec![Vec::with_capacity(resamples as usize); statistics];
    if n > 0 {
        for _ in 0..resamples {
            counts.fill(0);
            for _ in 0..n {
                counts[draw(&mut random, n)] += 1;
            }
            row.fill(f64::NAN);
            score(&counts, &mut row);
            for (values, &value) in drawn.iter_mut().zip(&row) {
                if value.is_finite() {
                    values.push(value);
                }
            }
        }
    }
    drawn.into_iter().map(|values| percentiles(values, resamples)).collect()
}

/// The resamples that [`bootstrap`] is given for a table of `n` rows: `asked`, or fewer (at least 100) for huge tables.
pub(crate) fn affordable_resamples(n: usize, asked: u32) -> u32 {
    let most = u32::try_from(MAX_ROW_DRAWS / (n as u64).max(1)).unwrap_or(u32::MAX);
    asked.min(most.max(MIN_RESAMPLES))
}

/// The value at quantile `q` of sorted values, interpolated linearly as by `numpy.quantile`'s default; `None` when empty.
pub fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    Some((sorted[above] - sorted[below]).mul_add(position - below as f64, sorted[below]))
}

fn percentiles(mut values: Vec<f64>, resamples: u32) -> Option<Interval> {
    if values.is_empty() || (values.len() as f64) < MIN_DEFINED_SHARE * f64::from(resamples) {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    Some(Interval { low: quantile_of_sorted(&values, 0.025)?, high: quantile_of_sorted(&values, 0.975)? })
}

/// An index below `n`, by multiplying instead of dividing (Lemire 2019; the bias is below 2^-32 for tables in memory).
fn draw(random: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_wilson(successes: u64, n: u64, low: f64, high: f64) {
        let found = wilson(successes, n).unwrap();
        assert!((found.low - low).abs() < 5e-5 && (found.high - high).abs() < 5e-5, "{found:?}");
    }

    #[test]
    fn wilson_equals_published_values() {
        // Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
        check_wilson(81, 263, 0.2553, 0.3662);
        check_wilson(15, 148, 0.0624, 0.1605);
        check_wilson(0, 20, 0.0, 0.1611);
        check_wilson(1, 29, 0.0061, 0.1718);
        check_wilson(20, 20, 0.8389, 1.0);
        assert_eq!((wilson(0, 0), wilson(3, 2)), (None, None));
    }

    fn mean_interval(seed: u64) -> Option<Interval> {
        let values: Vec<f64> = (0..200).map(f64::from).collect();
        bootstrap(values.len(), 1, 500, seed, |counts, out| {
            out[0] = counts.iter().zip(&values).map(|(&c, v)| f64::from(c) * v).sum::<f64>() / values.len() as f64;
        })[0]
    }

    #[test]
    fn bootstrap_is_seeded_and_near_the_normal_interval() {
        let first = mean_interval(7).unwrap();
        assert_eq!(Some(first), mean_interval(7));
        assert_ne!(Some(first), mean_interval(8));
        // Mean 99.5, standard error 57.7 / sqrt(200) = 4.08.
        assert!((first.low - (99.5 - 8.0)).abs() < 1.0 && (first.high - (99.5 + 8.0)).abs() < 1.0, "{first:?}");
    }

    #[test]
    fn an_often_undefined_statistic_has_no_interval() {
        let intervals = bootstrap(4, 1, 100, 1, |counts, out| out[0] = if counts[0] > 0 { 1.0 } else { f64::NAN });
        assert_eq!(intervals, [None]);
        assert_eq!(bootstrap(0, 1, 100, 1, |_, _| {}), [None]);
    }

    #[test]
    fn huge_tables_get_fewer_resamples() {
        assert_eq!(affordable_resamples(250, 1_000), 1_000);
        assert_eq!(affordable_resamples(1_000_000, 1_000), 100);
        assert_eq!(affordable_resamples(1_000_000, 20), 20);
    }
}
