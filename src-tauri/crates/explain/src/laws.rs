//! What must hold for every model, background and row.

use std::cell::{Cell, RefCell};

use proptest::collection::vec;
use proptest::prelude::*;

use crate::{
    Budget, Control, ExplainError, Explainer, Matrix, Model, ModelError, Options, Progress, RowOrigin,
    ShapleyExplanation, ShapleyRequest, cost, shapley,
};

/// A model made of a function from one row to its outputs.
struct Function<F>(F);

impl<F: Fn(&[f64]) -> Vec<f64>> Model for Function<F> {
    fn predict(&self, rows: &Matrix) -> Result<Matrix, ModelError> {
        let answers: Vec<Vec<f64>> = rows.iter().map(&self.0).collect();
        Matrix::from_rows(&answers).ok_or_else(|| ModelError::new("uneven answers"))
    }
}

/// Two outputs with interactions of every order, finite for every input.
fn tangled(row: &[f64]) -> Vec<f64> {
    let plain = |value: &f64| if value.is_finite() { value.clamp(-1e3, 1e3) } else { 0.5 };
    let sum: f64 = row.iter().enumerate().map(|(index, value)| plain(value) * (index as f64 + 1.0)).sum();
    let product: f64 = row.iter().map(|value| 1.0 + plain(value).sin() / 2.0).product();
    vec![product + sum.cos(), sum.tanh() * 40.0]
}

fn explain(model: &dyn Model, background: &Matrix, row: &[f64], budget: Budget, seed: u64) -> ShapleyExplanation {
    Explainer::new(model, background, None)
        .unwrap()
        .explain(row, &Options { budget, seed, ..Options::default() })
        .unwrap()
}

/// A background, its weights and a row of the same few distinct values, so that ties, duplicates and NaN are frequent.
fn tables() -> impl Strategy<Value = (Matrix, Vec<f64>, Vec<f64>)> {
    let value = prop_oneof![
        4 => (0_i8..4).prop_map(f64::from),
        2 => -2.0..2.0,
        1 => Just(f64::NAN),
        1 => Just(1.0 + 1e-9),
    ];
    (1_usize..7, 1_usize..13).prop_flat_map(move |(columns, rows)| {
        let values = vec(value.clone(), columns * rows).prop_map(move |data| Matrix { data, columns });
        (values, vec(0.01..3.0, rows), vec(value.clone(), columns))
    })
}

fn budgets() -> impl Strategy<Value = Budget> {
    prop_oneof![Just(Budget::Auto), Just(Budget::Exact), (0_u64..400).prop_map(Budget::Rows)]
}

