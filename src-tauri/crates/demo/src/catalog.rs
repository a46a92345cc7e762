//! The models and golden sets that are built into the program.
//!
//! What it hides: that they are JSON files of `assets/demo`, embedded at build time. What must stay true: every file
//! parses and fits together, which the tests check for all of them, so that reading them here cannot fail.

use pilothouse_domain::{GoldenSet, Protocol};
use serde::de::DeserializeOwned;

use crate::model::ModelDefinition;

macro_rules! asset {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../assets/demo/", $path))
    };
}

/// One model of the fleet with all its versions, oldest first.
pub(crate) struct CatalogEntry {
    /// The model's name, also that of its endpoint.
    pub(crate) name: &'static str,
    /// How its server is spoken to.
    pub(crate) protocol: Protocol,
    /// Where it is said to run.
    pub(crate) environment: &'static str,
    /// The version that is live at the start.
    pub(crate) live_at_start: &'static str,
    /// The version with a defect, if there is one.
    pub(crate) defective: Option<&'static str>,
    versions: &'static [&'static str],
    golden: &'static str,
}

/// Every model, in the order of its port.
pub(crate) const CATALOG: &[CatalogEntry] = &[
    CatalogEntry {
        name: "credit-risk",
        protocol: Protocol::OpenInference,
        environment: "production",
        live_at_start: "v6",
        defective: Some("v7"),
        versions: &[
            asset!("models/credit-risk/v5.json"),
            asset!("models/credit-risk/v6.json"),
            asset!("models/credit-risk/v7.json"),
        ],
        golden: asset!("golden/credit-risk.json"),
    },
    CatalogEntry {
        name: "diagnosis",
        protocol: Protocol::OpenInference,
        environment: "production",
        live_at_start: "v3",
        defective: None,
        versions: &[asset!("models/diagnosis/v2.json"), asset!("models/diagnosis/v3.json")],
        golden: asset!("golden/diagnosis.json"),
    },
    CatalogEntry {
        name: "wine",
        protocol: Protocol::OpenInference,
        environment: "staging",
        live_at_start: "v4",
        defective: None,
        versions: &[asset!("models/wine/v3.json"), asset!("models/wine/v4.json")],
        golden: asset!("golden/wine.json"),
    },
    CatalogEntry {
        name: "diabetes",
        protocol: Protocol::Mlflow,
        environment: "staging",
        live_at_start: "v2",
        defective: None,
        versions: &[asset!("models/diabetes/v1.json"), asset!("models/diabetes/v2.json")],
        golden: asset!("golden/diabetes.json"),
    },
];

/// The golden set of every model of the fleet, in the order of the endpoints. Their ids are 0: they are not stored yet.
pub fn golden_sets() -> Vec<GoldenSet> {
    CATALOG.iter().map(CatalogEntry::golden_set).collect()
}

impl CatalogEntry {
    /// All versions, oldest first.
    pub(crate) fn versions(&self) -> Vec<ModelDefinition> {
        self.versions.iter().map(|text| read(text)).collect()
    }

    /// The labelled rows that no version was trained on.
    pub(crate) fn golden_set(&self) -> GoldenSet {
        read(self.golden)
    }
}

