//! Sampled Shapley values: antithetic pairs of permutations, stratified by background row.
//!
//! For a pair, a permutation `π` of the features is walked from the background row `b` to the explained row, once by its
//! prefixes `P_k` and once by their complements: `phi_{π_k} = ½[(u(P_k) - u(P_{k-1})) + (u(N∖P_{k-1}) - u(N∖P_k))]`, with
//! `u(∅) = f(b)` and `u(N) = f(x)`. Every pair adds up to `f(x) - f(b)`, so a mean over all background rows by their
//! weights adds up to `f(x) - base`. Antithetic permutations: Mitchell, Cooper, Frank and Holmes, "Sampling Permutations
//! for Shapley Value Estimation", JMLR 23 (2022). Features in which `b` equals `x` are not walked: they add nothing.
//!
//! Feature values are copied, never computed with, save in one place: [`slope`] uses a feature's background values as a
//! control variate. Any function of the background row may serve as one, so for the codes of a category it is a weak
//! control but not a wrong one: the residual variance stays an upper bound and the correction has mean zero up to terms
//! of the order of one over the number of rows drawn.

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::background::Background;
use crate::exact::players;
use crate::explanation::Attribution;
use crate::query::{Piece, Query};
use crate::student::quantile_975;
use crate::{ExplainError, RowOrigin};

/// Strata needed before a slope is fitted; with fewer it would follow the noise.
const SLOPE_STRATA_MIN: usize = 8;

/// Strata needed before the missing rest is spread by covariance.
const COVARIANCE_STRATA_MIN: usize = 5;

/// The background rows that are drawn, and how often each.
pub(crate) struct Draw {
    /// Per drawn row: its index in the background and its number of pairs (at least 1).
    strata: Vec<(usize, u64)>,
    /// Whether every background row is drawn.
    complete: bool,
    random: ChaCha8Rng,
}

impl Draw {
    /// Spreads `pairs` over the background: one for each row and the rest by weight, or, when there are fewer pairs than
    /// rows, all by weight (systematic resampling over a shuffled background).
    pub(crate) fn new(background: &Background, pairs: u64, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let rows = background.len() as u64;
        let complete = pairs >= rows;
        let mut counts = vec![u64::from(complete); background.len()];
        // Whole rounds over an evenly weighted background need no random numbers and no rounding.
        let even = background.weights.iter().all(|weight| (weight * rows as f64 - 1.0).abs() < 1e-9);
        let rounds = if complete && even { pairs / rows - 1 } else { 0 };
        for count in &mut counts {
            *count += rounds;
        }
        let left = pairs - counts.iter().sum::<u64>();
        resample(&background.weights, left, &mut random, &mut counts);
        let strata = counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
        Self { strata, complete, random }
    }

    /// Model rows that the pairs ask for.
    pub(crate) fn mixed_rows(&self, background: &Background, explained: &[f64], varying: &[usize]) -> u64 {
        let per_pair =
            |index: usize| 2 * (players(explained, background.rows.row(index), varying).len() as u64).saturating_sub(1);
        self.strata.iter().map(|(index, count)| count * per_pair(*index)).sum()
    }
}

/// Adds `points` to `counts` in proportion to `weights` (which sum to 1), each at most one away from its share.
fn resample(weights: &[f64], points: u64, random: &mut ChaCha8Rng, counts: &mut [u64]) {
    if points == 0 {
        return;
    }
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.shuffle(random);
    let offset: f64 = random.random();
    let mut next = 0;
    let mut cumulative = 0.0;
    for (place, index) in order.iter().enumerate() {
        cumulative += weights[*index];
        let last = place + 1 == order.len();
        while next < points && (last || offset + (next as f64) < cumulative * points as f64) {
            counts[*index] += 1;
            next += 1;
        }
    }
}

/// One antithetic pair.
struct Pair<'a> {
    background: &'a [f64],
    explained: &'a [f64],
    given_index: usize,
    stratum: usize,
    permutation: Vec<usize>,
}

