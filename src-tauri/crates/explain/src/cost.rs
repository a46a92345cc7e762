//! How many rows an explanation takes, and which estimator it leads to.

/// How much an explanation may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Exact for up to [`EXACT_FEATURES_AUTO`] varying features; above, the same number of pairs of permutations for each
    /// background row, 100 or more in all; from 1000 background rows on, 1000 pairs.
    Auto,
    /// Exact, refused above [`EXACT_FEATURES_MAX`] varying features.
    Exact,
    /// At most this many model rows, background and explained row included. Exact when that fits.
    Rows(u64),
}

/// Varying features up to which [`Budget::Auto`] enumerates.
pub const EXACT_FEATURES_AUTO: usize = 10;

/// Varying features up to which enumeration is possible at all.
pub const EXACT_FEATURES_MAX: usize = 16;

/// Pairs of permutations that [`Budget::Auto`] draws at least, so that a small background is not a coarse answer.
pub(crate) const PAIRS_AUTO_MIN: u64 = 100;

/// Pairs of permutations that [`Budget::Auto`] draws at most; a larger background is sampled.
pub(crate) const PAIRS_AUTO_MAX: u64 = 1000;

/// How Shapley values are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Estimator {
    /// Enumeration of all coalitions.
    Exact,
    /// Antithetic pairs of permutations, stratified by background row.
    AntitheticPermutation,
}

impl Estimator {
    /// Its name in results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::AntitheticPermutation => "antithetic_permutation",
        }
    }
}

/// What an explanation costs at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Model rows, background and explained row included. An upper bound: mixtures equal to a row already known are not
    /// asked again, and identical background rows count once.
    pub model_rows: u64,
    /// The estimator that would run.
    pub estimator: Estimator,
}

/// What explaining one row costs at most, for `background_rows` distinct background rows and `varying_features` features
/// that differ from them. A budget that [`crate::shapley`] would refuse gives the least cost that works instead.
#[must_use]
pub fn cost(background_rows: usize, varying_features: usize, budget: Budget) -> Cost {
    let known = (background_rows as u64).saturating_add(1);
    match plan(background_rows, varying_features, budget) {
        Ok(Plan::Exact) | Err(Refusal::TooManyFeatures) => Cost {
            model_rows: known.saturating_add(enumerated_rows(background_rows, varying_features)),
            estimator: Estimator::Exact,
        },
        Ok(Plan::Pairs(pairs)) => Cost {
            model_rows: known.saturating_add(pairs.saturating_mul(rows_per_pair(varying_features))),
            estimator: Estimator::AntitheticPermutation,
        },
        Err(Refusal::BudgetTooSmall { needed }) => {
            Cost { model_rows: needed, estimator: Estimator::AntitheticPermutation }
        }
    }
}

/// What to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Exact,
    /// This many pairs of permutations.
    Pairs(u64),
}

/// Why nothing can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooManyFeatures,
    BudgetTooSmall { needed: u64 },
}

pub(crate) fn plan(background_rows: usize, varying: usize, budget: Budget) -> Result<Plan, Refusal> {
    let background = background_rows as u64;
    match budget {
        _ if varying <= 1 => Ok(Plan::Exact),
        Budget::Exact if varying <= EXACT_FEATURES_MAX => Ok(Plan::Exact),
        Budget::Exact => Err(Refusal::TooManyFeatures),
        Budget::Auto if varying <= EXACT_FEATURES_AUTO => Ok(Plan::Exact),
        Budget::Auto => {
            let rounds = PAIRS_AUTO_MIN.div_ceil(background.max(1));
            Ok(Plan::Pairs(background.saturating_mul(rounds).min(PAIRS_AUTO_MAX)))
        }
        Budget::Rows(rows) => {
            let known = background.saturating_add(1);
            let left = rows.saturating_sub(known);
            if varying <= EXACT_FEATURES_MAX && enumerated_rows(background_rows, varying) <= left {
                return Ok(Plan::Exact);
            }
            match left / rows_per_pair(varying) {
                0 => Err(Refusal::BudgetTooSmall { needed: known.saturating_add(rows_per_pair(varying)) }),
                pairs => Ok(Plan::Pairs(pairs)),
            }
        }
    }
}

/// All coalitions but the empty and the full one, for each background row.
fn enumerated_rows(background_rows: usize, varying: usize) -> u64 {
    let coalitions = 1_u64.checked_shl(varying as u32).unwrap_or(u64::MAX);
    coalitions.saturating_sub(2).saturating_mul(background_rows as u64)
}

/// The proper prefixes of a permutation and their complements.
const fn rows_per_pair(varying: usize) -> u64 {
    2 * (varying as u64).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_of_a_run() {
        use Budget::{Auto, Exact, Rows};
        use Estimator::AntitheticPermutation as Sampled;
        let check = |background, varying, budget, model_rows, estimator| {
            assert_eq!(cost(background, varying, budget), Cost { model_rows, estimator }, "{background} {varying}");
        };
        check(100, 30, Auto, 5_901, Sampled);
        check(50, 30, Auto, 5_851, Sampled);
        check(50, 30, Rows(2_951), 2_951, Sampled);
        check(100, 10, Auto, 102_301, Estimator::Exact);
        check(100, 10, Rows(5_000), 4_997, Sampled);
        check(100, 6, Rows(6_301), 6_301, Estimator::Exact);
        check(1, 13, Rows(8_192), 8_192, Estimator::Exact);
        check(4, 16, Exact, 4 * 65_534 + 5, Estimator::Exact);
        check(5_000, 30, Auto, 5_001 + 1_000 * 58, Sampled);
        check(10, 0, Auto, 11, Estimator::Exact);
        check(10, 1, Rows(0), 11, Estimator::Exact);
        check(10, 30, Rows(12), 69, Sampled);
        check(usize::MAX, 200, Exact, u64::MAX, Estimator::Exact);
    }
}
