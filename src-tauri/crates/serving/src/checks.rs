//! What a prediction must satisfy beyond the protocol's own form.
//!
//! Pure functions: rows in, a reason out. What must stay true: the first problem found is reported with the place where
//! it stands, so that a person can look there.

use pilothouse_domain::endpoint::ResponseChecks;
use pilothouse_domain::{Cell, TargetFailure};

use crate::protocol::{Answer, ModelMetadata};
use crate::transport::Failure;

/// How far a row's probabilities may lie from 1 in sum (as [`ResponseChecks::probability_sum`] says).
const SUM_TOLERANCE: f64 = 1e-3;
/// How far outside [0, 1] one probability may lie, for rounding in single precision.
const RANGE_TOLERANCE: f64 = 1e-6;

/// Checks an answer against the person's wishes and the model's own metadata.
pub(crate) fn check(answer: &Answer, checks: &ResponseChecks, metadata: Option<&ModelMetadata>) -> Result<(), Failure> {
    check_metadata(answer, metadata)?;
    if let Some(expected) = checks.outputs_per_row
        && let Some((index, row)) = answer.rows.iter().enumerate().find(|(_, row)| row.len() != expected as usize)
    {
        return Err(Failure::target(
            TargetFailure::WrongShape,
            format!("row {} has {} values where {expected} are expected", index + 1, row.len()),
        ));
    }
    for (index, row) in answer.rows.iter().enumerate() {
        if checks.finite {
            check_finite(index, row)?;
        }
        if checks.probability_sum {
            check_probabilities(index, row)?;
        }
    }
    Ok(())
}

/// The output's data type and width, where the metadata name it. The rank is not compared: `MLServer` says `[-1]` and
/// answers `[n, 1]`.
fn check_metadata(answer: &Answer, metadata: Option<&ModelMetadata>) -> Result<(), Failure> {
    let Some(form) = &answer.output else { return Ok(()) };
    let Some(spec) = metadata.and_then(|metadata| metadata.outputs.iter().find(|spec| spec.name == form.name)) else {
        return Ok(());
    };
    if !spec.datatype.is_empty() && spec.datatype != form.datatype {
        return Err(Failure::target(
            TargetFailure::WrongDtype,
            format!("the output `{}` is {} where the model's metadata say {}", form.name, form.datatype, spec.datatype),
        ));
    }
    let Some((&-1, per_row)) = spec.shape.split_first() else { return Ok(()) };
    let width = per_row.iter().try_fold(1_usize, |width, &size| width.checked_mul(usize::try_from(size).ok()?));
    match (width, answer.rows.first()) {
        (Some(width), Some(row)) if row.len() != width => Err(Failure::target(
            TargetFailure::WrongShape,
            format!(
                "the output `{}` has {} values per row where the model's metadata say {:?}",
                form.name,
                row.len(),
                spec.shape
            ),
        )),
        _ => Ok(()),
    }
}

fn check_finite(index: usize, row: &[Cell]) -> Result<(), Failure> {
    let is_bad = |cell: &&Cell| match cell {
        // `null` is how a NaN comes out of servers that write strict JSON.
        Cell::Missing => true,
        Cell::Number(number) => !number.is_finite(),
        Cell::Text(_) => false,
    };
    match row.iter().find(is_bad) {
        None => Ok(()),
        Some(cell) => {
            let what = match cell {
                Cell::Number(number) => number.to_string(),
                _ => "null or NaN".to_owned(),
            };
            Err(Failure::target(TargetFailure::NotFinite, format!("the prediction of row {} is {what}", index + 1)))
        }
    }
}