impl Piece for Pair<'_> {
    /// The proper prefixes of the permutation, then the complements of these prefixes. Features that do not take part
    /// keep the value of the background row on both walks.
    fn push_rows(&self, rows: &mut Vec<f64>) -> usize {
        let steps = self.permutation.len().saturating_sub(1);
        let mut mixed = self.background.to_vec();
        for feature in &self.permutation[..steps] {
            mixed[*feature] = self.explained[*feature];
            rows.extend_from_slice(&mixed);
        }
        if let Some(last) = self.permutation.last() {
            mixed[*last] = self.explained[*last];
        }
        for feature in &self.permutation[..steps] {
            mixed[*feature] = self.background[*feature];
            rows.extend_from_slice(&mixed);
        }
        2 * steps
    }

    fn origin(&self, _: usize) -> RowOrigin {
        RowOrigin::Mixed(self.given_index)
    }
}

impl Pair<'_> {
    /// Writes the pair's attributions into `values` (features × k).
    fn settle(&self, answers: &[f64], empty: &[f64], full: &[f64], outputs: usize, values: &mut [f64]) {
        let steps = self.permutation.len();
        let (prefixes, complements) = answers.split_at(answers.len() / 2);
        // u(P_k) and u(N∖P_k) for k = 0..=steps.
        let prefix = |k: usize, output: usize| match k {
            0 => empty[output],
            k if k == steps => full[output],
            k => prefixes[(k - 1) * outputs + output],
        };
        let complement = |k: usize, output: usize| match k {
            0 => full[output],
            k if k == steps => empty[output],
            k => complements[(k - 1) * outputs + output],
        };
        for (k, feature) in self.permutation.iter().enumerate() {
            for output in 0..outputs {
                let forward = prefix(k + 1, output) - prefix(k, output);
                let backward = complement(k, output) - complement(k + 1, output);
                values[feature * outputs + output] = 0.5 * (forward + backward);
            }
        }
    }
}

/// Mean and squared deviations of the pairs of one stratum, per feature and output (Welford).
struct Stratum {
    count: u64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

/// What is known before anything is mixed.
pub(crate) struct Known<'a> {
    /// Predictions for the background, rows × k.
    pub(crate) background_outputs: &'a [f64],
    /// The prediction for the explained row, k.
    pub(crate) prediction: &'a [f64],
    /// The weighted mean prediction over the background, k.
    pub(crate) base: &'a [f64],
}

/// The attributions by output and feature.
pub(crate) fn attribute(
    query: &mut Query<'_>,
    background: &Background,
    explained: &[f64],
    varying: &[usize],
    draw: Draw,
    known: &Known<'_>,
) -> Result<Vec<Vec<Attribution>>, ExplainError> {
    let Known { background_outputs, prediction, base } = *known;
    let outputs = prediction.len();
    let width = explained.len() * outputs;
    let Draw { strata, complete, mut random } = draw;
    let mut settled: Vec<Stratum> =
        strata.iter().map(|_| Stratum { count: 0, mean: vec![0.0; width], squares: Vec::new() }).collect();
    let pairs =
        strata.iter().enumerate().flat_map(|(stratum, (index, count))| (0..*count).map(move |_| (stratum, *index)));
    let pairs = pairs.map(|(stratum, index)| {
        let row = background.rows.row(index);
        let mut permutation = players(explained, row, varying);
        permutation.shuffle(&mut random);
        Pair { background: row, explained, given_index: background.given_index[index], stratum, permutation }
    });
    let mut values = vec![0.0; width];
    query.run(explained.len(), pairs, |pair, answers| {
        let index = strata[pair.stratum].0;
        let empty = &background_outputs[index * outputs..(index + 1) * outputs];
        values.fill(0.0);
        pair.settle(answers, empty, prediction, outputs, &mut values);
        settled[pair.stratum].add(&values);
    })?;
    let drawn: u64 = strata.iter().map(|(_, count)| count).sum();
    let shares: Vec<f64> = strata
        .iter()
        .map(|(index, count)| if complete { background.weights[*index] } else { *count as f64 / drawn as f64 })
        .collect();
    let estimate = Estimate { background, strata: &strata, shares: &shares, settled: &settled, complete, outputs };
    Ok((0..outputs).map(|output| estimate.output(output, explained.len(), varying, prediction, base)).collect())
}

