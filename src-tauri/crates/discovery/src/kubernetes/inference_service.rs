//! An `InferenceService` of KServe.
//!
//! Source: `serving.kserve.io/v1beta1`: `spec.predictor`, `status.url`, `status.address.url`, `status.conditions`,
//! `status.components.predictor` with its revisions and traffic (the latter in serverless mode only).

use k8s_openapi::api::core::v1::{Pod, Service};
use pilothouse_domain::Protocol;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::service;
use crate::candidate::{Candidate, CandidateKind, Revision, plain};
use crate::stack;

/// The label by which everything of an `InferenceService` names it.
pub(super) const LABEL: &str = "serving.kserve.io/inferenceservice";

#[derive(Debug, Deserialize)]
pub(super) struct InferenceService {
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

impl InferenceService {
    /// Namespace and name.
    pub(super) fn key(&self) -> (String, String) {
        (self.metadata.namespace.clone(), self.metadata.name.clone())
    }
}

pub(super) fn candidate(item: &InferenceService, services: &[Service], pods: &[Pod]) -> Candidate {
    let Metadata { name, namespace } = &item.metadata;
    let mut found = Candidate::new(CandidateKind::InferenceService, name);
    found.namespace = Some(namespace.clone());
    found.evidence.push(format!("InferenceService {} in {}", plain(name), plain(namespace)));
    read_spec(&mut found, &item.spec, name);
    read_addresses(&mut found, item);
    read_conditions(&mut found, &item.status);
    read_revisions(&mut found, &item.status);
    read_forward(&mut found, item, services);
    let of_it: Vec<&Pod> = pods.iter().filter(|pod| is_of(pod, namespace, name)).collect();
    service::read_pods(&mut found, &of_it);
    if !found.is_reachable() {
        found.problems.push("it has no address yet, and no Service whose port could be forwarded".into());
    }
    found
}

fn is_of(pod: &Pod, namespace: &str, name: &str) -> bool {
    let labels = pod.metadata.labels.as_ref();
    pod.metadata.namespace.as_deref() == Some(namespace)
        && labels.and_then(|labels| labels.get(LABEL)).is_some_and(|owner| owner == name)
        && labels.and_then(|labels| labels.get("component")).is_none_or(|component| component == "predictor")
}

/// Model, format and protocol: in `predictor.model`, or in the older form under the framework's own name.
fn read_spec(found: &mut Candidate, spec: &Value, name: &str) {
    const OLDER: [&str; 10] =
        ["sklearn", "xgboost", "lightgbm", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "paddle"];
    let Some(predictor) = spec.get("predictor") else { return };
    let model = predictor.get("model");
    let older = OLDER.iter().find_map(|format| Some((*format, predictor.get(format)?)));
    let text = |member: &str| {
        let value = model.or(older.map(|(_, value)| value))?;
        value.get(member).and_then(Value::as_str)
    };
    let format = model.and_then(|model| model.pointer("/modelFormat/name")?.as_str()).or(older.map(|(name, _)| name));
    if let Some(format) = format {
        found.evidence.push(format!("model format {}", plain(format)));
    }
    if let Some(runtime) = text("runtime") {
        found.stack = stack::of_word(runtime).map(|stack| stack.title);
        found.evidence.push(format!("runtime {}", plain(runtime)));
    }
    if let Some(place) = text("storageUri") {
        found.evidence.push(format!("model at {}", without_secrets(place)));
    }
    match text("protocolVersion") {
        Some("v1") => found.protocol = Some(Protocol::PredictV1),
        Some("v2") => found.protocol = Some(Protocol::OpenInference),
        Some(other) => found.evidence.push(format!("protocol version {}", plain(other))),
        None => {}
    }
    // KServe's runtimes serve the model under the resource's own name.
    if found.protocol.is_some() {
        found.model = Some(plain(name));
    }
    if let Some(percent) = predictor.get("canaryTrafficPercent").and_then(Value::as_u64) {
        found.evidence.push(format!("canary: {percent} % of the traffic goes to the newest revision"));
    }
}

/// A model's place without a user, a password or a signature in it.
fn without_secrets(place: &str) -> String {
    match Url::parse(place) {
        Ok(mut url) => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            plain(url.as_str())
        }
        Err(_) => "an address that is no URL".into(),
    }
}

