//! Discovering endpoints in a place, and connecting what a person chose.
//!
//! What must stay true: looking through a place stores nothing and asks no model server; a command that a kubeconfig
//! names runs only when the request says so.

use std::path::PathBuf;

use futures_util::future::join_all;
use pilothouse_discovery::{
    Access, Candidate, ClusterError, Context, Discovery, DockerError, DockerOptions, KubernetesOptions, contexts,
    docker_socket,
};
use pilothouse_domain::endpoint::{ContainerImage, Tls};
use pilothouse_domain::{Auth, Protocol};
use pilothouse_serving::Detection;

use crate::connect::{invalid, parse_url};
use crate::detected::json_draft;
use crate::import::usual_draft;
use crate::network::network;
use crate::types::{
    ClusterContext, DiscoverAddRequest, DiscoverRequest, DiscoveredChoice, DiscoveredItem, DiscoveredWay,
    DiscoveryPlace, DiscoveryPlaces, DiscoveryPlacesRequest, DiscoveryView, EndpointAdded, EndpointDraft,
    EndpointsAdded, NetworkDraft,
};
use crate::{Api, ApiError, Code};

/// Servers asked at once what they are.
const ASKED_AT_ONCE: usize = 8;
/// The most models of one server that become endpoints at once; more are chosen one by one on the screen of its URL.
const MAX_MODELS: usize = 50;

impl Api {
    /// Places that can be looked through.
    pub async fn discovery_places(&self, request: DiscoveryPlacesRequest) -> Result<DiscoveryPlaces, ApiError> {
        Ok(discovery_places(request).await)
    }

    /// Looks through a place; nothing is stored.
    pub async fn discover(&self, request: DiscoverRequest) -> Result<DiscoveryView, ApiError> {
        discover(request.place).await
    }

    /// Connects what was chosen; one that is refused does not keep the others out.
    pub async fn discover_add(&self, request: DiscoverAddRequest) -> Result<EndpointsAdded, ApiError> {
        let mut items = Vec::with_capacity(request.items.len());
        let mut rest = request.items.into_iter().peekable();
        while rest.peek().is_some() {
            let group: Vec<DiscoveredChoice> = rest.by_ref().take(ASKED_AT_ONCE).collect();
            let asked = join_all(group.iter().map(|choice| self.drafts_of(choice, &request.environment))).await;
            for (choice, drafts) in group.into_iter().zip(asked) {
                match drafts {
                    Ok(drafts) => {
                        let image =
                            choice.image.map(|image| ContainerImage { name: image.name, version: image.version });
                        items.extend(self.add_several(drafts, image.as_ref()).await?.items);
                    }
                    Err(error) => {
                        items.push(EndpointAdded { name: choice.name, id: None, refused: Some(refusal(&error)) });
                    }
                }
            }
        }
        Ok(EndpointsAdded { items })
    }

    /// What a choice becomes, after its server was asked: one endpoint for each of its models.
    async fn drafts_of(&self, choice: &DiscoveredChoice, environment: &str) -> Result<Vec<EndpointDraft>, ApiError> {
        let url = parse_url("url", &choice.url)?;
        let credential = self.engine.credential(&Auth::None).await?;
        let way = network(choice.network.clone())?;
        let transport = self.engine.transport(&way).await?;
        let found = pilothouse_serving::detect(&transport, &url, &credential, &Tls::default(), None).await;
        let named = choice.protocol.as_deref().and_then(Protocol::parse);
        let draft = |protocol: Protocol| EndpointDraft {
            model: choice.model.clone(),
            network: choice.network.clone(),
            ..usual_draft(choice.name.clone(), environment.to_owned(), url.to_string(), protocol)
        };
        match (found, named) {
            (Ok(found), _) if found.protocol.is_some() => drafts(&found, choice, draft),
            // What the place says is enough to begin with: a server that is down now is worth watching.
            (Err(_), Some(protocol)) if choice.model.is_some() || !protocol.names_models() => Ok(vec![draft(protocol)]),
            (Ok(found), _) if found.needs_auth => {
                Err(invalid(format!("{url} asks for a credential: connect it by its URL and give it one")))
            }
            (Ok(found), _) => Err(invalid(format!("no protocol was recognised at {url}: {}", found.title))
                .hint("connect it by its URL and describe its request")),
            (Err(failure), _) => Err(ApiError::new(Code::TargetFailed, format!("{url}: {failure}"))),
        }
    }
}

fn drafts(
    found: &Detection,
    choice: &DiscoveredChoice,
    draft: impl Fn(Protocol) -> EndpointDraft,
) -> Result<Vec<EndpointDraft>, ApiError> {
    let Some(protocol) = found.protocol else { return Ok(Vec::new()) };
    let base = EndpointDraft {
        url: found.base_url.to_string(),
        management_url: found.management_url.as_ref().map(ToString::to_string),
        ..draft(protocol)
    };
    if protocol == Protocol::Json {
        let template = found.template.as_ref().map(json_draft);
        if template.is_none() {
            return Err(invalid(format!("{} does not describe the request it takes", found.base_url))
                .hint("connect it by its URL and describe its request"));
        }
        let probe_rows = found.example_rows.as_ref().map(ToString::to_string);
        return Ok(vec![EndpointDraft { model: None, json: template, probe_rows, ..base }]);
    }
    let is_held = |name: &String| found.models.iter().any(|model| model.name == *name);
    let chosen = choice.model.as_ref().filter(|name| found.models.is_empty() || is_held(name));
    if chosen.is_some() || found.models.is_empty() {
        return Ok(vec![base]);
    }
    if found.models.len() > MAX_MODELS {
        let message = format!("{} holds {} models, too many to watch unasked", found.base_url, found.models.len());
        return Err(invalid(message).hint("connect it by its URL and choose among them"));
    }
    let several = found.models.len() > 1;
    let named = found.models.iter().map(|model| EndpointDraft {
        name: if several { format!("{}/{}", choice.name, model.name) } else { choice.name.clone() },
        model: Some(model.name.clone()),
        ..base.clone()
    });
    Ok(named.collect())
}

