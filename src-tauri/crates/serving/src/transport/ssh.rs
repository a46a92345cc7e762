//! The way through an SSH jump host: one session for all endpoints behind it, one channel per connection.
//!
//! What it hides: russh, logins, known hosts, when a session is made anew. What must stay true: the host's key is verified
//! before anybody logs in; a broken session is our failure and never the server's; only what a working jump host says of
//! the server is the server's; a refused login is not tried again at once, since hosts lock out who tries too often.

mod host_key;
mod known_hosts;
mod login;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use pilothouse_domain::network::SshJump;
use pilothouse_domain::{Outcome, Phases, TargetFailure, UnknownReason};
use russh::client::{self, Handle};
use russh::{Channel, ChannelOpenFailure};
use secrecy::SecretString;
use tokio::time::{Instant, timeout, timeout_at};
use url::{Host, Url};

pub use self::host_key::{HostKey, HostKeyStanding};
use self::host_key::{HostKeyCheck, Refusal, TrustedKeys};
use self::login::Login;
use super::connection::authority;
use super::failure::Failure;
use super::tcp::{self, micros};
use super::way::Reached;
use crate::ServingError;

/// After this long without a byte the jump host is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// After this long without an answer the session is over. It bounds a handshake that nobody waits for any more, too.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);
/// How long a jump host may take to show that it is still there, when something went wrong behind it.
const PING_LIMIT: Duration = Duration::from_secs(1);
/// How long opening a session may take altogether. Whoever waits for it may give up sooner; it goes on for the next one.
const OPENING_LIMIT: Duration = Duration::from_secs(30);
/// How long a refused login stands, for everybody behind the same jump host.
const REFUSAL_STANDS: Duration = Duration::from_secs(10);

/// Jump hosts of this process: endpoints with the same settings and secrets share one.
#[derive(Default)]
pub(crate) struct JumpHosts {
    known: Mutex<HashMap<[u8; 32], Weak<JumpHost>>>,
}

impl JumpHosts {
    /// The jump host with these settings; `value` gives a secret by its name. Its session lives as long as anybody
    /// holds it.
    pub(crate) fn get<'s>(
        &self,
        jump: &SshJump,
        value: impl Fn(&str) -> Result<&'s SecretString, ServingError>,
    ) -> Result<Arc<JumpHost>, ServingError> {
        let login = Login::new(&jump.auth, value)?;
        let key = login.digest_with(jump);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, host| host.strong_count() > 0);
        if let Some(host) = known.get(&key).and_then(Weak::upgrade) {
            return Ok(host);
        }
        let host = Arc::new(JumpHost { jump: jump.clone(), login, opening: Mutex::default() });
        known.insert(key, Arc::downgrade(&host));
        Ok(host)
    }
}

/// A jump host, and the session with it while there is one.
pub(crate) struct JumpHost {
    jump: SshJump,
    login: Login,
    /// The last attempt to open a session. Everybody waits for the same one.
    opening: Mutex<Option<Opening>>,
}

type Opening = Shared<BoxFuture<'static, Result<Arc<Session>, NotOpened>>>;

/// Why there is no session.
#[derive(Clone)]
struct NotOpened {
    failure: Failure,
    /// Since when the login is refused, if it is.
    refused: Option<Instant>,
}

impl From<Failure> for NotOpened {
    fn from(failure: Failure) -> Self {
        Self { failure, refused: None }
    }
}

/// An authenticated session.
pub(crate) struct Session {
    handle: Handle<HostKeyCheck>,
    /// `host:port`, for messages.
    place: String,
    /// It was seen to be over, although its connection may not know it yet.
    is_over: AtomicBool,
}

impl Session {
    fn is_open(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed) && !self.handle.is_closed()
    }

    /// Asks the jump host whether it is there, and so takes a moment.
    async fn is_lost(&self) -> bool {
        let answered = self.is_open() && timeout(PING_LIMIT, self.handle.send_ping()).await.is_ok();
        let is_lost = !answered || self.handle.is_closed();
        if is_lost {
            self.is_over.store(true, Ordering::Relaxed);
        }
        is_lost
    }

    fn lost(&self) -> Failure {
        ours(format!("the connection to the jump host {} broke; it is opened again with the next check", self.place))
    }

    /// Whose failure it is, when a connection through this session failed: a broken session takes all of them with it.
    pub(super) async fn blamed(&self, failure: Failure) -> Failure {
        match failure.outcome {
            Outcome::TargetFailed(_) if self.is_lost().await => self.lost(),
            _ => failure,
        }
    }
}

