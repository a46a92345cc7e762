//! Azure ML: the online endpoint and its deployments, as resources of the Azure Resource Manager.
//!
//! Source: requests of azure-ai-ml 1.35.2 (api-version 2025-12-01) and Microsoft's reference of
//! `Microsoft.MachineLearningServices/workspaces/onlineEndpoints`. No answer of a real endpoint was captured. The address of
//! an endpoint's resource cannot be told from its scoring address, so a person names it. `provisioningState` is the state of
//! the last operation: an endpoint whose last change failed may serve as before.

use std::collections::BTreeMap;

use pilothouse_domain::{DeployedVersion, Deployment, DeploymentState, Target};
use serde::Deserialize;
use url::Url;

use super::{Management, from_rfc3339, message, parse, told};
use crate::protocol::{Call, below};

const API_VERSION: &str = "2025-12-01";

pub(super) struct AzureMl {
    endpoint: Url,
}

impl AzureMl {
    pub(super) fn new(target: &Target) -> Option<Self> {
        let mut endpoint = below(target.management_url.as_ref()?, &[]);
        if !endpoint.query_pairs().any(|(name, _)| name == "api-version") {
            endpoint.query_pairs_mut().append_pair("api-version", API_VERSION);
        }
        Some(Self { endpoint })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: Option<String>,
    properties: Properties,
    system_data: Option<SystemData>,
    sku: Option<Sku>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    provisioning_state: Option<String>,
    /// Of an endpoint: percent by deployment.
    #[serde(default)]
    traffic: BTreeMap<String, f64>,
    /// Of a deployment: the model's address.
    model: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SystemData {
    last_modified_at: Option<String>,
}

#[derive(Deserialize)]
struct Sku {
    capacity: Option<u32>,
}

#[derive(Deserialize)]
struct Deployments {
    value: Vec<Resource>,
}

/// `credit:3` from `…/models/credit/versions/3`, in an address of either kind (`/subscriptions/…`, `azureml://…`).
fn model_of(address: &str) -> Option<String> {
    let parts: Vec<&str> = address.split('/').collect();
    let after = |word: &str| parts.iter().position(|part| *part == word).and_then(|at| parts.get(at + 1));
    match (after("models"), after("versions")) {
        (Some(model), Some(version)) => told(&format!("{model}:{version}")),
        (Some(model), None) => told(model),
        _ => told(address),
    }
}

fn state(word: &str, has_traffic: bool) -> DeploymentState {
    match word {
        "Succeeded" | "Canceled" if has_traffic => DeploymentState::Serving,
        "Updating" if has_traffic => DeploymentState::Changing,
        "Failed" if has_traffic => DeploymentState::ChangeFailed,
        "Succeeded" | "Canceled" | "Updating" | "Deleting" => DeploymentState::NotServing,
        "Creating" => DeploymentState::Starting,
        "Failed" => DeploymentState::Failed,
        _ => DeploymentState::Unrecognised,
    }
}

impl Management for AzureMl {
    fn call(&self) -> Call {
        Call::get(self.endpoint.clone())
    }

    fn read(&self, body: &[u8]) -> Result<Deployment, String> {
        let Resource { properties, system_data, .. } = parse(body, "an online endpoint of Azure ML")?;
        let word = properties.provisioning_state.as_deref().and_then(told).unwrap_or_default();
        let versions = properties.traffic.iter().filter_map(|(name, percent)| {
            let share = (0.0..=100.0).contains(percent).then_some(percent / 100.0);
            Some(DeployedVersion { name: told(name)?, share, ..DeployedVersion::default() })
        });
        let has_traffic = properties.traffic.values().any(|percent| *percent > 0.0);
        Ok(Deployment {
            state: state(&word, has_traffic),
            problem: (word == "Succeeded" && !has_traffic).then(|| "no deployment is given traffic".to_owned()),
            word,
            versions: versions.collect(),
            configuration: None,
            pending: None,
            changed: system_data.and_then(|data| from_rfc3339(data.last_modified_at.as_deref()?)),
        })
    }

    fn further_call(&self, _told: &Deployment) -> Option<Call> {
        Some(Call::get(below(&self.endpoint, &["deployments"])))
    }

    fn read_further(&self, body: &[u8], deployment: &mut Deployment) -> Result<(), String> {
        let Deployments { value } = parse(body, "the deployments of an online endpoint")?;
        for resource in value {
            let Some(name) = resource.name.as_deref().and_then(told) else { continue };
            let at = deployment.versions.iter().position(|version| version.name == name);
            let at = at.unwrap_or_else(|| {
                // What is not in the traffic's table is given none.
                let version = DeployedVersion { name, share: Some(0.0), ..DeployedVersion::default() };
                deployment.versions.push(version);
                deployment.versions.len() - 1
            });
            let version = &mut deployment.versions[at];
            version.model = resource.properties.model.as_deref().and_then(model_of);
            version.state = resource.properties.provisioning_state.as_deref().and_then(told);
            version.instances = resource.sku.and_then(|sku| sku.capacity);
        }
        let serves = |version: &DeployedVersion| {
            version.share.is_some_and(|share| share > 0.0) && version.state.as_deref() == Some("Succeeded")
        };
        if deployment.state == DeploymentState::ChangeFailed && !deployment.versions.iter().any(serves) {
            deployment.state = DeploymentState::Failed;
        }
        let failed = deployment.versions.iter().filter(|version| version.state.as_deref() == Some("Failed"));
        let failed: Vec<&str> = failed.map(|version| version.name.as_str()).collect();
        if deployment.problem.is_none() && !failed.is_empty() {
            deployment.problem = message(Some(&format!("failed: {}", failed.join(", "))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Protocol, VersionId};
    use serde_json::json;

    use super::super::tests::target;
    use super::*;

    const RESOURCE: &str = "https://management.azure.com/subscriptions/SUB/resourceGroups/rg/providers/\
                            Microsoft.MachineLearningServices/workspaces/ws/onlineEndpoints/ep";

    fn azure() -> AzureMl {
        let mut target = target("https://ep.westeurope.inference.ml.azure.com/", Protocol::AzureMl, None);
        assert!(AzureMl::new(&target).is_none(), "its resource is not known");
        target.management_url = Some(RESOURCE.parse().unwrap());
        AzureMl::new(&target).unwrap()
    }

    fn read(state: &str, traffic: &serde_json::Value, deployments: &serde_json::Value) -> Deployment {
        let body = json!({
            "name": "ep", "location": "eastus", "systemData": {"lastModifiedAt": "2026-11-22T08:01:01.1234567Z"},
            "properties": {"authMode": "Key", "provisioningState": state, "traffic": traffic},
        });
        let mut told = azure().read(body.to_string().as_bytes()).unwrap();
        azure().read_further(json!({ "value": deployments }).to_string().as_bytes(), &mut told).unwrap();
        told.sort();
        told
    }

    #[test]
    fn the_requests_are_those_of_the_sdk() {
        let azure = azure();
        assert_eq!(azure.call().url.as_str(), format!("{RESOURCE}?api-version=2025-12-01"));
        let told = read("Succeeded", &json!({}), &json!([]));
        let further = azure.further_call(&told).unwrap();
        assert_eq!(further.url.as_str(), format!("{RESOURCE}/deployments?api-version=2025-12-01"));
    }

    #[test]
    fn traffic_and_deployments_are_put_together() {
        let model = "/subscriptions/SUB/resourceGroups/rg/providers/x/workspaces/ws/models/credit/versions/3";
        let deployments = json!([
            {"name": "blue", "properties": {"provisioningState": "Succeeded", "model": model}, "sku": {"capacity": 2}},
            {"name": "green", "properties": {"provisioningState": "Updating", "model": "azureml://registries/r/models/credit/versions/4"}},
            {"name": "idle", "properties": {"provisioningState": "Succeeded"}},
        ]);
        let told = read("Succeeded", &json!({"blue": 90, "green": 10}), &deployments);
        assert_eq!((told.state, told.problem.as_deref()), (DeploymentState::Serving, None));
        assert_eq!(told.live(), Some(VersionId::from("blue 90 % · green 10 %")));
        let models: Vec<_> = told.versions.iter().map(|version| version.model.as_deref()).collect();
        assert_eq!(models, [Some("credit:3"), Some("credit:4"), None]);
        assert_eq!((told.versions[0].instances, told.versions[2].share), (Some(2), Some(0.0)));
        assert!(told.changed.is_some());
    }

    #[test]
    fn a_failed_change_is_not_a_failed_endpoint() {
        let check = |state: &str, traffic: serde_json::Value, of_blue: &str, expect: DeploymentState| {
            let deployments = json!([{"name": "blue", "properties": {"provisioningState": of_blue}}]);
            assert_eq!(read(state, &traffic, &deployments).state, expect, "{state} {traffic} {of_blue}");
        };
        check("Failed", json!({"blue": 100}), "Succeeded", DeploymentState::ChangeFailed);
        check("Failed", json!({"blue": 100}), "Failed", DeploymentState::Failed);
        check("Failed", json!({}), "Failed", DeploymentState::Failed);
        check("Updating", json!({"blue": 100}), "Succeeded", DeploymentState::Changing);
        check("Creating", json!({}), "Creating", DeploymentState::Starting);
        check("Succeeded", json!({"blue": 0}), "Succeeded", DeploymentState::NotServing);
        check("Dreaming", json!({"blue": 100}), "Succeeded", DeploymentState::Unrecognised);
        let failed = read(
            "Failed",
            &json!({"blue": 100}),
            &json!([{"name": "blue", "properties": {"provisioningState": "Failed"}}]),
        );
        assert_eq!(failed.problem.as_deref(), Some("failed: blue"));
    }
}
