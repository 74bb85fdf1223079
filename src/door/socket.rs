//! A client's socket: it is patient with a client that does not read, but not for ever; it is closed so that the last
//! answer arrives; and no refusal leaves it without words.
//!
//! A socket that is closed with bytes unread resets its connection, and a reset takes with it what the client has not read
//! yet (RFC 9112, section 9.6). A refusal is often said while the body is still on its way. So only the sending half is
//! closed first; what still comes is read and thrown away until the client closes its half, or has had its time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::bare::worded;
use super::heads::Heads;

/// How long a closed connection waits for a client that is quiet: some round trips.
const QUIET: Duration = Duration::from_secs(1);
/// How long in all: what a client goes on sending is its own affair then.
const LINGER: Duration = Duration::from_secs(5);

/// The socket.
pub(super) struct Socket {
    stream: TcpStream,
    /// Of the connection that it carries, if it carries one.
    heads: Option<Heads>,
    /// How long a write may make no progress.
    patience: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
    /// What is written in another answer's place, as far as it is not yet.
    instead: Option<Vec<u8>>,
    closing: Option<Closing>,
}

/// The sending half is closed.
struct Closing {
    quiet: Pin<Box<Sleep>>,
    end: Instant,
}

impl Socket {
    /// A socket whose writes fail when none of their bytes is taken for so long.
    pub(super) fn new(stream: TcpStream, patience: Duration, heads: Option<Heads>) -> Self {
        Self { stream, heads, patience, stuck: None, instead: None, closing: None }
    }

    /// Writes the words for an answer that has none; `None`: it has.
    fn poll_instead(&mut self, context: &mut Context<'_>, answer: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.instead.is_none() {
            self.instead = Some(worded(answer)?);
        }
        while let Some(rest) = self.instead.as_mut().filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => drop(rest.drain(..written)),
                other => return Some(other),
            }
        }
        self.instead = None;
        Some(Poll::Ready(Ok(answer.len())))
    }

    fn in_time<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let closing =
            self.closing.get_or_insert_with(|| Closing { quiet: Box::pin(sleep(QUIET)), end: Instant::now() + LINGER });
        loop {
            let mut thrown_away = [0; 4 << 10];
            let mut buffer = ReadBuf::new(&mut thrown_away);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => return closing.quiet.as_mut().poll(context),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && Instant::now() < closing.end => {
                    closing.quiet = Box::pin(sleep_until(closing.end.min(Instant::now() + QUIET)));
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let brought = buffer.filled().len() > before;
        match self.heads.as_mut().map(|heads| heads.check(brought, context)) {
            Some(Err(late)) => Poll::Ready(Err(late)),
            _ => read,
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self.poll_instead(context, bytes) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        };
        self.in_time(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match parts.first().and_then(|first| self.poll_instead(context, first)) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write_vectored(context, parts),
        };
        self.in_time(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Closes the sending half, then waits for the client as told above.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        self.poll_linger(context).map(Ok)
    }
}
