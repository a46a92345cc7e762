//! A probe of an endpoint that generates text: one prompt of its set, its answer measured piece by piece.
//!
//! What must stay true: the list of models, which tells the model's version, is asked outside the timed request; it is
//! asked again whenever the probe's connection was a new one, since a server that was started anew with another model
//! has closed the old one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pilothouse_domain::{PromptSet, VersionId};

use crate::client::{ModelClient, ProbeReport, report, untried};
use crate::generation::{Answered, Recorder, TextGeneration};
use crate::protocol::{ModelMetadata, version};
use crate::transport::{Exchange, Failure};

/// The most things that one probe learns about how its model wants to be asked.
const ADAPTATIONS_MAX: u32 = 2;

impl ModelClient {
    /// Sends the prompt whose turn it is.
    pub(crate) async fn probe_generation(
        &self,
        protocol: &dyn TextGeneration,
        set: &PromptSet,
        fresh: bool,
    ) -> ProbeReport {
        let turn = self.prompts_sent.fetch_add(1, Ordering::Relaxed) as usize;
        let Some((number, prompt)) = set.prompts.iter().enumerate().nth(turn % set.prompts.len().max(1)) else {
            return untried(crate::protocol::misfit("the set of prompts is empty; add one"));
        };
        let was_known = self.knows_model();
        let known_before = match self.known_model().await {
            Ok(known) => known,
            Err((exchange, failure)) => return report(&exchange, Some(failure), None),
        };
        let mut adapted = 0;
        let (recorder, exchange) = loop {
            let call = match protocol.call(prompt, set, known_before.as_deref()) {
                Ok(call) => call,
                Err(failure) => return untried(failure),
            };
            let mut recorder = Recorder::new(protocol, set.stream);
            let exchange = self.on_probe_connection_observed(&call, fresh, &mut recorder).await;
            // As with a renewed token, only the request that was understood counts.
            let refused = exchange.status.filter(|_| exchange.failure.is_none() && adapted < ADAPTATIONS_MAX);
            if !refused.is_some_and(|status| protocol.adapt(status, &exchange.body)) {
                break (recorder, exchange);
            }
            adapted += 1;
        };
        let refusal = self.accept(&exchange, false).err();
        if let Some(failure) = &refusal {
            self.doubt_metadata(failure.outcome);
        }
        let answered = recorder.conclude(&exchange, refusal, number, prompt);
        if was_known && !exchange.reused {
            self.forget_model();
        }
        self.generation_report(&exchange, answered).await
    }

    async fn generation_report(&self, exchange: &Exchange, answered: Answered) -> ProbeReport {
        let Answered { mut generation, model, failure } = answered;
        let version = match &generation {
            Some(_) => self.version_behind(model.as_deref()).await,
            None => None,
        };
        if let Some(generation) = &mut generation {
            generation.text = self.without_secrets(&generation.text);
        }
        ProbeReport { generation, ..report(exchange, failure, version) }
    }

    /// The version behind an answer: what the server's list says of the model, else the model's name in the answer.
    async fn version_behind(&self, model: Option<&str>) -> Option<VersionId> {
        let known = self.known_model().await.ok().flatten();
        let listed = known.as_ref().and_then(|metadata| metadata.versions.first());
        version(listed.map_or(model, |listed| Some(listed.as_str())).unwrap_or_default())
    }

    /// What the server's list says of the model. A list that cannot be had or read is no failure: some servers generate
    /// all the same, and the prompt will tell. No answer at all is one.
    async fn known_model(&self) -> Result<Option<Arc<ModelMetadata>>, (Box<Exchange>, Failure)> {
        {
            let known = self.known();
            if known.metadata.is_some() || known.has_no_metadata {
                return Ok(known.metadata.clone());
            }
        }
        let Some(call) = self.protocol.metadata_call() else { return Ok(None) };
        let exchange = self.pooled(&call).await;
        if let Some(failure) = exchange.failure.clone() {
            return Err((Box::new(exchange), failure));
        }
        let read = self.accept(&exchange, false).and_then(|()| self.protocol.read_metadata(&exchange.body));
        let mut known = self.known();
        match read {
            Ok(metadata) => known.metadata = Some(Arc::new(metadata)),
            Err(failure) => {
                tracing::debug!(detail = failure.detail, "the list of models tells nothing of this one");
                known.has_no_metadata = true;
            }
        }
        Ok(known.metadata.clone())
    }

    fn knows_model(&self) -> bool {
        let known = self.known();
        known.metadata.is_some() || known.has_no_metadata
    }

    fn forget_model(&self) {
        let mut known = self.known();
        known.metadata = None;
        known.has_no_metadata = false;
    }
}
