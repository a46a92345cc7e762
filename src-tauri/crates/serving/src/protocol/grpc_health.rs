//! The standard health service of gRPC, for servers that speak gRPC and no protocol of predictions that is known here.
//!
//! Source: `grpc.health.v1` (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>). The model's name is the
//! service that is asked for; without one the server as a whole is.

use pilothouse_domain::{Table, Target, TargetFailure};
use prost::Message;
use url::Url;

use super::{Answer, Call, FacetCall, Lacking, ModelMetadata, Readiness, ServingProtocol, below, misfit};
use crate::transport::Failure;

/// The path of the only call.
pub(crate) const CHECK: [&str; 2] = ["grpc.health.v1.Health", "Check"];

/// The protocol, bound to one target.
pub(super) struct GrpcHealth {
    base: Url,
    service: String,
}

impl GrpcHealth {
    pub(super) fn new(target: &Target) -> Self {
        Self { base: target.url.clone(), service: target.model.clone().unwrap_or_default() }
    }

    fn check(&self, service: &str) -> Call {
        let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
        Call::grpc(below(&self.base, &CHECK), message)
    }
}

/// `HealthCheckRequest`
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `HealthCheckResponse`
#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    /// 1: serving; 2: not serving; 3: the service is not known; 0: nothing is known.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Reads the answer to [`CHECK`].
pub(crate) fn read_check(body: &[u8]) -> Result<(), Failure> {
    let answer = HealthCheckResponse::decode(body).map_err(|error| {
        Failure::target(TargetFailure::ProtocolViolation, format!("the answer is not one of a health check: {error}"))
    })?;
    let word = match answer.status {
        1 => return Ok(()),
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    };
    Err(Failure::target(TargetFailure::NotReady, format!("the health service answered {word}")))
}

impl ServingProtocol for GrpcHealth {
    fn health_call(&self) -> Result<Call, Failure> {
        Ok(self.check(&self.service))
    }

    fn read_health(&self, body: &[u8]) -> Result<(), Failure> {
        read_check(body)
    }

    fn predict_call(&self, _table: &Table, _metadata: Option<&ModelMetadata>) -> Result<Call, Failure> {
        Err(misfit("the protocol `grpc_health` asks for health alone; predictions over gRPC go by `v2_grpc`"))
    }

    fn read_prediction(&self, _body: &[u8], _rows: usize) -> Result<Answer, Failure> {
        Err(misfit("the protocol `grpc_health` asks for health alone; predictions over gRPC go by `v2_grpc`"))
    }

    fn metadata_call(&self) -> Option<Call> {
        None
    }

    fn read_metadata(&self, _body: &[u8]) -> Result<ModelMetadata, Failure> {
        Ok(ModelMetadata::default())
    }

    /// The server as a whole, whose name is the empty one.
    fn liveness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: self.check(""), lacking: Lacking::Route })
    }

    fn read_liveness(&self, body: &[u8]) -> Result<(), Failure> {
        read_check(body)
    }

    fn readiness_call(&self) -> Option<FacetCall> {
        Some(FacetCall { call: self.check(&self.service), lacking: Lacking::Nothing })
    }

    fn read_readiness(&self, body: &[u8]) -> Result<Readiness, Failure> {
        read_check(body).map(|()| Readiness::default())
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_domain::{Outcome, Protocol};

    use super::super::tests::target;
    use super::*;

    #[test]
    fn the_service_is_asked_for_by_its_name() {
        let named = GrpcHealth::new(&target("http://h/", Protocol::GrpcHealth, Some("risk.v1.Scoring")));
        let call = named.health_call().unwrap();
        assert_eq!(call.url.path(), "/grpc.health.v1.Health/Check");
        assert_eq!(call.body.unwrap()[..], b"\x0a\x0frisk.v1.Scoring"[..]);
        assert!(named.liveness_call().unwrap().call.body.unwrap().is_empty(), "the server as a whole");
        assert!(named.predict_call(&Table::default(), None).is_err());
    }

    #[test]
    fn only_serving_is_healthy() {
        assert_eq!(read_check(b"\x08\x01"), Ok(()));
        for (body, word) in [(&b""[..], " UNKNOWN"), (b"\x08\x02", "NOT_SERVING"), (b"\x08\x03", "SERVICE_UNKNOWN")] {
            let failure = read_check(body).unwrap_err();
            assert_eq!(failure.outcome, Outcome::TargetFailed(TargetFailure::NotReady));
            assert!(failure.detail.ends_with(word), "{failure:?}");
        }
        assert_eq!(read_check(b"\x08").unwrap_err().outcome, Outcome::TargetFailed(TargetFailure::ProtocolViolation));
    }
}