fn check_probabilities(index: usize, row: &[Cell]) -> Result<(), Failure> {
    let numbers: Option<Vec<f64>> =
        row.iter().map(|cell| if let Cell::Number(number) = cell { Some(*number) } else { None }).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() > 1) else { return Ok(()) };
    let sum: f64 = numbers.iter().sum();
    let in_range = numbers.iter().all(|p| (-RANGE_TOLERANCE..=1.0 + RANGE_TOLERANCE).contains(p));
    if in_range && (sum - 1.0).abs() <= SUM_TOLERANCE {
        return Ok(());
    }
    let problem = if in_range { format!("sum to {sum:.4}") } else { "lie outside 0 to 1".to_owned() };
    Err(Failure::target(TargetFailure::ProbabilitySum, format!("the probabilities of row {} {problem}", index + 1)))
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::Outcome;

    use super::*;
    use crate::protocol::{OutputForm, TensorSpec};

    fn answer(rows: &[&[f64]]) -> Answer {
        let rows = rows.iter().map(|row| row.iter().map(|&x| Cell::Number(x)).collect()).collect();
        Answer {
            rows,
            names: Vec::new(),
            version: None,
            output: Some(OutputForm { name: "p".into(), datatype: "FP64".into() }),
        }
    }

    fn outcome(result: Result<(), Failure>) -> Option<TargetFailure> {
        result.err().map(|failure| match failure.outcome {
            Outcome::TargetFailed(reason) => reason,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn values_are_checked_as_asked() {
        let all = ResponseChecks { finite: true, probability_sum: true, outputs_per_row: Some(2) };
        let none = ResponseChecks { finite: false, probability_sum: false, outputs_per_row: None };
        let check_one = |row: &[f64], expect: Option<TargetFailure>| {
            let answer = answer(&[&[0.5, 0.5], row]);
            assert_eq!(outcome(check(&answer, &all, None)), expect, "{row:?}");
            assert_eq!(outcome(check(&answer, &none, None)), None, "{row:?}");
        };
        check_one(&[0.25, 0.75], None);
        check_one(&[0.2495, 0.75], None);
        check_one(&[0.1, 0.8], Some(TargetFailure::ProbabilitySum));
        check_one(&[-0.1, 1.1], Some(TargetFailure::ProbabilitySum));
        check_one(&[f64::NAN, 1.0], Some(TargetFailure::NotFinite));
        check_one(&[f64::INFINITY, 1.0], Some(TargetFailure::NotFinite));
        check_one(&[1.0], Some(TargetFailure::WrongShape));
        check_one(&[0.2, 0.3, 0.5], Some(TargetFailure::WrongShape));
    }

    #[test]
    fn a_single_number_is_no_distribution_and_null_is_not_finite() {
        let checks = ResponseChecks { finite: true, probability_sum: true, outputs_per_row: None };
        assert_eq!(outcome(check(&answer(&[&[12.5]]), &checks, None)), None);
        let missing = Answer { rows: vec![vec![Cell::Missing]], ..Answer::default() };
        assert_eq!(outcome(check(&missing, &checks, None)), Some(TargetFailure::NotFinite));
        let label = Answer { rows: vec![vec![Cell::Text("good".into())]], ..Answer::default() };
        assert_eq!(outcome(check(&label, &checks, None)), None);
    }

    #[test]
    fn metadata_name_type_and_width() {
        let check_spec = |datatype: &str, shape: &[i64], expect: Option<TargetFailure>| {
            let spec =
                TensorSpec { name: "p".into(), datatype: datatype.into(), shape: shape.to_vec(), optional: false };
            let metadata = ModelMetadata { outputs: vec![spec], ..ModelMetadata::default() };
            let found = check(&answer(&[&[0.5, 0.5]]), &ResponseChecks::default(), Some(&metadata));
            assert_eq!(outcome(found), expect, "{datatype} {shape:?}");
        };
        check_spec("FP64", &[-1, 2], None);
        check_spec("FP64", &[-1, -1], None);
        check_spec("FP64", &[1], None);
        check_spec("FP64", &[-1, 3], Some(TargetFailure::WrongShape));
        check_spec("FP64", &[-1], Some(TargetFailure::WrongShape));
        check_spec("INT64", &[-1, 2], Some(TargetFailure::WrongDtype));
    }
}
