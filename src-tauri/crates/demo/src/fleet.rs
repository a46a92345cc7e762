//! Starting and stopping the fleet, and what it offers to be connected to.
//!
//! What must stay true: every listener is bound to 127.0.0.1 before `start` returns; when the fleet is shut down or
//! dropped, every server stops.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use pilothouse_domain::{Environment, GoldenSet, Protocol, Table, Task};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use crate::catalog::{CATALOG, CatalogEntry};
use crate::control::{self, Models};
use crate::live::LiveModel;
use crate::{DemoError, Fault, mlflow, open_inference};

/// The control plane's port when none is asked for; the models take those after it.
const PREFERRED_PORT: u16 = 47_100;
/// How long requests that have begun may take to end when the fleet is shut down.
const GRACE: Duration = Duration::from_millis(1_500);

/// The running demo fleet.
///
/// Predictions take a natural time of 2 to 9 ms, one in fifty 20 ms, from a seeded generator: the models themselves answer
/// in microseconds, which would make dull charts. Health, metadata and control routes answer at once.
pub struct DemoFleet {
    models: Models,
    ports: Vec<u16>,
    control_url: Url,
    servers: JoinSet<()>,
    stop: DropGuard,
}

/// One model of the fleet, with everything that connecting it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoEndpoint {
    /// The endpoint's name.
    pub name: String,
    /// The server's base URL.
    pub url: Url,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// The model's name, where the protocol needs one.
    pub model: Option<String>,
    /// Where it is said to run.
    pub environment: Environment,
    /// Labelled rows to evaluate it with; not stored yet.
    pub golden_set: GoldenSet,
    /// Rows that each probe sends.
    pub probe_input: Table,
    /// The model's name in the fleet's registry.
    pub registry_model: String,
    /// What it predicts.
    pub task: Task,
}

impl DemoFleet {
    /// Starts every server of the fleet on 127.0.0.1. With `port`, the control plane listens there and the models on the
    /// ports after it, or the call fails; 0 means any free ports. With `None`, ports from 47100 on are taken if all of
    /// them are free, and any free ones otherwise.
    pub async fn start(port: Option<u16>) -> Result<Self, DemoError> {
        let listeners = match port {
            Some(port) => listen(port).await?,
            None => match listen(PREFERRED_PORT).await {
                Ok(listeners) => listeners,
                Err(error) => {
                    tracing::info!(%error, "the demo fleet takes free ports");
                    listen(0).await?
                }
            },
        };
        let stop = CancellationToken::new();
        let models: Models = CATALOG.iter().map(|entry| Arc::new(LiveModel::new(entry, stop.clone()))).collect();
        let routers = CATALOG.iter().zip(models.iter()).map(|(entry, model)| match entry.protocol {
            Protocol::Mlflow => mlflow::router(Arc::clone(model)),
            _ => open_inference::router(Arc::clone(model)),
        });
        let routers: Vec<Router> = std::iter::once(control::router(Arc::clone(&models))).chain(routers).collect();
        let mut ports = Vec::with_capacity(listeners.len());
        let mut servers = JoinSet::new();
        for (listener, router) in listeners.into_iter().zip(routers) {
            let address = listener.local_addr().map_err(|source| DemoError::Listen { port: 0, source })?;
            ports.push(address.port());
            servers.spawn(serve(listener, router, stop.clone()));
        }
        let control_url = loopback(ports[0]);
        Ok(Self { models, ports, control_url, servers, stop: stop.drop_guard() })
    }

    /// The models to connect.
    pub fn endpoints(&self) -> Vec<DemoEndpoint> {
        let endpoint = |(entry, port): (&CatalogEntry, &u16)| {
            let golden_set = entry.golden_set();
            let probe_input = Table {
                columns: golden_set.table.columns.clone(),
                rows: golden_set.table.rows.iter().take(2).cloned().collect(),
            };
            DemoEndpoint {
                name: entry.name.to_owned(),
                url: loopback(*port),
                protocol: entry.protocol,
                model: (entry.protocol == Protocol::OpenInference).then(|| entry.name.to_owned()),
                environment: Environment(entry.environment.to_owned()),
                task: golden_set.task.clone(),
                golden_set,
                probe_input,
                registry_model: entry.name.to_owned(),
            }
        };
        CATALOG.iter().zip(&self.ports[1..]).map(endpoint).collect()
    }

    /// The base URL of the registry and of the faults.
    pub fn control_url(&self) -> &Url {
        &self.control_url
    }

    /// Makes something go wrong with a model, in place of what went wrong before. [`Fault::VersionDefect`] makes the
    /// defective version live; only switching back in the registry cures it.
    pub fn inject(&self, model: &str, fault: Fault) -> Result<(), DemoError> {
        control::find(&self.models, model)?.inject(fault)
    }

    /// What is wrong with each model.
    pub fn faults(&self) -> Vec<(String, Fault)> {
        self.models.iter().map(|m| (m.name.to_owned(), m.fault())).collect()
    }

    /// Whether the model has a defective version, which [`Fault::VersionDefect`] would ship.
    pub fn has_defective_version(&self, model: &str) -> bool {
        self.models.iter().any(|m| m.name == model && m.has_defective_version())
    }

    /// Stops every server: requests that have begun get their answers, or end after one and a half seconds.
    pub async fn shutdown(mut self) {
        drop(self.stop);
        let ended = tokio::time::timeout(GRACE, async { while self.servers.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            self.servers.shutdown().await;
        }
    }
}

impl fmt::Debug for DemoFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemoFleet").field("ports", &self.ports).field("faults", &self.faults()).finish_non_exhaustive()
    }
}

/// One listener per server, the control plane's first, on consecutive ports from `port` on; 0: on free ports.
async fn listen(port: u16) -> Result<Vec<TcpListener>, DemoError> {
    let needed = CATALOG.len() as u16 + 1;
    let highest = u16::MAX - (needed - 1);
    if port > highest {
        return Err(DemoError::PortTooHigh { port, needed, highest });
    }
    let mut listeners = Vec::with_capacity(usize::from(needed));
    for offset in 0..needed {
        let port = if port == 0 { 0 } else { port + offset };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        listeners.push(listener.map_err(|source| DemoError::Listen { port, source })?);
    }
    Ok(listeners)
}

async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    // Small answers leave at once; otherwise delayed acknowledgements would show as 40 ms of latency.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::warn!(%error, "a demo server ended");
    }
}

fn loopback(port: u16) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}/")).expect("an address and a port make a URL")
}
