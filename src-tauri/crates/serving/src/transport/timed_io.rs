//! A byte stream that remembers when the request had left, and when and how the answer began.
//!
//! What it hides: where hyper writes, flushes and reads. What must stay true: marks are set on plaintext (above TLS), so
//! that session tickets do not count as an answer; the stream itself is not changed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Instants of one exchange, shared between the stream (in the connection's task) and whoever waits for the answer.
#[derive(Debug)]
pub(crate) struct IoMarks {
    base: Instant,
    /// Nanoseconds after `base`, plus one; 0: not yet.
    sent: AtomicU64,
    /// Bytes written since the request began, and how many of them make it complete; 0: whatever is written.
    written: AtomicU64,
    complete_at: AtomicU64,
    first_read: AtomicU64,
    /// The first eight bytes of the answer, zeros after its end; they tell what is spoken where it is not HTTP.
    first_bytes: AtomicU64,
}

impl IoMarks {
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            sent: AtomicU64::new(0),
            written: AtomicU64::new(0),
            complete_at: AtomicU64::new(0),
            first_read: AtomicU64::new(0),
            first_bytes: AtomicU64::new(0),
        }
    }

    /// Forgets the last exchange; called before each request.
    pub(crate) fn reset(&self) {
        self.sent.store(0, Ordering::Relaxed);
        self.first_bytes.store(0, Ordering::Relaxed);
        self.first_read.store(0, Ordering::Release);
    }

    /// A request with a body of this many bytes begins on a connection that both sides write on at any time (HTTP/2): it
    /// has left with the first flush after so many bytes, and nothing later is part of it. What was read stays: the other
    /// side may have spoken first.
    pub(crate) fn expect(&self, body_bytes: usize) {
        self.sent.store(0, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
        // A head always goes with the body.
        self.complete_at.store(body_bytes as u64 + 1, Ordering::Release);
    }

    /// When the last part of what has been handed to the socket was; absent until all of it is.
    pub(crate) fn sent(&self) -> Option<Instant> {
        self.instant(self.sent.load(Ordering::Acquire))
    }

    /// When the first byte of the answer was read.
    pub(crate) fn first_read(&self) -> Option<Instant> {
        self.instant(self.first_read.load(Ordering::Acquire))
    }

    /// How the answer begins, in its first read; zeros where it was shorter.
    pub(crate) fn first_bytes(&self) -> [u8; 8] {
        self.first_bytes.load(Ordering::Acquire).to_be_bytes()
    }

    fn instant(&self, mark: u64) -> Option<Instant> {
        mark.checked_sub(1).map(|nanoseconds| self.base + Duration::from_nanos(nanoseconds))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX - 1) + 1
    }
}

/// The stream, with its marks.
pub(crate) struct TimedIo<S> {
    inner: S,
    marks: Arc<IoMarks>,
    /// When the last write that has not been flushed yet was begun; 0: everything is flushed.
    ///
    /// The time before the write is taken, not after it: the write wakes the server, which on a busy machine may run
    /// before this thread goes on, and its work would be counted as our sending.
    last_write: u64,
}

impl<S> TimedIo<S> {
    pub(crate) fn new(inner: S, marks: Arc<IoMarks>) -> Self {
        Self { inner, marks, last_write: 0 }
    }

    fn wrote(&mut self, begun: u64, result: &Poll<io::Result<usize>>) {
        if matches!(result, Poll::Ready(Ok(length)) if *length > 0) {
            self.last_write = begun;
        }
        if let Poll::Ready(Ok(length)) = result {
            self.marks.written.fetch_add(*length as u64, Ordering::Relaxed);
        }
    }

    /// A flush is done: has the request left with it?
    fn flushed(&mut self) {
        let complete_at = self.marks.complete_at.load(Ordering::Acquire);
        let has_left = complete_at == 0
            || (self.marks.sent.load(Ordering::Relaxed) == 0
                && self.marks.written.load(Ordering::Relaxed) >= complete_at);
        if has_left {
            self.marks.sent.store(self.last_write, Ordering::Release);
        }
        self.last_write = 0;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.inner).poll_read(cx, buf);
        if buf.filled().len() > before && this.marks.first_read.load(Ordering::Relaxed) == 0 {
            let mut begin = [0; 8];
            for (place, byte) in begin.iter_mut().zip(&buf.filled()[before..]) {
                *place = *byte;
            }
            this.marks.first_bytes.store(u64::from_be_bytes(begin), Ordering::Relaxed);
            this.marks.first_read.store(this.marks.now(), Ordering::Release);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let begun = this.marks.now();
        let result = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.wrote(begun, &result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let begun = this.marks.now();
        let result = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.wrote(begun, &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the stream only after its own buffer has been written out, so a finished flush after a write
        // means that the request (as far as it is known) is with the socket.
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_flush(cx);
        if this.last_write != 0 && matches!(result, Poll::Ready(Ok(()))) {
            this.flushed();
        }
        result
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn marks_follow_the_bytes_and_can_be_reset() {
        let marks = Arc::new(IoMarks::new());
        let (near, mut far) = tokio::io::duplex(64);
        let mut timed = TimedIo::new(near, Arc::clone(&marks));
        assert_eq!((marks.sent(), marks.first_read()), (None, None));
        timed.write_all(b"ask").await.unwrap();
        assert_eq!(marks.sent(), None, "written is not yet handed over");
        timed.flush().await.unwrap();
        let sent = marks.sent().unwrap();
        far.write_all(b"answer").await.unwrap();
        let mut buffer = [0; 6];
        timed.read_exact(&mut buffer).await.unwrap();
        assert!(marks.first_read().unwrap() >= sent);
        assert_eq!(&marks.first_bytes(), b"answer\0\0");
        marks.reset();
        assert_eq!((marks.sent(), marks.first_read(), marks.first_bytes()), (None, None, [0; 8]));
    }

    #[tokio::test]
    async fn a_request_of_a_known_length_has_left_once_and_for_all() {
        let marks = Arc::new(IoMarks::new());
        let (near, _far) = tokio::io::duplex(64);
        let mut timed = TimedIo::new(near, Arc::clone(&marks));
        marks.expect(6);
        timed.write_all(b"half").await.unwrap();
        timed.flush().await.unwrap();
        assert_eq!(marks.sent(), None, "a head and a part of the body");
        timed.write_all(b"rest").await.unwrap();
        timed.flush().await.unwrap();
        let sent = marks.sent().unwrap();
        timed.write_all(b"an acknowledgement").await.unwrap();
        timed.flush().await.unwrap();
        assert_eq!(marks.sent(), Some(sent), "what the connection says of itself is no part of the request");
        marks.expect(0);
        assert_eq!(marks.sent(), None);
    }
}
