//! How good the live version is, and against which version that is judged.
//!
//! What must stay true: a version counts as worse only beyond noise, by a paired comparison on the same golden rows.

use pilothouse_domain::{Endpoint, Evaluation, GoldenSet, Label, Task, VersionId};
use pilothouse_stats::{MetricOptions, correct, paired_difference, paired_r2_difference};

use crate::{Engine, EngineError};

/// What the latest evaluation says.
#[derive(Debug, Clone, Default)]
pub struct QualityState {
    /// The latest evaluation, without its predictions.
    pub latest: Option<Evaluation>,
    /// Its change against the version before.
    pub change: Option<QualityChange>,
    /// A significant fall in a few words.
    pub problem: Option<String>,
    /// The last version that was live before this one and is not worse than it.
    pub previous_good: Option<VersionId>,
}

/// Difference of the main metric between two versions, on the same rows.
#[derive(Debug, Clone, PartialEq)]
pub struct QualityChange {
    /// After minus before; up is better.
    pub difference: f64,
    /// 95 % interval.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Of the paired test.
    pub p_value: f64,
    /// How they were made.
    pub method: String,
    /// The version compared with.
    pub against: VersionId,
    /// Rows right before and wrong now (classification).
    pub worse: u32,
    /// Rows wrong before and right now.
    pub better: u32,
}

impl QualityChange {
    /// Whether the interval leaves out 0.
    pub fn is_significant(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }

    /// Whether it is a fall beyond noise.
    pub fn is_fall(&self) -> bool {
        self.high < 0.0
    }
}

/// Compares two evaluations of the same golden set, row by row. `None` when they cannot be compared.
pub(crate) fn compare(golden_set: &GoldenSet, before: &Evaluation, after: &Evaluation) -> Option<QualityChange> {
    let against = before.version.clone()?;
    if before.golden_set != after.golden_set || before.predictions.len() != after.predictions.len() {
        return None;
    }
    let regression = golden_set.task == Task::Regression;
    let (difference, worse, better) = if regression {
        let labels: Vec<f64> = golden_set.labels.iter().map(label_value).collect();
        let values = |evaluation: &Evaluation| -> Vec<f64> {
            evaluation.predictions.iter().map(|row| row.first().copied().unwrap_or(f64::NAN)).collect()
        };
        let options = MetricOptions::default();
        (paired_r2_difference(&labels, &values(before), &values(after), &options).ok()??, 0, 0)
    } else {
        let correct =
            |evaluation: &Evaluation| correct(&golden_set.task, &golden_set.labels, &evaluation.predictions).ok();
        let (before, after) = (correct(before)?, correct(after)?);
        let pairs = || before.iter().zip(&after);
        let worse = pairs().filter(|(before, after)| **before && !**after).count() as u32;
        let better = pairs().filter(|(before, after)| !**before && **after).count() as u32;
        (paired_difference(&before, &after)?, worse, better)
    };
    Some(QualityChange {
        difference: difference.difference,
        low: difference.low,
        high: difference.high,
        p_value: difference.p_value,
        method: difference.method,
        against,
        worse,
        better,
    })
}

fn label_value(label: &Label) -> f64 {
    match label {
        Label::Value(value) => *value,
        Label::Class(class) => f64::from(*class),
    }
}

impl Engine {
    /// Reads the latest evaluation and judges it.
    pub(crate) async fn quality_from_store(&self, endpoint: &Endpoint) -> Result<QualityState, EngineError> {
        let Some(config) = &endpoint.evaluation else { return Ok(QualityState::default()) };
        let id = endpoint.id;
        let Some(latest) = self.with_store(move |store| store.latest_evaluation(id, None)).await? else {
            return Ok(QualityState::default());
        };
        if latest.golden_set != config.golden_set {
            return Ok(QualityState::default());
        }
        self.judge(endpoint, latest).await
    }

    /// The latest evaluation of each version that was ever live, newest first, each with its change against the one before.
    pub async fn quality_by_version(&self, endpoint: &Endpoint) -> Result<Vec<QualityState>, EngineError> {
        let Some(config) = &endpoint.evaluation else { return Ok(Vec::new()) };
        let id = endpoint.id;
        let golden_set = self.golden_set(config.golden_set).await?;
        let mut versions: Vec<VersionId> = Vec::new();
        for stretch in self.with_store(move |store| store.live_versions(id)).await? {
            if !versions.contains(&stretch.version) {
                versions.push(stretch.version);
            }
        }
        let evaluations = self
            .with_store(move |store| {
                if versions.is_empty() {
                    return Ok(store.latest_evaluation(id, None)?.into_iter().collect());
                }
                let latest = versions.iter().map(|version| store.latest_evaluation(id, Some(version)));
                latest.filter_map(Result::transpose).collect::<Result<Vec<Evaluation>, _>>()
            })
            .await?;
        let evaluations: Vec<Evaluation> =
            evaluations.into_iter().filter(|evaluation| evaluation.golden_set == config.golden_set).collect();
        let changes: Vec<Option<QualityChange>> = (0..evaluations.len())
            .map(|index| compare(&golden_set, evaluations.get(index + 1)?, &evaluations[index]))
            .collect();
        let states = evaluations.into_iter().zip(changes).map(|(mut latest, change)| {
            latest.predictions.clear();
            QualityState { latest: Some(latest), change, problem: None, previous_good: None }
        });
        Ok(states.collect())
    }

    /// Judges an evaluation against the versions that were live before its own.
    pub(crate) async fn judge(&self, endpoint: &Endpoint, mut latest: Evaluation) -> Result<QualityState, EngineError> {
        let id = endpoint.id;
        let golden_set = self.golden_set(latest.golden_set).await?;
        let live = self.with_store(move |store| store.live_versions(id)).await?;
        let mut earlier: Vec<VersionId> = Vec::new();
        for stretch in live {
            if Some(&stretch.version) != latest.version.as_ref() && !earlier.contains(&stretch.version) {
                earlier.push(stretch.version);
            }
        }
        let mut change = None;
        let mut previous_good = None;
        for version in &earlier {
            let wanted = version.clone();
            let Some(before) = self.with_store(move |store| store.latest_evaluation(id, Some(&wanted))).await? else {
                continue;
            };
            let Some(found) = compare(&golden_set, &before, &latest) else { continue };
            let worse_than_it = !found.is_significant() || found.is_fall();
            if worse_than_it && previous_good.is_none() {
                previous_good = Some(version.clone());
            }
            change.get_or_insert(found);
            if previous_good.is_some() {
                break;
            }
        }
        // Without a measured candidate, the version that was live last is still the best guess there is.
        let previous_good = previous_good.or_else(|| if change.is_none() { earlier.first().cloned() } else { None });
        let problem = change.as_ref().filter(|change| change.is_fall()).map(|change| {
            let name = if golden_set.task == Task::Regression { "R²" } else { "accuracy" };
            format!("{name} fell by {:.3} since {}", change.difference.abs(), change.against)
        });
        latest.predictions.clear();
        Ok(QualityState { latest: Some(latest), change, problem, previous_good })
    }
}
