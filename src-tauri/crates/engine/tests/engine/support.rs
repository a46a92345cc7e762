//! Engines on databases of their own, endpoints that answer as told, and a way to the demo registry that loses answers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilothouse_demo::{DemoEndpoint, DemoFleet};
use pilothouse_domain::endpoint::JsonTemplate;
use pilothouse_domain::{
    Clock, ControlPlaneConfig, Endpoint, EndpointId, EvaluationConfig, Event, EventKind, Health, ProbeConfig, Protocol,
    RollbackRun, RunId, RunState, TimestampMs,
};
use pilothouse_engine::{Engine, SystemClock};
use pilothouse_secrets::Secrets;
use pilothouse_store::{EventFilter, OpenOptions, Store};
use pilothouse_testkit::{Behaviour, FakeServer, endpoint, number_table, quick_probe_config};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A database in a folder of its own.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("fleet.db")
    }

    /// One more process's worth of engine and store on the same file.
    pub(crate) fn engine(&self) -> Engine {
        self.engine_with(Secrets::memory(), Arc::new(SystemClock::default()))
    }

    pub(crate) fn engine_with(&self, secrets: Secrets, clock: Arc<dyn Clock>) -> Engine {
        let store = Store::open(&self.database(), &OpenOptions::default()).unwrap();
        Engine::new(store, &self.database(), secrets, clock).unwrap()
    }

    /// Names of the lock files of runs.
    pub(crate) fn run_locks(&self) -> Vec<String> {
        files(self.folder.path()).into_iter().filter(|name| name.contains(".run-")).collect()
    }

    /// Whether any file here holds these bytes.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        let holds = |name: &String| {
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        files(self.folder.path()).iter().any(holds)
    }
}

