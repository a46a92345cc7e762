//! A server of gRPC over HTTP/2, as wayward as a test wants it.
//!
//! What it is: each call, whole, is handed to a function that says what to answer. What it hides: HTTP/2, frames and
//! trailers. What must stay true: an answer's parts are sent exactly as they are told, however little sense they make; its
//! connections end with it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use h2::server::{self, SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use crate::ServerCertificate;

/// A call as it came.
#[derive(Debug, Clone)]
pub struct GrpcCall {
    /// `/package.Service/Method`
    pub path: String,
    /// Its headers, without the pseudo-headers.
    pub headers: HeaderMap,
    /// Its message, out of its frame.
    pub message: Bytes,
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum GrpcReply {
    /// This message, and that all is well.
    Message(Bytes),
    /// A code with a message, in trailers alone: no head comes before them.
    Refusal(u32, &'static str),
    /// The same behind a head and a message.
    LateRefusal(u32, &'static str),
    /// These bytes as the body, frames and all, with these trailers.
    Bytes(Bytes, HeaderMap),
    /// Another answer of HTTP/2: its status, content type and body.
    Http(u16, &'static str, &'static str),
    /// A message of so many zeros, without an end to wait for.
    Endless,
    /// Nothing.
    Silence,
    /// A head, and then nothing.
    HeadAlone,
    /// The stream is reset, for this reason.
    Reset(u32),
    /// The connection is closed for this reason (GOAWAY).
    GoAway(u32),
    /// The connection is cut off.
    Gone,
}

/// A server on a free loopback port. Dropping it stops it.
pub struct GrpcServer {
    url: Url,
    calls: Arc<Mutex<Vec<GrpcCall>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

type Answer = Arc<dyn Fn(&GrpcCall) -> GrpcReply + Send + Sync>;

impl GrpcServer {
    /// Starts on `127.0.0.1`, in the clear.
    pub async fn start(answer: impl Fn(&GrpcCall) -> GrpcReply + Send + Sync + 'static) -> Self {
        Self::accepting(Arc::new(answer), None, "http").await
    }

    /// The same over TLS, with `h2` agreed upon.
    pub async fn start_tls(
        certificate: &ServerCertificate,
        answer: impl Fn(&GrpcCall) -> GrpcReply + Send + Sync + 'static,
    ) -> Self {
        Self::accepting(Arc::new(answer), Some(certificate.acceptor_of(&["h2"])), "https").await
    }

    async fn accepting(answer: Answer, tls: Option<tokio_rustls::TlsAcceptor>, scheme: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let url = format!("{scheme}://{address}/").parse().expect("the URL is valid");
        let (calls, connections): (Arc<Mutex<Vec<GrpcCall>>>, Arc<AtomicUsize>) = Default::default();
        let (seen, accepted) = (Arc::clone(&calls), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (answer, seen, tls) = (Arc::clone(&answer), Arc::clone(&seen), tls.clone());
                served.spawn(async move {
                    match tls {
                        None => serve(stream, answer, seen).await,
                        // A client that does not like the certificate goes away.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, answer, seen).await,
                            Err(_) => None,
                        },
                    }
                });
                while served.try_join_next().is_some() {}
            }
        });
        Self { url, calls, connections, task }
    }

    /// The base URL, with an address as host.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<GrpcCall> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        // The connections' tasks end with the accepting task, which owns them.
        self.task.abort();
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answer,
    seen: Arc<Mutex<Vec<GrpcCall>>>,
) -> Option<()> {
    let mut connection = server::handshake(stream).await.ok()?;
    let mut answers = JoinSet::new();
    while let Some(call) = connection.accept().await {
        let (request, respond) = call.ok()?;
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
        // The body of a call comes only while its connection is driven.
        let work = whole(request);
        let call = tokio::select! {
            call = work => call?,
            _ = std::future::poll_fn(|cx| connection.poll_closed(cx)) => return None,
        };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
        match answer(&call) {
            GrpcReply::GoAway(reason) => connection.abrupt_shutdown(reason.into()),
            GrpcReply::Gone => return None,
            reply => drop(answers.spawn(send(respond, reply))),
        }
    }
    Some(())
}

async fn whole(request: Request<h2::RecvStream>) -> Option<GrpcCall> {
    let (head, mut body) = request.into_parts();
    let mut framed = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        framed.put_slice(&data);
        body.flow_control().release_capacity(data.len()).ok()?;
    }
    let message = framed.freeze().slice(5..);
    Some(GrpcCall { path: head.uri.path().to_owned(), headers: head.headers, message })
}

async fn send(mut respond: SendResponse<Bytes>, reply: GrpcReply) -> Option<()> {
    let head = |status: u16, kind: &'static str| {
        let mut response = Response::new(());
        *response.status_mut() = status.try_into().expect("the status is one");
        response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
        response
    };
    let grpc = || head(200, "application/grpc");
    match reply {
        GrpcReply::Message(message) => {
            let mut stream = respond.send_response(grpc(), false).ok()?;
            stream.send_data(framed(&message), false).ok()?;
            stream.send_trailers(trailers(0, "")).ok()?;
        }
        GrpcReply::Refusal(code, message) => {
            let mut response = grpc();
            response.headers_mut().extend(trailers(code, message));
            respond.send_response(response, true).ok()?;
        }
        GrpcReply::LateRefusal(code, message) => {
            let mut stream = respond.send_response(grpc(), false).ok()?;
            stream.send_data(framed(b"half an answer"), false).ok()?;
            stream.send_trailers(trailers(code, message)).ok()?;
        }
        GrpcReply::Bytes(body, trailers) => {
            let mut stream = respond.send_response(grpc(), false).ok()?;
            stream.send_data(body, false).ok()?;
            stream.send_trailers(trailers).ok()?;
        }
        GrpcReply::Http(status, kind, body) => {
            let mut stream = respond.send_response(head(status, kind), false).ok()?;
            stream.send_data(Bytes::from_static(body.as_bytes()), true).ok()?;
        }
        GrpcReply::Endless => {
            let mut stream = respond.send_response(grpc(), false).ok()?;
            let piece = Bytes::from_static(&[0; 16 * 1024]);
            loop {
                stream.reserve_capacity(piece.len());
                while stream.capacity() < piece.len() {
                    std::future::poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
                }
                stream.send_data(piece.clone(), false).ok()?;
            }
        }
        GrpcReply::Silence => std::future::pending::<()>().await,
        GrpcReply::HeadAlone => {
            let _stream = respond.send_response(grpc(), false).ok()?;
            std::future::pending::<()>().await;
        }
        GrpcReply::Reset(reason) => respond.send_reset(reason.into()),
        GrpcReply::GoAway(_) | GrpcReply::Gone => {}
    }
    Some(())
}

fn trailers(code: u32, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    if !message.is_empty() {
        trailers.insert("grpc-message", HeaderValue::from_static(message));
    }
    trailers
}

/// A message in its frame ("gRPC over HTTP2", Length-Prefixed-Message).
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.freeze()
}
