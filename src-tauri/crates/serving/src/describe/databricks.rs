//! Databricks: the serving endpoint with its served entities and the routes between them.
//!
//! Source: databricks-sdk 0.156.0 (`ServingEndpointDetailed`, the words of `EndpointState` and
//! `ServedModelStateDeployment`). No answer of a real endpoint was captured. Older answers say `served_models` with
//! `model_name`, newer ones `served_entities` with `entity_name`; an old sample names `config_update` `update_state`.

use std::collections::BTreeMap;

use pilothouse_domain::{DeployedVersion, Deployment, DeploymentState, Target, TimestampMs};
use serde::Deserialize;
use url::Url;

use super::{Management, message, parse, told};
use crate::ServingError;
use crate::protocol::{Call, base_and_name, below};

pub(super) struct Databricks {
    endpoint: Url,
}

impl Databricks {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        let (base, name) = base_and_name(target, "serving-endpoints")?;
        let base = target.management_url.as_ref().unwrap_or(&base);
        let mut endpoint = below(base, &["api", "2.0", "serving-endpoints", &name]);
        endpoint.set_query(None);
        Ok(Self { endpoint })
    }
}

#[derive(Deserialize)]
struct Endpoint {
    state: State,
    #[serde(default)]
    config: Option<Config>,
    #[serde(default)]
    pending_config: Option<Config>,
    last_updated_timestamp: Option<i64>,
}

#[derive(Deserialize)]
struct State {
    ready: Option<String>,
    #[serde(alias = "update_state")]
    config_update: Option<String>,
}

#[derive(Deserialize, Default)]
struct Config {
    #[serde(rename = "config_version")]
    version: Option<i64>,
    #[serde(default)]
    served_entities: Vec<Entity>,
    #[serde(default)]
    served_models: Vec<Entity>,
    #[serde(rename = "traffic_config")]
    traffic: Option<Traffic>,
}

#[derive(Deserialize)]
struct Entity {
    name: Option<String>,
    #[serde(rename = "entity_name", alias = "model_name")]
    model: Option<String>,
    #[serde(rename = "entity_version", alias = "model_version")]
    version: Option<String>,
    state: Option<EntityState>,
}

#[derive(Deserialize)]
struct EntityState {
    deployment: Option<String>,
    deployment_state_message: Option<String>,
}

#[derive(Deserialize)]
struct Traffic {
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    served_model_name: Option<String>,
    served_entity_name: Option<String>,
    traffic_percentage: Option<f64>,
}

impl Config {
    fn entities(&self) -> &[Entity] {
        if self.served_entities.is_empty() { &self.served_models } else { &self.served_entities }
    }

    fn failures(&self) -> impl Iterator<Item = String> {
        let failed = |entity: &Entity| {
            let state = entity.state.as_ref()?;
            let failed = matches!(state.deployment.as_deref(), Some("DEPLOYMENT_FAILED" | "DEPLOYMENT_ABORTED"));
            let name = entity.name.as_deref().unwrap_or("an entity");
            failed.then(|| format!("{name}: {}", state.deployment_state_message.as_deref().unwrap_or("it failed")))
        };
        self.entities().iter().filter_map(failed)
    }
}

fn state(ready: &str, update: &str) -> DeploymentState {
    match (ready, update) {
        ("READY", "IN_PROGRESS") => DeploymentState::Changing,
        ("READY", "UPDATE_FAILED") => DeploymentState::ChangeFailed,
        ("READY", "" | "NOT_UPDATING" | "UPDATE_CANCELED") => DeploymentState::Serving,
        ("NOT_READY", "IN_PROGRESS") => DeploymentState::Starting,
        ("NOT_READY", "UPDATE_FAILED") => DeploymentState::Failed,
        ("NOT_READY", "" | "NOT_UPDATING" | "UPDATE_CANCELED") => DeploymentState::NotServing,
        _ => DeploymentState::Unrecognised,
    }
}

impl Management for Databricks {
    fn call(&self) -> Call {
        Call::get(self.endpoint.clone())
    }