/// What happened and what to do next, on one line.
fn refusal(error: &ApiError) -> String {
    match &error.hint {
        Some(hint) => format!("{}; {hint}", error.message),
        None => error.message.clone(),
    }
}

/// Places that can be looked through; nothing is asked of any of them.
pub async fn discovery_places(request: DiscoveryPlacesRequest) -> DiscoveryPlaces {
    let kubeconfig = filled(request.kubeconfig).map(PathBuf::from);
    let (contexts, kubeconfig_problem) = match contexts(kubeconfig.as_deref()).await {
        Ok(contexts) => (contexts, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let (socket, docker_problem) = match docker_socket(None) {
        Ok(socket) => (Some(socket.display().to_string()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let contexts = contexts.into_iter().map(Into::into).collect();
    DiscoveryPlaces { contexts, kubeconfig_problem, docker_socket: socket, docker_problem }
}

/// Looks through a place; nothing is stored.
pub async fn discover(place: DiscoveryPlace) -> Result<DiscoveryView, ApiError> {
    let (found, forwarded) = match place {
        DiscoveryPlace::Kubernetes { kubeconfig, context, namespace, labels, run_plugin } => {
            let access =
                Access { kubeconfig: filled(kubeconfig).map(PathBuf::from), context: filled(context), run_plugin };
            let options = KubernetesOptions { access, namespace: filled(namespace), labels: filled(labels) };
            let found = pilothouse_discovery::kubernetes(&options).await?;
            let kubeconfig = options.access.kubeconfig.map(|file| file.display().to_string());
            let context = found.context.clone().unwrap_or_default();
            (found, NetworkDraft::Kubernetes { context, kubeconfig, run_plugin })
        }
        DiscoveryPlace::Docker { socket, label } => {
            let options = DockerOptions { socket: filled(socket).map(PathBuf::from), label: filled(label) };
            (pilothouse_discovery::docker(&options).await?, NetworkDraft::System)
        }
    };
    Ok(view(found, &forwarded))
}

impl From<Context> for ClusterContext {
    fn from(context: Context) -> Self {
        Self {
            name: context.name,
            is_current: context.is_current,
            server: context.server,
            namespace: context.namespace,
            trust: context.trust,
            login: context.login,
            plugin: context.plugin,
            problem: context.problem,
        }
    }
}

fn filled(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn view(found: Discovery, forwarded: &NetworkDraft) -> DiscoveryView {
    DiscoveryView {
        place: found.place,
        items: found.candidates.into_iter().map(|candidate| item(candidate, forwarded)).collect(),
        notes: found.notes,
    }
}

fn item(found: Candidate, forwarded: &NetworkDraft) -> DiscoveredItem {
    let direct = found.url.map(|url| DiscoveredWay { url: url.to_string(), network: NetworkDraft::System });
    let forward = found.forward.map(|to| {
        // The Service's own port and name, and not the gateway's: the forwarded port leads past the gateway.
        let scheme = found.inside_url.as_ref().map_or("http", |url| url.scheme());
        let port = if to.port == 80 && scheme == "http" { String::new() } else { format!(":{}", to.port) };
        let url = format!("{scheme}://{}.{}.svc.cluster.local{port}/", to.service, to.namespace);
        DiscoveredWay { url, network: forwarded.clone() }
    });
    DiscoveredItem {
        name: found.name,
        kind: found.kind.as_str().to_owned(),
        namespace: found.namespace,
        ways: direct.into_iter().chain(forward).collect(),
        stack: found.stack.map(str::to_owned),
        protocol: found.protocol.map(|protocol| protocol.as_str().to_owned()),
        model: found.model,
        version: found.version,
        image: found.image,
        digest: found.digest,
        ready: found.ready,
        evidence: found.evidence,
        problems: found.problems,
    }
}

impl From<ClusterError> for ApiError {
    fn from(error: ClusterError) -> Self {
        let code = match &error {
            ClusterError::Kubeconfig(_)
            | ClusterError::NoKubeconfig
            | ClusterError::NoContext { .. }
            | ClusterError::Context { .. }
            | ClusterError::PluginNotAgreed { .. } => Code::InvalidInput,
            _ => Code::ControlPlaneFailed,
        };
        let api = Self::new(code, error.to_string());
        match error {
            ClusterError::PluginNotAgreed { .. } => {
                api.hint("it comes from your kubeconfig; agree to it if you know it (--run-plugin)")
            }
            ClusterError::Plugin { .. } => api.hint("run it in a terminal and see whether it wants you to log in"),
            _ => api,
        }
    }
}

impl From<DockerError> for ApiError {
    fn from(error: DockerError) -> Self {
        let code = match &error {
            DockerError::NotFound(_) => Code::NotFound,
            DockerError::NotLocal(_) => Code::InvalidInput,
            DockerError::Unreachable { .. } => Code::ControlPlaneFailed,
        };
        Self::new(code, error.to_string())
    }
}