impl Stratum {
    fn add(&mut self, values: &[f64]) {
        self.count += 1;
        if self.count == 1 {
            self.mean.copy_from_slice(values);
            return;
        }
        self.squares.resize(values.len(), 0.0);
        for ((value, mean), squares) in values.iter().zip(&mut self.mean).zip(&mut self.squares) {
            let delta = value - *mean;
            *mean += delta / self.count as f64;
            *squares += delta * (value - *mean);
        }
    }
}

/// Everything that was drawn, ready to be summed up.
struct Estimate<'a> {
    background: &'a Background,
    strata: &'a [(usize, u64)],
    shares: &'a [f64],
    settled: &'a [Stratum],
    complete: bool,
    outputs: usize,
}

impl Estimate<'_> {
    fn output(
        &self,
        output: usize,
        features: usize,
        varying: &[usize],
        prediction: &[f64],
        base: &[f64],
    ) -> Vec<Attribution> {
        // A feature that does not take part has no effect, with certainty.
        let mut attributions = vec![Attribution::estimated(0.0, 0.0, 0.0); features];
        let within = self.complete && self.strata.iter().all(|(_, count)| *count >= 2);
        let mut fitted: Vec<Fit> = varying.iter().map(|feature| self.fit(*feature, output)).collect();
        let missing = prediction[output] - base[output] - fitted.iter().map(|fit| fit.value).sum::<f64>();
        if !self.complete {
            spread_by_covariance(&mut fitted, self.shares, missing);
        }
        for (feature, fit) in varying.iter().zip(&fitted) {
            let (variance, degrees) =
                if within { self.within(*feature, output) } else { fit.residual_variance(self.shares, !self.complete) };
            attributions[*feature] = if degrees == 0 {
                Attribution::exact(fit.value)
            } else {
                Attribution::estimated(fit.value, variance.max(0.0).sqrt(), quantile_975(degrees))
            };
        }
        attributions
    }

    /// The variance of a stratified mean from the variance within each stratum (at least two pairs each).
    fn within(&self, feature: usize, output: usize) -> (f64, usize) {
        let place = feature * self.outputs + output;
        let mut variance = 0.0;
        let mut degrees = 0;
        for (stratum, share) in self.settled.iter().zip(self.shares) {
            let count = stratum.count as f64;
            variance += share * share * stratum.squares[place] / ((count - 1.0) * count);
            degrees += stratum.count as usize - 1;
        }
        (variance, degrees)
    }

    /// The mean over strata, corrected by the feature's own background values when only some rows were drawn.
    fn fit(&self, feature: usize, output: usize) -> Fit {
        let place = feature * self.outputs + output;
        let means: Vec<f64> = self.settled.iter().map(|stratum| stratum.mean[place]).collect();
        let mean: f64 = means.iter().zip(self.shares).map(|(mean, share)| mean * share).sum();
        let controls: Vec<f64> =
            self.strata.iter().map(|(index, _)| self.background.rows.row(*index)[feature]).collect();
        let mut fit = Fit { value: mean, residuals: means.iter().map(|value| value - mean).collect(), parameters: 1 };
        let Some((slope, centre)) = slope(&controls, &fit.residuals, self.shares) else { return fit };
        for (residual, control) in fit.residuals.iter_mut().zip(&controls) {
            *residual -= slope * (control - centre);
        }
        fit.parameters = 2;
        if !self.complete {
            let full: f64 = self
                .background
                .rows
                .iter()
                .zip(&self.background.weights)
                .map(|(row, weight)| row[feature] * weight)
                .sum();
            // A mean outside of what was drawn (an outlier) would extrapolate; NaN among the rest compares false.
            let drawn = |edge: fn(f64, f64) -> f64, start: f64| controls.iter().copied().fold(start, edge);
            if full >= drawn(f64::min, f64::INFINITY) && full <= drawn(f64::max, f64::NEG_INFINITY) {
                fit.value += slope * (full - centre);
            }
        }
        fit
    }
}

