//! The metrics against the values of scikit-learn, and what is undefined.

use serde_json::Value;

use super::*;

fn reference() -> Vec<Value> {
    let text = include_str!("../../../../../tests/data/metrics.json");
    serde_json::from_str::<Value>(text).unwrap()["cases"].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn binary_task() -> Task {
    Task::Binary { classes: ["no".into(), "yes".into()] }
}

fn class_labels(value: &Value) -> Vec<Label> {
    value.as_array().unwrap().iter().map(|v| Label::Class(v.as_u64().unwrap() as u32)).collect()
}

fn quick() -> MetricOptions {
    MetricOptions { seed: 1, resamples: 50 }
}

#[track_caller]
fn check_against(metrics: &[Metric], expected: &Value, renamed: &[(&str, &str)], at_least: usize) {
    let mut compared = 0;
    for metric in metrics {
        let name =
            renamed.iter().find(|(ours, _)| *ours == metric.name).map_or(metric.name.as_str(), |(_, theirs)| theirs);
        let Some(expected) = expected[name].as_f64() else { continue };
        let found = metric.value.unwrap_or_else(|| panic!("{name} is undefined: {:?}", metric.why));
        assert!((found - expected).abs() <= 1e-12_f64.max(1e-10 * expected.abs()), "{name}: {found} for {expected}");
        compared += 1;
    }
    assert!(compared >= at_least, "only {compared} metrics were compared");
}

#[test]
fn binary_metrics_equal_scikit_learn() {
    let mut cases = 0;
    for case in reference() {
        let threshold_is_ours = case["expected"]["threshold"] == 0.5;
        if case["kind"] != "binary" || !threshold_is_ours || !case["weights"].is_null() {
            continue;
        }
        let labels = class_labels(&case["y"]);
        let one: Vec<Vec<f64>> = numbers(&case["p"]).into_iter().map(|p| vec![p]).collect();
        let metrics = evaluate(&binary_task(), &labels, &one, &quick()).unwrap();
        check_against(&metrics, &case["expected"], &[("ece", "ece_uniform_15")], 11);
        let both: Vec<Vec<f64>> = numbers(&case["p"]).into_iter().map(|p| vec![1.0 - p, p]).collect();
        assert_eq!(evaluate(&binary_task(), &labels, &both, &quick()).unwrap(), metrics);
        let [tn, fp, ..] = numbers(&case["expected"]["confusion_tn_fp_fn_tp"])[..] else { panic!("four cells") };
        assert_eq!(metrics[5].name, "specificity");
        assert!((metrics[5].value.unwrap() - tn / (tn + fp)).abs() < 1e-12);
        cases += 1;
    }
    assert_eq!(cases, 5);
}

/// Counting a row twice must equal writing it twice; this is what the bootstrap rests on.
#[test]
fn counts_equal_repeated_rows() {
    let scores = [0.9, 0.1, 0.5, 0.5, 0.4, 0.72, 0.3];
    let truth = [true, false, true, false, true, true, false];
    let counts = [2u32, 1, 0, 3, 1, 1, 2];
    let repeat = |row: usize| std::iter::repeat_n(row, counts[row] as usize);
    let rows: Vec<usize> = (0..7).flat_map(repeat).collect();
    let (mut counted, mut repeated) = ([0.0; 12], [0.0; 12]);
    binary::BinaryRows::new(truth.to_vec(), scores.to_vec()).score(&counts, &mut counted);
    let repeated_rows = binary::BinaryRows::new(
        rows.iter().map(|&row| truth[row]).collect(),
        rows.iter().map(|&row| scores[row]).collect(),
    );
    repeated_rows.score(&vec![1; rows.len()], &mut repeated);
    for (a, b) in counted.iter().zip(&repeated) {
        assert!((a - b).abs() < 1e-12, "{counted:?} {repeated:?}");
    }
    let values: Vec<f64> = scores.iter().map(|s| s * 10.0).collect();
    let (mut counted, mut repeated) = ([0.0; 6], [0.0; 6]);
    regression::RegressionRows::new(values.clone(), scores.to_vec()).score(&counts, &mut counted);
    regression::RegressionRows::new(
        rows.iter().map(|&row| values[row]).collect(),
        rows.iter().map(|&row| scores[row]).collect(),
    )
    .score(&vec![1; rows.len()], &mut repeated);
    for (a, b) in counted.iter().zip(&repeated) {
        assert!((a - b).abs() < 1e-12, "{counted:?} {repeated:?}");
    }
}

#[test]
fn multiclass_metrics_equal_scikit_learn() {
    let case = reference().into_iter().find(|case| case["kind"] == "multiclass").unwrap();
    let classes = ["a", "b", "c"].map(String::from).to_vec();
    let outputs: Vec<Vec<f64>> = case["P"].as_array().unwrap().iter().map(numbers).collect();
    let metrics = evaluate(&Task::Multiclass { classes }, &class_labels(&case["y"]), &outputs, &quick()).unwrap();
    let renamed =
        [("brier", "brier_multiclass_sum"), ("ece", "ece_toplabel_15"), ("roc_auc_macro", "roc_auc_ovr_macro")];
    check_against(&metrics, &case["expected"], &renamed, 14);
    let confusion: Vec<Vec<f64>> = case["expected"]["confusion"].as_array().unwrap().iter().map(numbers).collect();
    let recall = |class: usize| confusion[class][class] / confusion[class].iter().sum::<f64>();
    let balanced = metrics.iter().find(|m| m.name == "balanced_accuracy").unwrap().value.unwrap();
    assert!((balanced - (recall(0) + recall(1) + recall(2)) / 3.0).abs() < 1e-12);
}

#[test]
fn two_classes_as_multiclass_give_the_binary_correlation() {
    let case = &reference()[0];
    let labels = class_labels(&case["y"]);
    let outputs: Vec<Vec<f64>> = numbers(&case["p"]).into_iter().map(|p| vec![1.0 - p, p]).collect();
    let task = Task::Multiclass { classes: vec!["no".into(), "yes".into()] };
    let metrics = evaluate(&task, &labels, &outputs, &quick()).unwrap();
    check_against(
        &metrics,
        &case["expected"],
        &[("roc_auc_macro", "roc_auc"), ("brier", ""), ("ece", "ece_toplabel_15")],
        5,
    );
}

#[test]
fn regression_metrics_equal_scikit_learn() {
    let case = reference().into_iter().find(|case| case["kind"] == "regression").unwrap();
    let labels: Vec<Label> = numbers(&case["y"]).into_iter().map(Label::Value).collect();
    let outputs: Vec<Vec<f64>> = numbers(&case["p"]).into_iter().map(|p| vec![p]).collect();
    let metrics = evaluate(&Task::Regression, &labels, &outputs, &quick()).unwrap();
    check_against(&metrics, &case["expected"], &[], 6);
    assert_eq!(metrics[0].name, "r2");
}

fn metric<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
    metrics.iter().find(|metric| metric.name == name).unwrap()
}

