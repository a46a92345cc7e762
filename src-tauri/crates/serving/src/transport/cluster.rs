//! The way into a Kubernetes cluster: a port of a Service, forwarded by its API server.
//!
//! What it hides: logins, which every endpoint of one context shares. What must stay true: only the Services of the
//! cluster are reached this way, every other address as the system says, so that no token server or redirect ends up in a
//! pod; opening the forward is the phase `tunnel`; what the cluster says of the model (no pod is ready) is the model's
//! failure, everything else on the way is ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use pilothouse_cluster::{Access, Cluster, ClusterError, ForwardedStream, ServicePort};
use pilothouse_domain::network::{ClusterAccess, ClusterService};
use pilothouse_domain::{Phases, TargetFailure, UnknownReason};
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::tcp::micros;

/// Clusters that this process is logged in to.
#[derive(Default)]
pub(crate) struct Logins {
    known: Mutex<HashMap<Access, Login>>,
}

/// One login at a time for each context; others do not wait for it.
type Login = Arc<tokio::sync::Mutex<Option<Cluster>>>;

/// The way into one cluster.
pub(crate) struct ClusterWay {
    access: Access,
    logins: Arc<Logins>,
}

impl ClusterWay {
    pub(crate) fn new(access: &ClusterAccess, logins: &Arc<Logins>) -> Self {
        let access = Access {
            kubeconfig: access.kubeconfig.clone(),
            context: Some(access.context.clone()),
            run_plugin: access.run_plugin,
        };
        Self { access, logins: Arc::clone(logins) }
    }

    /// Opens a stream to a pod of the Service before `deadline`.
    pub(crate) async fn reach(
        &self,
        service: &ClusterService,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<ForwardedStream, Failure> {
        let to =
            ServicePort { namespace: service.namespace.clone(), service: service.name.clone(), port: service.port };
        let started = Instant::now();
        let opened = timeout_at(deadline, self.open(&to)).await;
        phases.tunnel = Some(micros(started.elapsed()));
        match opened {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Failure::ours(
                UnknownReason::TunnelFailed,
                format!("the port {} of the Service `{}` was not forwarded within the time limit", to.port, to.service),
            )),
        }
    }

    async fn open(&self, to: &ServicePort) -> Result<ForwardedStream, ClusterError> {
        let login = {
            let mut known = self.logins.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(self.access.clone()).or_default())
        };
        let (cluster, is_new) = {
            let mut login = login.lock().await;
            match &*login {
                Some(cluster) if !cluster.is_expired(Timestamp::now()) => (cluster.clone(), false),
                _ => (login.insert(Cluster::login(&self.access).await?).clone(), true),
            }
        };
        match forward(&cluster, to, &login).await {
            // A credential may end before its time. Nothing was sent to the model yet: with a new login it is asked once.
            Err(ClusterError::Unauthorized { .. }) if !is_new => {
                let cluster = login.lock().await.insert(Cluster::login(&self.access).await?).clone();
                forward(&cluster, to, &login).await
            }
            opened => opened,
        }
    }
}

/// Forwards a port; a login that is refused is not used again.
async fn forward(cluster: &Cluster, to: &ServicePort, login: &Login) -> Result<ForwardedStream, ClusterError> {
    let opened = cluster.forward(to).await;
    if matches!(opened, Err(ClusterError::Unauthorized { .. })) {
        *login.lock().await = None;
    }
    opened
}

fn failure(error: &ClusterError) -> Failure {
    let detail = error.to_string();
    match error {
        ClusterError::NoReadyPod(_) => Failure::target(TargetFailure::NotReady, detail),
        ClusterError::NotFound { .. } => Failure::target(TargetFailure::Unreachable, detail),
        ClusterError::Kubeconfig(_)
        | ClusterError::NoKubeconfig
        | ClusterError::NoContext { .. }
        | ClusterError::Context { .. }
        | ClusterError::PluginNotAgreed { .. }
        | ClusterError::NothingToForward(_) => Failure::ours(UnknownReason::Misconfigured, detail),
        _ => Failure::ours(UnknownReason::TunnelFailed, detail),
    }
}
