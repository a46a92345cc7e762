//! A Kubernetes cluster: KServe's `InferenceService`s, and the Services whose labels or pods name a model server.
//!
//! Source: KServe API `serving.kserve.io/v1beta1` (status as its controller of v0.15 to v0.20 writes it), Kubernetes core
//! API v1. What must stay true: only `list` is asked; what the user may not see is said, with the permission that is
//! missing, and does not keep the rest out.

mod inference_service;
mod service;

use std::collections::HashSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use pilothouse_cluster::{Access, Cluster, ClusterError, Listing, Place, ResourceKind};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use self::inference_service::InferenceService;
use crate::candidate::Discovery;

/// Limit for looking through a cluster.
const LIMIT: Duration = Duration::from_mins(1);
/// The most candidates of one cluster.
const MAX_CANDIDATES: usize = 1_000;

const INFERENCE_SERVICES: ResourceKind =
    ResourceKind { group: "serving.kserve.io", version: "v1beta1", plural: "inferenceservices" };

/// What to look for, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// The cluster.
    pub access: Access,
    /// The namespace; `None`: all of them, or the context's own where the user may not list all.
    pub namespace: Option<String>,
    /// A label selector: Services that it selects are listed whatever else they are.
    pub labels: Option<String>,
}

/// Looks through a cluster.
pub async fn kubernetes(options: &KubernetesOptions) -> Result<Discovery, ClusterError> {
    let cluster = Cluster::login(&options.access).await?;
    let looked = timeout(LIMIT, look(&cluster, options)).await;
    looked.map_err(|_| ClusterError::TimedOut { server: cluster.server().to_owned(), limit: LIMIT })?
}

async fn look(cluster: &Cluster, options: &KubernetesOptions) -> Result<Discovery, ClusterError> {
    let namespace = options.namespace.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let place = namespace.map_or(Place::AllNamespaces, |name| Place::Namespace(name.to_owned()));
    let mut discovery = Discovery {
        place: format!("context {} ({})", cluster.context(), cluster.server()),
        context: Some(cluster.context().to_owned()),
        candidates: Vec::new(),
        notes: Vec::new(),
    };
    let notes = &mut discovery.notes;
    let mut reader = Reader { cluster, place, seen: 0, notes };
    let inference: Vec<InferenceService> = reader.list(INFERENCE_SERVICES, None).await?;
    let services: Vec<Service> = reader.list(ResourceKind::SERVICES, None).await?;
    let pods: Vec<Pod> = reader.list(ResourceKind::PODS, None).await?;
    let selected: Vec<Service> = match options.labels.as_deref().map(str::trim).filter(|labels| !labels.is_empty()) {
        Some(labels) => reader.list(ResourceKind::SERVICES, Some(labels)).await?,
        None => Vec::new(),
    };
    // With nothing seen at all the refusals are the answer, and not notes beside an empty list.
    if reader.seen == 0 {
        reader.cluster_refused_all().await?;
    }
    let selected: HashSet<(String, String)> = selected.iter().map(service::key).collect();

    let mut candidates = Vec::new();
    let named: HashSet<(String, String)> = inference.iter().map(InferenceService::key).collect();
    candidates.extend(inference.iter().map(|item| inference_service::candidate(item, &services, &pods)));
    let others = services
        .iter()
        .filter(|service| service::inference_service_of(service).is_none_or(|owner| !named.contains(&owner)));
    candidates
        .extend(others.filter_map(|item| service::candidate(item, &pods, selected.contains(&service::key(item)))));
    if candidates.len() > MAX_CANDIDATES {
        discovery.notes.push(format!("only the first {MAX_CANDIDATES} of {} are listed", candidates.len()));
        candidates.truncate(MAX_CANDIDATES);
    }
    candidates.sort_by(|a, b| (&a.namespace, &a.name, a.kind).cmp(&(&b.namespace, &b.name, b.kind)));
    discovery.candidates = candidates;
    Ok(discovery)
}

/// Reads one kind after the other, and narrows the place when the user may not see all of it.
struct Reader<'a> {
    cluster: &'a Cluster,
    place: Place,
    /// Lists that were given.
    seen: usize,
    notes: &'a mut Vec<String>,
}

impl Reader<'_> {
    async fn list<T: DeserializeOwned>(
        &mut self,
        kind: ResourceKind,
        labels: Option<&str>,
    ) -> Result<Vec<T>, ClusterError> {
        let mut listed = self.cluster.list(kind, &self.place, labels).await;
        if matches!(listed, Err(ClusterError::Forbidden { .. })) && self.place == Place::AllNamespaces {
            let own = Place::Namespace(self.cluster.namespace().to_owned());
            let narrowed = self.cluster.list(kind, &own, labels).await;
            if narrowed.is_ok() {
                self.notes.push(format!(
                    "the user of this context may not list `{}` in all namespaces: only `{}` was looked through",
                    kind.plural,
                    self.cluster.namespace()
                ));
                listed = narrowed;
            }
        }
        match listed {
            Ok(Listing { items, unreadable, is_cut }) => {
                self.seen += 1;
                if unreadable > 0 {
                    self.notes.push(format!("{unreadable} of `{}` are of another form and were left out", kind.plural));
                }
                if is_cut {
                    self.notes.push(format!("only the first {} of `{}` were read", items.len(), kind.plural));
                }
                Ok(items)
            }
            Err(ClusterError::NotFound { .. }) if kind == INFERENCE_SERVICES => {
                self.notes.push("KServe is not installed in this cluster".into());
                Ok(Vec::new())
            }
            Err(error @ ClusterError::Forbidden { .. }) => {
                self.notes.push(error.to_string());
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// The refusal of the list that matters most.
    async fn cluster_refused_all(&self) -> Result<(), ClusterError> {
        self.cluster.list::<Service>(ResourceKind::SERVICES, &self.place, None).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