proptest! {
    /// The attributions add up to the prediction minus the base value, whatever part of the background was drawn.
    #[test]
    fn local_accuracy((background, weights, row) in tables(), budget in budgets(), seed: u64) {
        let model = Function(tangled);
        let mut explainer = Explainer::new(&model, &background, Some(&weights)).unwrap();
        let explanation = match explainer.explain(&row, &Options { budget, seed, ..Options::default() }) {
            Err(ExplainError::BudgetTooSmall { needed, .. }) => {
                // The error names a budget that works.
                explainer.explain(&row, &Options { budget: Budget::Rows(needed), seed, ..Options::default() }).unwrap()
            }
            other => other.unwrap(),
        };
        for (output, attributions) in explanation.attributions.iter().enumerate() {
            let difference = explanation.prediction[output] - explanation.base_value[output];
            let sum: f64 = attributions.iter().map(|attribution| attribution.value).sum();
            if explanation.varying.contains(&true) {
                prop_assert!((sum - difference).abs() <= 1e-9, "{sum} != {difference}");
            }
            for (attribution, varying) in attributions.iter().zip(&explanation.varying) {
                prop_assert!(attribution.value.is_finite());
                prop_assert!(*varying || attribution.value.to_bits() == 0);
                if let (Some(low), Some(high), Some(error)) = (attribution.low, attribution.high, attribution.standard_error) {
                    prop_assert!(low <= attribution.value && attribution.value <= high && error >= 0.0);
                }
            }
        }
    }

    /// The batch size changes neither the figures nor the number of rows, and earlier explanations leave no trace.
    #[test]
    fn batches_and_order_leave_no_trace(
        (background, _, row) in tables(), budget in budgets(), seed: u64, batch_rows in 1_usize..40,
    ) {
        let model = Function(tangled);
        let options = Options { budget, seed, ..Options::default() };
        let mut fresh = Explainer::new(&model, &background, None).unwrap();
        let Ok(expect) = fresh.explain(&row, &options) else { return Ok(()) };
        let mut used = Explainer::new(&model, &background, None).unwrap();
        let other: Vec<f64> = row.iter().map(|value| value + 1.0).collect();
        used.explain(&other, &Options::default()).unwrap();
        let got = used.explain(&row, &Options { batch_rows, ..options }).unwrap();
        prop_assert_eq!(&got.attributions, &expect.attributions);
        prop_assert_eq!(got.model_rows + used.background_rows() as u64, expect.model_rows);
    }

    /// The announced cost is never exceeded, and the progress ends at its own total.
    #[test]
    fn cost_is_an_upper_bound((background, _, row) in tables(), budget in budgets(), seed: u64) {
        let model = Function(tangled);
        let last = Cell::new(Progress { done_rows: 0, total_rows: 0 });
        let progress = |now| { last.set(now); Control::Continue };
        let request =
            ShapleyRequest { background: &background, weights: None, row: &row, budget, seed, batch_rows: 7, progress: &progress };
        let Ok(explanation) = shapley(&model, &request) else { return Ok(()) };
        let explainer = Explainer::new(&model, &background, None).unwrap();
        let varying = explanation.varying.iter().filter(|varying| **varying).count();
        let cost = cost(explainer.background_rows(), varying, budget);
        prop_assert!(explanation.model_rows <= cost.model_rows);
        prop_assert_eq!(explanation.estimator.as_str(), cost.estimator.as_str());
        prop_assert_eq!(last.get(), Progress { done_rows: explanation.model_rows, total_rows: explanation.model_rows });
        if let (Budget::Rows(rows), true) = (budget, varying > 1) {
            prop_assert!(explanation.model_rows <= rows);
        }
    }

    /// A feature the model does not look at gets exactly 0, sampled or not, while there is another to attribute to. When
    /// only part of the background was drawn, the rest of the difference belongs to rows that nobody looked at, and every
    /// varying feature has its part in it: nothing tells which of them earned it.
    #[test]
    fn dummy_gets_nothing((background, _, row) in tables(), budget in budgets(), seed: u64) {
        let ignored = row.len() - 1;
        let model = Function(|row: &[f64]| tangled(&row[..row.len() - 1]));
        let mut explainer = Explainer::new(&model, &background, None).unwrap();
        let Ok(explanation) = explainer.explain(&row, &Options { budget, seed, ..Options::default() }) else {
            return Ok(());
        };
        let varying = explanation.varying.iter().filter(|varying| **varying).count() as u64;
        let rows = background.rows() as u64;
        let partial = explanation.estimator == "antithetic_permutation"
            && matches!(budget, Budget::Rows(most) if most < rows + 1 + rows * 2 * (varying - 1));
        // A difference too small to count as varying still moves the prediction a little, and that goes to somebody.
        let close = background.iter().any(|other| {
            row.iter().zip(other).zip(&explanation.varying).any(|((x, b), varying)| !varying && x.to_bits() != b.to_bits())
        });
        for attributions in &explanation.attributions {
            prop_assert!(close || partial || attributions[ignored].value == 0.0);
        }
    }

    /// Two features that the model treats alike, and whose values are alike everywhere, get the same.
    #[test]
    fn symmetric_features_get_the_same((background, _, row) in tables()) {
        let doubled = |row: &[f64]| -> Vec<f64> { row.iter().chain(&row[..1]).copied().collect() };
        let background = Matrix::from_rows(&background.iter().map(doubled).collect::<Vec<_>>()).unwrap();
        let model = Function(|row: &[f64]| {
            let last = row.len() - 1;
            let plain = |value: f64| if value.is_nan() { 0.5 } else { value };
            let both = plain(row[0]) + plain(row[last]);
            tangled(&row[1..last]).into_iter().map(|output| output * both.sin() + both).collect()
        });
        let explanation = explain(&model, &background, &doubled(&row), Budget::Exact, 0);
        for attributions in &explanation.attributions {
            let (first, last) = (attributions[0].value, attributions[attributions.len() - 1].value);
            prop_assert!((first - last).abs() <= 1e-9, "{first} != {last}");
        }
    }

    /// Renaming the codes of categories changes nothing while every background row is drawn: values are only copied.
    #[test]
    fn codes_are_only_names(codes in vec(vec(0_u8..4, 5), 1..9), row in vec(0_u8..4, 5), budget in budgets(), seed: u64) {
        let names = [17.0, -3.0, f64::NAN, 250.0];
        let renamed = |row: &Vec<u8>| -> Vec<f64> { row.iter().map(|code| names[usize::from(*code)]).collect() };
        let plain = |row: &Vec<u8>| -> Vec<f64> { row.iter().map(|code| f64::from(*code)).collect() };
        let back = |value: &f64| names.iter().position(|name| name.to_bits() == value.to_bits()).unwrap() as f64;
        let table = |values: &dyn Fn(&Vec<u8>) -> Vec<f64>| Matrix::from_rows(&codes.iter().map(values).collect::<Vec<_>>()).unwrap();
        let options = Options { budget, seed, ..Options::default() };
        let by_code = Function(tangled);
        let by_name = Function(|row: &[f64]| tangled(&row.iter().map(back).collect::<Vec<_>>()));
        let mut left = Explainer::new(&by_code, &table(&plain), None).unwrap();
        let mut right = Explainer::new(&by_name, &table(&renamed), None).unwrap();
        let (left, right) = (left.explain(&plain(&row), &options), right.explain(&renamed(&row), &options));
        let (Ok(left), Ok(right)) = (left, right) else { return Ok(()) };
        // Fewer pairs than background rows: the control variate may move the estimate, never the sum.
        let few = left.estimator == "antithetic_permutation" && left.model_rows < 8 * 8 + 9;
        if !few {
            for (left, right) in left.attributions.iter().flatten().zip(right.attributions.iter().flatten()) {
                prop_assert_eq!(left.value.to_bits(), right.value.to_bits());
            }
        }
    }
}

