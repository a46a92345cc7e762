//! A Service of Kubernetes, and what its labels, its ports and its pods say of the model behind it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort as Port};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use pilothouse_cluster::ServicePort;
use url::Url;

use super::inference_service::LABEL;
use crate::candidate::{Candidate, CandidateKind, plain};
use crate::image::ImageName;
use crate::stack::{self, Stack};

/// Values of `app.kubernetes.io/component` that say "a model answers here".
const COMPONENTS: [&str; 8] = [
    "model-server",
    "modelserver",
    "model-serving",
    "predictor",
    "inference",
    "inference-server",
    "inferenceserver",
    "serving",
];
/// Labels that name an application.
const NAMES: [&str; 4] = ["app.kubernetes.io/name", "app.kubernetes.io/part-of", "app", "k8s-app"];
/// Labels that only model servers have, with who sets them.
const OWN: [(&str, &str); 5] = [
    (LABEL, "KServe"),
    ("seldon.io/model", "Seldon"),
    ("seldon-deployment-id", "Seldon Core"),
    ("ray.io/serve", "KubeRay"),
    ("yatai.ai/bento-deployment", "Yatai (BentoML)"),
];
/// Containers that stand beside a model server.
const SIDECARS: [&str; 5] = ["queue-proxy", "istio-proxy", "linkerd-proxy", "agent", "kserve-container-agent"];

/// Namespace and name.
pub(super) fn key(service: &Service) -> (String, String) {
    (service.metadata.namespace.clone().unwrap_or_default(), service.metadata.name.clone().unwrap_or_default())
}

fn label<'a>(service: &'a Service, name: &str) -> Option<&'a str> {
    service.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// The `InferenceService` to which it belongs, by namespace and name.
pub(super) fn inference_service_of(service: &Service) -> Option<(String, String)> {
    Some((service.metadata.namespace.clone().unwrap_or_default(), label(service, LABEL)?.to_owned()))
}

/// Whether it has pods of its own: one without a selector, or that is a name for another host, cannot be forwarded.
pub(super) fn selects_pods(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.type_.as_deref()) != Some("ExternalName")
        && spec.and_then(|spec| spec.selector.as_ref()).is_some_and(|selector| !selector.is_empty())
}

/// The candidate that a Service is; `None` when nothing names a model server.
pub(super) fn candidate(service: &Service, pods: &[Pod], wanted: bool) -> Option<Candidate> {
    let (namespace, name) = key(service);
    let spec = service.spec.as_ref()?;
    let of_it: Vec<&Pod> = match &spec.selector {
        Some(selector) if !selector.is_empty() => {
            pods.iter().filter(|pod| is_selected(pod, &namespace, selector)).collect()
        }
        _ => Vec::new(),
    };
    let mut found = Candidate::new(CandidateKind::Service, &name);
    found.namespace = Some(namespace.clone());
    let stack = recognise(&mut found, service, &of_it);
    if found.evidence.is_empty() && !wanted {
        return None;
    }
    if wanted {
        found.evidence.push("the label selector that was given selects it".into());
    }
    found.stack = stack.map(|stack| stack.title);
    found.protocol = stack.and_then(|stack| stack.protocol);
    read_pods(&mut found, &of_it);
    let Some((forward, port)) = forward_of(service, stack) else {
        // A Service for metrics or gRPC alone stands beside the one that predicts.
        if !wanted {
            return None;
        }
        found.problems.push("none of its ports looks like an HTTP API".into());
        return Some(found);
    };
    let scheme = scheme_of(port);
    found.inside_url = Url::parse(&format!("{scheme}://{name}.{namespace}.svc.cluster.local:{}/", forward.port)).ok();
    found.url = outer_url(service, scheme, forward.port);
    found.evidence.push(format!(
        "its port {}{}",
        forward.port,
        port.name.as_ref().map(|name| format!(" is named {}", plain(name))).unwrap_or_default()
    ));
    if let Some(node) = port.node_port {
        found.evidence.push(format!("each node answers for it on port {node}"));
    }
    if selects_pods(service) {
        found.forward = Some(forward);
    } else if found.url.is_none() {
        found.problems.push("it selects no pods, so that its port cannot be forwarded".into());
    }
    Some(found)
}

