//! Reading MLflow's JSON answers.
//!
//! What must stay true: any JSON is read without a panic. MLflow writes 64-bit integers as numbers here but as strings
//! in other versions, and NaN as a string, as protobuf's JSON mapping does; both are accepted.

use std::collections::BTreeMap;

use pilothouse_domain::{ModelVersion, TimestampMs, VersionId};
use serde_json::Value;

/// One page of `model-versions/search`.
#[derive(Debug, PartialEq)]
pub(super) struct VersionPage {
    /// The versions, each with the id of the run that made it.
    pub(super) versions: Vec<(ModelVersion, Option<String>)>,
    /// The token of the next page.
    pub(super) next: Option<String>,
}

/// The version in the answer of `registered-models/alias`.
pub(super) fn alias_target(answer: &Value) -> Option<VersionId> {
    text_or_number(answer.pointer("/model_version/version")?).map(VersionId)
}

/// Whether a refusal says that the alias does not exist ("Registered model alias champion not found.").
pub(super) fn is_missing_alias(message: &str) -> bool {
    message.contains("alias") && message.contains("not found")
}

/// The versions of an answer of `model-versions/search`; a registered model without versions is `{}`.
pub(super) fn version_page(answer: &Value) -> Result<VersionPage, String> {
    let listed = match answer.get("model_versions") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(listed)) => listed,
        Some(_) => return Err("its `model_versions` is not a list".into()),
    };
    let versions = listed.iter().map(version).collect::<Option<_>>();
    let next = answer.get("next_page_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    Ok(VersionPage {
        versions: versions.ok_or("an entry of its `model_versions` lacks `version`")?,
        next: next.map(ToOwned::to_owned),
    })
}

/// The last value of each metric in an answer of `runs/get`, and whether the run is over.
pub(super) fn run_metrics(answer: &Value) -> (BTreeMap<String, f64>, bool) {
    let listed = answer.pointer("/run/data/metrics").and_then(Value::as_array);
    let metrics = listed
        .into_iter()
        .flatten()
        .filter_map(|metric| Some((metric.get("key")?.as_str()?.to_owned(), metric.get("value")?.as_f64()?)))
        .filter(|(_, value)| value.is_finite())
        .collect();
    let status = answer.pointer("/run/info/status").and_then(Value::as_str);
    (metrics, matches!(status, Some("FINISHED" | "FAILED" | "KILLED")))
}

fn version(entry: &Value) -> Option<(ModelVersion, Option<String>)> {
    let id = VersionId(text_or_number(entry.get("version")?)?);
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut labels = BTreeMap::new();
    for key in ["status", "status_message", "description", "source", "run_id", "user_id"] {
        labels.extend(text(key).map(|value| (key.to_owned(), value.to_owned())));
    }
    // Stages are MLflow's older way; "None" is what every version without one says.
    labels.extend(text("current_stage").filter(|stage| *stage != "None").map(|stage| ("stage".into(), stage.into())));
    for tag in entry.get("tags").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(key), Some(value)) =
            (tag.get("key").and_then(Value::as_str), tag.get("value").and_then(Value::as_str))
        {
            labels.insert(format!("tag:{key}"), value.to_owned());
        }
    }
    let created = entry.get("creation_timestamp").and_then(|at| at.as_i64().or_else(|| at.as_str()?.parse().ok()));
    let ready = text("status").is_none_or(|status| status == "READY");
    let version = ModelVersion { id, created: created.map(TimestampMs), ready, labels, metrics: BTreeMap::new() };
    Some((version, text("run_id").map(ToOwned::to_owned)))
}

fn text_or_number(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// As answered by MLflow 3.17.2, shortened.
    #[test]
    fn a_page_of_versions_is_read() {
        let answer = json!({"model_versions": [
            {"name": "bc", "version": "3", "creation_timestamp": 1_795_330_411_306_i64, "current_stage": "None",
             "description": "", "source": "models:/m-1", "run_id": "0f46", "status": "READY", "run_link": ""},
            {"name": "bc", "version": 2, "creation_timestamp": "1795330399959", "current_stage": "Production",
             "status": "FAILED_REGISTRATION", "tags": [{"key": "team", "value": "risk"}, {"key": 1}]},
        ], "next_page_token": "eyJv"});
        let page = version_page(&answer).unwrap();
        assert_eq!(page.next.as_deref(), Some("eyJv"));
        let (three, run) = &page.versions[0];
        assert_eq!((three.id.as_str(), three.created, three.ready), ("3", Some(TimestampMs(1_795_330_411_306)), true));
        assert_eq!((run.as_deref(), three.labels.contains_key("stage")), (Some("0f46"), false));
        let (two, run) = &page.versions[1];
        assert_eq!((two.id.as_str(), two.created, two.ready), ("2", Some(TimestampMs(1_795_330_399_959)), false));
        assert_eq!((two.labels["stage"].as_str(), two.labels["tag:team"].as_str(), run), ("Production", "risk", &None));
        assert_eq!(version_page(&json!({})).unwrap(), VersionPage { versions: vec![], next: None });
        assert!(version_page(&json!({"model_versions": {}})).is_err());
        assert!(version_page(&json!({"model_versions": [{}]})).is_err());
    }

    #[test]
    fn metrics_that_are_not_numbers_are_left_out() {
        let answer = json!({"run": {"info": {"status": "FINISHED"}, "data": {"metrics": [
            {"key": "accuracy", "value": 0.62}, {"key": "loss", "value": "NaN"}, {"value": 1}]}}});
        assert_eq!(run_metrics(&answer), (BTreeMap::from([("accuracy".into(), 0.62)]), true));
        assert_eq!(run_metrics(&json!({"run": {"info": {"status": "RUNNING"}}})), (BTreeMap::new(), false));
    }

    #[test]
    fn a_missing_alias_is_told_from_other_bad_requests() {
        assert!(is_missing_alias("Registered model alias nope not found."));
        assert!(!is_missing_alias("Missing value for required parameter 'alias'."));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let keys = "model_versions|version|next_page_token|run|data|metrics|info|key|value|tags|status|[a-z]{0,3}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(keys, inner, 0..5).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// Law: any JSON is read without a panic.
        #[test]
        fn any_json_is_read(answer in any_json()) {
            alias_target(&answer);
            version_page(&answer).ok();
            run_metrics(&answer);
        }
    }
}
