//! Amazon `SageMaker`'s runtime: `POST /endpoints/{name}/invocations`.
//!
//! Source: the service model `sagemaker-runtime` 2017-05-13 in botocore 1.44.5 (headers, errors) and requests of boto3
//! 1.44.5; answers captured from moto 5.2.5. What a container takes and gives is its author's choice: CSV without a heading
//! line is what the built-in algorithms take, and the one sent unless the target says otherwise. `Accept` is left open
//! (`*/*`) as the SDK leaves it: a container refuses a type that it does not give, and some refuse the type they gave when
//! it stands in a list.
//!
//! Its traps: a model's own error is a 424 from `SageMaker`; throttling and a missing endpoint are 400; errors may be XML
//! although JSON was asked for.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue};
use pilothouse_domain::endpoint::PayloadForm;
use pilothouse_domain::{Table, Target, TargetFailure, VersionId};
use url::Url;

use super::table_form::TableForm;
use super::{
    Answer, Call, ModelMetadata, ServingProtocol, base_and_name, below, setting_header, table_answer, version_header,
};
use crate::ServingError;
use crate::transport::Failure;

const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");
/// The production variant that answered.
const INVOKED_VARIANT: &str = "x-amzn-invoked-production-variant";
/// The production variant that is to answer.
const TARGET_VARIANT: &str = "x-amzn-sagemaker-target-variant";

/// Forwarded to the model's container as it is.
const CUSTOM_ATTRIBUTES: &str = "x-amzn-sagemaker-custom-attributes";

/// The protocol, bound to one target.
pub(super) struct SageMaker {
    url: Url,
    form: TableForm,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl SageMaker {
    pub(super) fn new(target: &Target) -> Result<Self, ServingError> {
        let (base, name) = base_and_name(target, "endpoints")?;
        let mut headers = vec![(ACCEPT, ANYTHING)];
        if let Some(variant) = &target.model_version {
            headers.push(setting_header(TARGET_VARIANT, variant)?);
        }
        if let Some(attributes) = &target.custom_attributes {
            headers.push(setting_header(CUSTOM_ATTRIBUTES, attributes)?);
        }
        Ok(Self {
            url: below(&base, &["endpoints", &name, "invocations"]),
            form: TableForm::new(target, PayloadForm::Csv)?,
            headers,
        })
    }
}

impl ServingProtocol for SageMaker {
    fn predict_call(&self, table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        let mut call = self.form.call(&self.url, table)?;
        call.headers.extend_from_slice(&self.headers);
        Ok(call)
    }

    fn read_prediction(&self, body: &[u8], rows: usize) -> Result<Answer, Failure> {
        self.form.read(body, rows, table_answer::csv_or_json)
    }

    fn answering_version(&self, headers: &HeaderMap) -> Option<VersionId> {
        version_header(headers, INVOKED_VARIANT)
    }

    fn rows_per_call(&self) -> Option<usize> {
        self.form.rows_per_call()
    }

    fn special_status(&self, status: u16, message: Option<&str>, _is_health: bool) -> Option<TargetFailure> {
        let says = |words: &[&str]| message.is_some_and(|message| words.iter().any(|word| message.contains(word)));
        match status {
            // "Received client error (400) from primary with message …": the model did not take the rows.
            424 if says(&["Received client error"]) => Some(TargetFailure::RequestRejected),
            424 => Some(TargetFailure::ServerError),
            // ModelNotReadyException: a serverless variant or a model of several is still loaded.
            429 if says(&["ModelNotReady", "not ready", "still being", "loading"]) => Some(TargetFailure::NotReady),
            400 if says(&["ThrottlingException", "Rate exceeded"]) => Some(TargetFailure::RateLimited),
            400 if says(&["not found", "Could not find"]) => Some(TargetFailure::ModelNotFound),
            403 if says(&["SignatureDoesNotMatch", "InvalidClientTokenId", "security token", "expired"]) => {
                Some(TargetFailure::Unauthorized)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::endpoint::JsonTemplate;
    use pilothouse_domain::{Cell, Column, ColumnKind, Outcome, Protocol};
    use serde_json::{Value, json};

    use super::super::status_failure;
    use super::super::tests::target;
    use super::*;

    const URL: &str = "https://runtime.sagemaker.eu-west-1.amazonaws.com/";

    fn sagemaker(change: impl FnOnce(&mut Target)) -> SageMaker {
        let mut target = target(URL, Protocol::SageMaker, Some("churn"));
        change(&mut target);
        SageMaker::new(&target).unwrap()
    }

    fn table() -> Table {
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Numeric };
        Table { columns: vec![column("a"), column("b")], rows: vec![vec![Cell::Number(1.0), Cell::Number(2.0)]] }
    }

    fn header<'c>(call: &'c Call, name: &str) -> Option<&'c str> {
        call.headers.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value.to_str().unwrap())
    }

