//! The dedupe window: which ids were seen lately. Pure.
//!
//! Each id has the second in which it was seen, so it is known for the window and not longer. They are kept in two generations:
//! a new one begins when the younger has lasted for the window or is full, and the older is forgotten as a whole. So
//! memory is bounded whatever comes; if more than [`GENERATION`] ids come within a window, the last so many are still known.
//! Ids are kept as 128-bit digests under no secret: two that a caller makes meet by accident once in 10^25 pairs.

use std::collections::HashMap;
use std::time::Duration;

use crate::job::UnixMillis;

/// Bytes of a digest.
pub(super) const DIGEST: usize = 16;

/// Ids of one generation. A table of 2^19 places holds them and what one commit brings besides: 11 MiB, and 22 MiB for both.
const GENERATION: usize = 440_000;

/// An id's digest.
pub(super) type Digest = [u8; DIGEST];

/// The digest of an app's job id.
pub(super) fn digest(app: &str, id: &str) -> Digest {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(app.as_bytes());
    context.update(&[0]);
    context.update(id.as_bytes());
    context.finish().as_ref()[..DIGEST].try_into().expect("SHA-256 is longer")
}

/// Ids, and the second (since 1970) in which each was seen last.
type Generation = HashMap<Digest, u32>;

/// The window.
#[derive(Debug)]
pub(super) struct Seen {
    window: Duration,
    young: Generation,
    old: Generation,
    since: UnixMillis,
}

impl Seen {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, young: HashMap::new(), old: HashMap::new(), since: UnixMillis(0) }
    }

    /// Whether it was seen within the window; to the second, rounded up.
    pub(super) fn contains(&self, digest: &Digest, now: UnixMillis) -> bool {
        let seen = self.young.get(digest).or_else(|| self.old.get(digest));
        seen.is_some_and(|at| now.since(UnixMillis(u64::from(*at) * 1_000)) <= self.window)
    }

    /// Notes digests. Says since when digests are still known, if some are forgotten by this.
    pub(super) fn note(&mut self, digests: impl IntoIterator<Item = Digest>, now: UnixMillis) -> Option<UnixMillis> {
        let forgotten = self.turn(now);
        if !self.window.is_zero() {
            // Rounded up, so that no id is forgotten early.
            let at = u32::try_from(now.0.div_ceil(1_000)).unwrap_or(u32::MAX);
            self.young.extend(digests.into_iter().map(|digest| (digest, at)));
        }
        forgotten
    }

    fn turn(&mut self, now: UnixMillis) -> Option<UnixMillis> {
        let age = now.since(self.since);
        if age < self.window && self.young.len() < GENERATION {
            return None;
        }
        let young = std::mem::take(&mut self.young);
        self.old = if age < self.window * 2 { young } else { HashMap::new() };
        let known_since = self.since;
        self.since = now;
        Some(known_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_the_window_and_not_longer() {
        let mut seen = Seen::new(Duration::from_secs(600));
        let ids: Vec<Digest> = ["a", "b"].iter().map(|id| digest("chat", id)).collect();
        let knows =
            |seen: &Seen, second: u64| [0, 1].map(|nth: usize| seen.contains(&ids[nth], UnixMillis(second * 1_000)));
        seen.note([ids[0]], UnixMillis(1_000_000));
        assert!(!seen.contains(&digest("shop", "a"), UnixMillis(1_000_000)), "another app's id is another id");
        assert_eq!(knows(&seen, 1_000), [true, false]);
        seen.note([ids[1]], UnixMillis(1_599_000));
        assert_eq!(knows(&seen, 1_600), [true, true]);
        assert_eq!(knows(&seen, 1_602), [false, true]);
        // A new generation begins; the younger of the two ids is known as long as it should be.
        assert_eq!(seen.note([], UnixMillis(1_700_000)), Some(UnixMillis(1_000_000)));
        assert_eq!(knows(&seen, 2_199), [false, true]);
        assert_eq!(knows(&seen, 2_201), [false, false]);
        seen.note([], UnixMillis(9_000_000));
        assert!(seen.young.is_empty() && seen.old.is_empty(), "after a long silence nothing is left");
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::new(Duration::from_secs(3600));
        for nth in 0..5u32 {
            let many = (0..GENERATION as u32).map(|id| {
                let mut digest = [0; DIGEST];
                digest[..4].copy_from_slice(&id.to_le_bytes());
                digest[4..8].copy_from_slice(&nth.to_le_bytes());
                digest
            });
            seen.note(many, UnixMillis(1));
        }
        assert!(seen.young.len() + seen.old.len() <= 2 * GENERATION);
    }
}
