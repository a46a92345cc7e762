//! Open Inference Protocol V2: `MLServer`, Triton, `KServe` and whatever else names itself at `GET /v2`.

use serde_json::Value;

use crate::detect::finding::{CredentialHint, Finding, Need};
use crate::detect::reply::{Ask, Reply, Seen};
use crate::detect::{DetectedModel, MAX_MODELS};
use crate::protocol::{IndexEntry, read_repository_index};
use crate::text::one_line;

/// Models that are asked whether they are ready; an index may say READY for a version that failed to load.
pub(in crate::detect) const ASKED_MODELS: usize = 4;

/// `GET /v2` names the server: `{"name", "version", "extensions"}`.
pub(super) fn server(seen: Seen<'_>) -> Option<Finding> {
    let json = seen.replies.json("/v2")?;
    let (name, version) = (json.get("name")?.as_str()?, json.get("version").and_then(Value::as_str));
    let has_extensions = json.get("extensions").is_some_and(Value::is_array);
    if version.is_none() && !has_extensions {
        return None;
    }
    let mut finding = named(name, version, has_extensions, "v2");
    let shown = finding.version.as_deref().unwrap_or("without a version");
    finding.evidence.push(format!("`GET /v2` names itself `{}` {shown}", one_line(name, 40)));
    models(seen, &mut finding);
    Some(finding)
}

/// The server that gives itself this name, over REST or gRPC.
pub(in crate::detect) fn named(
    name: &str,
    version: Option<&str>,
    has_extensions: bool,
    protocol: &'static str,
) -> Finding {
    let lower = name.to_ascii_lowercase();
    let known = ["mlserver", "triton", "kserve"].into_iter().find(|known| lower == *known);
    let is_tame = lower.len() <= 40 && lower.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let server = match known {
        Some(known) => known.to_owned(),
        None if is_tame && !lower.is_empty() => lower,
        None => "unknown".to_owned(),
    };
    let title = match known {
        Some("mlserver") => "Seldon MLServer",
        Some("triton") => "NVIDIA Triton",
        Some(_) => "KServe model server",
        None => "Open Inference Protocol server",
    };
    let confidence = match (known, has_extensions) {
        (Some(_), _) => 0.99,
        (None, true) => 0.95,
        (None, false) => 0.7,
    };
    let mut finding = Finding::model(&server, title, protocol, confidence);
    finding.version = version.map(|version| one_line(version, 40));
    finding
}

/// Models with their versions, from a repository index.
pub(in crate::detect) fn list(entries: Vec<IndexEntry>, finding: &mut Finding) {
    // By name, so that a long index is read once.
    let mut places = std::collections::HashMap::new();
    for entry in entries {
        let next = finding.models.len();
        let place = *places.entry(entry.name.clone()).or_insert(next);
        if place == next {
            if next == MAX_MODELS {
                break;
            }
            finding.models.push(DetectedModel::named(entry.name));
        }
        let model = &mut finding.models[place];
        let is_gone = entry.state.as_deref() == Some("UNAVAILABLE");
        model.versions.extend(entry.version.filter(|version| !version.is_empty() && !is_gone));
        model.ready = match entry.state.as_deref() {
            Some("READY") => Some(true),
            Some(_) => model.ready.or(Some(false)),
            None => model.ready,
        };
    }
    finding.evidence.push(format!("the repository index lists {} models", finding.models.len()));
}

/// Models from the repository index, from `KServe`'s V1 list, or from the URL.
fn models(seen: Seen<'_>, finding: &mut Finding) {
    // KServe has no repository index; its V1 list is {"models": ["bc"]}.
    if finding.server != "kserve" {
        finding.asks.push(Ask::repository_index());
    }
    let index = seen.replies.to(&Ask::repository_index());
    let entries = index.filter(|reply| reply.status == Some(200)).and_then(|reply| read_repository_index(&reply.body));
    if let Some(entries) = entries {
        list(entries, finding);
    } else if let Some(reply) = index.filter(|reply| matches!(reply.status, Some(401 | 403))) {
        finding.evidence.push(format!("the repository index is restricted ({})", reply.words()));
        finding
            .needs
            .push(Need::ModelName { why: "the repository index is restricted, so the models cannot be listed".into() });
    }
    let listed: Vec<&str> = seen
        .replies
        .json("/v1/models")
        .and_then(|json| json.get("models")?.as_array())
        .map(|models| models.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    if !listed.is_empty() {
        finding.evidence.push(format!("`GET /v1/models` lists {} models", listed.len()));
    }
    for name in listed.into_iter().chain(seen.hints.model.as_deref()) {
        let is_new = finding.models.iter().all(|model| model.name != name);
        if is_new && finding.models.len() < MAX_MODELS {
            finding.models.push(DetectedModel::named(name));
        }
    }
    readiness(seen, finding);
    let chosen = finding.models.iter().find(|model| model.ready == Some(true)).or(finding.models.first());
    let name = chosen.map_or("{model}", |model| model.name.as_str());
    finding.predict = Some(format!("/v2/models/{name}/infer"));
    if finding.models.is_empty() && index.is_some() && finding.needs.is_empty() {
        finding.needs.push(Need::ModelName { why: "the server lists no models; name the one to watch".into() });
    }
}

fn readiness(seen: Seen<'_>, finding: &mut Finding) {
    let hinted = seen.hints.model.as_deref();
    let first_asked = finding.models.iter().position(|model| Some(model.name.as_str()) == hinted).into_iter();
    let order: Vec<usize> = first_asked.chain(0..finding.models.len()).collect();
    let mut asked = Vec::new();
    for at in order {
        if asked.len() < ASKED_MODELS && !asked.contains(&at) {
            asked.push(at);
        }
    }
    let mut answered = 0;
    for at in asked {
        let model = &mut finding.models[at];
        let ask = Ask::get_segments(&["v2", "models", &model.name, "ready"]);
        if let Some(reply) = seen.replies.to(&ask) {
            answered += usize::from(reply.status.is_some());
            model.ready = says_ready(reply).or(model.ready);
        }
        finding.asks.push(ask);
    }
    if answered > 0 && finding.models.len() > answered {
        finding.evidence.push(format!(
            "{answered} of {} models were asked whether they are ready; of the others the index is repeated",
            finding.models.len()
        ));
    }
}

fn says_ready(reply: &Reply) -> Option<bool> {
    match reply.status {
        Some(200) => Some(reply.json().and_then(|json| json.get("ready")?.as_bool()).unwrap_or(true)),
        Some(400 | 404 | 503) => Some(false),
        _ => None,
    }
}

/// Triton with `--http-restricted-api`: `403 {"error":"This API is restricted, expecting header 'x-admin'"}`.
pub(super) fn restricted(seen: Seen<'_>) -> Option<Finding> {
    let reply = seen.replies.get("/v2").filter(|reply| reply.status == Some(403))?;
    let message = reply.any_json()?.get("error")?.as_str()?;
    let header = message.strip_prefix("This API is restricted, expecting header '")?.split('\'').next()?;
    let header = one_line(header, 60);
    let why = format!("Triton restricts this API and wants the header `{header}` (its option --http-restricted-api)");
    let mut finding = Finding::model("triton", "NVIDIA Triton", "v2", 0.9)
        .saw(format!("`GET /v2` answered {}", reply.words()))
        .needing(Need::credential(CredentialHint::Header { name: header }, why));
    finding.models.extend(seen.hints.model.clone().map(DetectedModel::named));
    finding.predict = Some("/v2/models/{model}/infer".into());
    Some(finding)
}
