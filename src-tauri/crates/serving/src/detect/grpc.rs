//! A server that speaks gRPC: who it is, which models it holds, and whether it has the standard health service.
//!
//! What must stay true: only calls that tell are made (server metadata, repository index, health, readiness), never an
//! inference; a refusal of one call says nothing of the others; the limits are those of every detection.

use futures_util::future::{join_all, join3};
use url::Url;

use super::asking::{MAX_REQUESTS, Prober, obstacle};
use super::finding::{CredentialHint, Finding, Need, Role};
use super::rules::open_inference::{ASKED_MODELS, list, named};
use super::{DetectFailure, Detection, detection};
use crate::protocol::{Call, below};
use crate::protocol::{
    HEALTH_CHECK, grpc_index_call, grpc_ready_call, grpc_server_metadata_call, grpc_wanted_header, read_grpc_index,
    read_grpc_ready, read_grpc_server_metadata, read_health_check,
};
use crate::text::{one_line, server_message};
use crate::transport::Exchange;

/// Asks the server at `base`, whose scheme is that of HTTP.
pub(super) async fn recognise(prober: &Prober<'_>, base: &Url, before: usize) -> Result<Detection, DetectFailure> {
    let metadata = grpc_server_metadata_call(base);
    let health = Call::grpc(below(base, &HEALTH_CHECK), Vec::new());
    let index = grpc_index_call(base);
    let (metadata, health, index) =
        Box::pin(join3(prober.call(&metadata), prober.call(&health), prober.call(&index))).await;
    let mut requests = before + 3;
    let all = [&metadata, &health, &index];
    if all.iter().all(|answer| answer.grpc_code.is_none() && answer.status.is_none()) {
        let failure = all.iter().find_map(|answer| answer.failure.clone());
        return obstacle(base, failure, requests, "grpc");
    }
    let mut finding = judge(&metadata, &health);
    if finding.protocol_word == Some("v2_grpc") && finding.needs.is_empty() {
        let left = MAX_REQUESTS.saturating_sub(requests);
        requests += models(prober, base, &index, &mut finding, left).await;
    }
    Ok(detection(base, finding, Vec::new(), requests))
}

/// Who it is, from what it says of itself.
fn judge(metadata: &Exchange, health: &Exchange) -> Finding {
    let server = said(metadata).and_then(|body| read_grpc_server_metadata(body).ok());
    let check = said(health).map(read_health_check);
    let word_on_health = check.as_ref().map(|check| match check {
        Ok(()) => "its health service says that it serves".to_owned(),
        Err(failure) => failure.detail.clone(),
    });
    if let Some(server) = server.filter(|server| !server.name.is_empty()) {
        let version = Some(server.version.as_str()).filter(|version| !version.is_empty());
        let mut finding = named(&server.name, version, !server.extensions.is_empty(), "v2_grpc");
        let shown = finding.version.as_deref().unwrap_or("without a version");
        finding
            .evidence
            .push(format!("`ServerMetadata` over gRPC names itself `{}` {shown}", one_line(&server.name, 40)));
        finding.evidence.extend(word_on_health);
        finding.predict = Some("/inference.GRPCInferenceService/ModelInfer".into());
        return finding;
    }
    if let Some(header) = grpc_wanted_header(&server_message(&metadata.body).unwrap_or_default()) {
        let name = one_line(header, 60);
        let why = format!(
            "Triton restricts this protocol and wants the header `{name}` (its option --grpc-restricted-protocol)"
        );
        return Finding::model("triton", "NVIDIA Triton", "v2_grpc", 0.9)
            .saw(format!("`ServerMetadata` over gRPC answered {}", words(metadata)))
            .needing(Need::credential(CredentialHint::Header { name }, why));
    }
    if let Some(refusal) = [metadata, health].into_iter().find(|answer| matches!(answer.status, Some(401 | 403))) {
        return locked(refusal);
    }
    if let Some(word) = word_on_health {
        return Finding::model("grpc", "gRPC server with a health service", "grpc_health", 0.8).saw(word).saw(format!(
            "it does not speak the Open Inference Protocol: `ServerMetadata` answered {}",
            words(metadata)
        ));
    }
    if metadata.grpc_code.is_none() && health.grpc_code.is_none() {
        let advice = "it speaks HTTP/2 but not gRPC, and nothing over HTTP/1.1; give the address of its API";
        return Finding::elsewhere("unknown", "A server of HTTP/2", Role::Other, 0.3, advice)
            .saw(format!("`ServerMetadata` answered {}", words(metadata)));
    }
    let advice = "it speaks gRPC, but neither the Open Inference Protocol nor the standard health service; give the \
                  address of its REST port, if it has one";
    Finding::elsewhere("grpc", "A gRPC server", Role::Other, 0.5, advice)
        .saw(format!("`ServerMetadata` answered {}", words(metadata)))
        .saw(format!("`grpc.health.v1.Health/Check` answered {}", words(health)))
}

/// It speaks gRPC and lets nobody in: what it is can be told with a credential.
fn locked(refusal: &Exchange) -> Finding {
    let why = "the server asks for a credential; a bearer token is usual";
    let finding = Finding {
        server: "grpc".into(),
        title: "A gRPC server that asks for a credential".into(),
        ..Finding::default()
    };
    finding
        .saw(format!("a call over gRPC answered {}", words(refusal)))
        .needing(Need::credential(CredentialHint::Bearer, why))
}

/// Lists the models and asks the first of them whether they are ready, by `left` calls at most; gives their number.
async fn models(prober: &Prober<'_>, base: &Url, index: &Exchange, finding: &mut Finding, left: usize) -> usize {
    let Some(entries) = said(index).and_then(read_grpc_index) else {
        let why = format!("the repository index answered {}, so the models cannot be listed", words(index));
        finding.evidence.push(why.clone());
        finding.needs.push(Need::ModelName { why });
        return 0;
    };
    list(entries, finding);
    if finding.models.is_empty() {
        finding.needs.push(Need::ModelName { why: "the server lists no models; name the one to watch".into() });
    }
    let asked = finding.models.len().min(ASKED_MODELS).min(left);
    let calls: Vec<Call> = finding.models[..asked].iter().map(|model| grpc_ready_call(base, &model.name)).collect();
    let answers = join_all(calls.iter().map(|call| prober.call(call))).await;
    for (model, answer) in finding.models.iter_mut().zip(&answers) {
        model.ready = match said(answer) {
            Some(body) => read_grpc_ready(body),
            None if answer.grpc_code.is_some() => Some(false),
            None => model.ready,
        };
    }
    if finding.models.len() > asked {
        finding.evidence.push(format!(
            "{asked} of {} models were asked whether they are ready; of the others the index is repeated",
            finding.models.len()
        ));
    }
    asked
}

/// The message of a call that went well.
fn said(answer: &Exchange) -> Option<&[u8]> {
    (answer.grpc_code.is_some() && answer.status == Some(200)).then_some(&answer.body[..])
}

/// What came of a call, for people.
fn words(answer: &Exchange) -> String {
    if let Some(failure) = &answer.failure {
        return one_line(&failure.detail, 160);
    }
    let status = answer.http_status().map(|status| status.to_string());
    let message = server_message(&answer.body).map(|message| one_line(&message, 120));
    [status, message].into_iter().flatten().collect::<Vec<_>>().join(": ")
}
