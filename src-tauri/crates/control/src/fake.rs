//! A control plane for the tests: answers on a loopback port as a closure says, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// An answer with this status, content type and body.
    Say(u16, &'static str, Vec<u8>),
    /// A redirect to this address.
    Redirect(String),
    /// The connection is closed without an answer.
    Close,
    /// Nothing is answered, the connection stays.
    Hang,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Say(status, "application/json", body.to_string().into_bytes())
    }

    pub(crate) fn html(status: u16, body: &str) -> Self {
        Self::Say(status, "text/html; charset=utf-8", body.as_bytes().to_vec())
    }
}

/// Listens until it is dropped.
pub(crate) struct Fake {
    pub(crate) url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (remember, answer) = (Arc::clone(&asked), Arc::new(answer));
        let task = tokio::spawn(async move {
            // Dropped with the listener's task, so that no connection outlives the fake.
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, Arc::clone(&remember), Arc::clone(&answer)));
            }
        });
        Self { url, asked, task }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The requests that are not reads.
    pub(crate) fn writes(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.method != "GET").collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    remember: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<impl Fn(&Asked) -> Reply + Send + Sync>,
) -> Option<()> {
    let mut read = Vec::new();
    let head = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&read[..head]).into_owned();
    let length =
        text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    while read.len() < head + length.unwrap_or(0) {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    let mut words = text.split(' ');
    let asked = Asked {
        method: words.next()?.into(),
        target: words.next()?.into(),
        head: text.clone(),
        body: String::from_utf8_lossy(&read[head..]).into_owned(),
    };
    let reply = answer(&asked);
    remember.lock().unwrap().push(asked);
    let (head, body) = match reply {
        Reply::Say(status, kind, body) => (format!("{status} Said\r\ncontent-type: {kind}"), body),
        Reply::Redirect(to) => (format!("302 Found\r\nlocation: {to}"), Vec::new()),
        Reply::Close => return None,
        Reply::Hang => std::future::pending().await,
    };
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(&body).await.ok()?;
    stream.shutdown().await.ok()
}
