//! `TorchServe`, by its inference port (8080 by default) or its management port (8081).

use serde_json::Value;

use crate::detect::DetectedModel;
use crate::detect::finding::{CredentialHint, Finding, Need};
use crate::detect::reply::{Ask, Replies, Reply, Seen};

/// The ports of the default configuration.
const INFERENCE: u16 = 8080;
const MANAGEMENT: u16 = 8081;
/// Models whose versions are asked for.
const ASKED_MODELS: usize = 1;

/// `/ping` is `{"status": "Healthy"}`; errors are `{"code", "type": "…Exception", "message"}`.
pub(super) fn server(seen: Seen<'_>) -> Option<Finding> {
    let ping = seen.replies.json("/ping").and_then(|json| json.get("status")?.as_str());
    let ping = ping.filter(|status| matches!(*status, "Healthy" | "Partial Healthy" | "Unhealthy"));
    let error = seen.replies.iter().find_map(|reply| Some((reply, exception(reply)?)));
    let described = seen.replies.to(&Ask::options()).and_then(Reply::json);
    let title = described.and_then(|json| json.pointer("/info/title")?.as_str());
    let is_described = title == Some("TorchServe APIs");
    if error.is_none() && !is_described {
        // Another server may have the same words at `/ping`; alone they are a weak sign.
        return ping.map(|status| {
            Finding::model("torchserve", "TorchServe", "torchserve", 0.5)
                .saw(format!("`GET /ping` says `{status}`"))
                .asking(Ask::options())
        });
    }
    let is_locked = error.is_some_and(|(_, kind)| kind == "InvalidKeyException");
    let confidence = if is_described || ping.is_some() || is_locked { 0.98 } else { 0.9 };
    let mut finding = Finding::model("torchserve", "TorchServe", "torchserve", confidence);
    finding.predict = Some("/predictions/{model}".into());
    finding.advice = Some("TorchServe is no longer maintained by its authors: plan to move to another server".into());
    if let Some(status) = ping {
        finding.evidence.push(format!("`GET /ping` says `{status}`"));
    }
    if let Some((reply, kind)) = error {
        finding.evidence.push(format!("`{}` was refused with `{kind}`, as TorchServe words it", reply.ask.path()));
    }
    if is_described {
        finding.evidence.push("`OPTIONS /` describes `TorchServe APIs`".into());
    }
    let version = described.and_then(|json| json.pointer("/info/version")?.as_str());
    finding.version = version.map(|version| crate::text::one_line(version, 40));
    if is_locked {
        let why = "TorchServe wants its inference key as a bearer token: it stands in key_file.json in the folder in which \
                   the server was started, and changes every hour unless the server is told otherwise";
        finding.needs.push(Need::credential(CredentialHint::Bearer, why));
    } else {
        finding.asks.push(Ask::options());
    }
    ports(seen, ping.is_some(), &mut finding);
    Some(finding)
}

/// The name of the exception, where an answer is one of `TorchServe`'s errors.
fn exception(reply: &Reply) -> Option<&str> {
    let json = reply.any_json()?;
    let code = json.get("code")?.as_u64()?;
    let kind = json.get("type")?.as_str()?;
    let is_error = reply.status.is_some_and(|status| u64::from(status) == code) && json.get("message")?.is_string();
    (is_error && kind.ends_with("Exception")).then_some(kind)
}

/// Which of the two ports was given, and the models of the management API.
fn ports(seen: Seen<'_>, has_ping: bool, finding: &mut Finding) {
    let here = Ask::get("/models");
    let there = Ask::get("/models").on_port(MANAGEMENT);
    let list =
        |reply: Option<&Reply>| reply.and_then(Reply::json).and_then(|json| json.get("models")?.as_array().cloned());
    if has_ping {
        // The inference port. Its neighbour is asked only where both are the documented defaults.
        if seen.port() == INFERENCE {
            finding.asks.push(there.clone());
        }
    } else {
        finding.asks.push(here.clone());
    }
    let (models, port) = match (list(seen.replies.to(&here)), list(seen.replies.to(&there))) {
        (Some(models), _) => (models, None),
        (None, Some(models)) => (models, Some(MANAGEMENT)),
        (None, None) => {
            finding.models.extend(seen.hints.model.clone().map(DetectedModel::named));
            if finding.models.is_empty() && seen.replies.to(&here).or(seen.replies.to(&there)).is_some() {
                finding.needs.push(Need::ModelName {
                    why: "only TorchServe's management API (port 8081 by default) lists the models; name the one to watch".into(),
                });
            }
            return;
        }
    };
    finding.evidence.push(format!("the management API lists {} models", models.len()));
    for (at, model) in models.iter().take(crate::detect::MAX_MODELS).enumerate() {
        let Some(name) = model.get("modelName").and_then(Value::as_str) else { continue };
        let mut found = DetectedModel::named(name);
        if at < ASKED_MODELS {
            let mut ask = Ask::get_segments(&["models", name, "all"]);
            if let Some(port) = port {
                ask = ask.on_port(port);
            }
            describe(seen.replies, &ask, &mut found);
            finding.asks.push(ask);
        }
        finding.models.push(found);
    }
    match port {
        Some(port) => finding.management_port = Some(port),
        None if seen.port() == MANAGEMENT => {
            finding.management_port = Some(MANAGEMENT);
            finding.serving_port = Some(INFERENCE);
            finding.evidence.push("this is the management port; predictions are served on port 8080 by default".into());
        }
        None => finding.needs.push(Need::Address {
            url: String::new(),
            why: "this is TorchServe's management port: give the address of its inference port".into(),
        }),
    }
}

/// Versions and workers: `GET /models/m/all` is an array with one entry per version.
fn describe(replies: &Replies, ask: &Ask, model: &mut DetectedModel) {
    let Some(entries) = replies.to(ask).and_then(Reply::json).and_then(Value::as_array) else { return };
    let version = |entry: &Value| entry.get("modelVersion").and_then(Value::as_str).map(str::to_owned);
    model.versions = entries.iter().filter_map(version).take(100).collect();
    let ready = |worker: &Value| worker.get("status").and_then(Value::as_str) == Some("READY");
    let workers =
        |entry: &Value| entry.get("workers").and_then(Value::as_array).is_some_and(|all| all.iter().any(ready));
    model.ready = Some(entries.iter().any(workers));
}
