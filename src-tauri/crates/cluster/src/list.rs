//! Reading lists of resources, page by page, with a limit for each page and for all of them.

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use url::form_urlencoded;

use crate::error::{Place, cut, with_causes};
use crate::login::CALL_LIMIT;
use crate::{Cluster, ClusterError};

/// Resources asked for at once.
const PAGE: usize = 250;
/// The most resources of one kind that are read.
const MAX_ITEMS: usize = 5_000;
/// The largest answer that is read, in bytes.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// A kind of resource, as the API's paths name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceKind {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The resource's plural.
    pub plural: &'static str,
}

impl ResourceKind {
    /// `pods`
    pub const PODS: Self = Self { group: "", version: "v1", plural: "pods" };
    /// `services`
    pub const SERVICES: Self = Self { group: "", version: "v1", plural: "services" };

    pub(crate) fn named(self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub(crate) fn path(self, place: &Place) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        match place {
            Place::AllNamespaces => format!("{root}/{}/{}", self.version, self.plural),
            Place::Namespace(name) => format!("{root}/{}/namespaces/{}/{}", self.version, segment(name), self.plural),
        }
    }
}

/// A name as one part of a path. Names of Kubernetes need no escape; what a person typed may be anything.
pub(crate) fn segment(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20").replace("..", "%2E%2E")
}

/// The query for the next page. A function of its own: the serializer may not live across an `await`.
fn query(labels: Option<&str>, onward: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &PAGE.to_string());
    if let Some(labels) = labels.filter(|labels| !labels.is_empty()) {
        query.append_pair("labelSelector", labels);
    }
    if !onward.is_empty() {
        query.append_pair("continue", onward);
    }
    query.finish()
}

/// What a list gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<T> {
    /// The resources.
    pub items: Vec<T>,
    /// Resources that were not of the expected form.
    pub unreadable: usize,
    /// Whether there are more than were read.
    pub is_cut: bool,
}

impl Cluster {
    /// Reads the resources of a kind, at most 5,000. One that is not of the form of `T` does not keep the others out.
    pub async fn list<T: DeserializeOwned>(
        &self,
        kind: ResourceKind,
        place: &Place,
        labels: Option<&str>,
    ) -> Result<Listing<T>, ClusterError> {
        let mut listing = Listing { items: Vec::new(), unreadable: 0, is_cut: false };
        let mut onward = String::new();
        loop {
            let path = format!("{}?{}", kind.path(place), query(labels, &onward));
            let page = self.get(&path, "list", &kind.named(), place).await?;
            let items = page.get("items").and_then(Value::as_array).ok_or_else(|| ClusterError::Answer {
                server: self.server.clone(),
                problem: format!("its list of `{}` has no `items`", kind.named()),
            })?;
            for item in items {
                match T::deserialize(item) {
                    Ok(item) => listing.items.push(item),
                    Err(_) => listing.unreadable += 1,
                }
            }
            page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default().clone_into(&mut onward);
            if onward.is_empty() {
                return Ok(listing);
            }
            // A server that hands out empty pages without an end is left here too.
            if items.is_empty() || listing.items.len() + listing.unreadable >= MAX_ITEMS {
                listing.is_cut = true;
                return Ok(listing);
            }
        }
    }

    /// Reads one resource or list.
    pub(crate) async fn get(
        &self,
        path: &str,
        verb: &'static str,
        resource: &str,
        place: &Place,
    ) -> Result<Value, ClusterError> {
        let answer = |problem: String| ClusterError::Answer { server: self.server.clone(), problem };
        let request = Request::get(path)
            .header(http::header::ACCEPT, "application/json")
            .body(Body::empty())
            .map_err(|error| answer(error.to_string()))?;
        let call = async {
            let response = self.client.send(request).await.map_err(|error| self.unreachable(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    answer(format!("it is larger than {} MiB", MAX_BODY / 1024 / 1024))
                } else {
                    answer(with_causes(error.as_ref()))
                }
            })?;
            Ok((status, body.to_bytes()))
        };
        let (status, body) = timeout(CALL_LIMIT, call)
            .await
            .map_err(|_| ClusterError::TimedOut { server: self.server.clone(), limit: CALL_LIMIT })??;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| answer(format!("it is not JSON: {error}")));
        }
        Err(self.refused(status, &body, verb, resource, place))
    }

    /// What a call that got no answer at all says.
    pub(crate) fn unreachable(&self, error: &kube::Error) -> ClusterError {
        let problem = with_causes(error);
        // The plugin's or the token's failure comes out of the same call.
        ClusterError::Unreachable { server: self.server.clone(), problem }
    }

    /// What an answer other than 200 says.
    pub(crate) fn refused(
        &self,
        status: StatusCode,
        body: &[u8],
        verb: &'static str,
        resource: &str,
        place: &Place,
    ) -> ClusterError {
        match status {
            StatusCode::UNAUTHORIZED => {
                ClusterError::Unauthorized { server: self.server.clone(), context: self.context.clone() }
            }
            StatusCode::FORBIDDEN => ClusterError::Forbidden {
                context: self.context.clone(),
                verb,
                resource: resource.to_owned(),
                place: place.clone(),
            },
            StatusCode::NOT_FOUND => {
                ClusterError::NotFound { server: self.server.clone(), what: format!("`{resource}` {place}") }
            }
            _ => {
                let message = serde_json::from_slice::<Value>(body)
                    .ok()
                    .and_then(|status| status.get("message")?.as_str().map(cut))
                    .map(|message| format!(": {message}"))
                    .unwrap_or_default();
                ClusterError::Answer { server: self.server.clone(), problem: format!("status {status}{message}") }
            }
        }
    }
}
