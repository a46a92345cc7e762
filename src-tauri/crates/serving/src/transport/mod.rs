//! HTTP exchanges with every phase timed: the only place that opens client sockets.
//!
//! What it is: [`Transport`], holding trust roots, redirect rules and a way out of this machine: hyper over our own sockets,
//! for probes and predictions ([`Transport::exchange`]) and for control planes ([`Transport::control_client`]). What it
//! hides: sockets, TLS, proxies, jump hosts, redirects, decoding.
//! What must stay true: one call makes one logical request and never panics; limits hold whatever the server does; a
//! credential never reaches another origin.

mod body;
mod cluster;
mod connection;
pub mod control_client;
mod exchange;
pub mod failure;
mod http2;
mod proxy;
mod redirect;
mod resolve;
mod ssh;
mod tcp;
mod timed_io;
pub(crate) mod tls;
mod way;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pilothouse_domain::endpoint::Tls;
use pilothouse_domain::{Network, Phases, ProbeConfig};
use secrecy::SecretString;
use tokio::time::Instant;
use url::Url;

use self::cluster::{ClusterWay, Logins};
pub use self::connection::ConnectionSlot;
pub(crate) use self::exchange::JSON;
pub(crate) use self::failure::Failure;
use self::proxy::ProxyRules;
use self::ssh::JumpHosts;
pub use self::ssh::{HostKey, HostKeyStanding};
pub use self::tls::TlsProfile;
use self::tls::TrustStore;
use self::way::Way;
use crate::credential::{Authorization, TokenCache};
use crate::grpc::GrpcCode;
use crate::{ClientIdentity, ServingError};

/// How long a jump host may take to show its key.
const HOST_KEY_LIMIT: Duration = Duration::from_secs(10);

/// Settings of a [`Transport`].
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// Whether the proxy of the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in either case) and
    /// of the system is used. Loopback is always reached directly.
    pub system_proxy: bool,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self { system_proxy: true }
    }
}

/// Roots, tokens and rules shared by every request of this process, and one way out of this machine.
pub struct Transport {
    trust: Arc<TrustStore>,
    /// What the system says.
    system: Arc<Way>,
    way: Arc<Way>,
    /// Clusters through which ports are forwarded.
    clusters: Arc<Logins>,
    jump_hosts: Arc<JumpHosts>,
    tokens: Arc<TokenCache>,
}

impl Transport {
    /// A transport that leaves this machine as the system says; the environment's proxies are read now.
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is made for this call")]
    pub fn new(config: TransportConfig) -> Arc<Self> {
        let rules = if config.system_proxy { ProxyRules::of_system() } else { ProxyRules::none() };
        let system = Arc::new(Way::Proxies(Box::new(rules)));
        Arc::new(Self {
            trust: Arc::new(TrustStore::new()),
            way: Arc::clone(&system),
            system,
            tokens: Arc::default(),
            jump_hosts: Arc::default(),
            clusters: Arc::default(),
        })
    }

    /// The same transport by the way that `network` asks for, with the secrets that the keyring holds under
    /// [`Network::secrets`]. Everything else is shared.
    pub fn by_way_of(
        self: &Arc<Self>,
        network: &Network,
        secrets: &BTreeMap<String, SecretString>,
    ) -> Result<Arc<Self>, ServingError> {
        network.validate().map_err(|problem| ServingError::Target(problem.to_string()))?;
        let value = |name: &str| {
            secrets.get(name).ok_or_else(|| {
                ServingError::Credential(format!("its secret `{name}` is not in the keyring; store it first"))
            })
        };
        let way = match network {
            Network::System => Arc::clone(&self.system),
            Network::Direct => Arc::new(Way::Proxies(Box::new(ProxyRules::none()))),
            Network::Kubernetes(access) => {
                Arc::new(Way::Cluster(ClusterWay::new(access, &self.clusters), Arc::clone(&self.system)))
            }
            Network::Ssh(jump) => Arc::new(Way::Ssh(self.jump_hosts.get(jump, value)?)),
            Network::Proxy(proxy) => {
                let password = proxy.secret.as_deref().map(value).transpose()?;
                Arc::new(Way::Proxies(Box::new(ProxyRules::named(proxy, password)?)))
            }
        };
        Ok(Arc::new(Self {
            trust: Arc::clone(&self.trust),
            system: Arc::clone(&self.system),
            way,
            tokens: Arc::clone(&self.tokens),
            clusters: Arc::clone(&self.clusters),
            jump_hosts: Arc::clone(&self.jump_hosts),
        }))
    }

    /// The key that a jump host shows, and what is known of it. Nobody logs in.
    pub async fn ssh_host_key(&self, host: &str, port: u16) -> Result<HostKey, Failure> {
        ssh::host_key(host, port, HOST_KEY_LIMIT).await
    }

    /// Tokens that this process has obtained.
    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    /// TLS settings of one endpoint, to be handed to [`Transport::exchange`]. Files are read at the first use of https.
    pub fn tls_profile(&self, tls: &Tls, identity: Option<ClientIdentity>) -> TlsProfile {
        TlsProfile::new(Arc::clone(&self.trust), tls, identity)
    }
}

