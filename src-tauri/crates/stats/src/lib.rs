//! Numbers that can be redone: latency sketches, model metrics with their intervals, paired comparisons, fairness.
//!
//! What it is: pure functions on slices. What it hides: the estimators and the sketch's byte format. What must stay true:
//! no I/O and no clock; randomness comes from a seed that the result names; an undefined value is said to be undefined
//! and never shown as 0.

pub mod error;
pub mod fairness;
pub mod interval;
pub mod metrics;
pub mod paired;
pub mod sketch;
mod varint;

pub use error::{SketchError, StatsError};
pub use fairness::{Disparity, EmptyDenominator, Group, GroupRates, disparities, group_rates, groups};
pub use interval::{Interval, bootstrap, quantile_of_sorted, wilson};
pub use metrics::{MetricOptions, correct, evaluate};
pub use paired::{PairedDifference, paired_difference, paired_r2_difference};
pub use sketch::QuantileSketch;
