//! Databricks model serving: `POST /serving-endpoints/{name}/invocations`, in MLflow's forms.
//!
//! Source: databricks-sdk 0.156.0 (`ServingEndpointsAPI.query`: the route, the bodies, the answer's header
//! `served-model-name`) and Databricks' documentation of endpoints with several served entities (the route
//! `/served-models/{entity}/invocations`). No answer of a real endpoint was captured.

use http::HeaderMap;
use pilothouse_domain::endpoint::PayloadForm;
use pilothouse_domain::{Table, Target, TargetFailure, VersionId};
use url::Url;

use super::table_form::TableForm;
use super::{Answer, Call, ModelMetadata, ServingProtocol, base_and_name, below, table_answer, version_header};
use crate::ServingError;
use crate::transport::Failure;

/// The served entity that answered.
const SERVED_MODEL: &str = "served-model-name";

/// The protocol, bound to one target.
pub(super) struct Databricks {
    url: Url,
    form: TableForm,
}

impl Databricks {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        let (base, name) = base_and_name(target, "serving-endpoints")?;
        let mut segments = vec!["serving-endpoints", name.as_str()];
        if let Some(entity) = &target.model_version {
            segments.extend(["served-models", entity.as_str()]);
        }
        segments.push("invocations");
        Ok(Self { url: below(&base, &segments), form: TableForm::new(target, PayloadForm::DataframeSplit)? })
    }
}

impl ServingProtocol for Databricks {
    fn predict_call(&self, table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        self.form.call(&self.url, table)
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        self.form.read(body, rows, table_answer::json)
    }

    fn answering_version(&self, headers: &HeaderMap) -> Option<VersionId> {
        version_header(headers, SERVED_MODEL)
    }

    fn rows_per_call(&self) -> Option<usize> {
        self.form.rows_per_call()
    }

    fn special_status(&self, status: u16, message: Option<&str>, _is_health: bool) -> Option<TargetFailure> {
        // A wrong token is a 403 here, and so is a token without the permission.
        let wrong_token = message.is_some_and(|message| message.to_ascii_lowercase().contains("invalid access token"));
        (status == 403 && wrong_token).then_some(TargetFailure::Unauthorized)
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Cell, Column, ColumnKind, Outcome, Protocol};
    use serde_json::{Value, json};

    use super::super::status_failure;
    use super::super::tests::target;
    use super::*;

    const URL: &str = "https://adb-1.2.azuredatabricks.net/";

    fn databricks(change: impl FnOnce(&mut Target)) -> Databricks {
        let mut target = target(URL, Protocol::Databricks, Some("ep"));
        change(&mut target);
        Databricks::new(&target).unwrap()
    }

    #[test]
    fn the_requests_are_those_of_the_sdk() {
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
        let table = Table { columns: vec![column("a")], rows: vec![vec![Cell::Number(1.0)]] };
        let call =
            databricks(|target| target.payload = PayloadForm::DataframeRecords).predict_call(&table, None).unwrap();
        assert_eq!(call.url.as_str(), format!("{URL}serving-endpoints/ep/invocations"));
        let sent: Value = serde_json::from_slice(&call.body.unwrap()).unwrap();
        assert_eq!(sent, json!({"dataframe_records": [{"a": 1.0}]}));
        let pinned = databricks(|target| target.model_version = Some("bc-1".into()));
        assert_eq!(pinned.url.as_str(), format!("{URL}serving-endpoints/ep/served-models/bc-1/invocations"));
    }

    #[test]
    fn answers_and_their_served_entity_are_read() {
        let databricks = databricks(|_| {});
        assert_eq!(databricks.read_prediction(br#"{"predictions": [1]}"#, 1).unwrap().rows, [[Cell::Number(1.0)]]);
        let headers = HeaderMap::from_iter([("served-model-name".parse().unwrap(), "bc-1".parse().unwrap())]);
        let headers: HeaderMap = headers;
        assert_eq!(databricks.answering_version(&headers), Some(VersionId::from("bc-1")));
    }

    #[test]
    fn a_wrong_token_is_a_403() {
        let check = |body: &str, expect: TargetFailure| {
            let found = status_failure(&databricks(|_| {}), 403, body.as_bytes(), false).unwrap().outcome;
            assert_eq!(found, Outcome::TargetFailed(expect), "{body}");
        };
        check(r#"{"error_code":"403","message":"Invalid access token."}"#, TargetFailure::Unauthorized);
        check(r#"{"error_code":"PERMISSION_DENIED","message":"no"}"#, TargetFailure::Forbidden);
    }
}
