//! How differently a model treats groups of people: rates per group and the disparities between groups.
//!
//! Definitions are Fairlearn's 0.15.0 (comparison between groups, the worst case over rates). What must stay true: where a
//! group has no rows to compute a rate from, the disparity is undefined and says so. Fairlearn puts 0 there, which can
//! turn a verdict around; [`EmptyDenominator::Zero`] gives its figures on request.

use std::collections::BTreeMap;

use pilothouse_domain::{Label, Metric, Task};

use crate::error::StatsError;
use crate::metrics::{MetricOptions, check_rows, class_of, evaluate, predicted_class};

/// What a rate of nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyDenominator {
    /// Undefined, and so is every disparity that needs it.
    #[default]
    Undefined,
    /// 0, as in Fairlearn.
    Zero,
}

/// One group with its metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The group's value in the column.
    pub value: String,
    /// Its rows.
    pub n: u64,
    /// Its metrics, as [`evaluate`] gives them.
    pub metrics: Vec<Metric>,
}

/// Rates of one group. `None`: there is no row to compute it from.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRates {
    /// The group's value in the column.
    pub value: String,
    /// Its rows.
    pub n: u64,
    /// Share predicted positive.
    pub selection_rate: Option<f64>,
    /// Share of the positive rows predicted positive (recall).
    pub true_positive_rate: Option<f64>,
    /// Share of the negative rows predicted positive.
    pub false_positive_rate: Option<f64>,
}

/// One disparity between groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Disparity {
    /// The standard name.
    pub name: &'static str,
    /// The disparity; `None` when undefined.
    pub value: Option<f64>,
    /// Why it is undefined.
    pub why: Option<String>,
}

/// The metrics of each group, in the order of the groups' values. `column` holds one value per row; several sensitive
/// columns are joined by the caller into one, so that their cross product is compared.
pub fn groups(
    task: &Task,
    labels: &[Label],
    outputs: &[Vec<f64>],
    column: &[String],
    options: &MetricOptions,
) -> Result<Vec<Group>, StatsError> {
    check_rows(task, labels, outputs)?;
    rows_by_group(labels.len(), column)?
        .into_iter()
        .map(|(value, rows)| {
            let labels: Vec<Label> = rows.iter().map(|&row| labels[row].clone()).collect();
            let outputs: Vec<Vec<f64>> = rows.iter().map(|&row| outputs[row].clone()).collect();
            let metrics = evaluate(task, &labels, &outputs, options)?;
            Ok(Group { value: value.to_owned(), n: rows.len() as u64, metrics })
        })
        .collect()
}

/// The rates of each group of a binary task, in the order of the groups' values.
pub fn group_rates(
    task: &Task,
    labels: &[Label],
    outputs: &[Vec<f64>],
    column: &[String],
) -> Result<Vec<GroupRates>, StatsError> {
    if !matches!(task, Task::Binary { .. }) {
        return Err(StatsError::WrongTask { measure: "fairness between groups", needs: "binary" });
    }
    check_rows(task, labels, outputs)?;
    if column.len() != labels.len() {
        return Err(StatsError::LengthMismatch {
            what: "the group column",
            found: column.len(),
            expected: labels.len(),
        });
    }
    // One pass, with one look-up per row: [negative, positive] rows and how many of them were predicted positive.
    let mut tallies: BTreeMap<&str, [[u64; 2]; 2]> = BTreeMap::new();
    for ((label, output), value) in labels.iter().zip(outputs).zip(column) {
        let tally = tallies.entry(value).or_default();
        let (truth, predicted) = (class_of(label), predicted_class(task, output));
        tally[truth][0] += 1;
        tally[truth][1] += predicted as u64;
    }
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    Ok(tallies
        .into_iter()
        .map(|(value, [[negatives, false_positives], [positives, true_positives]])| GroupRates {
            value: value.to_owned(),
            n: negatives + positives,
            selection_rate: share(false_positives + true_positives, negatives + positives),
            true_positive_rate: share(true_positives, positives),
            false_positive_rate: share(false_positives, negatives),
        })
        .collect())
}

