//! How good a model's answers are: the field's metrics with an interval for each.
//!
//! Definitions are scikit-learn's 1.9.1 (each metric's own file names the details) and are tested against its values.
//! What must stay true: one row is one answer, rows are never weighted; where scikit-learn puts 0 for a share of nothing,
//! so do we, but without an interval and saying why; what scikit-learn leaves undefined is `None`, also saying why.

use pilothouse_domain::{Label, Metric, Task};

use crate::error::StatsError;
use crate::interval::{affordable_resamples, bootstrap, wilson};

mod binary;
mod multiclass;
pub(crate) mod regression;

/// The clip of probabilities in the log loss: the spacing of doubles at 1, as scikit-learn does.
const LOG_LOSS_CLIP: f64 = f64::EPSILON;
/// Equal-width bins of the calibration error.
const CALIBRATION_BINS: usize = 15;

/// How intervals are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricOptions {
    /// Seed of the bootstrap; named in each metric's `method`.
    pub seed: u64,
    /// Resamples of the bootstrap; 0 leaves those intervals out. Beyond 50,000 rows fewer are made (at least 100), and
    /// `method` says how many.
    pub resamples: u32,
}

impl Default for MetricOptions {
    fn default() -> Self {
        Self { seed: 7, resamples: 1_000 }
    }
}

/// Every metric of the task. The first is the main one: `accuracy`, or `r2` for a regression.
///
/// `outputs[i]` is `[p_positive]` or `[p_negative, p_positive]` (binary), one probability per class (multiclass), or
/// `[value]` (regression). A binary row is predicted positive from 0.5 on; a multiclass row as its first most probable class.
pub fn evaluate(
    task: &Task,
    labels: &[Label],
    outputs: &[Vec<f64>],
    options: &MetricOptions,
) -> Result<Vec<Metric>, StatsError> {
    check_rows(task, labels, outputs)?;
    if labels.is_empty() {
        return Err(StatsError::NoRows);
    }
    match task {
        Task::Binary { .. } => {
            let scores: Vec<f64> = outputs.iter().map(|output| positive_score(output)).collect();
            let positive: Vec<bool> = labels.iter().map(|label| class_of(label) == 1).collect();
            Ok(with_intervals(&binary::BinaryRows::new(positive, scores), options))
        }
        Task::Multiclass { classes } => {
            let truth: Vec<usize> = labels.iter().map(class_of).collect();
            Ok(with_intervals(&multiclass::MulticlassRows::new(classes.len(), truth, outputs), options))
        }
        Task::Regression => {
            let truth: Vec<f64> = labels.iter().map(value_of).collect();
            let predicted: Vec<f64> = outputs.iter().map(|output| output[0]).collect();
            Ok(with_intervals(&regression::RegressionRows::new(truth, predicted), options))
        }
    }
}

/// Whether each row was answered rightly, for a paired comparison of versions. A regression has no right answers to count.
pub fn correct(task: &Task, labels: &[Label], outputs: &[Vec<f64>]) -> Result<Vec<bool>, StatsError> {
    if matches!(task, Task::Regression) {
        return Err(StatsError::WrongTask { measure: "counting right answers", needs: "classification" });
    }
    check_rows(task, labels, outputs)?;
    Ok(labels.iter().zip(outputs).map(|(label, output)| predicted_class(task, output) == class_of(label)).collect())
}

/// The class that a row's output stands for.
pub(crate) fn predicted_class(task: &Task, output: &[f64]) -> usize {
    match task {
        Task::Binary { .. } => usize::from(positive_score(output) >= 0.5),
        _ => first_greatest(output),
    }
}

/// Refuses rows that do not fit the task or each other.
pub(crate) fn check_rows(task: &Task, labels: &[Label], outputs: &[Vec<f64>]) -> Result<(), StatsError> {
    if labels.len() != outputs.len() {
        return Err(StatsError::LengthMismatch { what: "outputs", found: outputs.len(), expected: labels.len() });
    }
    let classes = task.classes().len();
    for (row, (label, output)) in labels.iter().zip(outputs).enumerate() {
        let shape_fits = match task {
            Task::Binary { .. } => matches!(output.len(), 1 | 2),
            Task::Multiclass { .. } => output.len() == classes && classes > 0,
            Task::Regression => output.len() == 1,
        };
        if !shape_fits {
            return Err(StatsError::OutputShape { row, found: output.len(), expected: classes.max(1) });
        }
        if !output.iter().all(|value| value.is_finite()) {
            return Err(StatsError::NotFinite { row });
        }
        let label_fits = match (task, label) {
            (Task::Regression, Label::Value(value)) => value.is_finite(),
            // A whole number in JSON reads as a class index; in a regression it is simply that number.
            (Task::Regression, Label::Class(_)) => true,
            (_, Label::Class(class)) => (*class as usize) < classes,
            (_, Label::Value(_)) => false,
        };
        if !label_fits {
            return Err(StatsError::Label { row });
        }
    }
    Ok(())
}

/// The positive class's probability; rows were checked before.
pub(crate) fn positive_score(output: &[f64]) -> f64 {
    output[output.len() - 1]
}

/// The index of a checked class label.
pub(crate) fn class_of(label: &Label) -> usize {
    match label {
        Label::Class(class) => *class as usize,
        Label::Value(value) => *value as usize,
    }
}

fn value_of(label: &Label) -> f64 {
    match label {
        Label::Class(class) => f64::from(*class),
        Label::Value(value) => *value,
    }
}

fn first_greatest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// How a metric's interval is made.
enum Interval95 {
    /// A share: so many successes of so many rows.
    Wilson(u64, u64),
    /// By the percentile bootstrap.
    Bootstrap,
}