#[test]
fn undefined_values_say_why() {
    let labels = vec![Label::Class(0); 3];
    let outputs = vec![vec![0.1], vec![0.2], vec![0.3]];
    let metrics = evaluate(&binary_task(), &labels, &outputs, &quick()).unwrap();
    assert_eq!(metrics[0].name, "accuracy");
    for name in ["roc_auc", "average_precision"] {
        let found = metric(&metrics, name);
        assert_eq!((found.value, found.low, found.why.as_deref()), (None, None, Some("no row is positive")), "{name}");
    }
    let precision = metric(&metrics, "precision");
    assert_eq!((precision.value, precision.low), (Some(0.0), None));
    assert!(precision.why.as_deref().unwrap().contains("by convention"));
    let one = evaluate(&Task::Regression, &[Label::Value(2.0)], &[vec![1.0]], &quick()).unwrap();
    assert_eq!((one[0].value, one[0].why.as_deref()), (None, Some("fewer than two rows")));
    assert_eq!(metric(&one, "mae").value, Some(1.0));
    let zero =
        evaluate(&Task::Regression, &[Label::Class(0), Label::Value(2.5)], &[vec![1.0], vec![2.0]], &quick()).unwrap();
    assert_eq!((metric(&zero, "mape").value, metric(&zero, "mape").why.as_deref()), (None, Some("a true value is 0")));
}