/// The five disparities between groups: difference is greatest − least, ratio is least / greatest; equalized odds takes the
/// worse of the true and the false positive rate; equal opportunity is the true positive rate alone.
pub fn disparities(rates: &[GroupRates], empty: EmptyDenominator) -> Vec<Disparity> {
    let selection = Spread::of(rates, empty, "rows", |group| group.selection_rate);
    let true_positive = Spread::of(rates, empty, "positive rows", |group| group.true_positive_rate);
    let false_positive = Spread::of(rates, empty, "negative rows", |group| group.false_positive_rate);
    let both = |of: fn(&Spread) -> Result<f64, String>, worse: fn(f64, f64) -> f64| {
        let (first, second) = (true_positive.as_ref(), false_positive.as_ref());
        Ok(worse(of(first.map_err(Clone::clone)?)?, of(second.map_err(Clone::clone)?)?))
    };
    let of = |spread: &Result<Spread, String>, of: fn(&Spread) -> Result<f64, String>| {
        of(spread.as_ref().map_err(Clone::clone)?)
    };
    [
        ("demographic_parity_difference", of(&selection, Spread::difference)),
        ("demographic_parity_ratio", of(&selection, Spread::ratio)),
        ("equalized_odds_difference", both(Spread::difference, f64::max)),
        ("equalized_odds_ratio", both(Spread::ratio, f64::min)),
        ("equal_opportunity_difference", of(&true_positive, Spread::difference)),
    ]
    .into_iter()
    .map(|(name, value)| match value {
        Ok(value) => Disparity { name, value: Some(value), why: None },
        Err(why) => Disparity { name, value: None, why: Some(why) },
    })
    .collect()
}

/// Least and greatest of a rate over the groups.
struct Spread {
    least: f64,
    greatest: f64,
}

impl Spread {
    fn of(
        rates: &[GroupRates],
        empty: EmptyDenominator,
        needed: &str,
        rate: impl Fn(&GroupRates) -> Option<f64>,
    ) -> Result<Self, String> {
        if rates.is_empty() {
            return Err("there are no groups".to_owned());
        }
        let mut spread = Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY };
        for group in rates {
            let value = match (rate(group), empty) {
                (Some(value), _) => value,
                (None, EmptyDenominator::Zero) => 0.0,
                (None, EmptyDenominator::Undefined) => return Err(format!("group `{}` has no {needed}", group.value)),
            };
            spread.least = spread.least.min(value);
            spread.greatest = spread.greatest.max(value);
        }
        Ok(spread)
    }

    #[expect(clippy::unnecessary_wraps, reason = "has the form of `ratio`, so that both can be passed on")]
    fn difference(&self) -> Result<f64, String> {
        Ok(self.greatest - self.least)
    }

    fn ratio(&self) -> Result<f64, String> {
        if self.greatest == 0.0 {
            Err("the rate is 0 in every group".to_owned())
        } else {
            Ok(self.least / self.greatest)
        }
    }
}

