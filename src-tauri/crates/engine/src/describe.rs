//! What is known about an endpoint's model: asked from its server, completed by its registry.

use pilothouse_domain::Endpoint;
use pilothouse_serving::ModelMetadata;

use crate::evaluate::predict_error;
use crate::{Engine, EngineError};

/// A model as it is described, and who described its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSchema {
    /// What the server says.
    pub metadata: ModelMetadata,
    /// Who described the inputs and outputs, when it was not the server itself.
    pub source: Option<String>,
}

impl Engine {
    /// Asks the endpoint's server about its model.
    pub async fn describe_model(&self, endpoint: &Endpoint) -> Result<ModelSchema, EngineError> {
        let watched = self.watched(endpoint.id).filter(|watched| watched.endpoint == *endpoint);
        let asked = match &watched {
            Some(watched) => self.client_of(watched).await?.metadata().await,
            None => self.model_client(endpoint).await?.metadata().await,
        };
        let metadata = asked.map_err(|failure| predict_error(&endpoint.name, failure))?;
        Ok(ModelSchema { metadata, source: None })
    }
}
