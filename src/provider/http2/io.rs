//! The stream between h2 and TLS: writes are gathered, and both ways are watched.
//!
//! One TLS record per request costs about as much as everything else in a push together (DESIGN, "Dependencies": 7 us
//! one by one, 0.3 us packed), so writes are gathered into records of 16 KiB, TLS's largest. Three things stand in the
//! way, and are met here:
//!
//! - h2 chains DATA of 256 bytes and more when the stream says that it writes vectored, and flushes after each. So this
//!   stream says that it doesn't: what is below 1 KiB is then copied into h2's own buffer.
//! - Larger DATA is still flushed frame by frame. So while the connection's task lets h2 work off its queue, flushes
//!   are only noted ([`Gate::hold`]); when h2 has nothing more to do, the task lets go and has it flush once.
//! - A full buffer is written out at once, held or not, so memory stays bounded and back-pressure reaches h2.
//!
//! What is said either way is watched in passing ([`Frames`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use super::line::Line;

/// One TLS record.
const BUFFER: usize = 16 * 1024;

/// Whether flushes wait. Shared by the stream and the one task that drives it, so never contended.
#[derive(Debug, Default)]
pub(super) struct Gate {
    held: AtomicBool,
    owed: AtomicBool,
}

impl Gate {
    /// From now on flushes are only noted.
    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// Flushes are made again; true if one is owed.
    pub(super) fn let_go(&self) -> bool {
        self.held.store(false, Ordering::Relaxed);
        self.owed.swap(false, Ordering::Relaxed)
    }
}

/// A stream that gathers writes and watches both ways.
#[derive(Debug)]
pub(super) struct Wire<S> {
    inner: S,
    gate: Arc<Gate>,
    line: Arc<Line>,
    heard: Frames,
    said: Frames,
    buffer: Vec<u8>,
    written: usize,
}

impl<S> Wire<S> {
    pub(super) fn new(inner: S, gate: Arc<Gate>, line: Arc<Line>) -> Self {
        let (heard, said) = (Frames::default(), Frames::of_client());
        Self { inner, gate, line, heard, said, buffer: Vec::with_capacity(BUFFER), written: 0 }
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.buffer.len() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.buffer[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.buffer.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            this.line.heard();
            this.heard.read(read, |seen| this.line.hears(seen));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.buffer.len() >= BUFFER {
            ready!(self.poll_write_out(cx))?;
        }
        let this = &mut *self;
        let count = data.len().min(BUFFER - this.buffer.len());
        this.buffer.extend_from_slice(&data[..count]);
        this.said.read(&data[..count], |seen| this.line.says(seen));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gate.held.load(Ordering::Relaxed) {
            self.gate.owed.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::super::line::ConnectionId;
    use super::*;

    fn wire(size: usize) -> (Wire<tokio::io::DuplexStream>, tokio::io::DuplexStream, Arc<Gate>) {
        let (near, far) = tokio::io::duplex(size);
        let gate = Arc::new(Gate::default());
        let line = Line::new(ConnectionId(1), 1, Arc::new(Notify::new()));
        (Wire::new(near, Arc::clone(&gate), line), far, gate)
    }

    #[tokio::test]
    async fn flushes_are_owed_while_held_and_made_when_let_go() {
        let (mut wire, mut far, gate) = wire(64 * 1024);
        gate.hold();
        for _ in 0..10 {
            wire.write_all(&[7; 1_000]).await.expect("it fits");
            wire.flush().await.expect("only noted");
        }
        let mut bytes = vec![0; 64 * 1024];
        let read = futures::poll!(std::pin::pin!(far.read(&mut bytes)));
        assert!(read.is_pending(), "nothing may have left yet");
        assert!(gate.let_go());
        assert!(!gate.let_go(), "a flush is owed once");
        wire.flush().await.expect("written");
        assert_eq!(far.read(&mut bytes).await.expect("readable"), 10_000, "all of it in one write");
    }

    #[tokio::test]
    async fn a_full_buffer_is_written_even_while_held() {
        let (mut wire, mut far, gate) = wire(1024);
        gate.hold();
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let copy = sent.clone();
        let writing = tokio::spawn(async move {
            wire.write_all(&copy).await.expect("written");
            wire.shutdown().await.expect("shut down");
        });
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.expect("readable");
        writing.await.expect("no panic");
        assert!(received == sent, "the bytes came whole and in order");
    }
}
