//! One file per family of servers: pure functions from the answers to a finding.
//!
//! What must stay true: a rule reads bodies, never a status of 200 alone; answers of any bytes give a finding or none.
//! Source of every form: answers captured from `MLServer` 1.7.1, Triton 2.51.0, the `KServe` SDK 0.21.0, MLflow 3.17.2,
//! `TorchServe` 0.12.0, `BentoML` 1.4.39, `LitServe` 0.2.19, Ray 2.60.0, vLLM 0.32.0, llama.cpp b11434, transformers 5.19,
//! Prometheus 2.42.0, Kubernetes 1.20.2 and moto 5.2.5; where a rule rests on documentation alone, its file says so.

mod bentoml;
#[cfg(test)]
mod captures;
mod described;
mod infrastructure;
mod kserve_v1;
mod litserve;
mod metrics;
mod mlflow;
mod ollama;
pub(super) mod open_inference;
mod openai;
mod ray;
mod refusal;
#[cfg(test)]
mod tests;
mod torchserve;

use super::finding::Finding;
use super::reply::Seen;

type Rule = fn(Seen<'_>) -> Option<Finding>;

const RULES: &[Rule] = &[
    open_inference::server,
    open_inference::restricted,
    kserve_v1::tensorflow,
    kserve_v1::kserve,
    mlflow::scoring,
    mlflow::tracking,
    torchserve::server,
    bentoml::service,
    litserve::server,
    ray::proxy,
    ray::dashboard,
    ollama::server,
    openai::server,
    openai::locked,
    openai::transformers,
    metrics::prometheus,
    metrics::exporter,
    infrastructure::kubernetes,
    infrastructure::storage,
    infrastructure::registry,
    infrastructure::redirect,
    infrastructure::tls_port,
    infrastructure::page,
    described::json,
];

/// The best reading, and the others that are within `tie` of it and name another server.
pub(super) fn judge(seen: Seen<'_>, tie: f64) -> (Finding, Vec<Finding>) {
    let mut findings: Vec<Finding> = RULES.iter().filter_map(|rule| rule(seen)).collect();
    // The sort is stable: among equals the more telling rule comes first.
    findings.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
    let mut findings = findings.into_iter();
    let best = findings.next().unwrap_or_else(|| refusal::unexplained(seen));
    let mut others: Vec<Finding> = Vec::new();
    for finding in findings {
        let is_new = finding.server != best.server && others.iter().all(|other| other.server != finding.server);
        if is_new && finding.confidence >= best.confidence - tie {
            others.push(finding);
        }
    }
    (refusal::with_credential(seen, best), others)
}
