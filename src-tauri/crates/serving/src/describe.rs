//! What a cloud says of an endpoint that it runs, asked of its management API.
//!
//! What it hides: each cloud's requests and answers (one file each in `describe`), where its management API stands. What
//! must stay true: nothing is sent that changes anything; a failure here says something about the description and nothing
//! about the model; a cloud's word that is not known is kept as it is; answers of any bytes give a description or a reason.

mod azure_ml;
mod databricks;
mod sagemaker;
mod vertex;

use std::sync::Arc;
use std::time::Duration;

use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Deployment, Outcome, Protocol, Target, TimestampMs};
use serde::de::DeserializeOwned;

use crate::protocol::Call;
use crate::text::{DETAIL_LIMIT, one_line, server_message};
use crate::transport::{ConnectionSlot, Exchange, Limits, Redirects, TlsProfile, Transport};
use crate::{Authorizer, ClientIdentity, Credential, ServingError};

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(15),
    total: Duration::from_secs(20),
    max_body: 4 * 1024 * 1024,
    redirects: Redirects::WithinOrigin,
};
/// Names and messages that a cloud gives are kept up to this length.
const NAME_LIMIT: usize = 200;

/// Why a cloud does not describe an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct DescribeFailure {
    /// Whether the cloud was reached and refused or answered something else; otherwise nothing is known of it.
    pub answered: bool,
    /// What happened, to what; at most 300 characters, never with a secret.
    pub detail: String,
}

impl DescribeFailure {
    fn answer(detail: impl AsRef<str>) -> Self {
        Self { answered: true, detail: one_line(detail.as_ref(), DETAIL_LIMIT) }
    }
}

/// One cloud's management API, bound to one endpoint: pure functions from bytes to a description.
trait Management: Send + Sync {
    /// Asks for the endpoint.
    fn call(&self) -> Call;

    /// Reads the answer to [`Self::call`].
    fn read(&self, body: &[u8]) -> Result<Deployment, String>;

    /// Asks what the first answer leaves open, if anything.
    fn further_call(&self, _told: &Deployment) -> Option<Call> {
        None
    }

    /// Adds what the answer to [`Self::further_call`] says.
    fn read_further(&self, _body: &[u8], _told: &mut Deployment) -> Result<(), String> {
        Ok(())
    }
}

/// The management API of a target; `None` where there is none, or where its address is not known.
fn of_target(target: &Target) -> Result<Option<Box<dyn Management>>, ServingError> {
    fn boxed<M: Management + 'static>(found: Option<M>) -> Option<Box<dyn Management>> {
        found.map(|management| Box::new(management) as Box<dyn Management>)
    }
    Ok(match target.protocol {
        Protocol::SageMaker => boxed(sagemaker::SageMaker::new(target)?),
        Protocol::AzureMl => boxed(azure_ml::AzureMl::new(target)),
        Protocol::Vertex => boxed(vertex::Vertex::new(target)),
        Protocol::Databricks => boxed(Some(databricks::Databricks::new(target)?)),
        _ => None,
    })
}

/// Asks a cloud about one endpoint.
pub struct DeploymentClient {
    transport: Arc<Transport>,
    authorizer: Authorizer,
    tls: TlsProfile,
    management: Box<dyn Management>,
    connection: tokio::sync::Mutex<ConnectionSlot>,
}

impl DeploymentClient {
    /// A client for the management API that describes `target`; `None` where its address is not known.
    pub fn new(
        transport: Arc<Transport>,
        target: &Target,
        credential: Credential,
        identity: Option<ClientIdentity>,
    ) -> Result<Option<Self>, ServingError> {
        let Some(management) = of_target(target)? else { return Ok(None) };
        // The endpoint's private authority is not that of the cloud's own API; where both stand behind one, it holds.
        let tls: &Tls = &target.tls;
        let authorizer = Authorizer::new(&transport, credential, tls)?;
        let tls = transport.tls_profile(tls, identity);
        Ok(Some(Self { transport, authorizer, tls, management, connection: tokio::sync::Mutex::default() }))
    }