/// Limits of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Name resolution, TCP and TLS together.
    pub connect: Duration,
    /// From the request's end to the answer's first byte.
    pub first_byte: Duration,
    /// Everything, redirects included.
    pub total: Duration,
    /// Largest decoded body, in bytes.
    pub max_body: usize,
    /// Which redirects are followed.
    pub redirects: Redirects,
}

/// Which redirects are followed; none ever carries a credential to another origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// To another origin too, as long as nothing secret goes along.
    Follow,
    /// Within one origin.
    WithinOrigin,
    /// None: a redirect is the answer.
    Never,
}

impl From<&ProbeConfig> for Limits {
    fn from(config: &ProbeConfig) -> Self {
        let ms = |value: u32| Duration::from_millis(u64::from(value));
        Self {
            connect: ms(config.connect_timeout_ms),
            first_byte: ms(config.first_byte_timeout_ms),
            total: ms(config.total_timeout_ms),
            max_body: config.max_response_bytes as usize,
            redirects: Redirects::Follow,
        }
    }
}

/// What is spoken over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wire {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// gRPC: one message each way, over HTTP/2 from the first byte. Without TLS that is known beforehand ("prior
    /// knowledge", RFC 9113 §3.3), with TLS it is agreed upon (ALPN `h2`).
    Grpc,
}

impl Wire {
    /// The TLS configuration that offers this and nothing else.
    fn offered(self, config: Arc<rustls::ClientConfig>) -> Arc<rustls::ClientConfig> {
        match self {
            Self::Http1 => config,
            Self::Grpc => {
                let mut config = Arc::unwrap_or_clone(config);
                config.alpn_protocols = vec![b"h2".to_vec()];
                Arc::new(config)
            }
        }
    }
}

/// One request.
#[derive(Clone, Copy)]
pub struct ExchangeRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URL.
    pub url: &'a Url,
    /// The body, sent as `application/json` unless `headers` say otherwise; `None`: no body.
    pub body: Option<&'a Bytes>,
    /// Further headers, in the place of the usual ones of the same name. They hold no secrets: a redirect to another
    /// origin carries them along.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// What the credential puts in; [`Authorizer::exchange`] fills this.
    ///
    /// [`Authorizer::exchange`]: crate::Authorizer::exchange
    pub credential: Option<&'a Authorization>,
    /// TLS settings.
    pub tls: &'a TlsProfile,
    /// Whether a kept connection is not used even if there is one.
    pub fresh: bool,
    /// What is spoken. For [`Wire::Grpc`] the body is a message without its frame.
    pub wire: Wire,
}

/// Sees an answer of success while it comes. What it sees last counts: a kept connection that turns out closed is replaced
/// by a fresh one, and the request starts anew.
pub(crate) trait BodyObserver: Send {
    /// Whether anything shall be shown at all. Decoding for nobody would cost plain probes time.
    fn watches(&self) -> bool;

    /// The request begins to be sent over an open connection.
    fn request_starts(&mut self, at: Instant);

    /// The head of an answer of success (2xx) has come.
    fn answer_starts(&mut self, headers: &HeaderMap);

    /// The next bytes of its body, decoded, and when they arrived.
    fn piece(&mut self, bytes: &[u8], at: Instant);
}

/// Nobody watches.
pub(crate) struct Unobserved;

impl BodyObserver for Unobserved {
    fn watches(&self) -> bool {
        false
    }

    fn request_starts(&mut self, _at: Instant) {}

    fn answer_starts(&mut self, _headers: &HeaderMap) {}

    fn piece(&mut self, _bytes: &[u8], _at: Instant) {}
}

/// What came of one request. Of a call of gRPC the body is the message, without its frame, or what the server said
/// instead of one.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Time per phase; summed over redirects. The phase in which the exchange failed holds the time until then.
    pub phases: Phases,
    /// From the start to the end in microseconds; absent when nothing was tried (our own settings were not usable).
    pub total_us: Option<u32>,
    /// Whether a kept-alive connection was used.
    pub reused: bool,
    /// The final answer's status, if its head came. For a call of gRPC the one that belongs to its code, so that both are
    /// judged alike.
    pub status: Option<u16>,
    /// The code of a call of gRPC, if one came.
    pub grpc_code: Option<GrpcCode>,
    /// The final answer's headers; behind them its trailers, where gRPC is spoken.
    pub headers: HeaderMap,
    /// The final answer's body, decoded; empty after a failure.
    pub body: Bytes,
    /// Why there is no complete answer. An answer of any status is complete.
    pub failure: Option<Failure>,
}

impl Exchange {
    /// One that begins.
    pub(crate) fn begun() -> Self {
        Self {
            phases: Phases::default(),
            total_us: None,
            reused: false,
            status: None,
            grpc_code: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            failure: None,
        }
    }

    /// The status of HTTP that came, to be shown. gRPC answers every call with 200, which says nothing of it.
    pub fn http_status(&self) -> Option<u16> {
        self.status.filter(|_| self.grpc_code.is_none())
    }
}
