//! Vertex AI: the endpoint's own resource, with its deployed models and their traffic.
//!
//! Source: Google's reference of `projects.locations.endpoints` and requests of google-cloud-aiplatform 2.7.0. No answer of a
//! real endpoint was captured. There is no word for the whole: it serves when a deployed model is given traffic.

use std::collections::BTreeMap;

use pilothouse_domain::{DeployedVersion, Deployment, DeploymentState, Target};
use serde::Deserialize;
use url::Url;

use super::{Management, from_rfc3339, message, parse, told};
use crate::protocol::{Call, endpoint_url, vertex_model_version};

pub(super) struct Vertex {
    endpoint: Url,
}

impl Vertex {
    pub(super) fn new(target: &Target) -> Option<Self> {
        let mut endpoint = endpoint_url(&target.url)?;
        if let Some(management) = &target.management_url {
            let mut elsewhere = management.clone();
            elsewhere.set_path(endpoint.path());
            endpoint = elsewhere;
        } else if endpoint.host_str().is_some_and(|host| host.ends_with(".prediction.vertexai.goog")) {
            // An endpoint with a host of its own is described by the region's.
            let parts: Vec<&str> = endpoint.path_segments()?.collect();
            let region =
                (*parts.iter().position(|part| *part == "locations").and_then(|at| parts.get(at + 1))?).to_owned();
            endpoint.set_host(Some(&format!("{region}-aiplatform.googleapis.com"))).ok()?;
        }
        endpoint.set_query(None);
        Some(Self { endpoint })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    name: String,
    #[serde(default)]
    deployed_models: Vec<DeployedModel>,
    #[serde(default)]
    traffic_split: BTreeMap<String, f64>,
    update_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeployedModel {
    id: String,
    model: Option<String>,
    model_version_id: Option<String>,
    display_name: Option<String>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    message: Option<String>,
    available_replica_count: Option<u32>,
}

impl Management for Vertex {
    fn call(&self) -> Call {
        Call::get(self.endpoint.clone())
    }

    fn read(&self, body: &[u8]) -> Result<Deployment, String> {
        let endpoint: Endpoint = parse(body, "an endpoint of Vertex AI")?;
        if !endpoint.name.contains("/endpoints/") {
            return Err("the answer is not that of an endpoint of Vertex AI: its name is another".to_owned());
        }
        let versions = endpoint.deployed_models.iter().filter_map(|deployed| {
            let version = deployed.model.as_deref();
            let version = version.and_then(|model| vertex_model_version(model, deployed.model_version_id.as_deref()));
            let percent = endpoint.traffic_split.get(&deployed.id).copied().unwrap_or(0.0);
            Some(DeployedVersion {
                name: version.as_deref().and_then(told).or_else(|| told(&deployed.id))?,
                model: deployed.display_name.as_deref().and_then(told),
                share: (0.0..=100.0).contains(&percent).then_some(percent / 100.0),
                share_wanted: None,
                state: None,
                instances: deployed.status.as_ref().and_then(|status| status.available_replica_count),
                detail: message(deployed.status.as_ref().and_then(|status| status.message.as_deref())),
            })
        });
        let versions: Vec<DeployedVersion> = versions.collect();
        let serves = versions.iter().any(|version| version.share.is_some_and(|share| share > 0.0));
        let problem = match (versions.is_empty(), serves) {
            (true, _) => Some("no model is deployed to it".to_owned()),
            (false, false) => Some("no deployed model is given traffic".to_owned()),
            (false, true) => versions.iter().find_map(|version| version.detail.clone()),
        };
        Ok(Deployment {
            state: if serves { DeploymentState::Serving } else { DeploymentState::NotServing },
            word: String::new(),
            versions,
            configuration: None,
            pending: None,
            changed: endpoint.update_time.as_deref().and_then(from_rfc3339),
            problem,
        })
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Protocol, VersionId};
    use serde_json::{Value, json};

    use super::super::tests::target;
    use super::*;

    const PATH: &str = "/v1/projects/p/locations/us-central1/endpoints/123";

    #[test]
    fn the_requests_are_those_of_the_sdk() {
        let check = |url: &str, management: Option<&str>, expect: &str| {
            let mut target = target(&format!("{url}{PATH}:predict"), Protocol::Vertex, None);
            target.management_url = management.map(|url| url.parse().unwrap());
            let call = Vertex::new(&target).unwrap().call();
            assert_eq!((call.method.as_str(), call.url.as_str()), ("GET", format!("{expect}{PATH}").as_str()));
        };
        let regional = "https://us-central1-aiplatform.googleapis.com";
        check(regional, None, regional);
        check("https://123.us-central1-45.prediction.vertexai.goog", None, regional);
        check("https://private.example", Some("https://psc.example/"), "https://psc.example");
    }

    #[test]
    fn deployed_models_have_their_share_of_the_traffic() {
        let read = |split: Value| {
            let body = json!({
                "name": "projects/p/locations/us-central1/endpoints/123", "etag": "x", "updateTime": "2026-11-22T08:01:01.123456Z",
                "deployedModels": [
                    {"id": "111", "model": "projects/p/locations/us-central1/models/9@1", "displayName": "bc-v1"},
                    {"id": "222", "model": "projects/p/locations/us-central1/models/9", "modelVersionId": "2",
                     "status": {"message": "insufficient capacity", "availableReplicaCount": 1}},
                ],
                "trafficSplit": split,
            });
            let target =
                target(&format!("https://us-central1-aiplatform.googleapis.com{PATH}"), Protocol::Vertex, None);
            let mut told = Vertex::new(&target).unwrap().read(body.to_string().as_bytes()).unwrap();
            told.sort();
            told
        };
        let canary = read(json!({"111": 90, "222": 10}));
        assert_eq!(canary.live(), Some(VersionId::from("9@1 90 % · 9@2 10 %")));
        assert_eq!(
            (canary.state, canary.problem.as_deref()),
            (DeploymentState::Serving, Some("insufficient capacity"))
        );
        assert_eq!(canary.versions[1].instances, Some(1));
        let none = read(json!({}));
        assert_eq!((none.state, none.live()), (DeploymentState::NotServing, None));
        assert_eq!(none.problem.as_deref(), Some("no deployed model is given traffic"));
    }
}