    /// Asks what the cloud says of the endpoint now.
    pub async fn describe(&self) -> Result<Deployment, DescribeFailure> {
        let mut connection = self.connection.lock().await;
        let body = self.ask(&mut connection, &self.management.call()).await?;
        let read = self.management.read(&body).map_err(DescribeFailure::answer);
        let mut told = read.map_err(|failure| self.redacted(failure))?;
        if let Some(call) = self.management.further_call(&told) {
            // It only adds; a policy may allow the one and not the other.
            let added = match self.ask(&mut connection, &call).await {
                Ok(body) => self.management.read_further(&body, &mut told),
                Err(failure) => Err(failure.detail),
            };
            if let Err(detail) = added {
                let detail = self.authorizer.redact_detail(&detail);
                tracing::debug!(detail, "the cloud tells no more of the endpoint");
            }
        }
        told.sort();
        Ok(told)
    }

    async fn ask(&self, connection: &mut ConnectionSlot, call: &Call) -> Result<bytes::Bytes, DescribeFailure> {
        let request = call.request(&self.tls, false);
        let exchange = self.authorizer.exchange(&self.transport, connection, request, &LIMITS).await;
        accept(exchange, self.authorizer.is_none()).map_err(|failure| self.redacted(failure))
    }

    fn redacted(&self, mut failure: DescribeFailure) -> DescribeFailure {
        failure.detail = self.authorizer.redact_detail(&failure.detail);
        failure
    }
}

/// The body of a complete answer of success.
fn accept(exchange: Exchange, without_credential: bool) -> Result<bytes::Bytes, DescribeFailure> {
    if let Some(failure) = exchange.failure {
        let answered = exchange.status.is_some() && matches!(failure.outcome, Outcome::TargetFailed(_));
        let detail = one_line(&format!("{}: {}", failure.outcome.phrase(), failure.detail), DETAIL_LIMIT);
        return Err(DescribeFailure { answered, detail });
    }
    let Some(status) = exchange.status else {
        return Err(DescribeFailure { answered: false, detail: "no answer came".to_owned() });
    };
    if (200..300).contains(&status) {
        return Ok(exchange.body);
    }
    let hint = match status {
        401 | 403 if without_credential => "; name a credential for it",
        401 | 403 => "; its credential may not describe the endpoint",
        _ => "",
    };
    let message = server_message(&exchange.body).map(|message| format!(": {message}")).unwrap_or_default();
    Err(DescribeFailure::answer(format!("the management API answered {status}{hint}{message}")))
}

/// Reads JSON of a known form.
fn parse<T: DeserializeOwned>(body: &[u8], whose: &str) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| match server_message(body) {
        Some(message) if error.is_syntax() => format!("the answer is not that of {whose}: {message}"),
        _ => format!("the answer is not that of {whose}: {error}"),
    })
}

/// A name or a word from a cloud, made fit to be shown; `None` when nothing is left of it.
fn told(text: &str) -> Option<String> {
    let text = one_line(text, NAME_LIMIT);
    (!text.is_empty()).then_some(text)
}

/// A message from a cloud.
fn message(text: Option<&str>) -> Option<String> {
    let text = one_line(text?, DETAIL_LIMIT);
    (!text.is_empty()).then_some(text)
}

/// A time in seconds since 1970, as AWS writes it.
fn from_seconds(seconds: f64) -> Option<TimestampMs> {
    (seconds.is_finite() && (0.0..1e11).contains(&seconds)).then_some(TimestampMs((seconds * 1_000.0) as i64))
}

/// A time as RFC 3339 writes it.
fn from_rfc3339(text: &str) -> Option<TimestampMs> {
    text.parse::<jiff::Timestamp>().ok().map(|at| TimestampMs(at.as_millisecond()))
}

