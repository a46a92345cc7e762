//! One endpoint, ready to be asked: probes with every phase timed, predictions in batches, metadata.
//!
//! What it hides: which protocol is spoken, when metadata are fetched, which connection is used. What must stay true: a
//! probe is one timed request and never an error; the metadata that shape a request are fetched outside the timed
//! request, as are tokens, and forgotten when the server no longer agrees with them; every detail is redacted before it
//! leaves.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pilothouse_domain::{
    Cell, Generation, Outcome, Phases, ProbeConfig, Table, Target, TargetFailure, UnknownReason, VersionId,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::protocol::{self, Answer, Call, ModelMetadata, ServingProtocol, predict_failure, status_failure};
use crate::retry_after::retry_after;
use crate::text::{DETAIL_LIMIT, one_line, server_message};
use crate::transport::{BodyObserver, ConnectionSlot, Exchange, Failure, Limits, TlsProfile, Transport, Unobserved};
use crate::{Authorizer, ClientIdentity, Credential, PredictFailure, ServingError, ShownPrediction, checks};

/// Prediction batches in flight at once on one endpoint.
const PREDICTIONS_IN_FLIGHT: usize = 4;

/// Idle connections of predictions are closed after this, by the next probe or prediction.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// What one probe found.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeReport {
    /// What came of it.
    pub outcome: Outcome,
    /// The HTTP status, when an answer came.
    pub http_status: Option<u16>,
    /// The model version that the answer reported.
    pub version: Option<VersionId>,
    /// Time per phase.
    pub phases: Phases,
    /// From the request's start to its end, in microseconds; absent when nothing was tried.
    pub total_us: Option<u32>,
    /// Whether a kept-alive connection was used.
    pub reused: bool,
    /// Decoded size of the answer's body in bytes.
    pub response_bytes: u32,
    /// What happened, to what; absent when all is well. At most 300 characters, never with a secret.
    pub detail: Option<String>,
    /// How long the server asked not to be asked again, where it refused for having been asked too often (429).
    pub retry_after: Option<Duration>,
    /// What a generated answer measured, where a prompt was sent and an answer began to come.
    pub generation: Option<Box<Generation>>,
    /// The beginning of what the model predicted, where rows were sent and the answer could be read; also when it then
    /// failed a check.
    pub prediction: Option<Box<ShownPrediction>>,
}

/// A model's predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// One row per input row.
    pub rows: Vec<Vec<Cell>>,
    /// The model version that the answer reported.
    pub version: Option<VersionId>,
}

/// Everything needed to ask one endpoint.
pub struct ModelClient {
    transport: Arc<Transport>,
    target: Target,
    pub(crate) protocol: Box<dyn ServingProtocol>,
    limits: Limits,
    authorizer: Authorizer,
    /// The management API's own, where it has one.
    management: Option<Authorizer>,
    tls: TlsProfile,
    /// The probe's own connection, so that predictions do not disturb what is measured.
    probe_connection: tokio::sync::Mutex<ConnectionSlot>,
    /// Connections between predictions, and since when they have been idle.
    idle: Mutex<Vec<(Instant, ConnectionSlot)>>,
    in_flight: Semaphore,
    known: Mutex<Known>,
    /// Prompts take turns.
    pub(crate) prompts_sent: AtomicU32,
}

/// What was learned from the server and is kept until it contradicts.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) metadata: Option<Arc<ModelMetadata>>,
    /// The server has no metadata for this model (404 and the like).
    pub(crate) has_no_metadata: bool,
    probe_call: Option<Arc<Call>>,
}

