//! A forwarded port: a stream to a pod of a service, through the API server, as `kubectl port-forward` opens it.
//!
//! Source: Kubernetes API, `GET /api/v1/namespaces/{ns}/pods/{pod}/portforward?ports=N` over the websocket subprotocols
//! that kube speaks. No local port is opened. What must stay true: the stream's task ends with the stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::Portforwarder;
use serde::Deserialize as _;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::error::{Place, cut};
use crate::list::segment;
use crate::{Cluster, ClusterError, ResourceKind};

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// The service's namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// Its port, as the service numbers it.
    pub port: u16,
}

type Said = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Bytes to and from a port of a pod.
pub struct ForwardedStream {
    stream: DuplexStream,
    /// What the API server says when the pod's port cannot be used; absent once it has said it.
    said: Option<Said>,
    forwarder: Portforwarder,
    pod: String,
    port: u16,
}

impl Cluster {
    /// Opens a stream to a ready pod behind a service's port. Has no limit of its own but those of its calls: the caller
    /// has one for opening a connection.
    pub async fn forward(&self, to: &ServicePort) -> Result<ForwardedStream, ClusterError> {
        let place = Place::Namespace(to.namespace.clone());
        let path = format!("{}/{}", ResourceKind::SERVICES.path(&place), segment(&to.service));
        let service = self.get(&path, "get", "services", &place).await.map_err(|error| match error {
            ClusterError::NotFound { server, .. } => {
                ClusterError::NotFound { server, what: format!("service `{}` {place}", to.service) }
            }
            error => error,
        })?;
        let service = Service::deserialize(&service).map_err(|error| ClusterError::Answer {
            server: self.server.clone(),
            problem: format!("the service `{}` is of another form: {error}", to.service),
        })?;
        let labels = selector_of(&service, to)?;
        let pods = self.list::<Pod>(ResourceKind::PODS, &place, Some(&labels)).await?;
        let pod = pods.items.iter().filter(|pod| is_ready(pod)).min_by_key(|pod| pod.metadata.name.clone());
        let Some((pod, name)) = pod.and_then(|pod| Some((pod, pod.metadata.name.clone()?))) else {
            let message = match pods.items.len() {
                0 => format!("the service `{}` {place} selects no pod", to.service),
                count => format!("none of the {count} pods of the service `{}` {place} is ready", to.service),
            };
            return Err(ClusterError::NoReadyPod(message));
        };
        let port = target_port(&service, pod, to)?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &to.namespace);
        let mut forwarder = pods.portforward(&name, &[port]).await.map_err(|error| match &error {
            kube::Error::Api(status) => {
                let code = http::StatusCode::from_u16(status.code).unwrap_or(http::StatusCode::BAD_GATEWAY);
                let body = serde_json::json!({ "message": status.message }).to_string();
                // Opening one is `create` in the permissions of Kubernetes, whatever the method.
                self.refused(code, body.as_bytes(), "create", "pods/portforward", &place)
            }
            _ => self.unreachable(&error),
        })?;
        let said = forwarder.take_error(port).map(|said| Box::pin(said) as Said);
        let Some(stream) = forwarder.take_stream(port) else {
            return Err(ClusterError::NothingToForward(format!("the port {port} of the pod `{name}` gave no stream")));
        };
        Ok(ForwardedStream { stream, said, forwarder, pod: name, port })
    }
}

fn selector_of(service: &Service, to: &ServicePort) -> Result<String, ClusterError> {
    let spec = service.spec.as_ref();
    if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        return Err(ClusterError::NothingToForward(format!(
            "the service `{}` is only a name for another host (ExternalName): forward a port of the service behind it",
            to.service
        )));
    }
    let selector = spec.and_then(|spec| spec.selector.clone()).unwrap_or_default();
    if selector.is_empty() {
        return Err(ClusterError::NothingToForward(format!("the service `{}` selects no pods", to.service)));
    }
    Ok(selector.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
}

fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The pod's port behind a service's: its `targetPort`, which may be the name of a container's port.
fn target_port(service: &Service, pod: &Pod, to: &ServicePort) -> Result<u16, ClusterError> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let found = ports.clone().find(|port| port.port == i32::from(to.port));
    let Some(found) = found else {
        let known: Vec<String> = ports.map(|port| port.port.to_string()).collect();
        return Err(ClusterError::NothingToForward(format!(
            "the service `{}` has no port {}; it has {}",
            to.service,
            to.port,
            if known.is_empty() { "none".into() } else { known.join(", ") }
        )));
    };
    let number = match &found.target_port {
        None => Some(found.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut named = containers.flat_map(|container| container.ports.iter().flatten());
            named.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
        }
    };
    number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| {
        ClusterError::NothingToForward(format!(
            "the port {} of the service `{}` leads to a port that its pod does not name",
            to.port, to.service
        ))
    })
}

impl ForwardedStream {
    /// The failure that the API server told, once it has.
    fn refusal(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        match self.said.as_mut()?.as_mut().poll(context) {
            Poll::Pending => None,
            Poll::Ready(None) => {
                self.said = None;
                None
            }
            Poll::Ready(Some(text)) => {
                self.said = None;
                self.forwarder.abort();
                let text = format!("port {} of the pod `{}`: {}", self.port, self.pod, cut(&text));
                Some(io::Error::new(io::ErrorKind::ConnectionRefused, text))
            }
        }
    }
}

impl Drop for ForwardedStream {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

impl AsyncRead for ForwardedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.refusal(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ForwardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