/// A fixed background of `rows` × 5 and a row, spread over several scales; the last column holds codes 0 to 3.
fn fixed_table(rows: usize) -> (Matrix, Vec<f64>) {
    let value = |index: usize| ((index * 7919 + 13) % 101) as f64 / 50.0 - 1.0;
    let mut data: Vec<f64> = (0..rows * 5).map(value).collect();
    for (index, code) in data.iter_mut().skip(4).step_by(5).enumerate() {
        *code = (index * index % 4) as f64;
    }
    (Matrix { data, columns: 5 }, vec![1.4, -1.2, 0.95, 1.7, 3.0])
}

/// Looks its last column up as a category: the code's size means nothing.
fn categorical(row: &[f64]) -> Vec<f64> {
    let effect = [2.0, -1.0, 0.5, -3.0][row[4] as usize];
    vec![effect * row[0] + (row[1] * row[2]).exp() + row[3] + effect]
}

/// Over many seeds the sampled estimate is centred on the exact value and its standard error matches its spread, with
/// several pairs per background row, with one, with some, and with fewer pairs than background rows.
#[test]
fn sampling_is_centred_and_knows_its_error() {
    let model = Function(categorical);
    let check = |background_rows: usize, weighted: bool, pairs: u64| {
        const SEEDS: u64 = 400;
        let (background, row) = fixed_table(background_rows);
        let weights: Vec<f64> =
            (0..background_rows).map(|index| 1.0 + f64::from(u8::from(weighted)) * (index % 5) as f64).collect();
        let mut explainer = Explainer::new(&model, &background, Some(&weights)).unwrap();
        let exact = explainer.explain(&row, &Options { budget: Budget::Exact, ..Options::default() }).unwrap();
        let budget = Budget::Rows(background_rows as u64 + 1 + pairs * 8);
        let runs: Vec<ShapleyExplanation> = (0..SEEDS)
            .map(|seed| explainer.explain(&row, &Options { budget, seed, ..Options::default() }).unwrap())
            .collect();
        assert_eq!(runs[0].estimator, "antithetic_permutation", "{background_rows} rows, {pairs} pairs");
        for (feature, exact) in exact.attributions[0].iter().enumerate() {
            let values = || runs.iter().map(|run| run.attributions[0][feature]);
            let mean = values().map(|got| got.value).sum::<f64>() / SEEDS as f64;
            let spread = (values().map(|got| (got.value - exact.value).powi(2)).sum::<f64>() / SEEDS as f64).sqrt();
            let stated = (values().map(|got| got.standard_error.unwrap().powi(2)).sum::<f64>() / SEEDS as f64).sqrt();
            let what = format!("{background_rows} rows, weighted {weighted}, {pairs} pairs, feature {feature}");
            let bias = (mean - exact.value).abs();
            // Five standard errors of the mean; with part of the background a fitted slope adds a bias of second order.
            let part = if pairs < background_rows as u64 { 0.25 } else { 0.0 };
            assert!(
                bias <= spread * (5.0 / (SEEDS as f64).sqrt() + part) + 1e-12,
                "{what}: bias {bias}, spread {spread}"
            );
            assert!(stated >= 0.85 * spread - 1e-9, "{what}: stated {stated}, spread {spread}");
        }
    };
    check(30, false, 30);
    check(30, false, 60);
    check(30, false, 75);
    check(30, true, 30);
    check(30, true, 90);
    check(30, true, 40);
    check(1, false, 3);
    check(60, false, 20);
    check(60, true, 20);
    check(60, false, 6);
}