impl ModelClient {
    /// A client for `target`. Files named in its TLS settings are read at the first use of https.
    pub fn new(
        transport: Arc<Transport>,
        target: &Target,
        probe: &ProbeConfig,
        credential: Credential,
        identity: Option<ClientIdentity>,
    ) -> Result<Self, ServingError> {
        if !matches!(target.url.scheme(), "http" | "https") || target.url.host_str().is_none() {
            return Err(ServingError::Target("the URL must begin with http:// or https:// and name a host".into()));
        }
        if !target.url.username().is_empty() || target.url.password().is_some() {
            return Err(ServingError::Target(
                "the URL must not contain a user or password; store the secret in the keyring instead".into(),
            ));
        }
        let authorizer = Authorizer::new(&transport, credential, &target.tls)?;
        let protocol = protocol::of_target(target)?;
        let mut target = target.clone();
        if let (Some(input), Some(most)) = (&mut target.probe_input, protocol.rows_per_call()) {
            // A probe is one request: where a server takes one row at a time, the first row is sent.
            input.rows.truncate(most);
        }
        let mut limits = Limits::from(probe);
        if target.protocol.generates_text() {
            // A model that is loaded at its first prompt, or answers in one piece, is silent for long and not dead.
            limits.first_byte = limits.total;
        }
        Ok(Self {
            tls: transport.tls_profile(&target.tls, identity),
            transport,
            target,
            protocol,
            limits,
            authorizer,
            management: None,
            probe_connection: tokio::sync::Mutex::default(),
            idle: Mutex::default(),
            in_flight: Semaphore::new(PREDICTIONS_IN_FLIGHT),
            known: Mutex::default(),
            prompts_sent: AtomicU32::new(0),
        })
    }

    /// With a credential of its own for what is asked of a management API; only that is given it.
    pub fn with_management(mut self, credential: Credential) -> Result<Self, ServingError> {
        self.management = Some(Authorizer::new(&self.transport, credential, &self.target.tls)?);
        Ok(self)
    }

    /// Makes one probe: one timed request. `fresh` forces a new connection, so that its phases are sampled.
    ///
    /// With [`Target::probe_input`] the request is a prediction, with [`Target::prompts`] it is the prompt whose turn it
    /// is, and the answer must pass every check; without either the protocol's health route is asked. Metadata that shape the prediction are fetched before, untimed, and only when
    /// they are not known yet; if that fails for want of an answer, its failure is the probe's.
    pub async fn probe(&self, fresh: bool) -> ProbeReport {
        self.close_idle();
        let mut report = match (self.protocol.generation(), &self.target.prompts, &self.target.probe_input) {
            (Some(generation), Some(prompts), _) => self.probe_generation(generation, prompts, fresh).await,
            (None, _, Some(input)) => self.probe_prediction(input, fresh).await,
            (Some(_), None, _) | (None, _, None) => self.probe_health(fresh).await,
        };
        report.detail = report.detail.map(|detail| self.redact(&detail));
        tracing::debug!(
            host = self.target.url.host_str(),
            outcome = report.outcome.phrase(),
            total_us = report.total_us,
            reused = report.reused,
            "probed"
        );
        report
    }

    /// Predicts every row of `table`. Up to four calls are in flight at once; further ones wait.
    pub async fn predict(&self, table: &Table) -> Result<Prediction, PredictFailure> {
        if table.rows.is_empty() {
            return Ok(Prediction { rows: Vec::new(), version: None });
        }
        if let Some(most) = self.protocol.rows_of_one_call(table).filter(|most| table.rows.len() > *most) {
            return self.predict_in_parts(table, most).await;
        }
        self.predict_whole(table).await
    }

    /// As many calls as a server needs that takes few rows at a time. One version answers all of them.
    async fn predict_in_parts(&self, table: &Table, most: usize) -> Result<Prediction, PredictFailure> {
        let mut calls = Vec::new();
        for rows in table.rows.chunks(most.max(1)) {
            let part = Table { columns: table.columns.clone(), rows: rows.to_vec() };
            calls.push(async move { self.predict_whole(&part).await });
        }
        let parts: Vec<Prediction> = stream::iter(calls).buffered(PREDICTIONS_IN_FLIGHT).try_collect().await?;
        let version = parts.first().and_then(|part| part.version.clone());
        if parts.iter().any(|part| part.version != version) {
            let problem = "another version went live while the rows were sent one after the other; ask again";
            return Err(predict_failure(Failure::target(TargetFailure::ProtocolViolation, problem), None));
        }
        Ok(Prediction { rows: parts.into_iter().flat_map(|part| part.rows).collect(), version })
    }

    async fn predict_whole(&self, table: &Table) -> Result<Prediction, PredictFailure> {
        let (answer, http_status) = self.predict_once(table).await.map_err(|failure| self.redacted(failure))?;
        let metadata = self.known().metadata.clone();
        if let Err(failure) = checks::check(&answer, &self.target.checks, metadata.as_deref()) {
            self.doubt_metadata(failure.outcome);
            return Err(self.redacted(predict_failure(failure, http_status)));
        }
        Ok(Prediction { rows: answer.rows, version: answer.version })
    }

