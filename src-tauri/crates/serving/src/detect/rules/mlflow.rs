//! MLflow: the scoring server, and the tracking server that people mistake for it.

use crate::detect::finding::{CredentialHint, Finding, Need, Role};
use crate::detect::reply::{Reply, Seen};
use crate::protocol::is_version_number;

const TRACKING: &str = "this is MLflow's tracking server: use it as the control plane of an endpoint, \
                        and connect the scoring server (`mlflow models serve`) as the endpoint";

/// `GET /version` as a bare number. vLLM and Kubernetes answer JSON there.
fn version(seen: Seen<'_>) -> Option<String> {
    seen.replies.text("/version").map(|text| text.trim().to_owned()).filter(|text| is_version_number(text))
}

/// The scoring server's ping is one line feed; `TorchServe` answers JSON there, vLLM nothing at all.
pub(super) fn scoring(seen: Seen<'_>) -> Option<Finding> {
    let version = version(seen)?;
    let has_ping = seen.replies.text("/ping").is_some_and(|text| text.trim().is_empty());
    if !has_ping || seen.replies.json("/v1/models").is_some_and(|json| json.get("data").is_some()) {
        return None;
    }
    let has_invocations =
        seen.replies.json("/openapi.json").is_some_and(|json| json.pointer("/paths/~1invocations").is_some());
    let mut finding =
        Finding::model("mlflow", "MLflow scoring server", "mlflow", if has_invocations { 0.98 } else { 0.8 })
            .saw(format!("`GET /version` answers `{version}`"))
            .saw("`GET /ping` answers with an empty line");
    if has_invocations {
        finding.evidence.push("`/openapi.json` describes `/invocations`".into());
    }
    finding.version = Some(version);
    finding.predict = Some("/invocations".into());
    Some(finding)
}

/// `/health` is `OK` and open even with authentication; the page's title is MLflow.
pub(super) fn tracking(seen: Seen<'_>) -> Option<Finding> {
    let is_ok = seen.replies.text("/health").is_some_and(|text| text.trim() == "OK");
    let has_title = seen.replies.text("/").is_some_and(|text| text.contains("<title>MLflow"));
    let asks_realm = |reply: &&Reply| {
        reply.status == Some(401)
            && reply.header("www-authenticate").is_some_and(|value| value.contains("realm=\"mlflow\""))
    };
    if let Some(reply) = seen.replies.iter().find(asks_realm) {
        let why = "MLflow's tracking server wants user and password";
        let finding = Finding::elsewhere("mlflow", "MLflow tracking server", Role::ControlPlane, 0.95, TRACKING)
            .saw(format!("`GET {}` asks for the realm `mlflow`", reply.ask.path()))
            .needing(Need::credential(CredentialHint::Basic, why));
        return Some(finding);
    }
    let version = version(seen)?;
    if !is_ok && !has_title {
        return None;
    }
    let mut finding = Finding::elsewhere("mlflow", "MLflow tracking server", Role::ControlPlane, 0.9, TRACKING)
        .saw(format!("`GET /version` answers `{version}`"))
        .saw(if has_title { "its page is titled MLflow" } else { "`GET /health` answers `OK`" });
    finding.version = Some(version);
    Some(finding)
}
