//! The Docker Engine of this machine: running containers that look like model servers.
//!
//! Source: Docker Engine API (v1.43 and later; what is read has been there since v1.24), `GET /version`,
//! `GET /containers/json`, `GET /images/{id}/json`. Podman's socket answers the same. Only local sockets are used: the
//! engine's API gives whoever reaches it the whole machine.

use std::collections::HashMap;
use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerSummary, PortSummary, PortSummaryTypeEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use tokio::time::timeout;
use url::Url;

use crate::candidate::{Candidate, CandidateKind, Discovery, plain};
use crate::image::ImageName;
use crate::stack::{self, Stack};

/// Limit for one call to the engine.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// The most candidates of one engine.
const MAX_CANDIDATES: usize = 1_000;

/// What to look for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerOptions {
    /// The engine's socket; `None`: that of `DOCKER_HOST`, else the first of the usual places.
    pub socket: Option<PathBuf>,
    /// A label (`key` or `key=value`): containers that have it are listed whatever their image is.
    pub label: Option<String>,
}

/// Why an engine gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerError {
    /// No socket.
    #[error("no Docker Engine was found: none of {0} exists. Start it, or name its socket")]
    NotFound(String),
    /// `DOCKER_HOST` names something else than a socket.
    #[error("`DOCKER_HOST` is `{0}`: only a socket of this machine is asked (unix://…). Name the socket")]
    NotLocal(String),
    /// The socket does not answer.
    #[error("the Docker Engine at `{socket}` cannot be asked: {problem}")]
    Unreachable {
        /// The socket.
        socket: String,
        /// Why, and what to do.
        problem: String,
    },
}

/// The socket that would be asked, if there is one.
pub fn docker_socket(named: Option<&Path>) -> Result<PathBuf, DockerError> {
    if let Some(socket) = named {
        return if exists(socket) {
            Ok(socket.to_owned())
        } else {
            Err(DockerError::NotFound(format!("`{}`", socket.display())))
        };
    }
    if let Ok(host) = env::var("DOCKER_HOST")
        && !host.is_empty()
    {
        return match host.strip_prefix("unix://").or_else(|| host.strip_prefix("npipe://")) {
            Some(path) => Ok(PathBuf::from(path)),
            // An address may hold a user's name or a password.
            None => Err(DockerError::NotLocal(host.split("://").next().unwrap_or_default().to_owned() + "://…")),
        };
    }
    let usual = usual_sockets();
    if let Some(found) = usual.iter().find(|path| exists(path)) {
        return Ok(found.clone());
    }
    let tried: Vec<String> = usual.iter().map(|path| format!("`{}`", path.display())).collect();
    Err(DockerError::NotFound(tried.join(", ")))
}

fn exists(path: &Path) -> bool {
    path.try_exists().unwrap_or(false)
}

/// Where engines put their sockets: the system's, that of rootless Docker, of Docker Desktop, of Podman.
fn usual_sockets() -> Vec<PathBuf> {
    if cfg!(windows) {
        return vec![PathBuf::from(r"\\.\pipe\docker_engine")];
    }
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    sockets.extend(runtime.iter().map(|folder| folder.join("docker.sock")));
    sockets.extend(env::var_os("HOME").map(|home| Path::new(&home).join(".docker/run/docker.sock")));
    sockets.extend(runtime.iter().map(|folder| folder.join("podman/podman.sock")));
    sockets
}

