//! The background: what a feature is replaced by when it does not take part.

use std::collections::HashMap;

use crate::{ExplainError, Matrix};

/// Distinct background rows with weights that sum to 1.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) rows: Matrix,
    pub(crate) weights: Vec<f64>,
    /// For each distinct row, the index of its first appearance in the background as given.
    pub(crate) given_index: Vec<usize>,
}

impl Background {
    /// Checks the weights, leaves out rows without weight and merges identical rows.
    pub(crate) fn new(rows: &Matrix, weights: Option<&[f64]>) -> Result<Self, ExplainError> {
        let given = rows.rows();
        if given == 0 {
            return Err(ExplainError::NoBackground);
        }
        if let Some(weights) = weights {
            let refuse = |why: String| Err(ExplainError::Weights { why });
            if weights.len() != given {
                return refuse(format!("there are {} for {given} rows", weights.len()));
            }
            if let Some(bad) = weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
                return refuse(format!("one of them is {bad}"));
            }
            if !weights.iter().sum::<f64>().is_finite() {
                return refuse("their sum is infinite".to_owned());
            }
        }
        let mut distinct = Self { rows: Matrix::empty(rows.columns), weights: Vec::new(), given_index: Vec::new() };
        let mut seen: HashMap<Vec<u64>, usize> = HashMap::with_capacity(given);
        for (index, row) in rows.iter().enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[index]);
            if weight == 0.0 {
                continue;
            }
            let place = *seen.entry(row.iter().map(|value| identity(*value)).collect()).or_insert_with(|| {
                distinct.rows.data.extend_from_slice(row);
                distinct.weights.push(0.0);
                distinct.given_index.push(index);
                distinct.weights.len() - 1
            });
            distinct.weights[place] += weight;
        }
        let total: f64 = distinct.weights.iter().sum();
        if total == 0.0 {
            return Err(ExplainError::NoBackground);
        }
        for weight in &mut distinct.weights {
            *weight /= total;
        }
        Ok(distinct)
    }

    pub(crate) fn len(&self) -> usize {
        self.weights.len()
    }

    /// Which features take part: those for which `numpy.allclose(x_j, column j, equal_nan=True)` does not hold, as in
    /// `shap` 0.54.1. When that leaves none although the rows differ, the features that differ at all: otherwise a
    /// difference of the predictions could be given to nobody.
    pub(crate) fn varying(&self, row: &[f64]) -> Vec<bool> {
        let differs_by = |rule: fn(f64, f64) -> bool| -> Vec<bool> {
            (0..row.len()).map(|feature| self.rows.iter().any(|other| !rule(row[feature], other[feature]))).collect()
        };
        let varying = differs_by(is_close);
        if varying.contains(&true) { varying } else { differs_by(is_same) }
    }
}

/// The bits of a value, with one representation of NaN.
fn identity(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// Whether two values are the same to every model; NaN is the same as NaN.
pub(crate) fn is_same(left: f64, right: f64) -> bool {
    identity(left) == identity(right)
}

/// `numpy.isclose(left, right, equal_nan=True)` with its defaults rtol 1e-5 and atol 1e-8.
#[expect(clippy::float_cmp, reason = "equal infinities are close, and their difference is not a number")]
fn is_close(left: f64, right: f64) -> bool {
    left == right
        || (left.is_nan() && right.is_nan())
        || (right.is_finite() && (left - right).abs() <= 1e-8 + 1e-5 * right.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identical_rows_are_merged_with_their_weights() {
        let rows = Matrix::from_rows(&[[1.0, f64::NAN], [2.0, 3.0], [1.0, f64::NAN], [5.0, 5.0]]).unwrap();
        let background = Background::new(&rows, Some(&[1.0, 2.0, 1.0, 0.0])).unwrap();
        assert_eq!(background.weights, [0.5, 0.5]);
        assert_eq!(background.given_index, [0, 1]);
        assert_eq!(background.rows.rows(), 2);
    }

    #[test]
    fn every_nan_is_the_same_and_zeros_are_not() {
        assert!(is_same(f64::NAN, -f64::NAN));
        assert!(is_same(f64::NAN, f64::from_bits(f64::NAN.to_bits() | 1)));
        assert!(!is_same(0.0, -0.0));
        assert!(!is_same(f64::NAN, 0.0));
    }

    #[test]
    fn unusable_weights_are_refused() {
        let rows = Matrix::from_rows(&[[1.0], [2.0]]).unwrap();
        let check = |weights: &[f64], expect: &str| {
            let error = Background::new(&rows, Some(weights)).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&[1.0], "there are 1 for 2 rows");
        check(&[1.0, -1.0], "one of them is -1");
        check(&[1.0, f64::NAN], "one of them is NaN");
        check(&[f64::MAX, f64::MAX], "infinite");
        check(&[0.0, 0.0], "background is empty");
    }

    #[test]
    fn closeness_is_numpys() {
        let check = |left: f64, right: f64, expect: bool| assert_eq!(is_close(left, right), expect, "{left} {right}");
        check(1.0, 1.0, true);
        check(1.0, 1.0 + 0.9e-5, true);
        check(1.0, 1.0 + 1.2e-5, false);
        check(0.0, 1e-8, true);
        check(0.0, 1.1e-8, false);
        check(f64::NAN, f64::NAN, true);
        check(f64::NAN, 1.0, false);
        check(1.0, f64::NAN, false);
        check(f64::INFINITY, f64::INFINITY, true);
        check(f64::INFINITY, f64::NEG_INFINITY, false);
        check(1e300, f64::INFINITY, false);
    }

    #[test]
    fn a_difference_below_closeness_still_counts_when_it_is_the_only_one() {
        let rows = Matrix::from_rows(&[[1.0, 2.0]]).unwrap();
        let background = Background::new(&rows, None).unwrap();
        assert_eq!(background.varying(&[1.0 + 1e-9, 2.0]), [true, false]);
        assert_eq!(background.varying(&[1.0 + 1e-9, 7.0]), [false, true]);
        assert_eq!(background.varying(&[1.0, 2.0]), [false, false]);
    }
}
