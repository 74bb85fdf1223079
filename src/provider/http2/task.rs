//! A connection's task: drives h2, notices what changed, pings, and says how it ended.
//!
//! h2 applies SETTINGS only while its connection is polled. So a changed stream limit is noticed right here, after each
//! poll, and the pool's bell rung: nobody has to look for it periodically. Likewise the window.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use super::io::Gate;
use super::keepalive::{Check, Keepalive};
use super::line::Line;
use super::options::PoolOptions;

/// With less than this left of its window a connection may have no room; when there is more again, the bell is rung. The
/// largest body: APNs takes 5 KiB, FCM 4 KiB and what its JSON adds.
const FULL_BELOW: usize = 8 * 1024;

/// Drives `connection` to its end. `ready` is told once the server's first SETTINGS are applied.
pub(super) async fn drive<S>(
    connection: Connection<S, Bytes>,
    line: Arc<Line>,
    gate: Arc<Gate>,
    options: Arc<PoolOptions>,
    ready: oneshot::Sender<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut driver = Driver::new(connection, Arc::clone(&line), gate, &options, ready);
    let end = poll_fn(|cx| driver.poll(cx)).await;
    tracing::debug!(connection = line.id.0, end, "connection ended");
    line.close(&end);
    // Its streams learn of the end when the connection is dropped, and find the reason there already.
    drop(driver);
    line.ring();
}

struct Driver<S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<S, Bytes>,
    line: Arc<Line>,
    gate: Arc<Gate>,
    ready: Option<oneshot::Sender<()>>,
    pings: Option<PingPong>,
    keepalive: Keepalive,
    timer: Pin<Box<Sleep>>,
    was_going_away: bool,
    was_full: bool,
    /// It was released and carried nothing when last looked at.
    over: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn new(
        mut connection: Connection<S, Bytes>,
        line: Arc<Line>,
        gate: Arc<Gate>,
        options: &PoolOptions,
        ready: oneshot::Sender<()>,
    ) -> Self {
        let now = Instant::now();
        Self {
            pings: connection.ping_pong(),
            connection,
            line,
            gate,
            ready: Some(ready),
            keepalive: Keepalive::new(options.ping_after, options.pong_within, now),
            timer: Box::pin(sleep_until(now + options.ping_after)),
            was_going_away: false,
            was_full: false,
            over: false,
        }
    }

    /// Ready with how the connection ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        if let Poll::Ready(end) = self.poll_connection(cx) {
            return Poll::Ready(end);
        }
        self.notice_changes();
        self.poll_pong(cx);
        while self.timer.as_mut().poll(cx).is_ready() {
            if let Some(end) = self.look() {
                return Poll::Ready(end);
            }
            // A PING that was just handed to h2 leaves with the connection's next poll, which h2 asks for by itself.
        }
        Poll::Pending
    }

    /// First h2 works off what it has, with flushes held back; then it flushes once.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        self.line.drive();
        self.gate.hold();
        let mut polled = Pin::new(&mut self.connection).poll(cx);
        if self.gate.let_go() && polled.is_pending() {
            polled = Pin::new(&mut self.connection).poll(cx);
        }
        polled.map(|result| match result {
            Ok(()) => "closed".to_owned(),
            Err(error) => error.to_string(),
        })
    }

    fn notice_changes(&mut self) {
        let changed = self.line.limited_to(self.connection.max_concurrent_send_streams());
        let goes_away = self.line.is_going_away();
        let full = self.line.window() < FULL_BELOW;
        if changed || goes_away != self.was_going_away || (self.was_full && !full) {
            self.line.ring();
        }
        self.was_going_away = goes_away;
        self.was_full = full;
        if self.ready.is_some() && self.line.has_settings() && !goes_away {
            // Nobody waits any more if connecting took too long; the handle is gone then too, and h2 closes.
            let _ = self.ready.take().map(|ready| ready.send(()));
        }
    }

    fn poll_pong(&mut self, cx: &mut Context<'_>) {
        if let Some(pings) = &mut self.pings {
            // The answer counts as a byte read; here it only makes room for the next PING.
            let _ = pings.poll_pong(cx);
        }
    }

    /// Looks at the connection's health; the end, if it is at its end.
    fn look(&mut self) -> Option<String> {
        let now = Instant::now();
        let in_flight = self.line.in_flight();
        if self.line.is_released() && in_flight == 0 {
            // h2 should have closed it by now; a peer that doesn't take our last bytes must not keep it.
            if std::mem::replace(&mut self.over, true) {
                return Some("not closed in time".to_owned());
            }
        }
        let next = match self.keepalive.check(now, self.line.last_read(), in_flight) {
            Check::Lost => return Some("no answer to a ping".to_owned()),
            Check::Wait(next) => next,
            Check::Ping(next) => {
                if let Some(pings) = &mut self.pings {
                    // Fails only if one is still on its way, which serves as well.
                    let _ = pings.send_ping(Ping::opaque());
                }
                next
            }
        };
        self.timer.as_mut().reset(next);
        None
    }
}

#[cfg(test)]
mod tests;
