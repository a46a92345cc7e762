//! A file of labels and predictions as the rows that metrics are computed from.
//!
//! What must stay true: metrics of decisions (accuracy, precision, …) come from the prediction column where there is one,
//! metrics of probabilities (AUC, log loss, …) from the score columns, and those without their column are undefined and
//! say why; nothing is computed from the other one's numbers.

use std::collections::BTreeSet;

use pilothouse_api::tables;
use pilothouse_domain::{Cell, Label, Metric, Table, Task};
use pilothouse_stats::{MetricOptions, StatsError, evaluate};

use crate::failure::Failure;

/// Metrics that need probabilities.
const OF_SCORES: [&str; 6] = ["roc_auc", "roc_auc_macro", "average_precision", "log_loss", "brier", "ece"];
/// The interval's method of a metric that could not be computed.
const NO_METHOD: &str = "none";

/// Which columns hold what.
#[derive(Debug, Clone, Default)]
pub(crate) struct ColumnNames {
    pub(crate) label: Option<String>,
    pub(crate) prediction: Option<String>,
    /// The positive probability (binary), or one column per class in the order of the classes (multiclass).
    pub(crate) scores: Vec<String>,
    pub(crate) positive: Option<String>,
}

/// Rows to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EvaluationRows {
    pub(crate) task: Task,
    pub(crate) labels: Vec<Label>,
    /// Outputs that decide: one-hot predictions where a prediction column exists, else the scores.
    pub(crate) decisions: Vec<Vec<f64>>,
    /// Probabilities, where there are any.
    pub(crate) scores: Option<Vec<Vec<f64>>>,
}

impl EvaluationRows {
    /// Every metric of the task, each from the columns it is made of.
    pub(crate) fn metrics(&self, options: &MetricOptions) -> Result<Vec<Metric>, StatsError> {
        let mut metrics = evaluate(&self.task, &self.labels, &self.decisions, options)?;
        if self.task == Task::Regression {
            return Ok(metrics);
        }
        match &self.scores {
            Some(scores) if *scores != self.decisions => {
                let from_scores = evaluate(&self.task, &self.labels, scores, options)?;
                for (metric, scored) in metrics.iter_mut().zip(from_scores) {
                    if OF_SCORES.contains(&metric.name.as_str()) {
                        *metric = scored;
                    }
                }
            }
            Some(_) => {}
            None => {
                for metric in metrics.iter_mut().filter(|metric| OF_SCORES.contains(&metric.name.as_str())) {
                    *metric = Metric {
                        name: std::mem::take(&mut metric.name),
                        value: None,
                        low: None,
                        high: None,
                        method: NO_METHOD.to_owned(),
                        why: Some("needs probabilities, and there is no score column".to_owned()),
                    };
                }
            }
        }
        Ok(metrics)
    }

    /// The rows of one group.
    pub(crate) fn subset(&self, rows: &[usize]) -> Self {
        let pick = |outputs: &Vec<Vec<f64>>| rows.iter().map(|&row| outputs[row].clone()).collect();
        Self {
            task: self.task.clone(),
            labels: rows.iter().map(|&row| self.labels[row].clone()).collect(),
            decisions: pick(&self.decisions),
            scores: self.scores.as_ref().map(pick),
        }
    }
}

/// Reads the rows of a table. `task` is `binary`, `multiclass` or `regression`.
pub(crate) fn read(table: &Table, task: &str, names: &ColumnNames) -> Result<EvaluationRows, Failure> {
    let label = column(table, names.label.as_deref().unwrap_or("label"), "label")?;
    complete(&label, "label")?;
    let prediction = optional(table, names.prediction.as_deref(), "prediction")?;
    let scores: Vec<Vec<Cell>> = if names.scores.is_empty() {
        optional(table, None, "score")?.into_iter().collect()
    } else {
        names.scores.iter().map(|name| column(table, name, "score")).collect::<Result<_, _>>()?
    };
    match task {
        "regression" => regression(&label, prediction.as_deref().or(scores.first().map(Vec::as_slice))),
        "binary" => binary(&label, prediction.as_deref(), &scores, names.positive.as_deref()),
        _ => multiclass(&label, prediction.as_deref(), &scores),
    }
}

fn regression(label: &[Cell], prediction: Option<&[Cell]>) -> Result<EvaluationRows, Failure> {
    let prediction = prediction.ok_or_else(no_predictions)?;
    let labels = numbers(label, "label")?.into_iter().map(Label::Value).collect();
    let decisions = numbers(prediction, "prediction")?.into_iter().map(|value| vec![value]).collect();
    Ok(EvaluationRows { task: Task::Regression, labels, decisions, scores: None })
}

