//! Calls to control planes and token servers: over the same sockets, roots, ways, proxies and size limits as probes, each
//! on a connection of its own.
//!
//! What must stay true: no redirect is followed, so that no credential goes where nobody sent it and no write is repeated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use pilothouse_domain::endpoint::Tls;
use url::Url;

use super::{ConnectionSlot, Exchange, ExchangeRequest, Limits, Redirects, TlsProfile, Transport, Wire};
use crate::{Authorization, ClientIdentity};

/// Limit for name resolution, TCP and TLS of a call, or for a tunnel in their place.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes calls by one way, with one endpoint's TLS settings. Clones share both.
#[derive(Clone)]
pub struct ControlClient {
    transport: Arc<Transport>,
    tls: Arc<TlsProfile>,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct ControlCall<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URL, without the credential's parameter.
    pub url: &'a Url,
    /// Headers in the place of the usual ones of the same name.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The body, sent as `application/json` unless `headers` say otherwise; `None`: no body.
    pub body: Option<&'a Bytes>,
    /// What the credential puts in.
    pub credential: Option<&'a Authorization>,
    /// Limit for the whole call.
    pub time_limit: Duration,
    /// Largest decoded body, in bytes.
    pub max_answer_bytes: usize,
}

impl Transport {
    /// A client for calls. Certificate files are read at the first use of https.
    pub fn control_client(self: &Arc<Self>, tls: &Tls, identity: Option<ClientIdentity>) -> ControlClient {
        ControlClient { transport: Arc::clone(self), tls: Arc::new(self.tls_profile(tls, identity)) }
    }
}

impl ControlClient {
    /// Makes a call. An answer of any status is complete, a redirect too. Where the phase `send` is absent after a failure,
    /// nothing was sent.
    pub async fn call(&self, call: &ControlCall<'_>) -> Exchange {
        let request = ExchangeRequest {
            method: call.method,
            url: call.url,
            body: call.body,
            headers: call.headers,
            credential: call.credential,
            tls: &self.tls,
            fresh: true,
            wire: Wire::Http1,
        };
        let limits = Limits {
            connect: CONNECT_TIMEOUT,
            first_byte: call.time_limit,
            total: call.time_limit,
            max_body: call.max_answer_bytes,
            redirects: Redirects::Never,
        };
        self.transport.exchange(&mut ConnectionSlot::default(), request, &limits).await
    }
}

impl fmt::Debug for ControlClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlClient").finish_non_exhaustive()
    }
}