/// One metric before its interval.
struct Definition {
    name: String,
    interval: Interval95,
    /// Names the variant, where a metric has several; stands before the interval's method.
    variant: Option<&'static str>,
    /// Why the value is undefined, or 0 by convention.
    why: Option<&'static str>,
}

impl Definition {
    fn new(name: &str, interval: Interval95) -> Self {
        Self { name: name.to_owned(), interval, variant: None, why: None }
    }

    fn variant(mut self, variant: &'static str) -> Self {
        self.variant = Some(variant);
        self
    }

    fn why(mut self, applies: bool, why: &'static str) -> Self {
        if applies {
            self.why = Some(why);
        }
        self
    }
}

/// Rows that can be scored again and again, with each row counted as often as a resample drew it.
trait Rows {
    /// How many rows.
    fn len(&self) -> usize;
    /// The metrics, in the order in which `score` writes them.
    fn definitions(&self) -> Vec<Definition>;
    /// Writes each metric's value, NaN where undefined.
    fn score(&self, counts: &[u32], out: &mut [f64]);
}

fn with_intervals(rows: &impl Rows, options: &MetricOptions) -> Vec<Metric> {
    let definitions = rows.definitions();
    let mut values = vec![f64::NAN; definitions.len()];
    rows.score(&vec![1; rows.len()], &mut values);
    let resamples = affordable_resamples(rows.len(), options.resamples);
    let drawn =
        bootstrap(rows.len(), definitions.len(), resamples, options.seed, |counts, out| rows.score(counts, out));
    definitions
        .into_iter()
        .zip(values.into_iter().zip(drawn))
        .map(|(definition, (value, drawn))| {
            let (interval, how) = match definition.interval {
                Interval95::Wilson(successes, n) => (wilson(successes, n), "wilson".to_owned()),
                Interval95::Bootstrap if resamples == 0 => (None, "no interval".to_owned()),
                Interval95::Bootstrap => (drawn, format!("bootstrap({resamples}, seed {})", options.seed)),
            };
            let value = value.is_finite().then_some(value);
            let interval = interval.filter(|_| value.is_some() && definition.why.is_none());
            let why = match (definition.why, value, interval) {
                (Some(why), ..) => Some(why.to_owned()),
                (None, None, _) => Some("not defined for these rows".to_owned()),
                (None, Some(_), None) if resamples == 0 => Some("no resamples were asked for".to_owned()),
                (None, Some(_), None) => Some("too many resamples left it undefined; more rows are needed".to_owned()),
                (None, Some(_), Some(_)) => None,
            };
            Metric {
                name: definition.name,
                value,
                low: interval.map(|interval| interval.low),
                high: interval.map(|interval| interval.high),
                method: definition.variant.map_or(how.clone(), |variant| format!("{variant}; {how}")),
                why,
            }
        })
        .collect()
}

/// Which calibration bin a probability falls into: equal-width bins `(low, high]`, the first with 0 in it, with the very
/// edges of `numpy.linspace(0, 1, 16)`, so that probabilities on an edge fall as in `sklearn.calibration`.
fn calibration_bin(probability: f64) -> u8 {
    let step = 1.0 / CALIBRATION_BINS as f64;
    let guess = (probability.clamp(0.0, 1.0) * CALIBRATION_BINS as f64) as usize;
    let mut bin = guess.min(CALIBRATION_BINS - 1);
    while bin > 0 && probability <= bin as f64 * step {
        bin -= 1;
    }
    while bin < CALIBRATION_BINS - 1 && probability > (bin + 1) as f64 * step {
        bin += 1;
    }
    bin as u8
}

/// Sums for the expected calibration error: `sum over bins of n_b / N · |mean outcome − mean confidence|`.
#[derive(Default)]
struct Calibration {
    outcome_minus_confidence: [f64; CALIBRATION_BINS],
}

impl Calibration {
    fn add(&mut self, bin: u8, outcome: bool, confidence: f64, count: f64) {
        self.outcome_minus_confidence[usize::from(bin)] += count * (f64::from(u8::from(outcome)) - confidence);
    }

    fn error(&self, total: f64) -> f64 {
        self.outcome_minus_confidence.iter().map(|sum| sum.abs()).sum::<f64>() / total
    }
}

/// Area under the ROC curve from rows ordered by falling score; ties count one half. NaN when a class is absent.
///
/// `order` holds row indices; `score` and `positive` are asked per row.
fn roc_auc(order: &[u32], score: impl Fn(usize) -> f64, positive: impl Fn(usize) -> bool, counts: &[u32]) -> f64 {
    let (mut positives, mut negatives, mut pairs_won) = (0.0, 0.0, 0.0);
    for_each_tie(order, score, positive, counts, |tied_positives, tied_negatives| {
        pairs_won += tied_negatives * (positives + tied_positives / 2.0);
        positives += tied_positives;
        negatives += tied_negatives;
    });
    pairs_won / (positives * negatives)
}

/// Visits runs of equal score with the counts of positive and negative rows in each.
fn for_each_tie(
    order: &[u32],
    score: impl Fn(usize) -> f64,
    positive: impl Fn(usize) -> bool,
    counts: &[u32],
    mut visit: impl FnMut(f64, f64),
) {
    // The order is falling, so a smaller score ends the run.
    for run in order.chunk_by(|&left, &right| score(left as usize) <= score(right as usize)) {
        let mut tied = [0u64; 2];
        for &row in run {
            tied[usize::from(positive(row as usize))] += u64::from(counts[row as usize]);
        }
        visit(tied[1] as f64, tied[0] as f64);
    }
}

/// Row indices by falling score.
fn falling_order(n: usize, score: impl Fn(usize) -> f64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.sort_unstable_by(|&a, &b| score(b as usize).total_cmp(&score(a as usize)));
    order
}

#[cfg(test)]
mod tests;