fn files(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// An endpoint that each probe asks with one request.
pub(crate) fn json_endpoint(name: &str, server: &FakeServer) -> Endpoint {
    let mut endpoint = endpoint(name, server.url());
    endpoint.target.protocol = Protocol::Json;
    endpoint.target.json = Some(JsonTemplate {
        path: "predict".into(),
        body: json!({ "rows": "{{rows}}" }),
        prediction: "/predictions".into(),
        version: Some("/version".into()),
        ..JsonTemplate::default()
    });
    endpoint.target.probe_input = Some(number_table(&["x"], &[&[1.0]]));
    endpoint.probe = ProbeConfig { confirm_after: 2, recover_after: 2, ..quick_probe_config() };
    endpoint
}

/// An answer for [`json_endpoint`].
pub(crate) fn answer() -> Behaviour {
    Behaviour::json(r#"{"predictions": [0.5], "version": "v1"}"#)
}

/// Asks until `condition` gives something. Panics after [`PATIENCE`], naming what was waited for.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

pub(crate) async fn health(engine: &Engine, id: EndpointId) -> Health {
    engine.health_of(&engine.endpoint(id).await.unwrap()).await.unwrap().health
}

pub(crate) async fn until_health(engine: &Engine, id: EndpointId, wanted: Health) {
    eventually(&format!("{wanted:?}"), || async { (health(engine, id).await == wanted).then_some(()) }).await;
}

pub(crate) async fn until_run(
    engine: &Engine,
    id: &RunId,
    what: &str,
    wanted: impl Fn(&RollbackRun) -> bool,
) -> RollbackRun {
    eventually(what, || async { Some(engine.run(id).await.unwrap()).filter(&wanted) }).await
}

pub(crate) async fn until_finished(engine: &Engine, id: &RunId) -> RollbackRun {
    until_run(engine, id, "the run ends", |run| run.state == RunState::Finished).await
}

/// Events in the order they were written.
pub(crate) fn events(engine: &Engine) -> Vec<Event> {
    let filter = EventFilter { endpoint: None, from: TimestampMs(0), to: TimestampMs(i64::MAX), limit: 1_000 };
    let mut events = engine.store().events(&filter).unwrap();
    events.sort_by_key(|event| event.id);
    events
}

/// Position of the first event that fits.
pub(crate) fn position(events: &[Event], what: &str, fits: impl Fn(&EventKind) -> bool) -> usize {
    let found = events.iter().position(|event| fits(&event.kind));
    found.unwrap_or_else(|| panic!("no event: {what} in {events:#?}"))
}

/// Connects one model of the demo fleet; `registry` is where its control plane is said to be.
pub(crate) async fn connect_demo(engine: &Engine, member: &DemoEndpoint, registry: &Url) -> EndpointId {
    let golden_set = engine.store().golden_set_by_name(&member.golden_set.name).unwrap();
    let golden_set = match golden_set {
        Some(known) => known.id,
        None => engine.store().add_golden_set(&member.golden_set).unwrap(),
    };
    let mut endpoint = endpoint(&member.name, &member.url);
    endpoint.target.protocol = member.protocol;
    endpoint.target.model.clone_from(&member.model);
    endpoint.target.probe_input = Some(member.probe_input.clone());
    endpoint.probe.interval_ms = 1_000;
    endpoint.evaluation = Some(EvaluationConfig { golden_set, interval_ms: 5_000 });
    endpoint.control_plane =
        Some(ControlPlaneConfig::Demo { url: registry.clone(), model: member.registry_model.clone() });
    engine.add_endpoint(endpoint).await.unwrap()
}

pub(crate) fn member(fleet: &DemoFleet, name: &str) -> DemoEndpoint {
    fleet.endpoints().into_iter().find(|member| member.name == name).unwrap()
}

/// Switches a model's live version in the demo registry, as somebody else would.
pub(crate) async fn switch(registry: &Url, model: &str, version: &str) {
    let body = json!({ "version": version }).to_string();
    let request = format!(
        "PUT /registry/models/{model}/live HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address(registry)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn address(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

/// What a [`LossyLink`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Link {
    /// Carries everything.
    Whole,
    /// Carries a `PUT` there, and closes before its answer.
    LoseAnswer,
    /// The same, and nothing gets through any more afterwards.
    LoseAnswerAndBreak,
    /// Carries a `PUT` there and never gives its answer, without closing.
    HoldAnswer,
    /// Answers a `PUT` itself, with 403.
    RefuseWrites,
    /// Closes a `PUT` before it gets there.
    LoseRequest,
    /// Nothing gets through.
    Broken,
}

impl Link {
    const ALL: [Self; 7] = [
        Self::Whole,
        Self::LoseAnswer,
        Self::LoseAnswerAndBreak,
        Self::HoldAnswer,
        Self::RefuseWrites,
        Self::LoseRequest,
        Self::Broken,
    ];
}

/// A way to a server that can lose what is sent over it, at the level of TCP.
pub(crate) struct LossyLink {
    pub(crate) url: Url,
    state: Arc<AtomicU8>,
    writes: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl LossyLink {
    pub(crate) async fn to(upstream: &Url, link: Link) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (state, writes) = (Arc::new(AtomicU8::new(link as u8)), Arc::<Mutex<Vec<String>>>::default());
        let (upstream, seen, log) = (address(upstream), Arc::clone(&state), Arc::clone(&writes));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, seen, log) = (upstream.clone(), Arc::clone(&seen), Arc::clone(&log));
                connections.spawn(async move { carry(stream, &upstream, &seen, &log).await });
            }
        });
        Self { url, state, writes, task }
    }

    pub(crate) fn set(&self, link: Link) {
        self.state.store(link as u8, Ordering::SeqCst);
    }

    /// The bodies of every `PUT` that came here, whether or not it was carried on.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.writes.lock().unwrap().clone()
    }
}

impl Drop for LossyLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one request and its answer, and closes.
async fn carry(mut client: TcpStream, upstream: &str, state: &AtomicU8, writes: &Mutex<Vec<String>>) -> Option<()> {
    let (head, body) = read_message(&mut client).await?;
    let is_write = head.starts_with("PUT");
    if is_write {
        writes.lock().unwrap().push(body.clone());
    }
    let link = Link::ALL[usize::from(state.load(Ordering::SeqCst))];
    match link {
        Link::Broken => return None,
        Link::LoseRequest if is_write => return None,
        Link::RefuseWrites if is_write => {
            let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            client.write_all(refusal.as_bytes()).await.ok()?;
            return None;
        }
        _ => {}
    }
    let mut server = TcpStream::connect(upstream).await.ok()?;
    server.write_all(head.as_bytes()).await.ok()?;
    server.write_all(body.as_bytes()).await.ok()?;
    let (head, body) = read_message(&mut server).await?;
    match link {
        Link::HoldAnswer if is_write => return std::future::pending().await,
        Link::LoseAnswerAndBreak if is_write => {
            state.store(Link::Broken as u8, Ordering::SeqCst);
            return None;
        }
        Link::LoseAnswer if is_write => return None,
        _ => {}
    }
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    client.write_all(head.as_bytes()).await.ok()?;
    client.write_all(body.as_bytes()).await.ok()
}

/// Head and body of a request or an answer whose length is given.
async fn read_message(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).ok()?))
}
