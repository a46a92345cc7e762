//! Health by its facets: does the server say it lives, does it say the model is ready.
//!
//! What it is: the two words that a server has for its own health, asked beside the probe. What must stay true: they
//! never change a probe's outcome; a route that servers of the protocol may lack is "not offered", never a failure; a
//! failure of ours is [`FacetState::Unknown`].

use std::time::Duration;

use pilothouse_domain::{FacetState, Outcome, TargetFailure, VersionId};

use crate::ModelClient;
use crate::protocol::{FacetCall, Lacking, Readiness, ServingProtocol};
use crate::transport::{ConnectionSlot, Exchange, Failure, Limits, Redirects};

/// The limit of one health route, whatever the probe's own limits are: they answer at once or something is wrong.
const LIMIT: Duration = Duration::from_secs(5);
/// The largest answer read.
const MAX_BODY: usize = 1024 * 1024;

/// One facet with what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// What the server says.
    pub state: FacetState,
    /// What happened, to what; at most 300 characters, never with a secret.
    pub detail: Option<String>,
}

impl Facet {
    const NOT_OFFERED: Self = Self { state: FacetState::NotOffered, detail: None };
}

/// What a server says of its own health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facets {
    /// Whether the server lives.
    pub live: Facet,
    /// Whether the model is ready.
    pub ready: Facet,
    /// The version that calls without a version go to, where the readiness route names it.
    pub version: Option<VersionId>,
}

impl ModelClient {
    /// Asks the server's own health routes, one after the other over a connection that is not kept. The probe's
    /// connection and its timing are not touched.
    pub async fn facets(&self) -> Facets {
        let mut slot = ConnectionSlot::default();
        let live = match self.protocol().liveness_call() {
            None => Facet::NOT_OFFERED,
            Some(asked) => {
                let read = |protocol: &dyn ServingProtocol, body: &[u8]| {
                    protocol.read_liveness(body).map(|()| Readiness::default())
                };
                self.ask(&mut slot, &asked, read).await.0
            }
        };
        let (ready, version) = match self.protocol().readiness_call() {
            None => (Facet::NOT_OFFERED, None),
            Some(asked) => self.ask(&mut slot, &asked, |protocol, body| protocol.read_readiness(body)).await,
        };
        Facets { live, ready, version }
    }

    async fn ask(
        &self,
        slot: &mut ConnectionSlot,
        asked: &FacetCall,
        read: impl FnOnce(&dyn ServingProtocol, &[u8]) -> Result<Readiness, Failure>,
    ) -> (Facet, Option<VersionId>) {
        let exchange = self.exchange_within(slot, &asked.call, &self.facet_limits()).await;
        let judged = self.accept(&exchange, true).and_then(|()| read(self.protocol(), &exchange.body));
        match judged {
            Ok(Readiness { version, detail }) => {
                (Facet { state: FacetState::Ok, detail: detail.map(|text| self.redact(&text)) }, version)
            }
            Err(failure) => (self.facet_of(&failure, &exchange, asked), None),
        }
    }

    fn facet_of(&self, failure: &Failure, exchange: &Exchange, asked: &FacetCall) -> Facet {
        let state = match failure.outcome {
            Outcome::Ok | Outcome::TargetFailed(_) if is_lacking(asked.lacking, failure, exchange) => {
                FacetState::NotOffered
            }
            Outcome::Ok | Outcome::TargetFailed(_) => FacetState::Failed,
            Outcome::Unknown(_) => FacetState::Unknown,
        };
        Facet { state, detail: Some(self.redact(&failure.detail)) }
    }

    fn facet_limits(&self) -> Limits {
        let limits = self.limits();
        Limits {
            connect: limits.connect.min(LIMIT),
            first_byte: limits.first_byte.min(LIMIT),
            total: limits.total.min(LIMIT),
            max_body: limits.max_body.min(MAX_BODY),
            redirects: Redirects::Follow,
        }
    }
}

/// Whether the answer means that there is no such route here, rather than that something is wrong.
fn is_lacking(lacking: Lacking, failure: &Failure, exchange: &Exchange) -> bool {
    use TargetFailure as F;
    let Outcome::TargetFailed(reason) = failure.outcome else { return false };
    let no_route = matches!(exchange.status, Some(404 | 405 | 501))
        || (matches!(exchange.status, Some(200..=299)) && matches!(reason, F::ProtocolViolation | F::BodyMalformed));
    match lacking {
        Lacking::Nothing => false,
        Lacking::Route => no_route,
        Lacking::Server => {
            no_route
                || exchange.status.is_none()
                || matches!(reason, F::Unauthorized | F::Forbidden | F::RedirectRefused)
        }
    }
}
