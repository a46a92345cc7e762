//! An HTTP proxy on a free loopback port: CONNECT tunnels and absolute-form requests.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::request::read_request;
use crate::{RecordedRequest, ServerCertificate};

/// A forward proxy. Dropping it stops it.
pub struct ForwardProxy {
    url: Url,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    task: JoinHandle<()>,
}

impl ForwardProxy {
    /// A proxy for everybody.
    pub async fn start() -> Self {
        Self::launch(None, None).await
    }

    /// A proxy that answers 407 without this user and password.
    pub async fn start_with_login(user: &str, password: &str) -> Self {
        Self::launch(Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))), None).await
    }

    /// A proxy for everybody that is spoken to over TLS.
    pub async fn start_tls(certificate: &ServerCertificate) -> Self {
        Self::launch(None, Some(certificate.acceptor())).await
    }

    async fn launch(expected: Option<String>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let requests: Arc<Mutex<Vec<RecordedRequest>>> = Arc::default();
        let recorded = Arc::clone(&requests);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (expected, recorded, tls) = (expected.clone(), Arc::clone(&recorded), tls.clone());
                connections.spawn(async move {
                    let _ = match tls {
                        None => serve(stream, expected.as_deref(), &recorded).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, expected.as_deref(), &recorded).await,
                            Err(error) => Err(error),
                        },
                    };
                });
                while connections.try_join_next().is_some() {}
            }
        });
        let url = format!("{scheme}://127.0.0.1:{port}/").parse().expect("the URL is valid");
        Self { url, requests, task }
    }

    /// The proxy's own URL.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Every request to the proxy so far; a tunnel counts once.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    expected: Option<&str>,
    recorded: &Mutex<Vec<RecordedRequest>>,
) -> io::Result<()> {
    let Some(request) = read_request(&mut stream, 0).await? else { return Ok(()) };
    recorded.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
    if expected.is_some() && request.header("proxy-authorization") != expected {
        return refuse(stream, "407 Proxy Authentication Required").await;
    }
    if request.method == "CONNECT" {
        let Ok(mut server) = TcpStream::connect(&request.target).await else {
            return refuse(stream, "502 Bad Gateway").await;
        };
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        copy_bidirectional(&mut stream, &mut server).await?;
        return Ok(());
    }
    let Ok(url) = request.target.parse::<Url>() else { return refuse(stream, "400 Bad Request").await };
    let place = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
    let Ok(mut server) = TcpStream::connect(place).await else { return refuse(stream, "502 Bad Gateway").await };
    let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, url.path());
    for (name, value) in &request.headers {
        if !matches!(name.as_str(), "proxy-authorization" | "connection") {
            head.push_str(&[name.as_str(), ": ", value, "\r\n"].concat());
        }
    }
    server.write_all(format!("{head}\r\n").as_bytes()).await?;
    server.write_all(&request.body).await?;
    copy_bidirectional(&mut stream, &mut server).await?;
    Ok(())
}

async fn refuse<S: AsyncWrite + Unpin>(mut stream: S, status: &str) -> io::Result<()> {
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