/// One feature's estimate with what is left unexplained in each stratum.
struct Fit {
    value: f64,
    residuals: Vec<f64>,
    parameters: usize,
}

impl Fit {
    /// The variance of the estimate if all variation between strata that the fit leaves were sampling noise, which bounds
    /// it from above; and its degrees of freedom, 0 when nothing can be said. When only part of the background was drawn
    /// (`partial`), a fitted control adds its own error: 1 + q / (n - q - 2) for q controls (Cochran, Sampling Techniques,
    /// 3rd edition, chapter 7).
    fn residual_variance(&self, shares: &[f64], partial: bool) -> (f64, usize) {
        let count = self.residuals.len();
        let degrees = count.saturating_sub(self.parameters);
        if degrees == 0 {
            return (0.0, 0);
        }
        let squares: f64 = self.residuals.iter().zip(shares).map(|(rest, share)| (rest * share).powi(2)).sum();
        let controls = (self.parameters - 1) as f64;
        let fitting = if partial { 1.0 + controls / (count as f64 - controls - 2.0).max(1.0) } else { 1.0 };
        (squares * fitting * count as f64 / degrees as f64, degrees)
    }
}

/// The weighted least-squares slope of `values` (of mean zero) on `controls`, and the mean of the controls; `None` when
/// there are too few, when they are all equal, or when one is not finite.
fn slope(controls: &[f64], values: &[f64], shares: &[f64]) -> Option<(f64, f64)> {
    if controls.len() < SLOPE_STRATA_MIN || controls.iter().any(|control| !control.is_finite()) {
        return None;
    }
    let centre: f64 = controls.iter().zip(shares).map(|(control, share)| control * share).sum();
    let mut spread = 0.0;
    let mut product = 0.0;
    for ((control, value), share) in controls.iter().zip(values).zip(shares) {
        spread += share * (control - centre).powi(2);
        product += share * (control - centre) * value;
    }
    let slope = product / spread;
    // Below this the spread is rounding; above, an overflow.
    let usable = spread > 1e-20 * centre * centre && spread.is_finite() && slope.is_finite();
    usable.then_some((slope, centre))
}

/// Spreads `missing` over the estimates in proportion to each one's covariance with their sum. The sum of a stratum is
/// `f(x) - f(b)`, whose mean over the whole background is known: this is its regression estimate, and needs no feature
/// value. The proportions add up to 1 by construction.
fn spread_by_covariance(fits: &mut [Fit], shares: &[f64], missing: f64) {
    if shares.len() < COVARIANCE_STRATA_MIN {
        return;
    }
    let sums: Vec<f64> = (0..shares.len()).map(|stratum| fits.iter().map(|fit| fit.residuals[stratum]).sum()).collect();
    let variance: f64 = sums.iter().zip(shares).map(|(sum, share)| share * sum * sum).sum();
    let covariances: Vec<f64> = fits
        .iter()
        .map(|fit| fit.residuals.iter().zip(&sums).zip(shares).map(|((rest, sum), share)| share * rest * sum).sum())
        .collect();
    let scale: f64 = fits.iter().flat_map(|fit| &fit.residuals).fold(0.0, |most, rest| rest.abs().max(most));
    // When the strata's sums hardly differ there is hardly anything missing, and the proportions would be rounding.
    if variance <= 1e-12 * scale * scale || missing.abs() > 6.0 * variance.sqrt() {
        return;
    }
    for (fit, covariance) in fits.iter_mut().zip(&covariances) {
        fit.value += missing * covariance / variance;
        for (residual, sum) in fit.residuals.iter_mut().zip(&sums) {
            *residual -= covariance / variance * sum;
        }
        fit.parameters += 1;
    }
}
