//! The way to a server: straight, or through somebody else.
//!
//! What it is: [`Way`], which one endpoint's settings ask for, and a stream of bytes at its end. What it hides: what stands
//! in between. What must stay true: whatever fails in between is ours and never the server's; time spent on a tunnel is in
//! the phase `tunnel` and in no other.

use std::sync::Arc;

use http::HeaderValue;
use pilothouse_domain::Phases;
use pilothouse_domain::network::ClusterService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use url::Url;

use super::cluster::ClusterWay;
use super::connection::authority;
use super::failure::Failure;
use super::proxy::{self, ProxyRules};
use super::ssh::{JumpHost, Session};
use super::tcp;
use super::tls::TlsProfile;

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How connections leave this machine.
pub(crate) enum Way {
    /// Directly, or through the proxy that the rules name.
    Proxies(Box<ProxyRules>),
    /// The Services of a cluster by forwarded ports; everything else by the second way.
    Cluster(ClusterWay, Arc<Way>),
    /// Through a jump host.
    Ssh(Arc<JumpHost>),
}

/// The end of the way.
pub(crate) struct Reached {
    /// To the server, or to a proxy that forwards whole requests.
    pub(crate) stream: Box<dyn Stream>,
    /// That proxy.
    pub(crate) forwarding_proxy: Option<ForwardingProxy>,
    /// The session that carries the stream, where one does.
    pub(crate) session: Option<Arc<Session>>,
}

/// A proxy that forwards whole requests: they carry the absolute URL and the proxy's own credential.
pub(crate) struct ForwardingProxy {
    pub(crate) authorization: Option<HeaderValue>,
    /// Where its user and password are set, for a message.
    pub(crate) login_is_set: &'static str,
}

impl Way {
    /// Opens a stream towards the server of `url` before `deadline`.
    pub(crate) async fn reach(
        &self,
        url: &Url,
        tls: &TlsProfile,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<Reached, Failure> {
        match self {
            Self::Cluster(cluster, others) => match ClusterService::of_url(url) {
                Some(service) => {
                    let stream = cluster.reach(&service, deadline, phases).await?;
                    Ok(Reached { stream: Box::new(stream), forwarding_proxy: None, session: None })
                }
                None => Box::pin(others.reach(url, tls, deadline, phases)).await,
            },
            Self::Ssh(jump_host) => jump_host.reach(url, deadline, phases).await,
            Self::Proxies(rules) => {
                if let Some(route) = rules.route(url)? {
                    return proxy::reach(&route, url, tls, deadline, phases).await;
                }
                let host = url.host().map(|host| host.to_owned());
                let port = url.port_or_known_default().unwrap_or(80);
                let stream = tcp::connect(host, port, &authority(url), deadline, phases).await?;
                Ok(Reached { stream: Box::new(stream), forwarding_proxy: None, session: None })
            }
        }
    }
}