    /// Asks what the server says about the model, and keeps it for later requests.
    pub async fn metadata(&self) -> Result<ModelMetadata, PredictFailure> {
        let nothing =
            || ModelMetadata { name: self.target.model.clone().unwrap_or_default(), ..ModelMetadata::default() };
        let (mut metadata, mut missing) = match self.protocol.metadata_call() {
            None => (nothing(), None),
            Some(call) => {
                let exchange = self.pooled(&call).await;
                let read = self.accept(&exchange, false).and_then(|()| self.protocol.read_metadata(&exchange.body));
                match read {
                    Ok(metadata) => (metadata, None),
                    Err(failure) if self.protocol.metadata_is_optional() && exchange.failure.is_none() => {
                        (nothing(), Some((failure, exchange.http_status())))
                    }
                    Err(failure) => return Err(self.no_metadata(failure, exchange.http_status())),
                }
            }
        };
        for (index, call) in self.protocol.further_calls().iter().enumerate() {
            let exchange = self.pooled(call).await;
            let read = self
                .accept(&exchange, false)
                .and_then(|()| self.protocol.read_further(index, &exchange.body, &mut metadata));
            match read {
                Ok(()) => missing = None,
                Err(failure) => tracing::debug!(detail = failure.detail, "a further route tells nothing"),
            }
        }
        if let Some((failure, status)) = missing {
            return Err(self.no_metadata(failure, status));
        }
        let mut known = self.known();
        known.metadata = Some(Arc::new(metadata.clone()));
        known.probe_call = None;
        Ok(metadata)
    }

    fn no_metadata(&self, failure: Failure, http_status: Option<u16>) -> PredictFailure {
        let mut failure = self.redacted(predict_failure(failure, http_status));
        if let Some(hint) = self.protocol.metadata_hint() {
            failure.detail = format!("{}. {hint}", failure.detail);
        }
        failure
    }

    /// Whether each probe asks for a prediction, and not for a health route alone.
    pub fn probes_a_prediction(&self) -> bool {
        self.target.probe_input.is_some()
            || self.target.prompts.is_some()
            || self.target.protocol == pilothouse_domain::Protocol::Json
    }

    /// Asks the protocol's health route.
    pub async fn ready(&self) -> Result<(), PredictFailure> {
        let call = self.protocol.health_call().map_err(|failure| predict_failure(failure, None))?;
        let exchange = self.pooled(&call).await;
        self.accept(&exchange, true)
            .and_then(|()| self.protocol.read_health(&exchange.body))
            .map_err(|failure| self.redacted(predict_failure(failure, exchange.http_status())))
    }

    async fn probe_health(&self, fresh: bool) -> ProbeReport {
        let call = match self.protocol.health_call() {
            Ok(call) => call,
            Err(failure) => return untried(failure),
        };
        let exchange = self.on_probe_connection(&call, fresh).await;
        let result = self.accept(&exchange, true).and_then(|()| self.protocol.read_health(&exchange.body));
        let predicted = result.as_ref().ok().and_then(|()| self.protocol.health_prediction(&exchange.body));
        let prediction = predicted.map(|answer| Box::new(self.shown(&answer)));
        ProbeReport { prediction, ..report(&exchange, result.err(), None) }
    }

    async fn probe_prediction(&self, input: &Table, fresh: bool) -> ProbeReport {
        let call = match self.probe_call(input).await {
            Ok(call) => call,
            Err(report) => return *report,
        };
        let exchange = self.on_probe_connection(&call, fresh).await;
        let metadata = self.known().metadata.clone();
        let (mut version, mut prediction) = (None, None);
        let result = self.accept(&exchange, false).and_then(|()| {
            let answer = self.protocol.read_prediction(&exchange.body, input.rows.len())?;
            version = answer.version.clone().or_else(|| self.protocol.answering_version(&exchange.headers));
            prediction = Some(Box::new(self.shown(&answer)));
            checks::check(&answer, &self.target.checks, metadata.as_deref())
        });
        if let Err(failure) = &result {
            self.doubt_metadata(failure.outcome);
        }
        ProbeReport { prediction, ..report(&exchange, result.err(), version) }
    }

