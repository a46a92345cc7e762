//! A SOCKS 5 proxy on a free loopback port (RFC 1928, RFC 1929).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

/// A SOCKS 5 proxy. Dropping it stops it.
pub struct SocksProxy {
    url: Url,
    targets: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl SocksProxy {
    /// A proxy for everybody.
    pub async fn start() -> Self {
        Self::launch(None).await
    }

    /// A proxy that lets nobody in without this user and password.
    pub async fn start_with_login(user: &str, password: &str) -> Self {
        Self::launch(Some((user.to_owned(), password.to_owned()))).await
    }

    async fn launch(login: Option<(String, String)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let targets: Arc<Mutex<Vec<String>>> = Arc::default();
        let recorded = Arc::clone(&targets);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (login, recorded) = (login.clone(), Arc::clone(&recorded));
                connections.spawn(async move {
                    let _ = serve(stream, login, &recorded).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        let url = format!("socks5://127.0.0.1:{port}").parse().expect("the URL is valid");
        Self { url, targets, task }
    }

    /// The proxy's own URL, `socks5://`.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The same with `socks5h://`: the proxy resolves names.
    pub fn url_that_resolves(&self) -> Url {
        self.url.as_str().replacen("socks5", "socks5h", 1).parse().expect("the URL is valid")
    }

    /// What was asked for so far, as `host:port`.
    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for SocksProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const NO_LOGIN: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NOTHING_FITS: u8 = 0xff;
const REFUSED: u8 = 5;

async fn serve(
    mut stream: TcpStream,
    login: Option<(String, String)>,
    recorded: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let offered = counted(&mut stream, 1).await?;
    let wanted = if login.is_some() { USER_AND_PASSWORD } else { NO_LOGIN };
    if !offered.contains(&wanted) {
        return stream.write_all(&[5, NOTHING_FITS]).await;
    }
    stream.write_all(&[5, wanted]).await?;
    if let Some((user, password)) = login {
        let given_user = counted(&mut stream, 1).await?;
        let given_password = counted(&mut stream, 0).await?;
        let fits = given_user == user.as_bytes() && given_password == password.as_bytes();
        stream.write_all(&[1, u8::from(!fits)]).await?;
        if !fits {
            return Ok(());
        }
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let host = match head[3] {
        1 => Ipv4Addr::from(stream.read_u32().await?).to_string(),
        4 => Ipv6Addr::from(stream.read_u128().await?).to_string(),
        _ => String::from_utf8_lossy(&counted(&mut stream, 0).await?).into_owned(),
    };
    let port = stream.read_u16().await?;
    recorded.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{host}:{port}"));
    let Ok(mut server) = TcpStream::connect((host.as_str(), port)).await else {
        return stream.write_all(&[5, REFUSED, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    };
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut stream, &mut server).await?;
    Ok(())
}

/// Bytes that are preceded by their number, after `skipped` bytes of no interest.
async fn counted(stream: &mut TcpStream, skipped: usize) -> io::Result<Vec<u8>> {
    for _ in 0..skipped {
        stream.read_u8().await?;
    }
    let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
