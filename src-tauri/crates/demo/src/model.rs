//! One version of one model: its inputs, its encoding and its fitted parameters.
//!
//! What it is: the Rust side of `assets/demo/train.py`, which writes these definitions. What must stay true: predictions
//! equal those of scikit-learn 1.9.1 to 1e-9, which the tests check for every version and golden row.

use std::collections::BTreeMap;

use pilothouse_domain::{Cell, Column, Task};
use serde::Deserialize;

use crate::feature::{self, Encoding, Preprocess, RowError};
use crate::tree::Node;

/// One version of one model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct ModelDefinition {
    /// The model's name.
    pub(crate) name: String,
    /// The version's name.
    pub(crate) version: String,
    /// When it was made, in epoch milliseconds.
    pub(crate) created_ms: i64,
    /// A sentence for people.
    pub(crate) description: String,
    /// What it predicts.
    pub(crate) task: Task,
    /// Metrics that training stored: cross-validated on the training rows.
    pub(crate) metrics: BTreeMap<String, f64>,
    /// What a row of input holds.
    pub(crate) columns: Vec<Column>,
    /// Changes of the raw input while serving.
    preprocess: Vec<Preprocess>,
    /// How columns become features.
    features: Vec<Encoding>,
    /// The fitted parameters.
    model: Parameters,
}

/// Fitted parameters by kind of model. `x` is the encoded row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Parameters {
    /// `p1 = 1 / (1 + exp(-(x·coef + intercept)))`
    Logistic { coef: Vec<f64>, intercept: f64 },
    /// `y = x·coef + intercept`
    Linear { coef: Vec<f64>, intercept: f64 },
    /// `p1 = 1 / (1 + exp(-(base_margin + Σ leaf)))`
    GbtBinary { base_margin: f64, trees: Vec<Node> },
    /// `y = base + Σ leaf`
    GbtRegression { base: f64, trees: Vec<Node> },
    /// The mean over the trees of each leaf's class shares.
    RfClassifier { trees: Vec<Node> },
}

impl ModelDefinition {
    /// Numbers that each row gets: one per class, or the one predicted value.
    pub(crate) fn outputs(&self) -> usize {
        self.task.classes().len().max(1)
    }

    /// One vector of [`Self::outputs`] numbers per row: class probabilities in the order of the task's classes, or the
    /// predicted value. The first row that cannot be understood fails the whole request.
    pub(crate) fn predict(&self, rows: &[Vec<Cell>]) -> Result<Vec<Vec<f64>>, RowError> {
        let predict = |(at, row): (usize, &Vec<Cell>)| {
            let features = feature::encode(&self.columns, &self.preprocess, &self.features, at, row)?;
            Ok(self.model.evaluate(&features, self.outputs()))
        };
        rows.iter().enumerate().map(predict).collect()
    }
}

impl Parameters {
    fn evaluate(&self, x: &[f64], outputs: usize) -> Vec<f64> {
        match self {
            Self::Logistic { coef, intercept } => probabilities(dot(x, coef) + intercept),
            Self::Linear { coef, intercept } => vec![dot(x, coef) + intercept],
            Self::GbtBinary { base_margin, trees } => probabilities(boosted(*base_margin, trees, x)),
            Self::GbtRegression { base, trees } => vec![boosted(*base, trees, x)],
            Self::RfClassifier { trees } => {
                let mut shares = vec![0.0; outputs];
                for tree in trees {
                    shares.iter_mut().zip(tree.leaf(x)).for_each(|(sum, share)| *sum += share);
                }
                shares.iter().map(|sum| sum / trees.len() as f64).collect()
            }
        }
    }
}

/// Both class probabilities of a logit; the second class is the positive one.
fn probabilities(logit: f64) -> Vec<f64> {
    let positive = 1.0 / (1.0 + (-logit).exp());
    vec![1.0 - positive, positive]
}

fn dot(x: &[f64], coef: &[f64]) -> f64 {
    x.iter().zip(coef).map(|(x, c)| x * c).sum()
}

fn boosted(base: f64, trees: &[Node], x: &[f64]) -> f64 {
    // scikit-learn's boosting trees have one number per leaf.
    trees.iter().fold(base, |sum, tree| sum + tree.leaf(x)[0])
}

#[cfg(test)]
impl ModelDefinition {
    /// Whether encoding, parameters and task agree in size, so that no row can index out of bounds.
    pub(crate) fn is_consistent(&self) -> bool {
        let width: usize = self.features.iter().map(Encoding::width).sum();
        let known = |name: &str| self.columns.iter().any(|c| c.name == name);
        let sizes = match &self.model {
            Parameters::Logistic { coef, .. } => coef.len() == width && self.outputs() == 2,
            Parameters::Linear { coef, .. } => coef.len() == width && self.outputs() == 1,
            Parameters::GbtBinary { trees, .. } => trees.iter().all(|t| t.fits(width, 1)) && self.outputs() == 2,
            Parameters::GbtRegression { trees, .. } => trees.iter().all(|t| t.fits(width, 1)) && self.outputs() == 1,
            Parameters::RfClassifier { trees } => {
                !trees.is_empty() && trees.iter().all(|t| t.fits(width, self.outputs()))
            }
        };
        sizes && self.features.iter().all(|f| known(f.column()))
    }
}
