//! What the estimators themselves cost: rows per second with a model that costs next to nothing. Compare only figures of
//! one machine.

use divan::{Bencher, counter::ItemsCount};
use pilothouse_explain::{Budget, Explainer, Matrix, Model, ModelError, Options};

fn main() {
    divan::main();
}

/// Answers the sum of each row.
struct Sum;

impl Model for Sum {
    fn predict(&self, rows: &Matrix) -> Result<Matrix, ModelError> {
        Ok(Matrix { data: rows.iter().map(|row| row.iter().sum()).collect(), columns: 1 })
    }
}

fn explain(bencher: Bencher<'_, '_>, background_rows: usize, features: usize, budget: Budget) {
    let value = |index: usize| ((index * 7919) % 1009) as f64;
    let background = Matrix { data: (0..background_rows * features).map(value).collect(), columns: features };
    let row = vec![-1.0; features];
    let run = || {
        let options = Options { budget, ..Options::default() };
        let explained =
            Explainer::new(&Sum, &background, None).and_then(|mut explainer| explainer.explain(&row, &options));
        explained.map_or(0, |explanation| explanation.model_rows)
    };
    bencher.counter(ItemsCount::new(run())).bench(run);
}

/// Exact values of `features` features against 100 background rows; items are model rows.
#[divan::bench(args = [6, 10, 13])]
fn exact(bencher: Bencher<'_, '_>, features: usize) {
    explain(bencher, 100, features, Budget::Exact);
}

/// One antithetic pair for each of 100 background rows; items are model rows.
#[divan::bench(args = [12, 30, 100])]
fn antithetic_permutation(bencher: Bencher<'_, '_>, features: usize) {
    explain(bencher, 100, features, Budget::Auto);
}