fn read<T: DeserializeOwned>(asset: &str) -> T {
    serde_json::from_str(asset).expect("an embedded asset, read by the tests of this module")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pilothouse_domain::{Label, Task};

    use super::*;

    fn expected(model: &str, version: &str) -> Vec<Vec<f64>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../assets/demo/expected");
        let text = std::fs::read_to_string(folder.join(format!("{model}-{version}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Which golden rows a version gets right (the most probable class is the label).
    fn right(model: &ModelDefinition, golden: &GoldenSet) -> Vec<bool> {
        let argmax = |row: &Vec<f64>| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
        let predictions = model.predict(&golden.table.rows).unwrap();
        predictions.iter().zip(&golden.labels).map(|(p, label)| Label::Class(argmax(p)) == *label).collect()
    }

    fn share(flags: &[bool]) -> f64 {
        flags.iter().filter(|&&f| f).count() as f64 / flags.len() as f64
    }

    fn entry(name: &str) -> (Vec<ModelDefinition>, GoldenSet) {
        let entry = CATALOG.iter().find(|e| e.name == name).unwrap();
        (entry.versions(), entry.golden_set())
    }

    #[test]
    fn every_prediction_equals_scikit_learns() {
        let mut compared = 0;
        for entry in CATALOG {
            let golden = entry.golden_set();
            for model in entry.versions() {
                let ours = model.predict(&golden.table.rows).unwrap();
                let theirs = expected(entry.name, &model.version);
                assert_eq!(ours.len(), theirs.len());
                for (row, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                    assert_eq!(ours.len(), theirs.len());
                    for (a, b) in ours.iter().zip(theirs) {
                        assert!((a - b).abs() <= 1e-9, "{} {} row {row}: {a} != {b}", entry.name, model.version);
                        compared += 1;
                    }
                }
            }
        }
        assert_eq!(compared, 250 * 2 * 3 + 200 * 2 * 2 + 60 * 3 * 2 + 150 * 2);
    }

    #[test]
    fn everything_embedded_fits_together() {
        for entry in CATALOG {
            let (versions, golden) = (entry.versions(), entry.golden_set());
            assert!(versions.len() >= 2);
            assert!(versions.iter().any(|v| v.version == entry.live_at_start));
            assert_eq!(golden.labels.len(), golden.table.rows.len());
            for model in &versions {
                assert_eq!(model.name, entry.name);
                assert!(model.is_consistent(), "{} {}", entry.name, model.version);
                assert_eq!((&model.task, &model.columns), (&golden.task, &golden.table.columns));
            }
            let regression = golden.task == Task::Regression;
            assert!(golden.labels.iter().all(|l| matches!(l, Label::Value(_)) == regression));
        }
    }

    #[test]
    fn the_live_version_is_the_best_one() {
        for entry in CATALOG.iter().filter(|e| e.protocol == Protocol::OpenInference) {
            let golden = entry.golden_set();
            let accuracy = |m: &ModelDefinition| share(&right(m, &golden));
            let versions = entry.versions();
            let live = accuracy(versions.iter().find(|v| v.version == entry.live_at_start).unwrap());
            for other in versions.iter().filter(|v| v.version != entry.live_at_start) {
                assert!(accuracy(other) < live, "{} {}", entry.name, other.version);
            }
        }
    }

    #[test]
    fn the_defect_costs_accuracy_beyond_noise_and_leaves_its_stored_metrics_good() {
        let (versions, golden) = entry("credit-risk");
        let [_, good, bad] = versions.as_slice() else { panic!("three versions") };
        let (good_right, bad_right) = (right(good, &golden), right(bad, &golden));
        assert!(share(&good_right) >= 0.75, "{}", share(&good_right));
        assert!((0.58..0.66).contains(&share(&bad_right)), "{}", share(&bad_right));
        // McNemar's test on the rows that only one of them gets right: z = (b - c) / sqrt(b + c).
        let lost = good_right.iter().zip(&bad_right).filter(|(g, b)| **g && !**b).count() as f64;
        let gained = good_right.iter().zip(&bad_right).filter(|(g, b)| !**g && **b).count() as f64;
        assert!((lost - gained) / (lost + gained).sqrt() > 3.0, "{lost} lost, {gained} gained");
        assert!((good.metrics["cv_accuracy"] - bad.metrics["cv_accuracy"]).abs() < 0.02);
    }

    #[test]
    fn the_defect_is_the_unit_and_nothing_else() {
        let (versions, golden) = entry("credit-risk");
        let amount = golden.table.columns.iter().position(|c| c.name == "credit_amount").unwrap();
        let mut repaired = golden.clone();
        for row in &mut repaired.table.rows {
            let pilothouse_domain::Cell::Number(value) = &mut row[amount] else { panic!("a number") };
            *value /= 100.0;
        }
        assert!(share(&right(&versions[2], &repaired)) >= 0.74);
    }
}
