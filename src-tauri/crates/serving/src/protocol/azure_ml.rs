//! Online endpoints of Azure Machine Learning: `POST /score`.
//!
//! Source: Microsoft's documentation of online endpoints (scoring address, `azureml-model-deployment`, status codes of
//! managed endpoints: 424 is the model's own failure) and of MLflow models on them (`input_data`). No answer of a real
//! endpoint was captured. A path in the URL is kept; without one it is `/score`, which all but custom containers have.

use http::{HeaderMap, HeaderName, HeaderValue};
use pilothouse_domain::endpoint::PayloadForm;
use pilothouse_domain::{Table, Target, TargetFailure, VersionId};
use url::Url;

use super::table_form::TableForm;
use super::{Answer, Call, ModelMetadata, ServingProtocol, below, setting_header, table_answer, version_header};
use crate::ServingError;
use crate::transport::Failure;

/// In a request the deployment that is to answer, in place of the one that the traffic rules choose; in an answer the one
/// that did.
const DEPLOYMENT: &str = "azureml-model-deployment";

/// The protocol, bound to one target.
pub(super) struct AzureMl {
    url: Url,
    form: TableForm,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl AzureMl {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        let has_path = !target.url.path().trim_matches('/').is_empty();
        Ok(Self {
            url: below(&target.url, if has_path { &[] } else { &["score"] }),
            form: TableForm::new(target, PayloadForm::InputData)?,
            headers: match &target.model_version {
                Some(deployment) => vec![setting_header(DEPLOYMENT, deployment)?],
                None => Vec::new(),
            },
        })
    }
}

impl ServingProtocol for AzureMl {
    fn predict_call(&self, table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        let mut call = self.form.call(&self.url, table)?;
        call.headers.extend_from_slice(&self.headers);
        Ok(call)
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        self.form.read(body, rows, table_answer::json)
    }

    fn answering_version(&self, headers: &HeaderMap) -> Option<VersionId> {
        version_header(headers, DEPLOYMENT)
    }

    fn rows_per_call(&self) -> Option<usize> {
        self.form.rows_per_call()
    }

    fn special_status(&self, status: u16, _message: Option<&str>, _is_health: bool) -> Option<TargetFailure> {
        // 424: the model's container answered with something else than 200. 408: it did not answer in time.
        match status {
            424 => Some(TargetFailure::ServerError),
            408 => Some(TargetFailure::FirstByteTimeout),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Cell, Column, ColumnKind, Outcome, Protocol};
    use serde_json::{Value, json};

    use super::super::status_failure;
    use super::super::tests::target;
    use super::*;

    const URL: &str = "https://churn.westeurope.inference.ml.azure.com/";

    fn azure(url: &str, deployment: Option<&str>) -> AzureMl {
        let mut target = target(url, Protocol::AzureMl, None);
        target.model_version = deployment.map(str::to_owned);
        AzureMl::new(&target).unwrap()
    }

    #[test]
    fn rows_are_sent_as_mlflow_models_take_them() {
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
        let table =
            Table { columns: vec![column("a"), column("b")], rows: vec![vec![Cell::Number(1.0), Cell::Number(2.0)]] };
        let call = azure(URL, Some("blue")).predict_call(&table, None).unwrap();
        assert_eq!(call.url.as_str(), format!("{URL}score"));
        assert_eq!(call.headers, [setting_header(DEPLOYMENT, "blue").unwrap()]);
        let sent: Value = serde_json::from_slice(&call.body.unwrap()).unwrap();
        assert_eq!(sent, json!({"input_data": {"columns": ["a", "b"], "index": [0], "data": [[1.0, 2.0]]}}));
        let kept = azure(&format!("{URL}v1/predict?api-version=1"), None).predict_call(&table, None).unwrap();
        assert_eq!(kept.url.as_str(), format!("{URL}v1/predict?api-version=1"));
    }

    #[test]
    fn answers_and_their_deployment_are_read() {
        let azure = azure(URL, None);
        let rows = azure.read_prediction(b"[1, 0]", 2).unwrap().rows;
        assert_eq!(rows, [[Cell::Number(1.0)], [Cell::Number(0.0)]]);
        assert_eq!(azure.read_prediction(br#""{\"result\": [3]}""#, 1).unwrap().rows, [[Cell::Number(3.0)]]);
        let headers = HeaderMap::from_iter([setting_header(DEPLOYMENT, "green").unwrap()]);
        assert_eq!(azure.answering_version(&headers), Some(VersionId::from("green")));
    }

    #[test]
    fn a_failure_of_the_model_is_a_424() {
        let check = |status: u16, expect: TargetFailure| {
            let found = status_failure(&azure(URL, None), status, b"", false).unwrap().outcome;
            assert_eq!(found, Outcome::TargetFailed(expect), "{status}");
        };
        check(424, TargetFailure::ServerError);
        check(408, TargetFailure::FirstByteTimeout);
        check(429, TargetFailure::RateLimited);
        check(404, TargetFailure::ModelNotFound);
    }
}
