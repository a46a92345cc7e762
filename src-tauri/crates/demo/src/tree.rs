//! Decision trees as scikit-learn stores them.
//!
//! What must stay true: a row goes left when `(f64)(f32)x[feature] <= threshold`, because scikit-learn casts inputs to
//! 32-bit floats before it compares them with its 64-bit thresholds (scikit-learn 1.9, `sklearn/tree/_tree.pyx`).

use serde::Deserialize;

/// A node with everything below it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Node {
    /// An inner node.
    Split {
        /// Index of the compared feature.
        #[serde(rename = "f")]
        feature: usize,
        /// The threshold.
        #[serde(rename = "t")]
        threshold: f64,
        /// Where rows at or below the threshold go.
        #[serde(rename = "l")]
        left: Box<Node>,
        /// Where the others go.
        #[serde(rename = "r")]
        right: Box<Node>,
    },
    /// A leaf: the learning rate times its value for boosting, the share of each class for a forest.
    Leaf {
        /// The leaf's numbers.
        #[serde(rename = "v")]
        values: Vec<f64>,
    },
}

impl Node {
    /// The numbers of the leaf that `features` ends in.
    pub(crate) fn leaf(&self, features: &[f64]) -> &[f64] {
        let mut node = self;
        loop {
            match node {
                Self::Leaf { values } => return values,
                Self::Split { feature, threshold, left, right } => {
                    let goes_left = f64::from(features[*feature] as f32) <= *threshold;
                    node = if goes_left { left } else { right };
                }
            }
        }
    }

    /// Whether every split names one of `features` features and every leaf has `values` numbers.
    #[cfg(test)]
    pub(crate) fn fits(&self, features: usize, values: usize) -> bool {
        match self {
            Self::Leaf { values: found } => found.len() == values,
            Self::Split { feature, left, right, .. } => {
                *feature < features && left.fits(features, values) && right.fits(features, values)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_compared_as_32_bit_floats() {
        let tree: Node = serde_json::from_str(
            r#"{"f":0,"t":0.5,"l":{"v":[1.0]},"r":{"f":1,"t":2.0,"l":{"v":[2.0]},"r":{"v":[3.0]}}}"#,
        )
        .unwrap();
        let check = |row: [f64; 2], expect: f64| assert_eq!(tree.leaf(&row), [expect], "{row:?}");
        check([0.5, 9.0], 1.0);
        // Above the threshold as a 64-bit float, equal to it as a 32-bit float.
        check([0.5 + 1e-10, 9.0], 1.0);
        check([0.500_001, 2.0], 2.0);
        check([0.6, 2.1], 3.0);
    }
}