fn is_selected(pod: &Pod, namespace: &str, selector: &BTreeMap<String, String>) -> bool {
    pod.metadata.namespace.as_deref().unwrap_or_default() == namespace
        && pod
            .metadata
            .labels
            .as_ref()
            .is_some_and(|labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// What names a model server: a label that only they have, a component, a name, or the image of a pod.
fn recognise(found: &mut Candidate, service: &Service, pods: &[&Pod]) -> Option<&'static Stack> {
    let mut stack = None;
    for (name, who) in OWN {
        if let Some(value) = label(service, name) {
            found.evidence.push(format!("its label {name}={} is set by {who}", plain(value)));
        }
    }
    if let Some(component) = label(service, "app.kubernetes.io/component")
        && COMPONENTS.contains(&component.to_ascii_lowercase().as_str())
    {
        found.evidence.push(format!("its label app.kubernetes.io/component is {}", plain(component)));
    }
    for name in NAMES {
        if let Some(named) = label(service, name).and_then(stack::of_word) {
            found.evidence.push(format!("its label {name} names {}", named.title));
            stack = stack.or(Some(named));
        }
    }
    let image = pods.iter().find_map(|pod| Some((image_of(pod)?, stack::of_image(&image_of(pod)?)?)));
    if let Some((image, by_image)) = image {
        found.evidence.push(format!("its pods run {}, which is {}", plain(&image.repository), by_image.title));
        stack = Some(by_image);
    }
    // KubeRay names the Service of its applications so, and labels it only with the cluster.
    if label(service, "ray.io/cluster").is_some() || label(service, "ray.io/service").is_some() {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        if name.ends_with("-serve-svc") {
            found.evidence.push("it is KubeRay's Service for Ray Serve".into());
            stack = stack.or_else(|| stack::of_word("ray-serve"));
        }
    }
    stack
}

/// The image of a pod's main container: the one of a known stack, else the first that stands beside no other.
fn image_of(pod: &Pod) -> Option<ImageName> {
    let containers = pod.spec.as_ref()?.containers.iter();
    let mut main = containers.filter(|container| !SIDECARS.contains(&container.name.as_str()));
    let images: Vec<ImageName> = main.by_ref().filter_map(|c| c.image.as_deref().map(ImageName::parse)).collect();
    images.iter().find(|image| stack::of_image(image).is_some()).or(images.first()).cloned()
}

/// Image, tag, digest and readiness, as the pods say them.
pub(super) fn read_pods(found: &mut Candidate, pods: &[&Pod]) {
    if pods.is_empty() {
        return;
    }
    let is_ready = |pod: &&&Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let ready = pods.iter().filter(is_ready).count();
    found.evidence.push(format!("{ready} of {} pods are ready", pods.len()));
    if found.kind == CandidateKind::Service {
        found.ready = Some(ready > 0);
        if ready == 0 {
            found.problems.push("none of its pods is ready".into());
        }
    }
    let Some((pod, image)) = pods.iter().find_map(|pod| Some((pod, image_of(pod)?))) else { return };
    found.stack = found.stack.or_else(|| stack::of_image(&image).map(|stack| stack.title));
    found.version = found.version.take().or_else(|| image.tag.as_deref().map(plain));
    let tag = image.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    found.image = Some(plain(&format!("{}{tag}", image.repository)));
    let mut statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let running = statuses.find(|status| ImageName::parse(&status.image).repository.ends_with(image.path()));
    let digest = running.and_then(|status| ImageName::parse(&status.image_id).digest).or(image.digest);
    found.digest = digest.map(|digest| plain(&digest));
}

/// The port that is the HTTP API, and how it would be forwarded.
pub(super) fn forward_of<'a>(service: &'a Service, stack: Option<&Stack>) -> Option<(ServicePort, &'a Port)> {
    let (namespace, name) = key(service);
    let ports = service.spec.as_ref()?.ports.as_deref()?;
    let best = ports.iter().filter_map(|port| Some((rank(port, stack)?, port))).min_by_key(|(rank, _)| *rank)?.1;
    Some((ServicePort { namespace, service: name, port: u16::try_from(best.port).ok()? }, best))
}

/// How likely a port is the HTTP API, the smallest first; `None`: it is something else.
fn rank(port: &Port, stack: Option<&Stack>) -> Option<u8> {
    const NOT_HTTP: [&str; 10] =
        ["grpc", "metric", "prom", "dashboard", "manage", "admin", "client", "gcs", "usermetric", "autoscal"];
    if port.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
        return None;
    }
    let name = port.name.as_deref().unwrap_or_default().to_ascii_lowercase();
    if NOT_HTTP.iter().any(|word| name.contains(word)) {
        return None;
    }
    let inside = match &port.target_port {
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(_)) => None,
        None => u16::try_from(port.port).ok(),
    };
    if let (Some(stack), Some(inside)) = (stack, inside) {
        if stack.ports.contains(&inside) {
            return Some(0);
        }
        if stack.other_ports.iter().any(|(number, _)| *number == inside) {
            return None;
        }
    }
    let says_http = ["http", "rest", "predict", "infer", "api", "serve", "web"].iter().any(|word| name.contains(word))
        || port.app_protocol.as_deref().is_some_and(|protocol| protocol.contains("http"));
    Some(match (says_http, port.port) {
        (true, _) => 1,
        (false, 80 | 443 | 8000 | 8080 | 3000 | 5000) => 2,
        (false, _) => 3,
    })
}

fn scheme_of(port: &Port) -> &'static str {
    let name = port.name.as_deref().unwrap_or_default();
    let says = name.starts_with("https") || port.app_protocol.as_deref() == Some("https");
    if says || port.port == 443 { "https" } else { "http" }
}

/// The address of a load balancer.
fn outer_url(service: &Service, scheme: &str, port: u16) -> Option<Url> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
    let host = ingress.hostname.clone().or_else(|| {
        let address = ingress.ip.clone()?;
        Some(if address.contains(':') { format!("[{address}]") } else { address })
    })?;
    Url::parse(&format!("{scheme}://{host}:{port}/")).ok()
}