/// Lists the running containers that look like model servers.
pub async fn docker(options: &DockerOptions) -> Result<Discovery, DockerError> {
    let socket = docker_socket(options.socket.as_deref())?;
    let shown = socket.display().to_string();
    let failed =
        |error: &bollard::errors::Error| DockerError::Unreachable { socket: shown.clone(), problem: problem_of(error) };
    let silent = || DockerError::Unreachable {
        socket: shown.clone(),
        problem: format!("it did not answer within {} s", CALL_LIMIT.as_secs()),
    };
    let engine = Docker::connect_with_socket(&shown, CALL_LIMIT.as_secs(), bollard::API_DEFAULT_VERSION)
        .map_err(|error| failed(&error))?;
    // Paths go out without a version, so that the engine answers in its own newest one.
    let version = timeout(CALL_LIMIT, engine.version()).await.map_err(|_| silent())?.map_err(|error| failed(&error))?;
    let mut discovery =
        Discovery { place: place_of(&version, &shown), context: None, candidates: Vec::new(), notes: Vec::new() };

    let all = containers(&engine, None).await.map_err(|error| error.map_or_else(silent, |error| failed(&error)))?;
    let labelled = match options.label.as_deref().map(str::trim).filter(|label| !label.is_empty()) {
        None => Vec::new(),
        Some(label) => {
            let found = containers(&engine, Some(label)).await;
            found.map_err(|error| error.map_or_else(silent, |error| failed(&error)))?
        }
    };
    let labelled: Vec<&str> = labelled.iter().filter_map(|container| container.id.as_deref()).collect();
    let running = all.len();
    for container in &all {
        let wanted = container.id.as_deref().is_some_and(|id| labelled.contains(&id));
        discovery.candidates.extend(candidate(container, wanted));
    }
    if discovery.candidates.len() > MAX_CANDIDATES {
        discovery.notes.push(format!("only the first {MAX_CANDIDATES} of {} are listed", discovery.candidates.len()));
        discovery.candidates.truncate(MAX_CANDIDATES);
    }
    digests(&engine, &mut discovery.candidates).await;
    discovery.candidates.sort_by(|a, b| a.name.cmp(&b.name));
    let left = running - discovery.candidates.len().min(running);
    if left > 0 {
        discovery.notes.push(format!(
            "{left} of {running} running containers were left out: neither image nor label names a model server. \
             Name a label to list them"
        ));
    }
    Ok(discovery)
}

/// Running containers; `Err(None)` when the engine took too long.
async fn containers(
    engine: &Docker,
    label: Option<&str>,
) -> Result<Vec<ContainerSummary>, Option<bollard::errors::Error>> {
    let mut options = ListContainersOptionsBuilder::default();
    let filters: HashMap<String, Vec<String>> =
        label.map(|label| ("label".to_owned(), vec![label.to_owned()])).into_iter().collect();
    if !filters.is_empty() {
        options = options.filters(&filters);
    }
    match timeout(CALL_LIMIT, engine.list_containers(Some(options.build()))).await {
        Err(_) => Err(None),
        Ok(Err(error)) => Err(Some(error)),
        Ok(Ok(containers)) => Ok(containers),
    }
}

fn problem_of(error: &bollard::errors::Error) -> String {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "this user may not use the socket; add it to the group `docker`, or use rootless Docker".into()
                }
                std::io::ErrorKind::ConnectionRefused => "nothing listens on it; start the engine".into(),
                _ => plain(&io.to_string()),
            };
        }
        next = error.source();
    }
    plain(&error.to_string())
}

fn place_of(version: &bollard::models::SystemVersion, socket: &str) -> String {
    let component = version.components.iter().flatten().next().map(|component| component.name.as_str());
    let name = component.filter(|name| name.contains("Podman")).unwrap_or("Docker Engine");
    let number = version.version.as_deref().unwrap_or_default();
    format!("{} at {socket}", plain(&format!("{name} {number}")))
}

/// The candidate that a container is; `None` when nothing names a model server.
fn candidate(container: &ContainerSummary, wanted: bool) -> Option<Candidate> {
    let image = ImageName::parse(container.image.as_deref().unwrap_or_default());
    let labels = container.labels.clone().unwrap_or_default();
    let by_image = stack::of_image(&image);
    let by_label =
        ["org.opencontainers.image.title", "org.opencontainers.image.ref.name", "com.docker.compose.service"]
            .iter()
            .find_map(|&key| Some((key, stack::of_word(labels.get(key)?)?)));
    if by_image.is_none() && by_label.is_none() && !wanted {
        return None;
    }
    let stack = by_image.or(by_label.map(|(_, stack)| stack));
    let id = container.id.as_deref().unwrap_or_default();
    let name = container.names.iter().flatten().next().map(|name| name.trim_start_matches('/'));
    let mut found = Candidate::new(CandidateKind::Container, name.filter(|name| !name.is_empty()).unwrap_or(id));
    found.stack = stack.map(|stack| stack.title);
    found.protocol = stack.and_then(|stack| stack.protocol);
    found.image = container.image.as_deref().map(plain);
    found.version =
        image.tag.clone().or_else(|| labels.get("org.opencontainers.image.version").cloned()).map(|t| plain(&t));
    found.digest.clone_from(&image.digest);
    if let Some(stack) = by_image {
        found.evidence.push(format!("its image {} is {}", plain(&image.repository), stack.title));
    } else if let Some((key, stack)) = by_label {
        found.evidence.push(format!("its label {key} names {}", stack.title));
    }
    if wanted {
        found.evidence.push("it has the label that was asked for".into());
    }
    if let Some(status) = &container.status {
        found.evidence.push(format!("container: {}", plain(status)));
        // Engines before API v1.52 tell the health check in this text alone.
        if status.contains("(healthy)") {
            found.ready = Some(true);
        } else if status.contains("(unhealthy)") || status.contains("(health: starting)") {
            found.ready = Some(false);
            found.problems.push("its health check does not pass".into());
        }
    }
    place_port(&mut found, container, stack);
    Some(found)
}

