//! Several classes: per-class metrics averaged three ways, and the probabilities of the class that was predicted.

use super::{
    Calibration, Definition, Interval95, LOG_LOSS_CLIP, Rows, calibration_bin, falling_order, first_greatest, roc_auc,
};

/// Rows with everything that does not depend on a resample computed once.
pub(super) struct MulticlassRows<'a> {
    classes: usize,
    truth: Vec<usize>,
    outputs: &'a [Vec<f64>],
    predicted: Vec<usize>,
    /// Per class, the rows by falling probability of that class.
    orders: Vec<Vec<u32>>,
    log_loss: Vec<f64>,
    brier: Vec<f64>,
    bin: Vec<u8>,
}

impl<'a> MulticlassRows<'a> {
    pub(super) fn new(classes: usize, truth: Vec<usize>, outputs: &'a [Vec<f64>]) -> Self {
        let predicted: Vec<usize> = outputs.iter().map(|output| first_greatest(output)).collect();
        let rows = || truth.iter().zip(outputs);
        Self {
            classes,
            orders: (0..classes).map(|class| falling_order(outputs.len(), |row| outputs[row][class])).collect(),
            log_loss: rows()
                .map(|(&truth, output)| -output[truth].clamp(LOG_LOSS_CLIP, 1.0 - LOG_LOSS_CLIP).ln())
                .collect(),
            brier: rows()
                .map(|(&truth, output)| {
                    output.iter().enumerate().map(|(c, p)| (p - f64::from(u8::from(c == truth))).powi(2)).sum()
                })
                .collect(),
            bin: outputs.iter().zip(&predicted).map(|(output, &class)| calibration_bin(output[class])).collect(),
            truth,
            outputs,
            predicted,
        }
    }
}

impl Rows for MulticlassRows<'_> {
    fn len(&self) -> usize {
        self.truth.len()
    }

    fn definitions(&self) -> Vec<Definition> {
        use Interval95::{Bootstrap, Wilson};
        let right =
            self.truth.iter().zip(&self.predicted).filter(|(truth, predicted)| truth == predicted).count() as u64;
        let n = self.len() as u64;
        let missing = (0..self.classes).any(|class| !self.truth.contains(&class));
        let one_class = self.truth.iter().all(|class| *class == self.truth[0]);
        vec![
            Definition::new("accuracy", Wilson(right, n)),
            Definition::new("balanced_accuracy", Bootstrap),
            Definition::new("precision_macro", Bootstrap),
            Definition::new("recall_macro", Bootstrap),
            Definition::new("f1_macro", Bootstrap),
            Definition::new("precision_micro", Wilson(right, n)),
            Definition::new("recall_micro", Wilson(right, n)),
            Definition::new("f1_micro", Wilson(right, n)),
            Definition::new("precision_weighted", Bootstrap),
            Definition::new("recall_weighted", Bootstrap),
            Definition::new("f1_weighted", Bootstrap),
            Definition::new("log_loss", Bootstrap),
            Definition::new("brier", Bootstrap).variant("sum over classes"),
            Definition::new("mcc", Bootstrap).why(one_class, "the rows hold only one of the classes"),
            Definition::new("ece", Bootstrap).variant("top label, 15 equal-width bins"),
            Definition::new("roc_auc_macro", Bootstrap)
                .variant("one against the rest")
                .why(missing, "the rows do not hold every class"),
        ]
    }

    fn score(&self, counts: &[u32], out: &mut [f64]) {
        let classes = self.classes;
        let (mut support, mut answered, mut right) = (vec![0u64; classes], vec![0u64; classes], vec![0u64; classes]);
        let mut calibration = Calibration::default();
        let (mut log_loss, mut brier) = (0.0, 0.0);
        for (row, &count) in counts.iter().enumerate() {
            let (truth, predicted) = (self.truth[row], self.predicted[row]);
            if count == 0 {
                continue;
            }
            let hit = truth == predicted;
            support[truth] += u64::from(count);
            answered[predicted] += u64::from(count);
            right[truth] += u64::from(count) * u64::from(hit);
            log_loss += f64::from(count) * self.log_loss[row];
            brier += f64::from(count) * self.brier[row];
            calibration.add(self.bin[row], hit, self.outputs[row][predicted], f64::from(count));
        }
        let total = support.iter().sum::<u64>() as f64;
        let accuracy = right.iter().sum::<u64>() as f64 / total;
        let [precision, recall, f1] = averages(&support, &answered, &right);
        let auc = (0..classes)
            .map(|class| {
                let (score, positive) = (|row: usize| self.outputs[row][class], |row: usize| self.truth[row] == class);
                roc_auc(&self.orders[class], score, positive, counts)
            })
            .sum::<f64>()
            / classes as f64;
        out.copy_from_slice(&[
            accuracy,
            balanced_accuracy(&support, &right),
            precision.over_classes,
            recall.over_classes,
            f1.over_classes,
            accuracy,
            accuracy,
            accuracy,
            precision.by_support,
            recall.by_support,
            f1.by_support,
            log_loss / total,
            brier / total,
            matthews(&support, &answered, &right),
            calibration.error(total),
            auc,
        ]);
    }
}

/// A per-class metric averaged two ways.
struct Averages {
    /// Each class counts once (classes that neither occur nor are predicted do not count, as in scikit-learn).
    over_classes: f64,
    /// Each class counts by its rows.
    by_support: f64,
}

/// Precision, recall and F1, each averaged; a share of nothing is 0.
fn averages(support: &[u64], answered: &[u64], right: &[u64]) -> [Averages; 3] {
    let total = support.iter().sum::<u64>() as f64;
    let present = support.iter().zip(answered).filter(|&(s, a)| s + a > 0).count() as f64;
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let average = |of_class: &dyn Fn(usize) -> f64| {
        let values = (0..support.len()).map(of_class);
        let (sum, weighted) = values
            .zip(support)
            .fold((0.0, 0.0), |(sum, weighted), (value, &support)| (sum + value, weighted + value * support as f64));
        Averages { over_classes: sum / present, by_support: weighted / total }
    };
    [
        average(&|class| share(right[class], answered[class])),
        average(&|class| share(right[class], support[class])),
        average(&|class| share(2 * right[class], support[class] + answered[class])),
    ]
}

/// Mean recall of the classes that occur.
fn balanced_accuracy(support: &[u64], right: &[u64]) -> f64 {
    let present = || support.iter().zip(right).filter(|&(&support, _)| support > 0);
    present().map(|(&support, &right)| right as f64 / support as f64).sum::<f64>() / present().count() as f64
}

/// Matthews' correlation for several classes (Gorodkin 2004); 0 when all rows or all answers are one class.
fn matthews(support: &[u64], answered: &[u64], right: &[u64]) -> f64 {
    let total = support.iter().sum::<u64>() as f64;
    let product = |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(&a, &b)| a as f64 * b as f64).sum::<f64>();
    let hits = right.iter().sum::<u64>() as f64;
    let margins = (total * total - product(support, support)) * (total * total - product(answered, answered));
    if margins == 0.0 { 0.0 } else { (hits * total - product(support, answered)) / margins.sqrt() }
}
