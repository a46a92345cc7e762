//! Exact Shapley values by enumeration.
//!
//! Shapley values are linear in the game, and the game is a weighted mean over background rows, so each background row is
//! a game of its own among the features in which it differs from the explained row: `2^d - 2` rows instead of `2^M - 2`.

use crate::background::{Background, is_same};
use crate::query::{Piece, Query};
use crate::{ExplainError, RowOrigin};

/// One background row's game.
struct Game<'a> {
    background: &'a [f64],
    explained: &'a [f64],
    players: Vec<usize>,
    index: usize,
    given_index: usize,
}

impl Piece for Game<'_> {
    fn push_rows(&self, rows: &mut Vec<f64>) -> usize {
        let coalitions = 1_usize << self.players.len();
        // The empty coalition is the background row and the full one the explained row; both are known.
        for coalition in 1..coalitions.saturating_sub(1) {
            let start = rows.len();
            rows.extend_from_slice(self.background);
            for (player, feature) in self.players.iter().enumerate() {
                if coalition >> player & 1 == 1 {
                    rows[start + feature] = self.explained[*feature];
                }
            }
        }
        coalitions.saturating_sub(2)
    }

    fn origin(&self, _: usize) -> RowOrigin {
        RowOrigin::Mixed(self.given_index)
    }
}

/// The features among `varying` in which a background row differs from the explained row.
pub(crate) fn players(explained: &[f64], background: &[f64], varying: &[usize]) -> Vec<usize> {
    varying.iter().copied().filter(|feature| !is_same(explained[*feature], background[*feature])).collect()
}

/// Model rows that [`attribute`] asks for.
pub(crate) fn mixed_rows(background: &Background, explained: &[f64], varying: &[usize]) -> u64 {
    background.rows.iter().map(|row| (1_u64 << players(explained, row, varying).len()).saturating_sub(2)).sum()
}

/// The attributions, features × outputs. `background_outputs` (rows × k) and `prediction` (k) are known already.
pub(crate) fn attribute(
    query: &mut Query<'_>,
    background: &Background,
    explained: &[f64],
    varying: &[usize],
    background_outputs: &[f64],
    prediction: &[f64],
) -> Result<Vec<f64>, ExplainError> {
    let outputs = prediction.len();
    let mut attributions = vec![0.0; explained.len() * outputs];
    let games = background.rows.iter().enumerate().map(|(index, row)| Game {
        background: row,
        explained,
        players: players(explained, row, varying),
        index,
        given_index: background.given_index[index],
    });
    query.run(explained.len(), games, |game, answers| {
        let empty = &background_outputs[game.index * outputs..(game.index + 1) * outputs];
        let values: Vec<&[f64]> =
            std::iter::once(empty).chain(answers.chunks_exact(outputs)).chain(std::iter::once(prediction)).collect();
        add_shapley(&game.players, &values, background.weights[game.index], outputs, &mut attributions);
    })?;
    Ok(attributions)
}

/// Adds `weight` times the Shapley values of the game `values` (by coalition as a bit set of players):
/// `phi_i = Σ_{S without i} |S|! (d-|S|-1)! / d! (v(S+i) - v(S))`.
fn add_shapley(players: &[usize], values: &[&[f64]], weight: f64, outputs: usize, attributions: &mut [f64]) {
    let count = players.len();
    if count == 0 {
        return;
    }
    // |S|! (d-|S|-1)! / d! = 1 / (d * C(d-1, |S|)).
    let mut share = vec![1.0 / count as f64; count];
    for size in 1..count {
        share[size] = share[size - 1] * size as f64 / (count - size) as f64;
    }
    for (player, feature) in players.iter().enumerate() {
        let bit = 1_usize << player;
        let sum = &mut attributions[feature * outputs..(feature + 1) * outputs];
        for coalition in (0..1_usize << count).filter(|coalition| coalition & bit == 0) {
            let factor = weight * share[coalition.count_ones() as usize];
            for (output, sum) in sum.iter_mut().enumerate() {
                *sum += factor * (values[coalition | bit][output] - values[coalition][output]);
            }
        }
    }
}
