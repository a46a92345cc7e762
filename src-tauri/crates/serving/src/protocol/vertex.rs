//! Endpoints of Google Vertex AI: `POST /v1/projects/{p}/locations/{l}/endpoints/{id}:predict`.
//!
//! Source: Google's reference of `projects.locations.endpoints.predict` and requests of google-cloud-aiplatform 2.7.0. No
//! answer of a real endpoint was captured. The version is named as Vertex AI names it, `MODEL@VERSION`; a request cannot
//! choose the deployed model that answers it.

use http::HeaderMap;
use pilothouse_domain::endpoint::PayloadForm;
use pilothouse_domain::{Table, Target, TargetFailure, VersionId};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::cells::parse;
use super::template::{Template, rows_of};
use super::tensors::check_rows;
use super::{Answer, Call, ModelMetadata, ServingProtocol, malformed, numbered_columns, table_body, version};
use crate::ServingError;
use crate::transport::Failure;

/// The protocol, bound to one target.
pub(super) struct Vertex {
    url: Url,
    payload: PayloadForm,
    template: Option<Template>,
}

impl Vertex {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        let mut url = endpoint_url(&target.url).ok_or_else(|| {
            ServingError::Target(
                "the URL does not name the endpoint; it must hold /v1/projects/PROJECT/locations/REGION/endpoints/ID"
                    .into(),
            )
        })?;
        url.set_path(&format!("{}:predict", url.path()));
        let template = target.json.as_ref().map(Template::new).transpose()?;
        Ok(Self { url, payload: target.payload, template })
    }
}

/// The endpoint's own address: the URL without the verb and what else follows its number.
pub(crate) fn endpoint_url(url: &Url) -> Option<Url> {
    let segments: Vec<&str> = url.path_segments()?.collect();
    let at = segments.iter().position(|segment| *segment == "endpoints")?;
    let id = segments.get(at + 1)?.split(':').next().filter(|id| !id.is_empty())?;
    let path = format!("/{}/{id}", segments[..=at].join("/"));
    let mut endpoint = url.clone();
    endpoint.set_path(&path);
    endpoint.set_fragment(None);
    Some(endpoint)
}

/// `9@1` from `projects/p/locations/l/models/9@1` or from `…/models/9` and a version of its own.
pub(crate) fn model_version(model: &str, version_id: Option<&str>) -> Option<String> {
    let model = model.rsplit('/').next().filter(|model| !model.is_empty())?;
    Some(match version_id {
        Some(id) if !model.contains('@') && !id.is_empty() => format!("{model}@{id}"),
        _ => model.to_owned(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicted {
    predictions: Value,
    deployed_model_id: Option<String>,
    model: Option<String>,
    model_version_id: Option<String>,
}

impl ServingProtocol for Vertex {
    fn predict_call(&self, table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        check_rows(table)?;
        let body = match (&self.template, self.payload) {
            (Some(template), _) => template.filled(table)?,
            (None, PayloadForm::Instances) if !numbered_columns(table) => {
                table_body::json(table, PayloadForm::Instances)
            }
            (None, _) => table_body::bare_instances(table),
        };
        Ok(Call::post(self.url.clone(), body))
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        let form = "an object with `predictions`, as Vertex AI answers";
        let told: Predicted = parse(body).map_err(|error| malformed(&error, body, form))?;
        let named = told.model.as_deref().and_then(|model| model_version(model, told.model_version_id.as_deref()));
        let version = named.or(told.deployed_model_id).as_deref().and_then(version);
        match &self.template {
            Some(template) => {
                let answer = template.read(body, rows)?;
                Ok(Answer { version: answer.version.clone().or(version), ..answer })
            }
            None => Ok(Answer { version, ..rows_of(told.predictions, body, rows)?.into() }),
        }
    }

    fn answering_version(&self, _headers: &HeaderMap) -> Option<VersionId> {
        // The body tells it.
        None
    }

    fn rows_per_call(&self) -> Option<usize> {
        self.template.as_ref().and_then(Template::rows_per_call)
    }

    fn special_status(&self, status: u16, message: Option<&str>, _is_health: bool) -> Option<TargetFailure> {
        // FAILED_PRECONDITION: the endpoint exists and nothing is deployed to it.
        let nothing_deployed = message.is_some_and(|message| message.contains("deployed model"));
        (status == 400 && nothing_deployed).then_some(TargetFailure::NotReady)
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Cell, Column, ColumnKind, Outcome, Protocol};
    use serde_json::json;

    use super::super::tests::target;
    use super::*;

    const URL: &str = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/endpoints/123";

    fn vertex(payload: PayloadForm) -> Vertex {
        let mut target = target(URL, Protocol::Vertex, None);
        target.payload = payload;
        Vertex::new(&target).unwrap()
    }

    #[test]
    fn instances_are_sent_as_the_sdk_sends_them() {
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
        let table = Table { columns: vec![column("a")], rows: vec![vec![Cell::Number(1.0)]] };
        let check = |payload: PayloadForm, expect: Value| {
            let call = vertex(payload).predict_call(&table, None).unwrap();
            assert_eq!(call.url.as_str(), format!("{URL}:predict"));
            assert_eq!(serde_json::from_slice::<Value>(&call.body.unwrap()).unwrap(), expect);
        };
        check(PayloadForm::Auto, json!({"instances": [[1.0]]}));
        check(PayloadForm::Instances, json!({"instances": [{"a": 1.0}]}));
    }

    #[test]
    fn the_endpoint_is_found_in_any_of_its_routes() {
        let check = |url: &str, expect: Option<&str>| {
            assert_eq!(endpoint_url(&url.parse().unwrap()).as_ref().map(Url::as_str), expect, "{url}");
        };
        check(URL, Some(URL));
        check(&format!("{URL}:predict"), Some(URL));
        check(&format!("{URL}/chat/completions#x"), Some(URL));
        check("https://us-central1-aiplatform.googleapis.com/", None);
        check("https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/", None);
    }

    #[test]
    fn the_version_is_the_model_at_its_version() {
        let check = |told: Value, expect: Option<&str>| {
            let mut body = json!({"predictions": [[0.2, 0.8]]});
            body.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
            let answer = vertex(PayloadForm::Auto).read_prediction(body.to_string().as_bytes(), 1).unwrap();
            assert_eq!(answer.rows, [[Cell::Number(0.2), Cell::Number(0.8)]]);
            assert_eq!(answer.version.as_ref().map(VersionId::as_str), expect, "{told}");
        };
        let model = "projects/p/locations/us-central1/models/9";
        check(json!({"deployedModelId": "111", "model": model, "modelVersionId": "2"}), Some("9@2"));
        check(json!({"deployedModelId": "111", "model": format!("{model}@1")}), Some("9@1"));
        check(json!({"deployedModelId": "111"}), Some("111"));
        check(json!({}), None);
    }

    #[test]
    fn other_answers_are_refused() {
        let check = |body: &str, expect: TargetFailure| {
            let found = vertex(PayloadForm::Auto).read_prediction(body.as_bytes(), 2).unwrap_err().outcome;
            assert_eq!(found, Outcome::TargetFailed(expect), "{body}");
        };
        check(r#"{"predictions": [1]}"#, TargetFailure::WrongShape);
        check(r#"{"outputs": [1, 2]}"#, TargetFailure::ProtocolViolation);
        check("<html>", TargetFailure::BodyMalformed);
    }
}
