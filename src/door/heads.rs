//! How long a request's head may take, from the connection's start or the first byte of a later head.
//!
//! The HTTP library has one timeout for that and for the pause between two requests. But a head shall come at once, while a
//! client that keeps its connection for its next request does nothing wrong. So the library has the longer one, and this the
//! shorter one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Heads that were read whole, and answers to them, counted together: odd while a request is being answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<AtomicUsize>);

impl Turns {
    /// A head was read whole, or its request is answered.
    pub(super) fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The one that is being read.
pub(super) struct Heads {
    timeout: Duration,
    turns: Turns,
    seen: usize,
    /// Runs since its first byte.
    running: Option<Pin<Box<Sleep>>>,
}

impl Heads {
    pub(super) fn new(timeout: Duration, turns: Turns) -> Self {
        Self { timeout, turns, seen: 0, running: Some(Box::pin(sleep(timeout))) }
    }

    /// After a read; says whether it brought bytes.
    ///
    /// # Errors
    /// `TimedOut`: the head took too long.
    pub(super) fn check(&mut self, brought: bool, context: &mut Context<'_>) -> io::Result<()> {
        let turn = self.turns.0.load(Ordering::Relaxed);
        if turn != self.seen {
            self.seen = turn;
            self.running = None;
        }
        if turn % 2 == 1 {
            return Ok(());
        }
        if brought && self.running.is_none() {
            self.running = Some(Box::pin(sleep(self.timeout)));
        }
        match self.running.as_mut().map(|running| running.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Err(io::Error::new(io::ErrorKind::TimedOut, "the head takes too long")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_head_is_timed_and_a_pause_is_not() {
        let turns = Turns::default();
        let mut heads = Heads::new(Duration::from_secs(10), turns.clone());
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut check = |brought| heads.check(brought, &mut context).is_ok();
        let later = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        assert!(check(false));
        later(9).await;
        assert!(check(true), "the first head has come in time");
        turns.next();
        later(60).await;
        assert!(check(true), "its body has other bounds");
        turns.next();
        assert!(check(false));
        later(60).await;
        assert!(check(false), "a pause");
        assert!(check(true), "the next head begins");
        later(9).await;
        assert!(check(true));
        // Answered without another read.
        turns.next();
        turns.next();
        later(60).await;
        assert!(check(false), "a pause");
        assert!(check(true));
        later(11).await;
        assert!(!check(true), "not by bytes that go on and on");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_timed_from_the_start() {
        let mut heads = Heads::new(Duration::from_secs(10), Turns::default());
        let mut context = Context::from_waker(std::task::Waker::noop());
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(heads.check(false, &mut context).is_err());
    }
}