fn binary(
    label: &[Cell],
    prediction: Option<&[Cell]>,
    scores: &[Vec<Cell>],
    positive: Option<&str>,
) -> Result<EvaluationRows, Failure> {
    let positive = positive.map(canonical);
    let known: BTreeSet<String> = label.iter().chain(prediction.unwrap_or_default()).map(tables::cell_text).collect();
    let task = if let (1, Some(positive)) = (known.len(), &positive) {
        // Labels of one kind say nothing of the other; a given positive value does.
        let only = known.first().cloned().unwrap_or_default();
        let negative = if only == *positive { format!("not {positive}") } else { only };
        Task::Binary { classes: [negative, positive.clone()] }
    } else {
        let together: Vec<Cell> = label.iter().chain(prediction.unwrap_or_default()).cloned().collect();
        tables::labels(&together, "binary", positive.as_deref().unwrap_or_default())?.0
    };
    let scores = match scores {
        [] => None,
        [score] => {
            let values = numbers(score, "score")?;
            if let Some(row) = values.iter().position(|p| !(0.0..=1.0).contains(p)) {
                let message = format!("the score of row {} is {}, which is no probability", row + 1, values[row]);
                return Err(Failure::usage(message).hint("the score of a binary task is the probability of --positive"));
            }
            Some(values.into_iter().map(|p| vec![1.0 - p, p]).collect())
        }
        several => {
            return Err(Failure::usage(format!("a binary task has one score column, not {}", several.len())));
        }
    };
    classification(task, label, prediction, scores)
}

fn multiclass(label: &[Cell], prediction: Option<&[Cell]>, scores: &[Vec<Cell>]) -> Result<EvaluationRows, Failure> {
    let together: Vec<Cell> = label.iter().chain(prediction.unwrap_or_default()).cloned().collect();
    let (task, _) = tables::labels(&together, "multiclass", "")?;
    let classes = task.classes().len();
    let scores = match scores {
        [] => None,
        columns if columns.len() == classes => {
            let columns = columns.iter().map(|column| numbers(column, "score")).collect::<Result<Vec<_>, _>>()?;
            Some((0..label.len()).map(|row| columns.iter().map(|column| column[row]).collect()).collect())
        }
        columns => {
            let message = format!("there are {} score columns for {classes} classes", columns.len());
            let order = task.classes().join(", ");
            return Err(Failure::usage(message).hint(format!("give one per class, in the order {order}")));
        }
    };
    classification(task, label, prediction, scores)
}

fn classification(
    task: Task,
    label: &[Cell],
    prediction: Option<&[Cell]>,
    scores: Option<Vec<Vec<f64>>>,
) -> Result<EvaluationRows, Failure> {
    let classes = task.classes();
    let index = |cell: &Cell| classes.iter().position(|class| *class == tables::cell_text(cell));
    let labels = label.iter().filter_map(index).map(|class| Label::Class(class as u32)).collect();
    let decisions = match prediction {
        Some(prediction) => {
            complete(prediction, "prediction")?;
            let one_hot = |predicted| (0..classes.len()).map(|class| f64::from(u8::from(class == predicted))).collect();
            prediction.iter().filter_map(index).map(one_hot).collect()
        }
        None => scores.clone().ok_or_else(no_predictions)?,
    };
    Ok(EvaluationRows { task, labels, decisions, scores })
}

fn no_predictions() -> Failure {
    Failure::usage("the file has neither a prediction nor a score column")
        .hint("name it with --prediction COL or --score COL; without names `prediction` and `score` are looked for")
}

/// A label as a column of numbers would spell it.
fn canonical(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), |value| value.to_string())
}

/// One column. The error names the option and the columns that exist.
pub(crate) fn column(table: &Table, name: &str, option: &str) -> Result<Vec<Cell>, Failure> {
    let index = table.columns.iter().position(|column| column.name == name).ok_or_else(|| {
        let known: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        Failure::usage(format!("there is no {option} column `{name}`"))
            .hint(format!("name one with --{option}; the columns are {}", known.join(", ")))
    })?;
    Ok(table.rows.iter().map(|row| row[index].clone()).collect())
}

/// A named column, which must exist, or the one of the option's own name if it exists.
fn optional(table: &Table, name: Option<&str>, option: &str) -> Result<Option<Vec<Cell>>, Failure> {
    match name {
        Some(name) => column(table, name, option).map(Some),
        None => Ok(column(table, option, option).ok()),
    }
}

fn complete(cells: &[Cell], what: &str) -> Result<(), Failure> {
    match cells.iter().position(|cell| *cell == Cell::Missing) {
        Some(row) => Err(Failure::usage(format!("row {} has no {what}", row + 1)).hint("leave out rows without one")),
        None => Ok(()),
    }
}