#[test]
fn intervals_hold_the_value_and_name_their_method() {
    let case = &reference()[0];
    let outputs: Vec<Vec<f64>> = numbers(&case["p"]).into_iter().map(|p| vec![p]).collect();
    let options = MetricOptions { seed: 7, resamples: 400 };
    let metrics = evaluate(&binary_task(), &class_labels(&case["y"]), &outputs, &options).unwrap();
    for metric in &metrics {
        let (value, low, high) = (metric.value.unwrap(), metric.low.unwrap(), metric.high.unwrap());
        // Calibration error is biased upwards in resamples, so its interval may lie above the value.
        assert!(low < high && (metric.name == "ece" || (low <= value && value <= high)), "{metric:?}");
    }
    assert_eq!(metric(&metrics, "accuracy").method, "wilson");
    assert_eq!(metric(&metrics, "roc_auc").method, "bootstrap(400, seed 7)");
    assert_eq!(metric(&metrics, "ece").method, "positive probability, 15 equal-width bins; bootstrap(400, seed 7)");
    assert_eq!(metrics, evaluate(&binary_task(), &class_labels(&case["y"]), &outputs, &options).unwrap());
    let none = MetricOptions { seed: 7, resamples: 0 };
    let metrics = evaluate(&binary_task(), &class_labels(&case["y"]), &outputs, &none).unwrap();
    assert_eq!(metric(&metrics, "roc_auc").low, None);
    assert!(metric(&metrics, "accuracy").low.is_some());
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let task = Task::Multiclass { classes: vec!["a".into(), "b".into(), "c".into()] };
    let go = |labels: &[Label], outputs: &[Vec<f64>]| evaluate(&task, labels, outputs, &quick()).unwrap_err();
    assert_eq!(go(&[], &[]), StatsError::NoRows);
    assert_eq!(go(&[Label::Class(3)], &[vec![0.2, 0.3, 0.5]]), StatsError::Label { row: 0 });
    assert_eq!(go(&[Label::Value(0.5)], &[vec![0.2, 0.3, 0.5]]), StatsError::Label { row: 0 });
    assert_eq!(go(&[Label::Class(0)], &[vec![0.2]]), StatsError::OutputShape { row: 0, found: 1, expected: 3 });
    assert_eq!(go(&[Label::Class(0)], &[vec![0.2, f64::NAN, 0.5]]), StatsError::NotFinite { row: 0 });
    assert!(matches!(go(&[Label::Class(0)], &[]), StatsError::LengthMismatch { .. }));
    assert!(matches!(correct(&Task::Regression, &[], &[]), Err(StatsError::WrongTask { .. })));
}

#[test]
fn right_answers_per_row() {
    let labels = [Label::Class(1), Label::Class(0), Label::Class(1)];
    let right = correct(&binary_task(), &labels, &[vec![0.5], vec![0.5], vec![0.8, 0.2]]).unwrap();
    assert_eq!(right, [true, false, false]);
}

#[test]
fn probabilities_on_an_edge_fall_into_the_lower_bin() {
    assert_eq!([0.0, 1e-9, 1.0 / 15.0, 0.0667, 0.2, 1.0].map(calibration_bin), [0, 0, 0, 1, 2, 14]);
}
