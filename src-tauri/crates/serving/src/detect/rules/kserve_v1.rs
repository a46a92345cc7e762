//! The V1 protocol: `KServe` (and `KFServing` before it), and `TensorFlow` Serving's REST API, whose paths coincide.
//!
//! Source: `KServe` by its real SDK server; `TensorFlow` Serving by its documentation and source
//! (`http_rest_api_handler.cc`: "Malformed request: METHOD PATH"), since no binary of it is in a registry of packages.

use serde_json::Value;

use crate::detect::DetectedModel;
use crate::detect::finding::{Finding, Need};
use crate::detect::reply::{Ask, Seen};

/// `GET /v1/models` lists names alone: `{"models": ["bc"]}`, without the `data` of OpenAI-compatible servers.
pub(super) fn kserve(seen: Seen<'_>) -> Option<Finding> {
    let hinted = seen.hints.model.as_deref().map(|name| (name, Ask::get_segments(&["v1", "models", name])));
    let told = hinted.as_ref().and_then(|(name, ask)| {
        let json = seen.replies.to(ask)?.json()?;
        let ready = json.get("ready")?;
        let ready = ready.as_bool().or_else(|| ready.as_str().map(|word| word.eq_ignore_ascii_case("true")))?;
        (json.get("name")?.as_str()? == *name).then_some(ready)
    });
    let listed = seen.replies.json("/v1/models").and_then(|json| {
        let names = json.get("models")?.as_array()?;
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        (json.get("data").is_none() && json.as_object()?.len() == 1).then_some(names)
    });
    if listed.is_none() && told.is_none() {
        return None;
    }
    let is_alive =
        seen.replies.json("/").is_some_and(|json| json.get("status").and_then(Value::as_str) == Some("alive"));
    let is_alive = is_alive || seen.replies.text("/").is_some_and(|text| text.trim() == "Alive");
    let confidence = match (is_alive, told.is_some()) {
        (true, _) => 0.9,
        (false, true) => 0.8,
        (false, false) => 0.65,
    };
    let mut finding = Finding::model("kserve", "KServe model server (V1)", "v1", confidence);
    if is_alive {
        finding.evidence.push("`GET /` says that it is alive, as KServe words it".into());
    }
    if let Some(listed) = &listed {
        finding.evidence.push(format!("`GET /v1/models` lists {} models", listed.len()));
        finding.models =
            listed.iter().take(crate::detect::MAX_MODELS).map(|name| DetectedModel::named(*name)).collect();
    }
    if let (Some((name, _)), Some(ready)) = (&hinted, told) {
        finding.evidence.push(format!("`GET /v1/models/{name}` says {}", if ready { "ready" } else { "not ready" }));
        let known = finding.models.iter_mut().find(|model| model.name == *name);
        match known {
            Some(model) => model.ready = Some(ready),
            None => finding.models.push(DetectedModel { ready: Some(ready), ..DetectedModel::named(*name) }),
        }
    }
    finding.predict = Some(predict_path(&finding.models));
    finding.asks.extend(hinted.map(|(_, ask)| ask));
    Some(finding)
}

/// `TensorFlow` Serving refuses what it does not know with `Malformed request: GET /v2`, and tells the state of a named model.
pub(super) fn tensorflow(seen: Seen<'_>) -> Option<Finding> {
    let refused = seen.replies.iter().find(|reply| {
        let error = reply.any_json().and_then(|json| json.get("error")?.as_str());
        error.is_some_and(|error| error.starts_with("Malformed request: "))
    });
    let hinted = seen.hints.model.as_deref().map(|name| (name, Ask::get_segments(&["v1", "models", name])));
    let states =
        hinted.as_ref().and_then(|(_, ask)| seen.replies.to(ask)?.json()?.get("model_version_status")?.as_array());
    if refused.is_none() && states.is_none() {
        return None;
    }
    let confidence = if states.is_some() { 0.95 } else { 0.85 };
    let mut finding = Finding::model("tensorflow-serving", "TensorFlow Serving", "v1", confidence);
    if let Some(reply) = refused {
        finding.evidence.push(format!(
            "`{}` was refused as TensorFlow Serving words it ({})",
            reply.ask.path(),
            reply.words()
        ));
    }
    match (&hinted, states) {
        (Some((name, _)), Some(states)) => {
            finding.evidence.push(format!("`GET /v1/models/{name}` tells the state of {} versions", states.len()));
            let state = |entry: &&Value| entry.get("state").and_then(Value::as_str) == Some("AVAILABLE");
            let available: Vec<&Value> = states.iter().filter(state).collect();
            let version = |entry: &&Value| entry.get("version").and_then(Value::as_str).map(str::to_owned);
            let mut model = DetectedModel::named(*name);
            model.versions = available.iter().filter_map(version).take(100).collect();
            model.ready = Some(!available.is_empty());
            finding.models.push(model);
        }
        (Some((name, _)), None) => {
            finding.models.push(DetectedModel::named(*name));
        }
        (None, _) => finding.needs.push(Need::ModelName {
            why: "TensorFlow Serving does not list its models; name the one to watch (the option --model_name, or models.config)"
                .into(),
        }),
    }
    finding.predict = Some(predict_path(&finding.models));
    finding.asks.extend(hinted.map(|(_, ask)| ask));
    Some(finding)
}

fn predict_path(models: &[DetectedModel]) -> String {
    format!("/v1/models/{}:predict", models.first().map_or("{model}", |model| model.name.as_str()))
}
