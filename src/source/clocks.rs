//! Wall-clock times of jobs, read on the clock that measures spans.

use std::time::{Duration, Instant};

use crate::job::UnixMillis;

/// Both clocks at one moment: a message carries wall-clock times, the pipeline measures spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    pub(super) wall: UnixMillis,
    pub(super) steady: Instant,
}

impl Clocks {
    pub(super) fn now() -> Self {
        Self { wall: UnixMillis::now(), steady: Instant::now() }
    }

    /// The same moment on the steady clock. A time in the future is now: a caller's clock may be ahead. A time before
    /// the steady clock's own beginning is that beginning.
    pub(super) fn past(self, wall: UnixMillis) -> Instant {
        self.steady.checked_sub(self.wall.since(wall)).unwrap_or_else(|| self.beginning())
    }

    /// A deadline: one that is over is over, one that is further away than `Instant` reaches is none.
    pub(super) fn deadline(self, wall: UnixMillis) -> Option<Instant> {
        if wall >= self.wall { self.steady.checked_add(wall.since(self.wall)) } else { Some(self.past(wall)) }
    }

    /// The earliest instant there is, to the second.
    fn beginning(self) -> Instant {
        let mut earliest = self.steady;
        let mut stride = Duration::from_secs(1 << 40);
        while stride >= Duration::from_secs(1) {
            while let Some(earlier) = earliest.checked_sub(stride) {
                earliest = earlier;
            }
            stride /= 2;
        }
        earliest
    }

    /// A steady moment on the wall clock.
    pub(super) fn wall_of(self, steady: Instant) -> UnixMillis {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        match steady.checked_duration_since(self.steady) {
            Some(ahead) => UnixMillis(self.wall.0.saturating_add(millis(ahead))),
            None => UnixMillis(self.wall.0.saturating_sub(millis(self.steady.duration_since(steady)))),
        }
    }
}