    fn shown(&self, answer: &Answer) -> ShownPrediction {
        ShownPrediction::of(answer, |text| self.without_secrets(text))
    }

    /// The probe's request, built once and kept while the metadata hold.
    async fn probe_call(&self, input: &Table) -> Result<Arc<Call>, Box<ProbeReport>> {
        if let Some(call) = &self.known().probe_call {
            return Ok(Arc::clone(call));
        }
        if let Err((exchange, failure)) = self.learn_metadata().await {
            return Err(Box::new(report(&exchange, Some(failure), None)));
        }
        let mut known = self.known();
        let call = self
            .protocol
            .predict_call(input, known.metadata.as_deref())
            .map_err(|failure| Box::new(untried(failure)))?;
        Ok(Arc::clone(known.probe_call.insert(Arc::new(call))))
    }

    async fn predict_once(&self, table: &Table) -> Result<(Answer, Option<u16>), PredictFailure> {
        self.learn_metadata().await.map_err(|(exchange, failure)| predict_failure(failure, exchange.http_status()))?;
        let metadata = self.known().metadata.clone();
        let call =
            self.protocol.predict_call(table, metadata.as_deref()).map_err(|failure| predict_failure(failure, None))?;
        let exchange = self.pooled(&call).await;
        self.accept(&exchange, false)
            .and_then(|()| self.protocol.read_prediction(&exchange.body, table.rows.len()))
            .map(|mut answer| {
                answer.version = answer.version.or_else(|| self.protocol.answering_version(&exchange.headers));
                (answer, exchange.http_status())
            })
            .map_err(|failure| {
                self.doubt_metadata(failure.outcome);
                predict_failure(failure, exchange.http_status())
            })
    }

    /// Fetches the metadata that shape requests, if the protocol wants them and they are not known. An answer that says
    /// "none here" is accepted; no answer, or a refusal, is a failure.
    async fn learn_metadata(&self) -> Result<(), (Box<Exchange>, Failure)> {
        {
            let known = self.known();
            if !self.protocol.needs_metadata() || known.metadata.is_some() || known.has_no_metadata {
                return Ok(());
            }
        }
        let Some(call) = self.protocol.metadata_call() else { return Ok(()) };
        let exchange = self.pooled(&call).await;
        let read = self.accept(&exchange, false).and_then(|()| self.protocol.read_metadata(&exchange.body));
        match read {
            Ok(metadata) => self.known().metadata = Some(Arc::new(metadata)),
            // Servers without the metadata extension answer 404, 405 or 501, or with something else entirely; the
            // prediction itself then decides.
            Err(_)
                if matches!(exchange.status, Some(200 | 204 | 400 | 404 | 405 | 501)) && exchange.failure.is_none() =>
            {
                self.known().has_no_metadata = true;
            }
            Err(failure) => return Err((Box::new(exchange), failure)),
        }
        Ok(())
    }

    /// Forgets what was learned when the server contradicts it.
    pub(crate) fn doubt_metadata(&self, outcome: Outcome) {
        use TargetFailure as F;
        let contradicts = matches!(
            outcome,
            Outcome::TargetFailed(F::WrongShape | F::WrongDtype | F::RequestRejected | F::ModelNotFound)
        );
        if contradicts {
            *self.known() = Known::default();
        }
    }

    pub(crate) fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn on_probe_connection(&self, call: &Call, fresh: bool) -> Exchange {
        self.on_probe_connection_observed(call, fresh, &mut Unobserved).await
    }

    pub(crate) async fn on_probe_connection_observed(
        &self,
        call: &Call,
        fresh: bool,
        observer: &mut dyn BodyObserver,
    ) -> Exchange {
        let mut slot = self.probe_connection.lock().await;
        let request = call.request(&self.tls, fresh);
        self.authorizer_of(call).exchange_observed(&self.transport, &mut slot, request, &self.limits, observer).await
    }

