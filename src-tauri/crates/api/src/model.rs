//! What a server says about its model, and of its own health.

use pilothouse_domain::{Endpoint, EndpointId};
use pilothouse_engine::ModelSchema;
use pilothouse_serving::{LoadedModel, ModelMetadata, TensorSpec};

use crate::types::{
    ConnectTestRequest, DescribedVersion, EndpointRequest, HealthFacet, HealthFacets, ModelDescription, ModelInMemory,
    TensorField,
};
use crate::{Api, ApiError};

/// Inputs and outputs shown of one model; more are of no use to a person.
const MAX_TENSORS: usize = 2_000;

impl Api {
    /// Asks an endpoint's server what it says about the model.
    pub async fn model_describe(&self, request: EndpointRequest) -> Result<ModelDescription, ApiError> {
        let endpoint = self.engine.endpoint(EndpointId(request.id)).await?;
        self.describe(&endpoint).await
    }

    /// Asks the server of a draft what it says about the model, without saving anything.
    pub async fn connect_describe(&self, request: ConnectTestRequest) -> Result<ModelDescription, ApiError> {
        let endpoint = self.endpoint_from(request.draft, None).await?;
        self.describe(&endpoint).await
    }

    async fn describe(&self, endpoint: &Endpoint) -> Result<ModelDescription, ApiError> {
        let ModelSchema { metadata, source } = self.engine.describe_model(endpoint).await?;
        let ModelMetadata { name, versions, platform, inputs, outputs, server, ready, states, loaded } = metadata;
        let listed = states.into_iter().map(|state| DescribedVersion {
            version: state.version,
            state: state.state,
            is_default: state.is_default,
            workers: state.workers,
            detail: state.detail,
        });
        let mut described: Vec<DescribedVersion> = listed.collect();
        for version in versions {
            if described.iter().all(|known| known.version != version) {
                let state = String::new();
                described.push(DescribedVersion { version, state, is_default: false, workers: None, detail: None });
            }
        }
        Ok(ModelDescription {
            name,
            server,
            platform: platform.filter(|platform| !platform.is_empty()),
            image: endpoint.target.image.as_ref().map(|image| image.name.clone()),
            ready,
            versions: described,
            inputs: fields(inputs),
            outputs: fields(outputs),
            loaded: loaded.map(|models| models.into_iter().map(in_memory).collect()),
            schema_source: source,
            notice: endpoint.target.protocol.notice().map(str::to_owned),
            at_ms: self.engine.now().0,
        })
    }
}

fn in_memory(model: LoadedModel) -> ModelInMemory {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let LoadedModel { name, size_bytes, gpu_bytes, until_ms } = model;
    ModelInMemory { name, size_bytes: bytes(size_bytes), gpu_bytes: bytes(gpu_bytes), until_ms }
}

fn fields(tensors: Vec<TensorSpec>) -> Vec<TensorField> {
    let field = |TensorSpec { name, datatype, shape, optional }| TensorField { name, datatype, shape, optional };
    tensors.into_iter().take(MAX_TENSORS).map(field).collect()
}

/// The facets of an endpoint's health as they cross the border.
pub fn health_facets(facets: &pilothouse_domain::HealthFacets) -> HealthFacets {
    let facet = |facet: &pilothouse_domain::HealthFacet| HealthFacet {
        state: facet.state.as_str().to_owned(),
        since_ms: facet.since.map(|since| since.0),
        detail: facet.detail.clone(),
    };
    HealthFacets {
        live: facet(&facets.live),
        ready: facet(&facets.ready),
        predicts: facet(&facets.predicts),
        contradict: facets.contradict(),
    }
}