/// What the requests and the answers of each cloud's tests share.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn target(url: &str, protocol: Protocol, model: Option<&str>) -> Target {
        Target { model: model.map(str::to_owned), ..Target::new(url.parse().unwrap(), protocol) }
    }

    fn every_management() -> Vec<Box<dyn Management>> {
        let mut azure = target("https://e.r.inference.ml.azure.com/", Protocol::AzureMl, None);
        azure.management_url = Some("https://management.azure.com/x/onlineEndpoints/e".parse().unwrap());
        let vertex = "https://r-aiplatform.googleapis.com/v1/projects/p/locations/r/endpoints/1";
        [
            target("https://runtime.sagemaker.eu-west-1.amazonaws.com/", Protocol::SageMaker, Some("e")),
            azure,
            target(vertex, Protocol::Vertex, None),
            target("https://w.azuredatabricks.net/", Protocol::Databricks, Some("e")),
        ]
        .iter()
        .map(|target| of_target(target).unwrap().unwrap())
        .collect()
    }

    fn read_everything(body: &[u8]) {
        for management in every_management() {
            if let Ok(mut told) = management.read(body) {
                let _ = management.further_call(&told);
                let _ = management.read_further(body, &mut told);
                told.sort();
                let _ = told.live();
            }
        }
    }

    proptest! {
        /// An answer of any bytes never panics.
        #[test]
        fn any_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            read_everything(&body);
        }

        /// Neither do answers that have the members of the real ones, with values of any kind.
        #[test]
        fn nearly_right_answers_never_panic(
            name in proptest::sample::select(vec![
                "EndpointStatus", "ProductionVariants", "LastModifiedTime", "properties", "systemData", "deployedModels",
                "trafficSplit", "updateTime", "state", "config", "last_updated_timestamp", "pending_config",
            ]),
            value in proptest::sample::select(vec![
                "null", "true", "-1", "1e308", "\"\"", "\"\\u202e\"", "[]", "[null]", "[[]]", "[{}]", "{}", "{\"a\":{}}",
                "[{\"VariantName\":\"\",\"CurrentWeight\":-0.0}]", "{\"traffic\":{\"a\":1e308,\"b\":-1}}",
                "{\"1\":9223372036854775807}", "[{\"id\":\"1\",\"model\":\"/\"}]", "\"2026-11-22T25:00:00Z\"",
            ]),
        ) {
            read_everything(format!("{{\"EndpointName\":\"e\",\"EndpointStatus\":\"InService\",\"{name}\":{value}}}").as_bytes());
            read_everything(format!("{{\"{name}\":{value}}}").as_bytes());
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let exchange =
            |status: u16, body: &'static str| Exchange { status: Some(status), body: body.into(), ..Exchange::begun() };
        let xml = "<?xml version=\"1.0\"?><ErrorResponse><Errors><Error><Code>AccessDenied</Code><Message>User: x is not \
                   authorized to perform: sagemaker:DescribeEndpoint</Message></Error></Errors></ErrorResponse>";
        let refused = accept(exchange(403, xml), false).unwrap_err();
        assert!(refused.answered);
        assert_eq!(
            refused.detail,
            "the management API answered 403; its credential may not describe the endpoint: AccessDenied: User: x is not \
             authorized to perform: sagemaker:DescribeEndpoint"
        );
        let unnamed = accept(exchange(401, ""), true).unwrap_err().detail;
        assert_eq!(unnamed, "the management API answered 401; name a credential for it");
        assert!(accept(exchange(200, "{}"), true).is_ok());
    }

    #[test]
    fn times_are_read_in_every_cloud_s_form() {
        assert_eq!(from_seconds(1_795_330_117.034), Some(TimestampMs(1_795_330_117_034)));
        assert_eq!(from_seconds(f64::NAN), None);
        assert_eq!(from_rfc3339("2026-11-22T08:01:01.5Z"), Some(TimestampMs(1_795_334_461_500)));
        assert_eq!(from_rfc3339("2026-11-22T08:01:01.1234567+00:00"), Some(TimestampMs(1_795_334_461_123)));
        assert_eq!(from_rfc3339("yesterday"), None);
    }
}
