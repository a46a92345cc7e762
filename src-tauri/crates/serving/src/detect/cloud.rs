//! Clouds by their addresses: what the host name and path say without a request.
//!
//! Source: the services' documentation of their endpoints (`SageMaker` Runtime, Azure Machine Learning, Vertex AI,
//! Databricks, Hugging Face, `OpenAI`), and the requests of their official SDKs: boto3 1.44.5, azure-ai-ml 1.35.2,
//! google-cloud-aiplatform 2.7.0, databricks-sdk 0.156.0.

use pilothouse_domain::Protocol;
use url::Url;

use super::DetectedModel;
use super::finding::{CredentialHint, Finding, Need, Role};
use crate::protocol::endpoint_url;
use crate::text::percent_decoded;

/// What an address of a known cloud is, with its base; `None` for every other address.
pub(super) fn recognise(url: &Url) -> Option<(Url, Finding)> {
    let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    let path: Vec<String> = url.path_segments()?.map(percent_decoded).filter(|part| !part.is_empty()).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let finding = sagemaker(&host, &path)
        .or_else(|| azure(&host, &path))
        .or_else(|| vertex(&host, &path))
        .or_else(|| databricks(&host, &path))
        .or_else(|| bearer_api(&host))?;
    let mut base = url.clone();
    base.set_query(None);
    base.set_fragment(None);
    base.set_path(match host.as_str() {
        "api.groq.com" => "/openai",
        "openrouter.ai" => "/api",
        host if host.ends_with(".openai.azure.com") => "/openai",
        _ => "",
    });
    // These are addressed by a path of their own and not by a name.
    match finding.protocol() {
        Some(Protocol::Vertex) => base = endpoint_url(url).unwrap_or(base),
        Some(Protocol::AzureMl) if path.last() != Some(&"score") => base.set_path(url.path()),
        _ => {}
    }
    Some((base, finding.saw(format!("the host name `{host}` says it; nothing was asked"))))
}

fn named(finding: Finding, name: Option<&str>, why: &str) -> Finding {
    match name {
        Some(name) => Finding { models: vec![DetectedModel::named(name)], ..finding },
        None => finding.needing(Need::ModelName { why: why.to_owned() }),
    }
}

fn sagemaker(host: &str, path: &[&str]) -> Option<Finding> {
    let labels: Vec<&str> = host.split('.').collect();
    let at = labels.iter().position(|label| matches!(*label, "sagemaker" | "sagemaker-fips"))?;
    if !host.ends_with(".amazonaws.com") && !host.ends_with(".amazonaws.com.cn") && !host.ends_with(".api.aws") {
        return None;
    }
    let region = labels.get(at + 1).map(|region| (*region).to_owned());
    let need = Need::credential(
        CredentialHint::AwsSigv4 { region: region.clone() },
        "SageMaker wants requests signed with AWS keys (SigV4); they may come from a profile of ~/.aws",
    );
    if labels.first() == Some(&"api") {
        let advice = "this is SageMaker's control plane: connect the runtime address, \
                      https://runtime.sagemaker.REGION.amazonaws.com/endpoints/NAME/invocations";
        let finding =
            Finding::elsewhere("sagemaker", "Amazon SageMaker control plane", Role::ControlPlane, 0.99, advice);
        return Some(finding.needing(need));
    }
    let name = match path {
        ["endpoints", name, ..] => Some(*name),
        _ => None,
    };
    let mut finding = Finding::model("sagemaker", "Amazon SageMaker endpoint", "sagemaker", 0.99).needing(need);
    if let Some(region) = region {
        finding = finding.saw(format!("the region is {region}"));
    }
    finding.predict = name.map(|name| format!("/endpoints/{name}/invocations"));
    Some(named(finding, name, "SageMaker addresses an endpoint by its name: /endpoints/NAME/invocations"))
}