    pub(crate) async fn pooled(&self, call: &Call) -> Exchange {
        // The semaphore is never closed, so that waiting for it cannot fail.
        let _permit = self.in_flight.acquire().await;
        self.close_idle();
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut slot = kept.map(|(_, slot)| slot).unwrap_or_default();
        let request = call.request(&self.tls, false);
        let exchange = self.authorizer_of(call).exchange(&self.transport, &mut slot, request, &self.limits).await;
        if slot.is_open() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), slot));
        }
        exchange
    }

    /// Evaluations come in bursts; between them a fleet of endpoints must not hold four connections each.
    fn close_idle(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, slot)| since.elapsed() < IDLE_LIMIT && slot.is_open());
    }

    /// One call over a connection of the caller's, within limits of its own.
    pub(crate) async fn exchange_within(&self, slot: &mut ConnectionSlot, call: &Call, limits: &Limits) -> Exchange {
        self.authorizer_of(call).exchange(&self.transport, slot, call.request(&self.tls, false), limits).await
    }

    pub(crate) fn protocol(&self) -> &dyn ServingProtocol {
        self.protocol.as_ref()
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// `text` on one line, not too long and without secrets.
    pub(crate) fn redact(&self, text: &str) -> String {
        one_line(&self.without_secrets(text), DETAIL_LIMIT)
    }

    /// `text` without the secrets of either credential.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        let text = self.authorizer.redact(text);
        match &self.management {
            Some(management) => management.redact(&text),
            None => text,
        }
    }

    fn authorizer_of(&self, call: &Call) -> &Authorizer {
        self.management.as_ref().filter(|_| call.is_management).unwrap_or(&self.authorizer)
    }

    /// A complete answer with a status of success, or why not.
    pub(crate) fn accept(&self, exchange: &Exchange, is_health: bool) -> Result<(), Failure> {
        if let Some(failure) = &exchange.failure {
            return Err(failure.clone());
        }
        let Some(status) = exchange.status else {
            return Err(Failure::ours(UnknownReason::Internal, "the exchange ended without an answer or a reason"));
        };
        let failure = status_failure(self.protocol.as_ref(), status, &exchange.body, is_health);
        match failure.map(|failure| in_its_own_words(failure, exchange)) {
            None => Ok(()),
            Some(failure) => Err(match asked_wait(exchange, failure.outcome) {
                None => failure,
                Some(wait) => Failure::target(
                    TargetFailure::RateLimited,
                    format!("asked to wait {} s: {}", wait.as_secs(), failure.detail),
                ),
            }),
        }
    }

    fn redacted(&self, mut failure: PredictFailure) -> PredictFailure {
        failure.detail = self.redact(&failure.detail);
        failure
    }
}

/// gRPC has codes of its own: the status that stands for one is nobody's word.
fn in_its_own_words(failure: Failure, exchange: &Exchange) -> Failure {
    let Some(code) = exchange.grpc_code else { return failure };
    let message = server_message(&exchange.body);
    let words = message.as_deref().unwrap_or(code.name());
    Failure { detail: one_line(&format!("the server answered {words}"), DETAIL_LIMIT), ..failure }
}

/// How long a server that limits its callers asked this one to wait. A busy or starting server (503) may ask too; it is
/// asked all the same, since a watch has to see when it comes back.
fn asked_wait(exchange: &Exchange, outcome: Outcome) -> Option<Duration> {
    let is_limited = outcome == Outcome::TargetFailed(TargetFailure::RateLimited);
    is_limited.then(|| retry_after(&exchange.headers)).flatten()
}

pub(crate) fn report(exchange: &Exchange, failure: Option<Failure>, version: Option<VersionId>) -> ProbeReport {
    let (outcome, detail) = match failure {
        None => (Outcome::Ok, None),
        Some(failure) => (failure.outcome, Some(failure.detail)),
    };
    ProbeReport {
        outcome,
        http_status: exchange.http_status(),
        version,
        phases: exchange.phases,
        total_us: exchange.total_us,
        reused: exchange.reused,
        response_bytes: u32::try_from(exchange.body.len()).unwrap_or(u32::MAX),
        detail,
        retry_after: asked_wait(exchange, outcome),
        generation: None,
        prediction: None,
    }
}

/// A probe for which nothing was sent.
pub(crate) fn untried(failure: Failure) -> ProbeReport {
    ProbeReport {
        outcome: failure.outcome,
        http_status: None,
        version: None,
        phases: Phases::default(),
        total_us: None,
        reused: false,
        response_bytes: 0,
        detail: Some(failure.detail),
        retry_after: None,
        generation: None,
        prediction: None,
    }
}
