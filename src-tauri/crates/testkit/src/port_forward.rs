//! A forwarded port as the API server of Kubernetes opens it: websocket frames that begin with the number of a channel, 0
//! for the port's bytes and 1 for its failure, each opened by a frame with the port's number.
//!
//! Source: `kubelet/pkg/cri/streaming/portforward/websocket.go` of Kubernetes 1.32.

use std::io;
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use crate::RecordedRequest;

/// What stands behind a forwarded port.
#[derive(Debug, Clone)]
pub enum Forwarded {
    /// A server on this machine.
    To(SocketAddr),
    /// Nothing: the failure that is told.
    Refused(String),
}

/// Carries one forwarded port out, until either side ends.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &RecordedRequest,
    forwarded: &Forwarded,
) -> io::Result<()> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {}\r\n\
         sec-websocket-protocol: v4.channel.k8s.io\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    let port = request.target.rsplit_once("ports=").and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or_default();
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    for channel in [0_u8, 1] {
        send(&mut socket, channel, &port.to_le_bytes()).await?;
    }
    match forwarded {
        Forwarded::Refused(why) => {
            send(&mut socket, 1, why.as_bytes()).await?;
            // The client reads the failure and goes away.
            while let Some(Ok(_)) = socket.next().await {}
            Ok(())
        }
        Forwarded::To(address) => pass(&mut socket, TcpStream::connect(address).await?).await,
    }
}

async fn pass<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    mut server: TcpStream,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            read = server.read(&mut buffer) => match read? {
                0 => return socket.close(None).await.map_err(io::Error::other),
                count => send(socket, 0, &buffer[..count]).await?,
            },
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&0) => server.write_all(&bytes[1..]).await?,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
        }
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    channel: u8,
    bytes: &[u8],
) -> io::Result<()> {
    let mut frame = vec![channel];
    frame.extend_from_slice(bytes);
    socket.send(Message::binary(frame)).await.map_err(io::Error::other)
}
