//! A gate in front of a server: it demands a credential and forwards what has it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use crate::RecordedRequest;
use crate::request::read_request;

/// Whether a request may pass.
type Admits = dyn Fn(&RecordedRequest) -> bool + Send + Sync;

/// A reverse proxy on a free loopback port. Without the credential it answers 401 as real gateways do (RFC 6750 §3).
pub struct BearerGate {
    url: Url,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    task: JoinHandle<()>,
}

impl BearerGate {
    /// Forwards requests with `Authorization: Bearer TOKEN` to a plain `http` server, without that header.
    pub async fn start(upstream: &Url, token: &str) -> Self {
        let expected = format!("Bearer {token}");
        Self::demanding(upstream, move |request| request.header("authorization") == Some(expected.as_str())).await
    }

    /// Forwards the requests that `admits` lets pass, without their `Authorization` header.
    pub async fn demanding(upstream: &Url, admits: impl Fn(&RecordedRequest) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let requests: Arc<Mutex<Vec<RecordedRequest>>> = Arc::default();
        let recorded = Arc::clone(&requests);
        let upstream = format!(
            "{}:{}",
            upstream.host_str().expect("the upstream names a host"),
            upstream.port_or_known_default().expect("http has a port")
        );
        let admits: Arc<Admits> = Arc::new(admits);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, admits, recorded) = (upstream.clone(), Arc::clone(&admits), Arc::clone(&recorded));
                connections.spawn(async move {
                    let _ = serve(stream, &upstream, &*admits, &recorded).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        let url = format!("http://127.0.0.1:{port}/").parse().expect("the URL is valid");
        Self { url, requests, task }
    }

    /// The gate's base URL.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Every request so far, refused ones included.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for BearerGate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request per connection keeps the gate simple: the answer is copied until the upstream closes.
async fn serve(
    mut stream: TcpStream,
    upstream: &str,
    admits: &Admits,
    recorded: &Mutex<Vec<RecordedRequest>>,
) -> io::Result<()> {
    let Some(request) = read_request(&mut stream, 0).await? else { return Ok(()) };
    recorded.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
    if !admits(&request) {
        let body = r#"{"error":"a credential is required"}"#;
        let answer = format!(
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        return stream.shutdown().await;
    }
    let mut server = TcpStream::connect(upstream).await?;
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        if !matches!(name.as_str(), "authorization" | "connection") {
            head.push_str(&[name.as_str(), ": ", value, "\r\n"].concat());
        }
    }
    head += "connection: close\r\n\r\n";
    server.write_all(head.as_bytes()).await?;
    server.write_all(&request.body).await?;
    tokio::io::copy(&mut server, &mut stream).await?;
    stream.shutdown().await
}