fn numbers(cells: &[Cell], what: &str) -> Result<Vec<f64>, Failure> {
    complete(cells, what)?;
    let number = |(row, cell): (usize, &Cell)| match cell {
        Cell::Number(value) => Ok(*value),
        other => {
            let text = tables::cell_text(other);
            Err(Failure::usage(format!("the {what} of row {} is `{text}`, which is no number", row + 1)))
        }
    };
    cells.iter().enumerate().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: MetricOptions = MetricOptions { seed: 7, resamples: 0 };

    fn metric(rows: &EvaluationRows, name: &str) -> Metric {
        let metrics = rows.metrics(&OPTIONS).expect("metrics");
        metrics.into_iter().find(|metric| metric.name == name).expect("the metric's name")
    }

    fn value(rows: &EvaluationRows, name: &str) -> Option<f64> {
        metric(rows, name).value
    }

    fn rows(csv: &str, task: &str, names: &ColumnNames) -> Result<EvaluationRows, Failure> {
        read(&tables::read(csv).expect("CSV"), task, names)
    }

    #[test]
    fn a_score_alone_decides_from_one_half_on() {
        let rows = rows("label,score\n1,0.9\n1,0.5\n0,0.4\n0,0.6\n", "binary", &ColumnNames::default()).expect("rows");
        assert_eq!(value(&rows, "accuracy"), Some(0.75));
        assert_eq!(value(&rows, "roc_auc"), Some(0.75));
    }

    #[test]
    fn a_prediction_alone_leaves_probabilities_undefined() {
        let rows = rows("label,prediction\nyes,yes\nno,yes\n", "binary", &ColumnNames::default()).expect("rows");
        assert_eq!(value(&rows, "accuracy"), Some(0.5));
        assert_eq!(value(&rows, "log_loss"), None);
        assert!(metric(&rows, "roc_auc").why.is_some_and(|why| why.contains("score column")));
    }

    #[test]
    fn decisions_come_from_predictions_and_ranking_from_scores() {
        let csv = "label,prediction,score\n1,1,0.4\n1,1,0.3\n0,0,0.2\n0,0,0.1\n";
        let rows = rows(csv, "binary", &ColumnNames::default()).expect("rows");
        assert_eq!(value(&rows, "accuracy"), Some(1.0));
        assert_eq!(value(&rows, "roc_auc"), Some(1.0));
        assert!(value(&rows, "brier").is_some_and(|brier| brier > 0.2));
    }

    #[test]
    fn the_positive_value_is_chosen() {
        let names = ColumnNames { positive: Some("bad".into()), ..ColumnNames::default() };
        let found = rows("label,score\nbad,0.9\ngood,0.2\n", "binary", &names).expect("rows");
        assert_eq!(value(&found, "accuracy"), Some(1.0));
        assert_eq!(found.task.classes(), ["good", "bad"]);
        let names = ColumnNames { positive: Some("1.0".into()), ..ColumnNames::default() };
        let found = rows("label,score\n1,0.9\n1,0.2\n", "binary", &names).expect("rows of one class");
        assert_eq!(value(&found, "recall"), Some(0.5));
        assert_eq!(value(&found, "roc_auc"), None);
    }

    #[test]
    fn several_classes_and_numbers() {
        let csv = "label,prediction,a,b,c\na,a,1,0,0\nb,c,0,0.4,0.6\nc,c,0,0,1\n";
        let names = ColumnNames { scores: ["a", "b", "c"].map(String::from).to_vec(), ..ColumnNames::default() };
        let found = rows(csv, "multiclass", &names).expect("rows");
        assert!(value(&found, "accuracy").is_some_and(|accuracy| (accuracy - 2.0 / 3.0).abs() < 1e-12));
        assert_eq!(value(&found, "roc_auc_macro"), Some(1.0));
        let found = rows("label,prediction\n1.5,2\n3,2\n", "regression", &ColumnNames::default()).expect("rows");
        assert_eq!(value(&found, "mae"), Some(0.75));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |csv: &str, task: &str, expect: &str| {
            let failure = rows(csv, task, &ColumnNames::default()).expect_err("does not fit");
            assert!(failure.error.message.contains(expect), "{}", failure.error.message);
            assert_eq!(failure.exit, 2);
        };
        check("truth,score\n1,0.5\n", "binary", "no label column `label`");
        check("label,other\n1,0.5\n0,1\n", "binary", "neither a prediction nor a score");
        check("label,score\n1,0.5\n0,1.5\n", "binary", "score of row 2 is 1.5");
        check("label,score\n1,0.5\n,0.5\n", "binary", "row 2 has no label");
        check("label,prediction\n1,a\n2,b\n", "regression", "prediction of row 1 is `a`");
        check("label,score\na,0.5\nb,0.5\nc,0.1\n", "binary", "two labels, but there are 3");
    }
}