fn azure(host: &str, path: &[&str]) -> Option<Finding> {
    if host == "management.azure.com" {
        let advice = "this is Azure's management API: connect the endpoint's scoring address, \
                      https://NAME.REGION.inference.ml.azure.com/score";
        return Some(Finding::elsewhere("azure", "Azure Resource Manager", Role::ControlPlane, 0.99, advice));
    }
    if let Some(front) = host.strip_suffix(".openai.azure.com") {
        let need = Need::credential(
            CredentialHint::Header { name: "api-key".into() },
            "Azure OpenAI wants its key in the header `api-key`",
        );
        let finding = Finding::model("azure-openai", "Azure OpenAI resource", "openai", 0.95).needing(need);
        return Some(finding.saw(format!("the resource is {front}")));
    }
    let front = host.strip_suffix(".inference.ml.azure.com").or_else(|| host.strip_suffix(".inference.ml.azure.us"))?;
    let name = front.split('.').next();
    let why = "Azure ML wants the endpoint's key or token as a bearer token (Consume tab), or Entra client credentials";
    let mut finding = Finding::model("azureml", "Azure ML online endpoint", "azureml", 0.99)
        .needing(Need::credential(CredentialHint::Bearer, why));
    finding.predict = Some(if path.is_empty() { "/score".to_owned() } else { format!("/{}", path.join("/")) });
    Some(named(finding, name, "the host name begins with the endpoint's name"))
}

fn vertex(host: &str, path: &[&str]) -> Option<Finding> {
    let is_api = host.ends_with("-aiplatform.googleapis.com") || host == "aiplatform.googleapis.com";
    if !is_api && !host.ends_with(".prediction.vertexai.goog") {
        return None;
    }
    let id = path.iter().position(|part| *part == "endpoints").and_then(|at| path.get(at + 1));
    let id = id.map(|id| id.split(':').next().unwrap_or(id)).filter(|id| !id.is_empty());
    let why = "Vertex AI wants a Google access token: the JSON key of a service account with the role Vertex AI User";
    let mut finding = Finding::model("vertex", "Google Vertex AI endpoint", "vertex", 0.99)
        .needing(Need::credential(CredentialHint::GoogleServiceAccount, why));
    finding.predict = id.map(|_| {
        let route = path.join("/");
        format!("/{}:predict", route.split(':').next().unwrap_or(&route))
    });
    Some(named(finding, id, "Vertex AI addresses an endpoint by its number: /v1/projects/P/locations/L/endpoints/ID"))
}

fn databricks(host: &str, path: &[&str]) -> Option<Finding> {
    let is_workspace = [".cloud.databricks.com", ".azuredatabricks.net", ".gcp.databricks.com"]
        .iter()
        .any(|suffix| host.ends_with(suffix));
    if !is_workspace {
        return None;
    }
    let name = match path {
        ["serving-endpoints", name, ..] => Some(*name),
        _ => None,
    };
    let why = "Databricks wants a personal access token or a service principal's token as a bearer token";
    let mut finding = Finding::model("databricks", "Databricks model serving", "databricks", 0.99)
        .needing(Need::credential(CredentialHint::Bearer, why));
    finding.predict = name.map(|name| format!("/serving-endpoints/{name}/invocations"));
    Some(named(finding, name, "Databricks addresses an endpoint by its name: /serving-endpoints/NAME/invocations"))
}