#[test]
fn the_seed_names_the_result() {
    let (background, row) = fixed_table(40);
    let model = Function(categorical);
    let run = |seed| explain(&model, &background, &row, Budget::Rows(300), seed);
    assert_eq!(run(7), run(7));
    assert_eq!(run(7).seed, 7);
    assert_ne!(run(7).attributions, run(8).attributions);
}

#[test]
fn one_pair_alone_states_no_error() {
    let (background, row) = fixed_table(10);
    let explanation = explain(&Function(categorical), &background, &row, Budget::Rows(19), 1);
    assert_eq!(explanation.estimator, "antithetic_permutation");
    assert!(explanation.attributions[0].iter().all(|attribution| attribution.standard_error.is_none()));
}

#[test]
fn a_background_is_predicted_once() {
    let (background, row) = fixed_table(10);
    let asked = RefCell::new(Vec::new());
    let model = Function(|row: &[f64]| {
        asked.borrow_mut().push(row.to_vec());
        categorical(row)
    });
    let mut explainer = Explainer::new(&model, &background, None).unwrap();
    let first = explainer.explain(&row, &Options::default()).unwrap();
    let second = explainer.explain(&row, &Options::default()).unwrap();
    assert_eq!(first.attributions, second.attributions);
    assert_eq!(first.model_rows, second.model_rows + 10);
    for other in background.iter() {
        assert_eq!(asked.borrow().iter().filter(|row| *row == other).count(), 1);
    }
}

