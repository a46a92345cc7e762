//! Two classes: threshold metrics at 0.5, ranking metrics, and how honest the probabilities are.

use super::{
    Calibration, Definition, Interval95, LOG_LOSS_CLIP, Rows, calibration_bin, falling_order, for_each_tie, roc_auc,
};

/// Rows with everything that does not depend on a resample computed once.
pub(super) struct BinaryRows {
    positive: Vec<bool>,
    score: Vec<f64>,
    order: Vec<u32>,
    log_loss: Vec<f64>,
    bin: Vec<u8>,
}

/// Counts of right and wrong answers.
#[derive(Default, Clone, Copy)]
struct Confusion {
    true_negative: u64,
    false_positive: u64,
    false_negative: u64,
    true_positive: u64,
}

impl Confusion {
    fn add(&mut self, positive: bool, predicted_positive: bool, count: u32) {
        let cell = match (positive, predicted_positive) {
            (false, false) => &mut self.true_negative,
            (false, true) => &mut self.false_positive,
            (true, false) => &mut self.false_negative,
            (true, true) => &mut self.true_positive,
        };
        *cell += u64::from(count);
    }

    fn positives(self) -> u64 {
        self.true_positive + self.false_negative
    }

    fn negatives(self) -> u64 {
        self.true_negative + self.false_positive
    }

    fn predicted_positives(self) -> u64 {
        self.true_positive + self.false_positive
    }

    fn balanced_accuracy(self) -> f64 {
        let recalls = [(self.true_positive, self.positives()), (self.true_negative, self.negatives())]
            .map(|(right, all)| if all == 0 { None } else { Some(right as f64 / all as f64) });
        let present = recalls.iter().flatten().count();
        recalls.iter().flatten().sum::<f64>() / present as f64
    }

    /// Matthews' correlation; 0 when a row or column of the table is empty.
    fn matthews(self) -> f64 {
        let [tn, fp, fneg, tp] =
            [self.true_negative, self.false_positive, self.false_negative, self.true_positive].map(|n| n as f64);
        let margins = (tp + fp) * (tp + fneg) * (tn + fp) * (tn + fneg);
        if margins == 0.0 { 0.0 } else { (tp * tn - fp * fneg) / margins.sqrt() }
    }
}

impl BinaryRows {
    pub(super) fn new(positive: Vec<bool>, score: Vec<f64>) -> Self {
        let order = falling_order(score.len(), |row| score[row]);
        let log_loss = positive
            .iter()
            .zip(&score)
            .map(|(&positive, &score)| {
                let right = if positive { score } else { 1.0 - score };
                -right.clamp(LOG_LOSS_CLIP, 1.0 - LOG_LOSS_CLIP).ln()
            })
            .collect();
        let bin = score.iter().map(|&score| calibration_bin(score)).collect();
        Self { positive, score, order, log_loss, bin }
    }

    fn confusion(&self, counts: &[u32]) -> Confusion {
        let mut confusion = Confusion::default();
        for ((&positive, &score), &count) in self.positive.iter().zip(&self.score).zip(counts) {
            confusion.add(positive, score >= 0.5, count);
        }
        confusion
    }
}

impl Rows for BinaryRows {
    fn len(&self) -> usize {
        self.score.len()
    }

    fn definitions(&self) -> Vec<Definition> {
        use Interval95::{Bootstrap, Wilson};
        const NO_POSITIVES: &str = "no row is positive";
        const NO_NEGATIVES: &str = "no row is negative";
        const ONE_CLASS: &str = "the rows hold only one of the two classes";
        let table = self.confusion(&vec![1; self.len()]);
        let right = table.true_positive + table.true_negative;
        let one_class = table.positives() == 0 || table.negatives() == 0;
        vec![
            Definition::new("accuracy", Wilson(right, self.len() as u64)),
            Definition::new("balanced_accuracy", Bootstrap),
            Definition::new("precision", Wilson(table.true_positive, table.predicted_positives()))
                .why(table.predicted_positives() == 0, "no row was predicted positive; 0 by convention"),
            Definition::new("recall", Wilson(table.true_positive, table.positives()))
                .why(table.positives() == 0, "no row is positive; 0 by convention"),
            Definition::new("f1", Bootstrap).why(
                table.true_positive + table.false_positive + table.false_negative == 0,
                "no row is or was predicted positive; 0 by convention",
            ),
            Definition::new("specificity", Wilson(table.true_negative, table.negatives()))
                .why(table.negatives() == 0, "no row is negative; 0 by convention"),
            Definition::new("roc_auc", Bootstrap)
                .why(table.positives() == 0, NO_POSITIVES)
                .why(table.negatives() == 0, NO_NEGATIVES),
            Definition::new("average_precision", Bootstrap).why(table.positives() == 0, NO_POSITIVES),
            Definition::new("log_loss", Bootstrap),
            Definition::new("brier", Bootstrap),
            Definition::new("mcc", Bootstrap).why(
                one_class
                    || matches!(table.predicted_positives(), 0)
                    || table.predicted_positives() == self.len() as u64,
                if one_class { ONE_CLASS } else { "every row was predicted as the same class; 0 by convention" },
            ),
            Definition::new("ece", Bootstrap).variant("positive probability, 15 equal-width bins"),
        ]
    }

    fn score(&self, counts: &[u32], out: &mut [f64]) {
        let mut table = Confusion::default();
        let mut calibration = Calibration::default();
        let (mut log_loss, mut brier) = (0.0, 0.0);
        for (row, &count) in counts.iter().enumerate() {
            if count == 0 {
                continue;
            }
            let (positive, score, weight) = (self.positive[row], self.score[row], f64::from(count));
            table.add(positive, score >= 0.5, count);
            log_loss += weight * self.log_loss[row];
            let miss = score - f64::from(u8::from(positive));
            brier += weight * miss * miss;
            calibration.add(self.bin[row], positive, score, weight);
        }
        let (mut ranked_positives, mut ranked, mut precision_area) = (0.0, 0.0, 0.0);
        for_each_tie(
            &self.order,
            |row| self.score[row],
            |row| self.positive[row],
            counts,
            |positives, negatives| {
                ranked_positives += positives;
                ranked += positives + negatives;
                if positives > 0.0 {
                    precision_area += positives * ranked_positives / ranked;
                }
            },
        );
        let total = (table.positives() + table.negatives()) as f64;
        let either = 2 * table.true_positive + table.false_positive + table.false_negative;
        out.copy_from_slice(&[
            (table.true_positive + table.true_negative) as f64 / total,
            table.balanced_accuracy(),
            share_or_zero(table.true_positive, table.predicted_positives()),
            share_or_zero(table.true_positive, table.positives()),
            share_or_zero(2 * table.true_positive, either),
            share_or_zero(table.true_negative, table.negatives()),
            roc_auc(&self.order, |row| self.score[row], |row| self.positive[row], counts),
            precision_area / ranked_positives,
            log_loss / total,
            brier / total,
            table.matthews(),
            calibration.error(total),
        ]);
    }
}

/// A share, 0 for a share of nothing (scikit-learn's `zero_division` default).
fn share_or_zero(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