fn read_addresses(found: &mut Candidate, item: &InferenceService) {
    let url = |pointer: &str| {
        let url = Url::parse(item.status.pointer(pointer)?.as_str()?).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.has_host()).then_some(url)
    };
    let Metadata { name, namespace } = &item.metadata;
    let is_inside = |url: &Url| {
        let labels: Vec<&str> = url.host_str().unwrap_or_default().split('.').collect();
        labels.ends_with(&["svc"]) || labels.ends_with(&["cluster", "local"])
    };
    let (outer, inner) = (url("/url"), url("/address/url"));
    found.inside_url = inner
        .or_else(|| outer.clone().filter(|url| is_inside(url)))
        .or_else(|| Url::parse(&format!("http://{name}-predictor.{namespace}.svc.cluster.local/")).ok());
    found.url = outer.filter(|url| !is_inside(url));
    if let Some(url) = &found.url {
        found.evidence.push(format!("its status names the URL {url}"));
    }
}

fn read_conditions(found: &mut Candidate, status: &Value) {
    let conditions = status.get("conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition.get("type").is_some_and(|t| t == "Ready"));
    let Some(ready) = ready else {
        found.problems.push("its status says nothing about it: is KServe's controller running?".into());
        return;
    };
    let text = |member: &str| ready.get(member).and_then(Value::as_str).map(plain);
    found.ready = match text("status").as_deref() {
        Some("True") => Some(true),
        Some("False") => Some(false),
        _ => None,
    };
    if found.ready != Some(true) {
        let why: Vec<String> = [text("reason"), text("message")].into_iter().flatten().collect();
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(": ")) };
        found.problems.push(format!("KServe says that it is not ready{why}"));
    }
}

fn read_revisions(found: &mut Candidate, status: &Value) {
    let Some(predictor) = status.pointer("/components/predictor") else { return };
    let text = |member: &str| predictor.get(member).and_then(Value::as_str).filter(|text| !text.is_empty()).map(plain);
    let (created, ready) = (text("latestCreatedRevision"), text("latestReadyRevision"));
    let shares = predictor.get("traffic").and_then(Value::as_array);
    found.traffic = shares
        .into_iter()
        .flatten()
        .take(20)
        .filter_map(|share| {
            Some(Revision {
                name: plain(share.get("revisionName")?.as_str()?),
                percent: u8::try_from(share.get("percent").and_then(Value::as_u64).unwrap_or(0)).ok()?,
                tag: share.get("tag").and_then(Value::as_str).map(plain),
            })
        })
        .collect();
    let most = found.traffic.iter().max_by_key(|share| share.percent).filter(|share| share.percent > 0);
    found.version = most.map(|share| share.name.clone()).or_else(|| ready.clone());
    for share in &found.traffic {
        let tag = share.tag.as_ref().map(|tag| format!(" ({tag})")).unwrap_or_default();
        found.evidence.push(format!("revision {}{tag}: {} % of the traffic", share.name, share.percent));
    }
    if let (Some(created), ready) = (created, ready)
        && ready.as_ref() != Some(&created)
    {
        found.problems.push(format!("its newest revision {created} is not ready"));
    }
}

/// The Service whose port can be forwarded: KServe's own for the predictor, with pods of its own. In serverless mode the
/// public one is only a name for the gateway, and the revision's private one has the pods.
fn read_forward(found: &mut Candidate, item: &InferenceService, services: &[Service]) {
    let of_it = services.iter().filter(|service| service::inference_service_of(service) == Some(item.key()));
    let usable = of_it.filter(|service| service::selects_pods(service));
    let component = |service: &Service| {
        let labels = service.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get("component")).is_none_or(|component| component == "predictor")
    };
    let rank = |service: &&Service| {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let live = found.version.as_deref().is_some_and(|revision| name.starts_with(revision));
        (!live, name != format!("{}-predictor", item.metadata.name), name.to_owned())
    };
    let best = usable.filter(|service| component(service)).min_by_key(rank);
    if let Some(best) = best {
        found.forward = service::forward_of(best, None).map(|(forward, _)| forward);
    }
}