    #[test]
    fn the_requests_are_those_of_the_sdk() {
        let addressed = sagemaker(|target| {
            target.model_version = Some("v2".into());
            target.custom_attributes = Some("trace=1".into());
        });
        let call = addressed.predict_call(&table(), None).unwrap();
        assert_eq!(call.url.as_str(), format!("{URL}endpoints/churn/invocations"));
        assert_eq!(call.body.as_deref(), Some(&b"1.0,2.0\n"[..]));
        assert_eq!((header(&call, "content-type"), header(&call, "accept")), (Some("text/csv"), Some("*/*")));
        assert_eq!(header(&call, TARGET_VARIANT), Some("v2"));
        assert_eq!(header(&call, CUSTOM_ATTRIBUTES), Some("trace=1"));
    }

    #[test]
    fn rows_are_written_as_json_where_the_container_takes_that() {
        let sent = |sagemaker: &SageMaker| -> Value {
            let call = sagemaker.predict_call(&table(), None).unwrap();
            assert_eq!(header(&call, "content-type"), None, "JSON is the transport's own");
            serde_json::from_slice(&call.body.unwrap()).unwrap()
        };
        let instances = sagemaker(|target| target.payload = PayloadForm::Instances);
        assert_eq!(sent(&instances), json!({"instances": [{"a": 1.0, "b": 2.0}]}));
        let body = json!({"features": "{{row}}"});
        let prediction = "/p".into();
        let own = JsonTemplate { path: String::new(), body, prediction, version: None, live: None, ready: None };
        let own = sagemaker(|target| target.json = Some(own));
        assert_eq!((sent(&own), own.rows_per_call()), (json!({"features": [1.0, 2.0]}), Some(1)));
    }

    #[test]
    fn the_endpoint_is_named_by_the_url_or_by_itself() {
        let check = |url: &str, model: Option<&str>, expect: &str| {
            let found = SageMaker::new(&target(url, Protocol::SageMaker, model)).unwrap();
            assert_eq!(found.url.as_str(), expect);
        };
        check("http://h:1/x/", Some("a b"), "http://h:1/x/endpoints/a%20b/invocations");
        check("http://h:1/endpoints/e/invocations", None, "http://h:1/endpoints/e/invocations");
        check("http://h:1/x/endpoints/e", Some("f"), "http://h:1/x/endpoints/f/invocations");
        assert!(SageMaker::new(&target(URL, Protocol::SageMaker, None)).is_err());
    }

    #[test]
    fn the_variant_that_answered_is_the_version() {
        let mut headers = HeaderMap::new();
        let sagemaker = sagemaker(|_| {});
        assert_eq!(sagemaker.answering_version(&headers), None);
        headers.insert("x-Amzn-Invoked-Production-Variant", "AllTraffic".parse().unwrap());
        assert_eq!(sagemaker.answering_version(&headers), Some(VersionId::from("AllTraffic")));
    }

    #[test]
    fn errors_say_whose_they_are() {
        use TargetFailure as F;
        let check = |status: u16, body: &str, expect: F| {
            let found = status_failure(&sagemaker(|_| {}), status, body.as_bytes(), false).unwrap();
            assert_eq!(found.outcome, Outcome::TargetFailed(expect), "{status} {body}");
        };
        let model = |error: &str| json!({"ErrorCode": "x", "Message": error, "OriginalStatusCode": 500}).to_string();
        check(424, &model("Received server error (500) from primary with message \"\""), F::ServerError);
        check(424, &model("Received client error (415) from primary with message \"\""), F::RequestRejected);
        check(429, r#"{"Message":"Variant is still being provisioned"}"#, F::NotReady);
        check(429, r#"{"Message":"Too many requests"}"#, F::RateLimited);
        check(400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#, F::RateLimited);
        check(400, r#"{"Message":"Endpoint churn of account 123456789012 not found."}"#, F::ModelNotFound);
        let xml = "<?xml version=\"1.0\"?><ErrorResponse><Errors><Error><Code>SignatureDoesNotMatch</Code>\
                   <Message>The request signature we calculated does not match</Message></Error></Errors></ErrorResponse>";
        check(403, xml, F::Unauthorized);
        check(403, r#"{"Message":"User: x is not authorized to perform: sagemaker:InvokeEndpoint"}"#, F::Forbidden);
        check(503, "", F::ServerError);
    }
}