fn rows_by_group(n: usize, column: &[String]) -> Result<BTreeMap<&str, Vec<usize>>, StatsError> {
    if column.len() != n {
        return Err(StatsError::LengthMismatch { what: "the group column", found: column.len(), expected: n });
    }
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, value) in column.iter().enumerate() {
        rows.entry(value).or_default().push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    struct Rows {
        labels: Vec<Label>,
        outputs: Vec<Vec<f64>>,
        column: Vec<String>,
    }

    fn binary() -> Task {
        Task::Binary { classes: ["no".into(), "yes".into()] }
    }

    fn rows(case: &Value) -> Rows {
        let list = |name: &str| case[name].as_array().unwrap().clone();
        let text = |value: &Value| match value {
            Value::Array(parts) => parts.iter().map(|p| p.as_str().unwrap()).collect::<Vec<_>>().join("|"),
            other => other.as_str().unwrap().to_owned(),
        };
        Rows {
            labels: list("y").iter().map(|v| Label::Class(v.as_u64().unwrap() as u32)).collect(),
            outputs: list("yhat").iter().map(|v| vec![v.as_f64().unwrap()]).collect(),
            column: list("group").iter().map(text).collect(),
        }
    }

    fn cases() -> Vec<Value> {
        let text = include_str!("../../../../tests/data/fairness.json");
        serde_json::from_str::<Value>(text).unwrap()["cases"].as_array().unwrap().clone()
    }

    #[test]
    fn disparities_and_rates_equal_fairlearn() {
        let mut compared = 0;
        for case in cases().iter().filter(|case| case["weights"].is_null()) {
            let Rows { labels, outputs, column } = rows(case);
            let rates = group_rates(&binary(), &labels, &outputs, &column).unwrap();
            for disparity in disparities(&rates, EmptyDenominator::Zero) {
                let expected = case["expected"][format!("{}__between_groups", disparity.name)].as_f64().unwrap();
                let found = disparity.value.unwrap();
                assert!((found - expected).abs() < 1e-12, "{} {}: {found} for {expected}", case["id"], disparity.name);
                compared += 1;
            }
            for group in &rates {
                let expected = &case["expected"]["by_group"][&group.value];
                assert!((group.n as f64 - expected["count"].as_f64().unwrap()).abs() < 0.5);
                let pairs = [
                    (group.selection_rate, "selection_rate"),
                    (group.true_positive_rate, "tpr"),
                    (group.false_positive_rate, "fpr"),
                ];
                for (found, name) in pairs {
                    assert!((found.unwrap_or(0.0) - expected[name].as_f64().unwrap()).abs() < 1e-12, "{name}");
                }
            }
        }
        assert_eq!(compared, 4 * 5);
    }

    #[test]
    fn a_group_without_positives_leaves_its_disparities_undefined() {
        let case = cases().into_iter().find(|case| case["id"] == "group_without_positives").unwrap();
        let Rows { labels, outputs, column } = rows(&case);
        let rates = group_rates(&binary(), &labels, &outputs, &column).unwrap();
        for disparity in disparities(&rates, EmptyDenominator::Undefined) {
            let defined = disparity.name.starts_with("demographic_parity");
            assert_eq!(disparity.value.is_some(), defined, "{}", disparity.name);
            assert_eq!(disparity.why.as_deref(), (!defined).then_some("group `a` has no positive rows"));
        }
    }

    #[test]
    fn a_ratio_of_zeros_is_undefined() {
        let column = ["a", "b"].map(String::from);
        let labels = [Label::Class(1), Label::Class(1)];
        let rates = group_rates(&binary(), &labels, &[vec![0.1], vec![0.2]], &column).unwrap();
        let found = disparities(&rates, EmptyDenominator::Zero);
        assert_eq!((found[0].value, found[1].value), (Some(0.0), None));
        assert!(disparities(&[], EmptyDenominator::Zero).iter().all(|disparity| disparity.value.is_none()));
    }

    #[test]
    fn each_group_gets_its_own_metrics() {
        let case = &cases()[0];
        let Rows { labels, outputs, column } = rows(case);
        let options = MetricOptions { seed: 1, resamples: 20 };
        let found = groups(&binary(), &labels, &outputs, &column, &options).unwrap();
        assert_eq!(found.iter().map(|group| group.value.as_str()).collect::<Vec<_>>(), ["A", "B", "C"]);
        for group in found {
            let expected = &case["expected"]["by_group"][&group.value];
            assert!((group.metrics[0].value.unwrap() - expected["accuracy"].as_f64().unwrap()).abs() < 1e-12);
            assert!((group.n as f64 - expected["count"].as_f64().unwrap()).abs() < 0.5);
        }
        assert!(groups(&binary(), &labels, &outputs, &column[1..], &options).is_err());
        assert!(group_rates(&Task::Regression, &[], &[], &[]).is_err());
    }
}
