//! What is known about an endpoint's model: asked from its server, completed by its registry.

use pilothouse_control::{ModelSignature, SignatureField};
use pilothouse_domain::{Endpoint, EndpointId, VersionId};
use pilothouse_serving::{ModelMetadata, TensorSpec};

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
        if endpoint.target.protocol.divides_traffic() {
            let metadata = self.metadata_of_cloud(endpoint).await?;
            return Ok(ModelSchema { metadata, source: None });
        }
        let watched = self.watched(endpoint.id).filter(|watched| watched.endpoint == *endpoint);
        let asked = match &watched {
            Some(watched) => self.client_of(watched).await?.metadata().await,
            None => self.model_client(endpoint).await?.metadata().await,
        };
        let mut metadata = asked.map_err(|failure| predict_error(&endpoint.name, failure))?;
        let mut source = None;
        if metadata.inputs.is_empty() && endpoint.control_plane.is_some() {
            match self.signature(endpoint).await {
                Ok(Some((signature, version))) => {
                    metadata.inputs = signature.inputs.into_iter().map(tensor).collect();
                    metadata.outputs = signature.outputs.into_iter().map(tensor).collect();
                    source = Some(match version {
                        Some(version) => format!("the registry for version {version}"),
                        None => "the registry for the version that it points at".to_owned(),
                    });
                }
                Ok(None) => {}
                // The server was asked and answered; that the registry says nothing is told, and is no failure of it.
                Err(error) => source = Some(format!("nobody: {error}")),
            }
        }
        Ok(ModelSchema { metadata, source })
    }

    /// What the registry says of the version that the endpoint serves, as far as that is known.
    async fn signature(&self, endpoint: &Endpoint) -> Result<Option<(ModelSignature, Option<VersionId>)>, EngineError> {
        let plane = self.control_plane(endpoint).await?;
        let version = if endpoint.id == EndpointId(0) { None } else { self.current_version(endpoint.id).await? };
        Ok(plane.signature(version.as_ref()).await?.map(|signature| (signature, version)))
    }
}

fn tensor(field: SignatureField) -> TensorSpec {
    TensorSpec { name: field.name, datatype: field.datatype, shape: field.shape, optional: !field.required }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_signature_does_not_require_is_optional() {
        let field = SignatureField { name: "x".into(), datatype: "FP64".into(), shape: vec![-1], required: false };
        let expect = TensorSpec { name: "x".into(), datatype: "FP64".into(), shape: vec![-1], optional: true };
        assert_eq!(tensor(field), expect);
    }
}
