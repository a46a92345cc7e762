//! `SageMaker`: `DescribeEndpoint`, and `DescribeEndpointConfig` for the variants' models.
//!
//! Source: the service model `sagemaker` 2017-07-24 in botocore 1.44.5 (members, words of `EndpointStatus` and
//! `VariantStatus`), requests of boto3 1.44.5, answers captured from moto 5.2.5. The calls are `AWS JSON 1.1`: one address,
//! the action in a header. A variant's share is its weight over the sum of all weights.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use pilothouse_domain::{DeployedVersion, Deployment, DeploymentState, Target};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{Management, from_seconds, message, parse, told};
use crate::ServingError;
use crate::protocol::{Call, base_and_name, below};

const JSON_1_1: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const ACTION: HeaderName = HeaderName::from_static("x-amz-target");
const DESCRIBE_ENDPOINT: HeaderValue = HeaderValue::from_static("SageMaker.DescribeEndpoint");
const DESCRIBE_CONFIG: HeaderValue = HeaderValue::from_static("SageMaker.DescribeEndpointConfig");

pub(super) struct SageMaker {
    url: Url,
    endpoint: String,
}

impl SageMaker {
    pub(super) fn new(target: &Target) -> Result<Option<Self>, ServingError> {
        let (base, endpoint) = base_and_name(target, "endpoints")?;
        let url = target.management_url.as_ref().map(|url| below(url, &[])).or_else(|| control_plane(&base));
        Ok(url.map(|url| Self { url, endpoint }))
    }

    fn ask(&self, action: HeaderValue, body: &serde_json::Value) -> Call {
        let mut call = Call::post(self.url.clone(), body.to_string());
        call.headers = vec![(CONTENT_TYPE, JSON_1_1), (ACTION, action)];
        call
    }
}