fn ours(text: impl AsRef<str>) -> Failure {
    Failure::ours(UnknownReason::TunnelFailed, text)
}

impl JumpHost {
    /// Opens a channel to the server of `url`. All of it is in the phase `tunnel`.
    pub(super) async fn reach(
        self: &Arc<Self>,
        url: &Url,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<Reached, Failure> {
        let started = Instant::now();
        let reached = self.open(url, deadline).await;
        phases.tunnel = Some(micros(started.elapsed()));
        reached
    }

    async fn open(self: &Arc<Self>, url: &Url, deadline: Instant) -> Result<Reached, Failure> {
        loop {
            let (session, is_new) = timeout_at(deadline, self.session()).await.unwrap_or_else(|_| {
                Err(ours(format!("the jump host {} did not answer within the time limit", self.place())))
            })?;
            let channel = match timeout_at(deadline, open_channel(&session, url)).await {
                Ok(channel) => channel,
                Err(_) if session.is_lost().await => return Err(session.lost()),
                Err(_) => {
                    let text = format!(
                        "the jump host {} did not reach {} within the time limit",
                        session.place,
                        authority(url)
                    );
                    return Err(Failure::target(TargetFailure::ConnectTimeout, text));
                }
            };
            match channel {
                Ok(channel) => {
                    let stream = Box::new(channel.into_stream());
                    return Ok(Reached { stream, forwarding_proxy: None, session: Some(session) });
                }
                // A kept session may have ended while nobody looked; that is no failure yet.
                Err(_) if !is_new && session.is_lost().await => {}
                Err(error) => return Err(self.not_opened(&session, url, &error)),
            }
        }
    }

    fn not_opened(&self, session: &Session, url: &Url, error: &russh::Error) -> Failure {
        let (place, server) = (&session.place, authority(url));
        match error {
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => {
                let text = format!("the jump host {place} cannot connect to {server}; does it listen there?");
                Failure::target(TargetFailure::Unreachable, text)
            }
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => ours(format!(
                "the jump host {place} does not let `{}` through to {server}; see AllowTcpForwarding and PermitOpen there",
                self.jump.user
            )),
            russh::Error::ChannelOpenFailure(reason) => {
                ours(format!("the jump host {place} opens no way to {server}: {reason:?}"))
            }
            _ => session.lost(),
        }
    }

    /// The session, and whether it was made now.
    async fn session(self: &Arc<Self>) -> Result<(Arc<Session>, bool), Failure> {
        let (opening, is_new) = {
            let mut last = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
            match last.as_ref().map(|opening| (opening, opening.peek())) {
                Some((opening, None)) => (opening.clone(), true),
                Some((opening, Some(outcome))) if still_holds(outcome) => (opening.clone(), false),
                _ => (last.insert(Arc::clone(self).start_opening()).clone(), true),
            }
        };
        opening.await.map(|session| (session, is_new)).map_err(|not_opened| not_opened.failure)
    }

    /// A task of its own: a session that takes longer than one check waits is ready for the next one.
    fn start_opening(self: Arc<Self>) -> Opening {
        let place = self.place();
        let task = tokio::spawn(async move {
            let silent = || ours(format!("the jump host {} did not let anybody in within 30 s", self.place()));
            timeout(OPENING_LIMIT, self.open_session()).await.unwrap_or_else(|_| Err(silent().into()))
        });
        let ended = task.map(move |joined| {
            joined.unwrap_or_else(|error| {
                let text = format!("the session with the jump host {place} was not opened: {error}");
                Err(Failure::ours(UnknownReason::Internal, text).into())
            })
        });
        ended.boxed().shared()
    }

    async fn open_session(&self) -> Result<Arc<Session>, NotOpened> {
        let mut handle = connect(&self.jump).await?;
        let logged_in = self.login.log_in(&mut handle, &self.jump.user, &self.place()).await;
        logged_in.map_err(|failure| NotOpened { failure, refused: Some(Instant::now()) })?;
        tracing::debug!(jump_host = %self.place(), "an SSH session was opened");
        Ok(Arc::new(Session { handle, place: self.place(), is_over: AtomicBool::new(false) }))
    }

    fn place(&self) -> String {
        place(&self.jump.host, self.jump.port)
    }
}

/// Whether an outcome still counts, or a new attempt is due.
fn still_holds(outcome: &Result<Arc<Session>, NotOpened>) -> bool {
    match outcome {
        Ok(session) => session.is_open(),
        Err(NotOpened { refused, .. }) => refused.is_some_and(|since| since.elapsed() < REFUSAL_STANDS),
    }
}

async fn open_channel(session: &Session, url: &Url) -> Result<Channel<client::Msg>, russh::Error> {
    // Names go as they are: the jump host resolves them.
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => String::new(),
    };
    let port = u32::from(url.port_or_known_default().unwrap_or(80));
    // The originator's address is for the jump host's log; our own would tell it about this network.
    session.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 0).await
}

fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A connection whose host key was verified. Nobody has logged in.
async fn connect(jump: &SshJump) -> Result<Handle<HostKeyCheck>, Failure> {
    let place = place(&jump.host, jump.port);
    let trusted = TrustedKeys::of(jump).await?;
    let mut algorithms = trusted.algorithms();
    let mut first = None;
    loop {
        let check = HostKeyCheck::new(trusted.clone());
        let refusal = match shake_hands(&jump.host, jump.port, algorithms.clone(), check).await? {
            Ok(handle) => return Ok(handle),
            Err(refusal) => refusal,
        };
        match (refusal, &first) {
            // A fingerprint does not tell its algorithm, and a host has a key of each: it may show another one.
            (Refusal::Changed(key), _) if trusted.is_fingerprint() => {
                algorithms.retain(|algorithm| !host_key::is_of(algorithm, &key.algorithm));
                let refusal = Refusal::Changed(first.get_or_insert(key).clone());
                if algorithms.is_empty() {
                    return Err(refusal.told(&place));
                }
            }
            (Refusal::Protocol(_), Some(key)) => return Err(Refusal::Changed(key.clone()).told(&place)),
            (refusal, _) => return Err(refusal.told(&place)),
        }
    }
}

/// TCP and the key exchange. The caller bounds it, by dropping this future.
async fn shake_hands(
    host: &str,
    port: u16,
    algorithms: Vec<russh::keys::Algorithm>,
    check: HostKeyCheck,
) -> Result<Result<Handle<HostKeyCheck>, Refusal>, Failure> {
    let place = place(host, port);
    let parsed = Host::parse(&place[..place.len() - port.to_string().len() - 1]).ok();
    let tcp = tcp::connect(parsed, port, &place, Instant::now() + SILENCE_LIMIT, &mut Phases::default())
        .await
        .map_err(Failure::of_jump_host)?;
    let config = client::Config {
        preferred: russh::Preferred { key: algorithms.into(), ..russh::Preferred::DEFAULT },
        keepalive_interval: Some(KEEP_ALIVE),
        inactivity_timeout: Some(SILENCE_LIMIT),
        nodelay: true,
        ..client::Config::default()
    };
    Ok(client::connect_stream(Arc::new(config), tcp, check).await)
}

/// Asks a jump host for its key, without logging in.
pub(super) async fn host_key(host: &str, port: u16, limit: Duration) -> Result<HostKey, Failure> {
    let trusted = TrustedKeys::of_files(host, port).await?;
    let check = HostKeyCheck::new(trusted.clone());
    let seen = check.seen();
    let place = place(host, port);
    let shaken = timeout(limit, shake_hands(host, port, trusted.algorithms(), check))
        .await
        .map_err(|_| ours(format!("the jump host {place} did not answer within {} s", limit.as_secs())))??;
    // Whatever was thought of the key, it was seen.
    if let Some(key) = seen.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Ok(key);
    }
    Err(match shaken {
        Err(refusal) => refusal.told(&place),
        Ok(_) => ours(format!("the jump host {place} showed no key")),
    })
}