/// Public APIs that speak as `OpenAI` does.
fn bearer_api(host: &str) -> Option<Finding> {
    let (server, title) = match host {
        "api.openai.com" => ("openai", "OpenAI API"),
        "api.mistral.ai" => ("mistral", "Mistral API"),
        "api.groq.com" => ("groq", "Groq API"),
        "api.together.xyz" => ("together", "Together AI API"),
        "openrouter.ai" => ("openrouter", "OpenRouter API"),
        _ => return None,
    };
    let need = Need::credential(CredentialHint::Bearer, "it wants an API key as a bearer token");
    let finding = Finding::model(server, title, "openai", 0.95).needing(need);
    Some(finding.needing(Need::ModelName { why: "the models are listed once the key is there".into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_are_known_by_their_addresses() {
        let check =
            |url: &str, server: &str, model: Option<&str>, hint: Option<CredentialHint>, predict: Option<&str>| {
                let (base, found) = recognise(&url.parse().unwrap()).unwrap_or_else(|| panic!("{url}"));
                assert_eq!((found.server.as_str(), found.predict.as_deref()), (server, predict), "{url}");
                assert_eq!(found.models.first().map(|model| model.name.as_str()), model, "{url}");
                let credential = found.needs.iter().find_map(|need| match need {
                    Need::Credential { credential, .. } => Some(credential.clone()),
                    _ => None,
                });
                assert_eq!(credential, hint, "{url}");
                assert!(base.query().is_none() && found.confidence > 0.9);
                assert!(found.protocol().is_some() || found.role == Role::ControlPlane, "{url} is spoken");
            };
        let aws = |region: &str| Some(CredentialHint::AwsSigv4 { region: Some(region.into()) });
        let runtime = "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/churn/invocations";
        check(runtime, "sagemaker", Some("churn"), aws("eu-west-1"), Some("/endpoints/churn/invocations"));
        check("https://runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker", None, aws("us-east-1"), None);
        check("https://api.sagemaker.us-east-1.amazonaws.com/", "sagemaker", None, aws("us-east-1"), None);
        let private = "https://vpce-0a1b.runtime.sagemaker.us-east-1.vpce.amazonaws.com/endpoints/e/invocations";
        check(private, "sagemaker", Some("e"), aws("us-east-1"), Some("/endpoints/e/invocations"));
        let bearer = Some(CredentialHint::Bearer);
        let azure = "https://churn.westeurope.inference.ml.azure.com/score";
        check(azure, "azureml", Some("churn"), bearer.clone(), Some("/score"));
        let google = Some(CredentialHint::GoogleServiceAccount);
        let route = "/v1/projects/p/locations/europe-west4/endpoints/123";
        let vertex = format!("https://europe-west4-aiplatform.googleapis.com{route}:predict");
        check(&vertex, "vertex", Some("123"), google, Some(&format!("{route}:predict")));
        let workspace = "https://adb-1.2.azuredatabricks.net/serving-endpoints/churn/invocations?o=1";
        check(workspace, "databricks", Some("churn"), bearer.clone(), Some("/serving-endpoints/churn/invocations"));
        check("https://api.openai.com/v1/chat/completions", "openai", None, bearer, None);
        check("https://management.azure.com/subscriptions/s", "azure", None, None, None);
    }

    #[test]
    fn the_base_is_what_the_protocol_is_addressed_by() {
        let check = |url: &str, expect: &str| {
            let (base, _) = recognise(&url.parse().unwrap()).unwrap();
            assert_eq!(base.as_str(), expect, "{url}");
        };
        let runtime = "https://runtime.sagemaker.eu-west-1.amazonaws.com/";
        check(&format!("{runtime}endpoints/churn/invocations"), runtime);
        let vertex = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/123";
        check(&format!("{vertex}:predict"), vertex);
        let azure = "https://churn.westeurope.inference.ml.azure.com/";
        check(&format!("{azure}score"), azure);
        check(&format!("{azure}v1/infer"), &format!("{azure}v1/infer"));
    }

    #[test]
    fn other_hosts_are_asked() {
        for url in [
            "http://127.0.0.1:8080/endpoints/e/invocations",
            "https://sagemaker.example.com/",
            "https://amazonaws.com.example.org/",
            "https://notdatabricks.com/",
            "https://inference.ml.azure.com.evil.example/",
        ] {
            assert!(recognise(&url.parse().unwrap()).is_none(), "{url}");
        }
    }
}