/// Finds the published port that is the server's HTTP API.
fn place_port(found: &mut Candidate, container: &ContainerSummary, stack: Option<&Stack>) {
    let is_tcp =
        |port: &&PortSummary| matches!(port.typ, None | Some(PortSummaryTypeEnum::TCP | PortSummaryTypeEnum::EMPTY));
    let mut ports: Vec<&PortSummary> = container.ports.iter().flatten().filter(is_tcp).collect();
    ports.sort_by_key(|port| (port.private_port, port.public_port));
    let known: &[u16] = stack.map_or(&[], |stack| stack.ports);
    let other = |port: u16| {
        stack.and_then(|stack| stack.other_ports.iter().find(|(number, _)| *number == port)).map(|(_, what)| *what)
    };
    let on_host = container.host_config.as_ref().and_then(|config| config.network_mode.as_deref()) == Some("host");
    if on_host && let Some(port) = known.first() {
        found.url = url_of(None, *port);
        found.evidence.push(format!("it uses this machine's network; {port} is the usual port"));
        return;
    }
    let by_usual = known
        .iter()
        .find_map(|usual| ports.iter().find(|port| port.private_port == *usual && port.public_port.is_some()));
    let published: Vec<&&PortSummary> =
        ports.iter().filter(|port| port.public_port.is_some() && other(port.private_port).is_none()).collect();
    if let Some(port) = by_usual.or_else(|| published.first().copied()) {
        found.url = port.public_port.and_then(|public| url_of(port.ip.as_deref(), public));
        let public = port.public_port.unwrap_or_default();
        found.evidence.push(format!("its port {} is published as {public}", port.private_port));
        if by_usual.is_none() && published.len() > 1 {
            let rest: Vec<String> =
                published.iter().skip(1).filter_map(|port| port.public_port).map(|port| port.to_string()).collect();
            found.problems.push(format!("it publishes other ports too, which may be the model's: {}", rest.join(", ")));
        }
    } else {
        let inside = ports.first().map_or_else(
            || known.first().map_or_else(|| "its port".to_owned(), |port| format!("port {port}")),
            |port| format!("port {}", port.private_port),
        );
        found.problems.push(format!("{inside} is not published, so that it cannot be reached: start it with `-p`"));
    }
    for (port, what) in ports.iter().filter_map(|port| Some((port.public_port?, other(port.private_port)?))) {
        found.evidence.push(format!("port {port} is its {what}"));
    }
}

/// The address of a published port from this machine.
fn url_of(ip: Option<&str>, port: u16) -> Option<Url> {
    let host = match ip.filter(|ip| !ip.is_empty()).map(str::parse::<IpAddr>) {
        None | Some(Err(_)) => "127.0.0.1".to_owned(),
        Some(Ok(address)) if address.is_unspecified() => "127.0.0.1".to_owned(),
        Some(Ok(IpAddr::V4(address))) => address.to_string(),
        Some(Ok(IpAddr::V6(address))) => format!("[{address}]"),
    };
    Url::parse(&format!("http://{host}:{port}/")).ok()
}

/// Asks for the digest of each image once. That an image cannot be asked for leaves its digest out.
async fn digests(engine: &Docker, candidates: &mut [Candidate]) {
    const MAX_IMAGES: usize = 64;
    let mut known: HashMap<String, Option<String>> = HashMap::new();
    for candidate in candidates.iter_mut().filter(|candidate| candidate.digest.is_none()) {
        let Some(image) = candidate.image.clone() else { continue };
        if !known.contains_key(&image) && known.len() < MAX_IMAGES {
            let asked = timeout(CALL_LIMIT, engine.inspect_image(&image)).await.ok().and_then(Result::ok);
            let digest = asked.and_then(|image| {
                let named = image.repo_digests.iter().flatten().find_map(|name| ImageName::parse(name).digest);
                named.or(image.id)
            });
            known.insert(image.clone(), digest.map(|digest| plain(&digest)));
        }
        candidate.digest = known.get(&image).cloned().flatten();
    }
}

#[cfg(test)]
mod tests;
