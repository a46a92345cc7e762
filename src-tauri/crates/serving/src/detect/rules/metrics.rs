//! What keeps or offers metrics and predicts nothing: Prometheus, and the metrics ports of model servers.

use serde_json::Value;

use crate::detect::finding::{Finding, Role};
use crate::detect::reply::{Ask, Reply, Seen};
use crate::text::one_line;

/// Prometheus: `/version` has the build's members, `/api/v1/status/buildinfo` says `success`.
pub(super) fn prometheus(seen: Seen<'_>) -> Option<Finding> {
    let build = seen.replies.json("/api/v1/status/buildinfo").filter(|json| json["status"] == "success");
    let build = build.and_then(|json| json.get("data")).or_else(|| seen.replies.json("/version"));
    let build = build.filter(|json| {
        ["version", "revision", "goVersion"].iter().all(|member| json.get(*member).is_some_and(Value::is_string))
    });
    let title = seen.replies.get("/").filter(|reply| reply.is_page()).and_then(Reply::page_title);
    let has_title = title.is_some_and(|title| title.starts_with("Prometheus"));
    if build.is_none() && !has_title {
        return None;
    }
    let advice = "this is a Prometheus server: it keeps metrics and predicts nothing. Name it as the metrics source of an \
                  endpoint, or import its target list";
    let mut finding =
        Finding::elsewhere("prometheus", "Prometheus", Role::Metrics, if build.is_some() { 0.97 } else { 0.6 }, advice)
            .asking(Ask::get("/api/v1/status/buildinfo"));
    if has_title {
        finding.evidence.push("its page is titled Prometheus".into());
    }
    if let Some(build) = build {
        finding.version = build.get("version").and_then(Value::as_str).map(|version| one_line(version, 40));
        finding.evidence.push("its build information is that of Prometheus".into());
    }
    Some(finding)
}

/// The prefixes of metric families, by the server that writes them.
const FAMILIES: [(&str, &str); 8] = [
    ("nv_inference_", "Triton"),
    ("vllm:", "vLLM"),
    ("ts_inference_", "TorchServe"),
    ("ray_", "Ray"),
    ("bentoml_", "BentoML"),
    ("model_infer_request", "MLServer"),
    ("rest_server_request", "MLServer"),
    ("node_", "a node exporter"),
];

/// A port that offers metrics alone: `# HELP` and `# TYPE` lines at `/metrics`, and no other route.
pub(super) fn exporter(seen: Seen<'_>) -> Option<Finding> {
    let text = seen.replies.text("/metrics").filter(|text| text.contains("# HELP ") && text.contains("# TYPE "))?;
    let family = |prefix: &str| {
        text.lines().any(|line| line.strip_prefix("# TYPE ").is_some_and(|rest| rest.starts_with(prefix)))
    };
    let of = FAMILIES.iter().find(|(prefix, _)| family(prefix)).map(|(_, server)| *server);
    let title = of.map_or_else(|| "A port that offers metrics".to_owned(), |server| format!("The metrics of {server}"));
    let advice = "this port offers metrics and predicts nothing: connect the server's own address, \
                  and name this one as its metrics source";
    Some(
        Finding::elsewhere("metrics", &title, Role::Metrics, 0.45, advice)
            .saw("`GET /metrics` answers in the format of Prometheus"),
    )
}
