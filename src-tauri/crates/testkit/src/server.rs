//! A server on a free loopback port that does what it is told.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::port_forward;
use crate::request::read_request;
use crate::{Behaviour, RecordedRequest, Reply, ServerCertificate, StreamEnd};

/// A fake server. Dropping it stops it and closes its connections.
pub struct FakeServer {
    url: Url,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    requests: Mutex<Vec<RecordedRequest>>,
    connections: AtomicUsize,
    served: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeServer {
    /// Starts on `127.0.0.1`.
    pub async fn start(behaviour: impl Into<Behaviour>) -> Self {
        Self::launch(behaviour.into(), None).await
    }

    /// Starts on `127.0.0.1` with TLS. The URL names the address; see [`Self::url_as`] for a name.
    pub async fn start_tls(behaviour: impl Into<Behaviour>, certificate: &ServerCertificate) -> Self {
        Self::launch(behaviour.into(), Some(certificate.acceptor())).await
    }

    async fn launch(behaviour: Behaviour, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}/").parse().expect("the URL is valid");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Self { url, shared, task }
    }

    /// The base URL, with an address as host.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The base URL with another host name that leads here, such as `localhost`.
    pub fn url_as(&self, host: &str) -> Url {
        let mut url = self.url.clone();
        url.set_host(Some(host)).expect("the host is valid");
        url
    }

    /// A URL below the base.
    pub fn at(&self, path: &str) -> Url {
        self.url.join(path).expect("the path is valid")
    }

    /// Does something else from the next request on; a script starts at its beginning.
    pub fn set(&self, behaviour: impl Into<Behaviour>) {
        *locked(&self.shared.behaviour) = behaviour.into();
        self.shared.served.store(0, Ordering::SeqCst);
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        locked(&self.shared.requests).clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        // The connections' tasks end with the accepting task, which owns them.
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            // A client that goes away in the middle is part of the tests.
            let _ = serve(stream, tls, number, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, number: usize, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match tls {
        None => serve_requests(stream, number, shared).await,
        Some(tls) => serve_requests(tls.accept(stream).await?, number, shared).await,
    }
}

async fn serve_requests<S: Stream>(stream: S, number: usize, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream, number).await? {
        locked(&shared.requests).push(request.clone());
        let turn = shared.served.fetch_add(1, Ordering::SeqCst);
        let behaviour = resolve(locked(&shared.behaviour).clone(), &request, turn);
        if !act(stream.get_mut(), behaviour, &request, turn).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// What to do about this request: routes, scripts and functions lead to something that can be done.
fn resolve(behaviour: Behaviour, request: &RecordedRequest, turn: usize) -> Behaviour {
    match behaviour {
        Behaviour::Routes(routes) => {
            let found = routes.into_iter().find(|(path, _)| path == request.path()).map(|(_, behaviour)| behaviour);
            let found = found.unwrap_or_else(|| Behaviour::status(404, r#"{"detail":"Not Found"}"#));
            resolve(found, request, turn)
        }
        Behaviour::Script(mut steps) => {
            assert!(!steps.is_empty(), "a script has at least one step");
            let step = steps.swap_remove(turn.min(steps.len() - 1));
            resolve(step, request, turn)
        }
        Behaviour::Answer(function) => resolve(function(request), request, turn),
        other => other,
    }
}

/// Does it; says whether the connection is kept.
async fn act<S: Stream>(
    stream: &mut S,
    behaviour: Behaviour,
    request: &RecordedRequest,
    turn: usize,
) -> io::Result<bool> {
    match behaviour {
        Behaviour::Reply(reply) => {
            // One write, as real servers do, so that the head does not wait for the body.
            let mut wire = reply.head();
            wire.extend_from_slice(&reply.wire_body());
            stream.write_all(&wire).await?;
            stream.flush().await?;
            Ok(!reply.then_close)
        }
        Behaviour::DelayFirstByte(delay, then) => {
            tokio::time::sleep(delay).await;
            Box::pin(act(stream, resolve(*then, request, turn), request, turn)).await
        }
        Behaviour::Trickle(pause, reply) => {
            trickle(stream, pause, &reply).await?;
            Ok(true)
        }
        Behaviour::Stream(reply, pieces, end) => {
            stream.write_all(&reply.chunked().head()).await?;
            stream.flush().await?;
            for (pause, piece) in pieces {
                tokio::time::sleep(pause).await;
                let length = format!("{:x}\r\n", piece.len());
                stream.write_all(&[length.as_bytes(), &piece, b"\r\n"].concat()).await?;
                stream.flush().await?;
            }
            match end {
                StreamEnd::Complete => {
                    stream.write_all(b"0\r\n\r\n").await?;
                    stream.flush().await?;
                    Ok(true)
                }
                StreamEnd::Reset => {
                    stream.tcp().set_zero_linger()?;
                    Ok(false)
                }
                StreamEnd::Silent => std::future::pending().await,
            }
        }
        Behaviour::HangInHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await?;
            stream.flush().await?;
            std::future::pending().await
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Reset => {
            stream.tcp().set_zero_linger()?;
            Ok(false)
        }
        Behaviour::CloseMidBody(reply) => {
            stream.write_all(&reply.head()).await?;
            let body = reply.wire_body();
            stream.write_all(&body[..body.len() / 2]).await?;
            stream.flush().await?;
            Ok(false)
        }
        Behaviour::Raw(bytes) => {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            Ok(false)
        }
        Behaviour::ForwardPort(forwarded) => {
            port_forward::serve(stream, request, &forwarded).await?;
            Ok(false)
        }
        Behaviour::Close | Behaviour::Routes(_) | Behaviour::Script(_) | Behaviour::Answer(_) => Ok(false),
    }
}

async fn trickle<S: Stream>(stream: &mut S, pause: std::time::Duration, reply: &Reply) -> io::Result<()> {
    stream.write_all(&reply.head()).await?;
    stream.flush().await?;
    for byte in reply.wire_body() {
        tokio::time::sleep(pause).await;
        stream.write_all(&[byte]).await?;
        stream.flush().await?;
    }
    Ok(())
}