/// `api.sagemaker.REGION.…` beside `runtime.sagemaker.REGION.…`; `None` for other hosts, such as private ones.
fn control_plane(runtime: &Url) -> Option<Url> {
    let host = runtime.host_str()?;
    let (prefix, rest) = host.split_once('.')?;
    let prefix = match prefix {
        "runtime" => "api",
        "runtime-fips" => "api-fips",
        _ => return None,
    };
    if !rest.starts_with("sagemaker") {
        return None;
    }
    let mut url = runtime.clone();
    url.set_host(Some(&format!("{prefix}.{rest}"))).ok()?;
    url.set_path("/");
    url.set_query(None);
    Some(url)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedEndpoint {
    endpoint_status: String,
    endpoint_config_name: Option<String>,
    #[serde(default)]
    production_variants: Vec<Variant>,
    last_modified_time: Option<f64>,
    failure_reason: Option<String>,
    pending_deployment_summary: Option<Pending>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Variant {
    #[serde(rename = "VariantName")]
    name: String,
    current_weight: Option<f64>,
    desired_weight: Option<f64>,
    current_instance_count: Option<u32>,
    #[serde(default)]
    deployed_images: Vec<Image>,
    #[serde(rename = "VariantStatus", default)]
    statuses: Vec<VariantStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    specified_image: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VariantStatus {
    status: Option<String>,
    status_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pending {
    endpoint_config_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedConfig {
    #[serde(default)]
    production_variants: Vec<ConfiguredVariant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfiguredVariant {
    #[serde(rename = "VariantName")]
    name: String,
    model_name: Option<String>,
}

/// The words of `EndpointStatus`. `UpdateRollbackFailed`: in service, with a mixture of the old and the new configuration.
fn state(word: &str) -> DeploymentState {
    match word {
        "InService" => DeploymentState::Serving,
        "Updating" | "SystemUpdating" | "RollingBack" => DeploymentState::Changing,
        "UpdateRollbackFailed" => DeploymentState::ChangeFailed,
        "Creating" => DeploymentState::Starting,
        "OutOfService" | "Deleting" => DeploymentState::NotServing,
        "Failed" => DeploymentState::Failed,
        _ => DeploymentState::Unrecognised,
    }
}

fn share(weight: Option<f64>, sum: f64) -> Option<f64> {
    weight.filter(|weight| *weight >= 0.0 && sum > 0.0 && sum.is_finite()).map(|weight| weight / sum)
}

impl Management for SageMaker {
    fn call(&self) -> Call {
        self.ask(DESCRIBE_ENDPOINT, &json!({ "EndpointName": self.endpoint }))
    }

    fn read(&self, body: &[u8]) -> Result<Deployment, String> {
        let endpoint: DescribedEndpoint = parse(body, "SageMaker's DescribeEndpoint")?;
        let variants = &endpoint.production_variants;
        let sum: f64 = variants.iter().filter_map(|variant| variant.current_weight).sum();
        let wanted: f64 = variants.iter().filter_map(|variant| variant.desired_weight).sum();
        let versions = variants.iter().filter_map(|variant| {
            let status = variant.statuses.last();
            let image = variant.deployed_images.first().and_then(|image| image.specified_image.as_deref());
            let share_now = share(variant.current_weight, sum);
            Some(DeployedVersion {
                name: told(&variant.name)?,
                model: image.and_then(|image| told(image.rsplit('/').next().unwrap_or(image))),
                share: share_now,
                share_wanted: share(variant.desired_weight, wanted).filter(|wanted| Some(*wanted) != share_now),
                state: status.and_then(|status| told(status.status.as_deref()?)),
                instances: variant.current_instance_count,
                detail: status.and_then(|status| message(status.status_message.as_deref())),
            })
        });
        Ok(Deployment {
            state: state(&endpoint.endpoint_status),
            word: told(&endpoint.endpoint_status).unwrap_or_default(),
            versions: versions.collect(),
            configuration: endpoint.endpoint_config_name.as_deref().and_then(told),
            pending: endpoint
                .pending_deployment_summary
                .and_then(|pending| told(pending.endpoint_config_name.as_deref()?)),
            changed: endpoint.last_modified_time.and_then(from_seconds),
            problem: message(endpoint.failure_reason.as_deref()),
        })
    }

    fn further_call(&self, told: &Deployment) -> Option<Call> {
        let name = told.configuration.as_deref()?;
        Some(self.ask(DESCRIBE_CONFIG, &json!({ "EndpointConfigName": name })))
    }

    fn read_further(&self, body: &[u8], deployment: &mut Deployment) -> Result<(), String> {
        let config: DescribedConfig = parse(body, "SageMaker's DescribeEndpointConfig")?;
        let models = config.production_variants.iter();
        let models: BTreeMap<&str, &str> =
            models.filter_map(|variant| Some((variant.name.as_str(), variant.model_name.as_deref()?))).collect();
        for version in &mut deployment.versions {
            if let Some(model) = models.get(version.name.as_str()).and_then(|model| told(model)) {
                version.model = Some(model);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Protocol, TimestampMs, VersionId};

    use super::super::tests::target;
    use super::*;

    fn sagemaker() -> SageMaker {
        let runtime = "https://runtime.sagemaker.eu-west-1.amazonaws.com/";
        SageMaker::new(&target(runtime, Protocol::SageMaker, Some("ep"))).unwrap().unwrap()
    }

    #[test]
    fn the_requests_are_those_of_the_sdk() {
        let call = sagemaker().call();
        assert_eq!(
            (call.method.as_str(), call.url.as_str()),
            ("POST", "https://api.sagemaker.eu-west-1.amazonaws.com/")
        );
        assert_eq!(call.body.as_deref(), Some(&br#"{"EndpointName":"ep"}"#[..]));
        assert_eq!(call.headers, [(CONTENT_TYPE, JSON_1_1), (ACTION, DESCRIBE_ENDPOINT)]);
    }

    #[test]
    fn the_control_plane_stands_beside_the_runtime() {
        let check = |runtime: &str, expect: Option<&str>| {
            assert_eq!(control_plane(&runtime.parse().unwrap()).as_ref().map(Url::as_str), expect, "{runtime}");
        };
        check(
            "https://runtime.sagemaker.us-east-1.amazonaws.com/x?y",
            Some("https://api.sagemaker.us-east-1.amazonaws.com/"),
        );
        check(
            "https://runtime-fips.sagemaker.us-east-1.amazonaws.com/",
            Some("https://api-fips.sagemaker.us-east-1.amazonaws.com/"),
        );
        check("https://vpce-0a.runtime.sagemaker.us-east-1.vpce.amazonaws.com/", None);
        check("http://127.0.0.1:5000/", None);
        check("https://runtime.example.com/", None);
    }

    #[test]
    fn captured_answers_are_read() {
        let body = br#"{"EndpointName": "ep", "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/ep",
            "EndpointConfigName": "cfg-v2", "ProductionVariants": [{"VariantName": "AllTraffic", "CurrentWeight": 0.5,
            "DesiredWeight": 0.5}], "DataCaptureConfig": {}, "EndpointStatus": "InService", "CreationTime": 1795330117.034,
            "LastModifiedTime": 1795330117.034}"#;
        let told = sagemaker().read(body).unwrap();
        assert_eq!((told.state, told.word.as_str()), (DeploymentState::Serving, "InService"));
        assert_eq!(told.live(), Some(VersionId::from("AllTraffic")));
        assert_eq!((told.versions[0].share, told.versions[0].share_wanted), (Some(1.0), None));
        assert_eq!(told.changed, Some(TimestampMs(1_795_330_117_034)));
        let config = sagemaker().further_call(&told).unwrap();
        assert_eq!(config.body.as_deref(), Some(&br#"{"EndpointConfigName":"cfg-v2"}"#[..]));
    }

    #[test]
    fn a_canary_in_the_middle_of_its_change_is_told_as_it_is() {
        let body = json!({
            "EndpointStatus": "Updating", "EndpointConfigName": "cfg-v1", "FailureReason": "",
            "PendingDeploymentSummary": {"EndpointConfigName": "cfg-v2"},
            "ProductionVariants": [
                {"VariantName": "v1", "CurrentWeight": 9.0, "DesiredWeight": 1.0, "CurrentInstanceCount": 2,
                 "DeployedImages": [{"SpecifiedImage": "1.dkr.ecr.eu-west-1.amazonaws.com/churn:7"}]},
                {"VariantName": "v2", "CurrentWeight": 1.0, "DesiredWeight": 1.0,
                 "VariantStatus": [{"Status": "Baking", "StatusMessage": "5 minutes left"}]},
            ],
        });
        let mut told = sagemaker().read(body.to_string().as_bytes()).unwrap();
        let config = br#"{"ProductionVariants": [{"VariantName": "v2", "ModelName": "churn-2026-11"}]}"#;
        sagemaker().read_further(config, &mut told).unwrap();
        assert_eq!((told.state, told.pending.as_deref()), (DeploymentState::Changing, Some("cfg-v2")));
        assert_eq!(told.problem, None);
        assert_eq!(told.live(), Some(VersionId::from("v1 90 % · v2 10 %")));
        let [v1, v2] = told.versions.as_slice() else { panic!("{told:?}") };
        assert_eq!((v1.model.as_deref(), v1.share_wanted, v1.instances), (Some("churn:7"), Some(0.5), Some(2)));
        assert_eq!((v2.model.as_deref(), v2.state.as_deref()), (Some("churn-2026-11"), Some("Baking")));
    }

    #[test]
    fn every_word_is_read_honestly() {
        let words = [
            ("InService", Some(true)),
            ("Updating", Some(true)),
            ("SystemUpdating", Some(true)),
            ("RollingBack", Some(true)),
            ("UpdateRollbackFailed", Some(true)),
            ("Creating", Some(false)),
            ("OutOfService", Some(false)),
            ("Deleting", Some(false)),
            ("Failed", Some(false)),
            ("Pondering", None),
        ];
        for (word, serves) in words {
            let body = json!({ "EndpointStatus": word, "FailureReason": "no capacity" }).to_string();
            let told = sagemaker().read(body.as_bytes()).unwrap();
            assert_eq!((told.word.as_str(), told.state.serves()), (word, serves));
            assert_eq!(told.problem.as_deref(), Some("no capacity"));
        }
        // An unsigned call is answered by the storage service, with a status of success.
        let listing = b"<?xml version=\"1.0\"?><ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>";
        assert!(sagemaker().read(listing).is_err());
    }
}