#[test]
fn a_wish_to_stop_is_heard_at_once() {
    let (background, row) = fixed_table(40);
    let calls = Cell::new(0);
    let model = Function(|row: &[f64]| {
        calls.set(calls.get() + 1);
        categorical(row)
    });
    let progress = |now: Progress| if now.done_rows >= 60 { Control::Cancel } else { Control::Continue };
    let options = Options { batch_rows: 10, progress: &progress, ..Options::default() };
    let error = Explainer::new(&model, &background, None).unwrap().explain(&row, &options).unwrap_err();
    assert!(matches!(error, ExplainError::Cancelled));
    assert!(calls.get() < 70, "{} rows", calls.get());
}

#[test]
fn bad_answers_name_their_row() {
    let (background, row) = fixed_table(3);
    let check = |model: &dyn Model, expect_origin: RowOrigin, expect: &str| {
        for batch_rows in [1, 2, 1000] {
            let options = Options { batch_rows, ..Options::default() };
            let error = Explainer::new(model, &background, None).unwrap().explain(&row, &options).unwrap_err();
            let ExplainError::NonFiniteOutput { origin, .. } = &error else { panic!("{error}") };
            assert_eq!(*origin, expect_origin);
            assert!(error.to_string().contains(expect), "{error}");
        }
    };
    let second = background.row(1)[1];
    let nan_if = |bad: bool| if bad { f64::NAN } else { 1.0 };
    check(
        &Function(|row: &[f64]| vec![nan_if(row[1].to_bits() == second.to_bits() && row[0] < 1.4)]),
        RowOrigin::Background(1),
        "NaN as output 0 for background row 1",
    );
    check(
        &Function(|asked: &[f64]| vec![1.0, nan_if(asked == row)]),
        RowOrigin::Explained,
        "output 1 for the explained row, [1.4, -1.2",
    );
    let mixed = |asked: &[f64]| asked[0] > 1.3 && asked[1].to_bits() == second.to_bits();
    check(
        &Function(|asked: &[f64]| vec![if mixed(asked) { f64::INFINITY } else { 0.0 }]),
        RowOrigin::Mixed(1),
        "inf as output 0 for a mixture",
    );
}

/// A model that never answers.
struct Broken;

impl Model for Broken {
    fn predict(&self, _: &Matrix) -> Result<Matrix, ModelError> {
        Err(ModelError::new("the endpoint answered 503"))
    }
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let (background, row) = fixed_table(12);
    let check = |model: &dyn Model, row: &[f64], options: &Options<'_>, expect: &str| {
        let error = Explainer::new(model, &background, None).unwrap().explain(row, options).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    let model = Function(categorical);
    let auto = Options::default();
    check(&model, &row[..4], &auto, "the row has 4 features and the background 5");
    check(&model, &row, &Options { batch_rows: 0, ..Options::default() }, "batch of 0 rows");
    check(&model, &row, &Options { budget: Budget::Rows(20), ..Options::default() }, "needs at least 21");
    check(&Function(|_: &[f64]| Vec::new()), &row, &auto, "expected 13 rows of at least 1");
    let first = Cell::new(true);
    let changing = Function(|_: &[f64]| vec![0.0; if first.get() { 1 } else { 2 }]);
    let after_first = |now: Progress| {
        first.set(now.done_rows == 0);
        Control::Continue
    };
    check(
        &changing,
        &row,
        &Options { batch_rows: 13, progress: &after_first, ..Options::default() },
        "rows of 2 for 13 rows; expected 13 rows of 1",
    );

    check(&Broken, &row, &auto, "a batch of 13 rows: the endpoint answered 503");

    let wide = Matrix { data: vec![0.0; 20], columns: 20 };
    let sum = Function(|row: &[f64]| vec![row.iter().sum()]);
    let options = Options { budget: Budget::Exact, ..Options::default() };
    let error = Explainer::new(&sum, &wide, None).unwrap().explain(&[1.0; 20], &options).unwrap_err();
    assert!(error.to_string().contains("20 features differ"), "{error}");
}
