//! When to ping a connection, and when to give it up.
//!
//! ```text
//! last byte read          PING                    lost
//!  ●────── ping_after ─────●────── pong_within ────●      only while streams are open
//! ```
//!
//! A peer that vanished without a word (a pulled cable, a forgotten NAT entry) is found at most `ping_after +
//! pong_within` after the first request that it doesn't answer. Idle connections are not pinged: FCM punishes that, and
//! Apple asks for one an hour at most.

use std::time::Duration;

use tokio::time::Instant;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing; look again then.
    Wait(Instant),
    /// Send a PING; look again then.
    Ping(Instant),
    /// The peer is gone.
    Lost,
}

/// One connection's watch.
#[derive(Debug)]
pub(super) struct Keepalive {
    ping_after: Duration,
    pong_within: Duration,
    /// Silence counts from here at the earliest: while nothing is asked, silence means nothing.
    quiet_since: Instant,
    pinged_at: Option<Instant>,
}

impl Keepalive {
    pub(super) const fn new(ping_after: Duration, pong_within: Duration, now: Instant) -> Self {
        Self { ping_after, pong_within, quiet_since: now, pinged_at: None }
    }

    /// Looks at the connection: when the last byte was read, and how many streams are open.
    pub(super) fn check(&mut self, now: Instant, last_read: Instant, in_flight: usize) -> Check {
        if in_flight == 0 {
            self.quiet_since = now;
            self.pinged_at = None;
            return Check::Wait(now + self.ping_after);
        }
        if let Some(pinged_at) = self.pinged_at.filter(|pinged_at| last_read <= *pinged_at) {
            let lost_at = pinged_at + self.pong_within;
            return if now >= lost_at { Check::Lost } else { Check::Wait(lost_at) };
        }
        let ping_at = self.quiet_since.max(last_read) + self.ping_after;
        if now < ping_at {
            self.pinged_at = None;
            return Check::Wait(ping_at);
        }
        self.pinged_at = Some(now);
        Check::Ping(now + self.pong_within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(10);

    fn watch() -> (Keepalive, Instant) {
        let start = Instant::now();
        (Keepalive::new(AFTER, AFTER, start), start)
    }

    #[test]
    fn a_silent_peer_is_pinged_and_lost_within_twenty_seconds() {
        let (mut watch, start) = watch();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watch.check(at(4), at(3), 5), Check::Wait(at(13)));
        assert_eq!(watch.check(at(13), at(3), 5), Check::Ping(at(23)));
        assert_eq!(watch.check(at(20), at(3), 5), Check::Wait(at(23)));
        assert_eq!(watch.check(at(23), at(3), 5), Check::Lost);
    }

    #[test]
    fn an_answer_to_the_ping_starts_anew() {
        let (mut watch, start) = watch();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watch.check(at(10), start, 1), Check::Ping(at(20)));
        assert_eq!(watch.check(at(20), at(11), 1), Check::Wait(at(21)));
        assert_eq!(watch.check(at(21), at(11), 1), Check::Ping(at(31)));
    }

    #[test]
    fn an_idle_connection_is_left_alone_and_its_silence_not_counted() {
        let (mut watch, start) = watch();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watch.check(at(3_600), start, 0), Check::Wait(at(3_610)));
        assert_eq!(watch.check(at(3_601), start, 1), Check::Wait(at(3_610)), "a stream was opened just now");
        assert_eq!(watch.check(at(3_610), start, 1), Check::Ping(at(3_620)));
    }
}
