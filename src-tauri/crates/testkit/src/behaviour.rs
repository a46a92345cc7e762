//! What a fake server does with a request.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::{Forwarded, RecordedRequest};

/// What happens after a request was read.
#[derive(Clone)]
#[non_exhaustive]
pub enum Behaviour {
    /// Answers.
    Reply(Reply),
    /// Answers by path; anything else gets 404 `{"detail":"Not Found"}`.
    Routes(Vec<(String, Behaviour)>),
    /// Does one thing after the other; the last one for ever.
    Script(Vec<Behaviour>),
    /// Asks a function.
    Answer(Arc<dyn Fn(&RecordedRequest) -> Behaviour + Send + Sync>),
    /// Waits before the first byte.
    DelayFirstByte(Duration, Box<Behaviour>),
    /// Sends the head at once and then one byte of the body after each pause.
    Trickle(Duration, Reply),
    /// Sends the head at once and then the pieces, each in a chunk of its own after its pause. The reply's own body is
    /// not sent.
    Stream(Reply, Vec<(Duration, Vec<u8>)>, StreamEnd),
    /// Sends the first bytes of the head and then nothing, for ever.
    HangInHead,
    /// Says nothing, for ever.
    Hang,
    /// Resets the connection (RST).
    Reset,
    /// Closes the connection without an answer.
    Close,
    /// Announces the whole body and closes after half of it.
    CloseMidBody(Reply),
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Upgrades to a websocket and forwards a port as the API server of Kubernetes does.
    ForwardPort(Forwarded),
}

impl Behaviour {
    /// 200 with a JSON body.
    pub fn json(body: &str) -> Self {
        Self::Reply(Reply::json(200, body))
    }

    /// A status with a JSON body.
    pub fn status(status: u16, body: &str) -> Self {
        Self::Reply(Reply::json(status, body))
    }

    /// A redirect.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Reply(Reply::json(status, "").with_header("location", location))
    }

    /// 200 whose small gzip body unpacks to `bytes` zeros.
    pub fn gzip_bomb(bytes: usize) -> Self {
        Self::Reply(Reply::json(200, "").with_gzip_body(&vec![b'0'; bytes]))
    }

    /// Answers something that is not HTTP.
    pub fn not_http() -> Self {
        Self::Raw(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n".to_vec())
    }

    /// Answers by path.
    pub fn routes<const N: usize>(routes: [(&str, Self); N]) -> Self {
        Self::Routes(routes.into_iter().map(|(path, behaviour)| (path.to_owned(), behaviour)).collect())
    }

    /// Answers by function.
    pub fn answer(function: impl Fn(&RecordedRequest) -> Self + Send + Sync + 'static) -> Self {
        Self::Answer(Arc::new(function))
    }
}

impl From<Reply> for Behaviour {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// How a stream of pieces ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// As it should.
    Complete,
    /// The connection is reset (RST).
    Reset,
    /// Nothing more comes.
    Silent,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) chunked: bool,
    pub(crate) then_close: bool,
}

impl Reply {
    /// An answer with `content-type: application/json`.
    pub fn json(status: u16, body: &str) -> Self {
        Self::bytes(status, body.as_bytes().to_vec()).with_header("content-type", "application/json")
    }

    /// An answer without a content type.
    pub const fn bytes(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body, chunked: false, then_close: false }
    }

    /// With a further header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body in gzip, and the header that says so.
    #[must_use]
    pub fn with_gzip_body(mut self, body: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let _ = encoder.write_all(body);
        self.body = encoder.finish().unwrap_or_default();
        self.with_header("content-encoding", "gzip")
    }

    /// With this body in zlib's form of deflate (RFC 9110 §8.4.1.2), and the header that says so.
    #[must_use]
    pub fn with_deflate_body(mut self, body: &[u8]) -> Self {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let _ = encoder.write_all(body);
        self.body = encoder.finish().unwrap_or_default();
        self.with_header("content-encoding", "deflate")
    }

    /// The body, as it goes over the wire before chunks are made of it.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Sent in chunks instead of with a length.
    #[must_use]
    pub const fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The connection is closed right after this answer, without having said so.
    #[must_use]
    pub const fn then_close(mut self) -> Self {
        self.then_close = true;
        self
    }

    /// Head and body as bytes on the wire.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Fake\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&[name.as_str(), ": ", value, "\r\n"].concat());
        }
        if self.chunked {
            head += "transfer-encoding: chunked\r\n\r\n";
        } else {
            head.push_str(&["content-length: ", &self.body.len().to_string(), "\r\n\r\n"].concat());
        }
        head.into_bytes()
    }

    pub(crate) fn wire_body(&self) -> Vec<u8> {
        if !self.chunked {
            return self.body.clone();
        }
        let mut wire = Vec::new();
        for chunk in self.body.chunks(1_000) {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire
    }
}
