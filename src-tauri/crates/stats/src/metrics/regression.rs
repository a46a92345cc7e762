//! One number per row: how far the predictions are from it.

use super::{Definition, Interval95, Rows};

/// Rows with their errors, and the order of the absolute errors for the median.
pub(super) struct RegressionRows {
    truth: Vec<f64>,
    predicted: Vec<f64>,
    /// Rows by rising absolute error.
    by_error: Vec<u32>,
}

impl RegressionRows {
    pub(super) fn new(truth: Vec<f64>, predicted: Vec<f64>) -> Self {
        let error = |row: u32| (truth[row as usize] - predicted[row as usize]).abs();
        let mut by_error: Vec<u32> = (0..truth.len() as u32).collect();
        by_error.sort_unstable_by(|&a, &b| error(a).total_cmp(&error(b)));
        Self { truth, predicted, by_error }
    }

    fn absolute_error(&self, row: usize) -> f64 {
        (self.truth[row] - self.predicted[row]).abs()
    }

    /// The absolute error at this rank among the drawn rows.
    fn error_at_rank(&self, rank: u64, counts: &[u32]) -> f64 {
        let mut seen = 0u64;
        for &row in &self.by_error {
            seen += u64::from(counts[row as usize]);
            if seen > rank {
                return self.absolute_error(row as usize);
            }
        }
        f64::NAN
    }
}

impl Rows for RegressionRows {
    fn len(&self) -> usize {
        self.truth.len()
    }

    fn definitions(&self) -> Vec<Definition> {
        use Interval95::Bootstrap;
        vec![
            Definition::new("r2", Bootstrap).why(self.len() < 2, "fewer than two rows"),
            Definition::new("rmse", Bootstrap),
            Definition::new("mae", Bootstrap),
            Definition::new("mse", Bootstrap),
            Definition::new("mape", Bootstrap).why(self.truth.contains(&0.0), "a true value is 0"),
            Definition::new("median_ae", Bootstrap),
        ]
    }

    fn score(&self, counts: &[u32], out: &mut [f64]) {
        let (mut absolute, mut squared, mut relative, mut total) = (0.0, 0.0, 0.0, 0u64);
        for (row, &count) in counts.iter().enumerate() {
            let error = self.absolute_error(row);
            let weight = f64::from(count);
            absolute += weight * error;
            squared += weight * error * error;
            if count > 0 {
                relative += weight * error / self.truth[row].abs();
            }
            total += u64::from(count);
        }
        let n = total as f64;
        let middle = [(total.max(1) - 1) / 2, total / 2].map(|rank| self.error_at_rank(rank, counts));
        out.copy_from_slice(&[
            r_squared(&self.truth, &self.predicted, counts),
            (squared / n).sqrt(),
            absolute / n,
            squared / n,
            relative / n,
            f64::midpoint(middle[0], middle[1]),
        ]);
    }
}

/// The coefficient of determination over rows counted `counts` times: 1 − squared error / variance. For a constant truth it
/// is 1 when every prediction is exact and else 0, as in scikit-learn; NaN below two rows.
pub(crate) fn r_squared(truth: &[f64], predicted: &[f64], counts: &[u32]) -> f64 {
    let n: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    if n < 2.0 {
        return f64::NAN;
    }
    let mean = truth.iter().zip(counts).map(|(value, &count)| value * f64::from(count)).sum::<f64>() / n;
    let (mut residual, mut variation) = (0.0, 0.0);
    for ((truth, predicted), &count) in truth.iter().zip(predicted).zip(counts) {
        let weight = f64::from(count);
        residual += weight * (truth - predicted) * (truth - predicted);
        variation += weight * (truth - mean) * (truth - mean);
    }
    match (variation > 0.0, residual > 0.0) {
        (true, _) => 1.0 - residual / variation,
        (false, false) => 1.0,
        (false, true) => 0.0,
    }
}
