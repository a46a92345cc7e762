//! Why a model predicted what it predicted: Shapley values of a black-box model.
//!
//! What it is: [`shapley`] for one row and [`Explainer`] for several against the same background, over a [`Model`] that
//! answers batches of rows. What it hides: enumeration, sampling, batching and the arithmetic of uncertainty. What must
//! stay true: no I/O and no clock; the attributions always add up to the prediction minus the base value; the same seed
//! gives the same figures, whatever the batch size; a feature's value is only ever copied or compared, so a category may
//! arrive as any number. One exception, when fewer pairs than background rows are drawn: a control variate that reduces
//! variance and stays valid for codes.
//!
//! The game is the interventional one of `shap` 0.54.1: `v(S) = Σ_b w_b f(x_S, b_notS)` over background rows `b` with
//! weights `w_b` that sum to 1, identity link, for every output of the model at once.

mod background;
mod cost;
mod error;
mod exact;
mod explainer;
mod explanation;
mod matrix;
mod model;
mod query;
mod sampled;
mod student;

pub use cost::{Budget, Cost, EXACT_FEATURES_AUTO, EXACT_FEATURES_MAX, Estimator, cost};
pub use error::{ExplainError, RowOrigin};
pub use explainer::{Explainer, Options, ShapleyRequest, shapley};
pub use explanation::{Attribution, ShapleyExplanation};
pub use matrix::Matrix;
pub use model::{Model, ModelError};
pub use query::{Control, Progress};

#[cfg(test)]
mod laws;
#[cfg(test)]
mod reference;