    fn read(&self, body: &[u8]) -> Result<Deployment, String> {
        let endpoint: Endpoint = parse(body, "a serving endpoint of Databricks")?;
        let word = |word: &Option<String>| word.as_deref().and_then(told).unwrap_or_default();
        let (ready, update) = (word(&endpoint.state.ready), word(&endpoint.state.config_update));
        let config = endpoint.config.unwrap_or_default();
        let routes = config.traffic.iter().flat_map(|traffic| &traffic.routes);
        let mut shares = BTreeMap::<&str, f64>::new();
        for route in routes {
            let name = route.served_entity_name.as_deref().or(route.served_model_name.as_deref()).unwrap_or_default();
            *shares.entry(name).or_default() += route.traffic_percentage.unwrap_or(0.0) / 100.0;
        }
        let versions = config.entities().iter().filter_map(|entity| {
            let name = entity.name.as_deref()?;
            let model = match (entity.model.as_deref(), entity.version.as_deref()) {
                (Some(model), Some(version)) => told(&format!("{model}:{version}")),
                (model, _) => model.and_then(told),
            };
            // Without routes one entity takes all traffic, and of several nothing is known.
            let share = if shares.is_empty() {
                (config.entities().len() == 1).then_some(1.0)
            } else {
                Some(shares.get(name).copied().unwrap_or(0.0)).filter(|share| (0.0..=1.0).contains(share))
            };
            let state = entity.state.as_ref();
            Some(DeployedVersion {
                name: told(name)?,
                model,
                share,
                share_wanted: None,
                state: state.and_then(|state| told(state.deployment.as_deref()?)),
                instances: None,
                detail: message(state.and_then(|state| state.deployment_state_message.as_deref())),
            })
        });
        let pending = endpoint.pending_config.as_ref();
        let failures: Vec<String> = config.failures().chain(pending.into_iter().flat_map(Config::failures)).collect();
        let number = |config: &Config| config.version.map(|version| version.to_string());
        Ok(Deployment {
            state: state(&ready, &update),
            word: match update.as_str() {
                "" | "NOT_UPDATING" => ready,
                _ => format!("{ready}, {update}"),
            },
            versions: versions.collect(),
            configuration: number(&config),
            pending: pending.and_then(number),
            changed: endpoint.last_updated_timestamp.filter(|at| *at > 0).map(TimestampMs),
            problem: message((!failures.is_empty()).then(|| failures.join("; ")).as_deref()),
        })
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Protocol, VersionId};
    use serde_json::{Value, json};

    use super::super::tests::target;
    use super::*;

    fn databricks() -> Databricks {
        Databricks::new(&target("https://adb-1.2.azuredatabricks.net/", Protocol::Databricks, Some("ep"))).unwrap()
    }

    fn read(body: &Value) -> Deployment {
        let mut told = databricks().read(body.to_string().as_bytes()).unwrap();
        told.sort();
        told
    }

    #[test]
    fn the_requests_are_those_of_the_sdk() {
        let call = databricks().call();
        let expect = "https://adb-1.2.azuredatabricks.net/api/2.0/serving-endpoints/ep";
        assert_eq!((call.method.as_str(), call.url.as_str()), ("GET", expect));
    }

    #[test]
    fn entities_and_routes_are_put_together() {
        let told = read(&json!({
            "name": "ep", "last_updated_timestamp": 1_795_330_117_000_i64,
            "state": {"ready": "READY", "config_update": "IN_PROGRESS"},
            "config": {
                "config_version": 3,
                "served_entities": [
                    {"name": "bc-1", "entity_name": "cat.sch.bc", "entity_version": "1", "state": {"deployment": "DEPLOYMENT_READY"}},
                    {"name": "bc-2", "entity_name": "cat.sch.bc", "entity_version": "2"},
                ],
                "traffic_config": {"routes": [
                    {"served_model_name": "bc-1", "traffic_percentage": 90},
                    {"served_entity_name": "bc-2", "traffic_percentage": 10},
                ]},
            },
            "pending_config": {"config_version": 4, "served_entities": []},
        }));
        assert_eq!((told.state, told.word.as_str()), (DeploymentState::Changing, "READY, IN_PROGRESS"));
        assert_eq!(told.live(), Some(VersionId::from("bc-1 90 % · bc-2 10 %")));
        assert_eq!(told.versions[0].model.as_deref(), Some("cat.sch.bc:1"));
        assert_eq!((told.configuration.as_deref(), told.pending.as_deref()), (Some("3"), Some("4")));
        assert_eq!(told.changed, Some(TimestampMs(1_795_330_117_000)));
    }

    #[test]
    fn the_older_form_is_read_too() {
        let told = read(&json!({
            "state": {"ready": "READY", "update_state": "NOT_UPDATING"},
            "config": {"served_models": [{"name": "m-1", "model_name": "m", "model_version": "1"}]},
        }));
        assert_eq!((told.state, told.live()), (DeploymentState::Serving, Some(VersionId::from("m-1"))));
    }

    #[test]
    fn a_failed_update_beside_a_serving_version_is_told_with_its_reason() {
        let told = read(&json!({
            "state": {"ready": "READY", "config_update": "UPDATE_FAILED"},
            "config": {"served_entities": [{"name": "bc-1"}]},
            "pending_config": {"served_entities": [{"name": "bc-2", "state":
                {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": "Container did not start"}}]},
        }));
        assert_eq!(told.state, DeploymentState::ChangeFailed);
        assert_eq!(told.problem.as_deref(), Some("bc-2: Container did not start"));
        assert_eq!(read(&json!({"state": {"ready": "MAYBE"}})).state, DeploymentState::Unrecognised);
        assert!(databricks().read(br#"{"error_code": "403"}"#).is_err());
    }
}
