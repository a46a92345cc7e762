//! A server below HTTP: what it says, and when, is a function over the bare connection.
//!
//! What it is: for what [`FakeServer`](crate::FakeServer) cannot do because it reads whole requests first: silence before
//! TLS, answers that come too early, answers without an end. What must stay true: its connections end with it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

/// A server on a free loopback port that hands each connection to a function. Dropping it stops it.
pub struct WireServer {
    url: Url,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl WireServer {
    /// Starts on `127.0.0.1`. `serve` is given each connection with its number, from 0; when it returns, the connection
    /// is closed.
    pub async fn start<F, S>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> S + Send + 'static,
        S: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        Self::accepting(listener, serve)
    }

    /// Starts on `[::1]` alone; an error where this machine has no IPv6.
    pub async fn start_ipv6<F, S>(serve: F) -> io::Result<Self>
    where
        F: Fn(TcpStream, usize) -> S + Send + 'static,
        S: Future<Output = io::Result<()>> + Send + 'static,
    {
        Ok(Self::accepting(TcpListener::bind(("::1", 0)).await?, serve))
    }

    fn accepting<F, S>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> S + Send + 'static,
        S: Future<Output = io::Result<()>> + Send + 'static,
    {
        let address = listener.local_addr().expect("a bound listener has an address");
        let url = format!("http://{address}/").parse().expect("the URL is valid");
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.spawn(serve(stream, accepted.fetch_add(1, Ordering::SeqCst)));
                while served.try_join_next().is_some() {}
            }
        });
        Self { url, connections, task }
    }

    /// Answers each request with these bytes, however they are cut into messages, and then says nothing more.
    pub async fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |mut stream, _| {
            let bytes = Arc::clone(&bytes);
            async move {
                loop {
                    read_head(&mut stream).await?;
                    stream.write_all(&bytes).await?;
                }
            }
        })
        .await
    }

    /// Answers with `head` and then with `piece` again and again, for ever.
    pub async fn endless(head: impl Into<Vec<u8>>, piece: impl Into<Vec<u8>>) -> Self {
        let (head, piece): (Arc<[u8]>, Arc<[u8]>) = (head.into().into(), piece.into().into());
        Self::start(move |mut stream, _| {
            let (head, piece) = (Arc::clone(&head), Arc::clone(&piece));
            async move {
                read_head(&mut stream).await?;
                stream.write_all(&head).await?;
                loop {
                    stream.write_all(&piece).await?;
                }
            }
        })
        .await
    }

    /// The base URL, with an address as host.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for WireServer {
    fn drop(&mut self) {
        // The connections' tasks end with the accepting task, which owns them.
        self.task.abort();
    }
}

/// Reads a request's head, to the blank line, and nothing of its body.
pub async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}
