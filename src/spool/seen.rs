//! The dedupe window: which ids were seen lately. Pure.
//!
//! Two generations, each of half the window: a new one begins when the younger has lasted for half the window or is full, and
//! the older is forgotten. So an id is known for at least half the window, for all of it unless very many come, and
//! memory is bounded whatever comes. Ids are kept as 128-bit digests under no secret: two that a caller makes meet by
//! accident once in 10^25 pairs.

use std::collections::HashSet;
use std::time::Duration;

use crate::job::UnixMillis;

/// Bytes of a digest.
pub(super) const DIGEST: usize = 16;

/// Ids of one generation: 24 bytes each in memory, so 24 MiB for both.
const GENERATION: usize = 500_000;

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

/// The window.
#[derive(Debug)]
pub(super) struct Seen {
    half: Duration,
    young: HashSet<Digest>,
    old: HashSet<Digest>,
    since: UnixMillis,
}

impl Seen {
    pub(super) fn new(window: Duration) -> Self {
        Self { half: window / 2, young: HashSet::new(), old: HashSet::new(), since: UnixMillis(0) }
    }

    /// Whether it was seen within the window.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.young.contains(digest) || self.old.contains(digest)
    }

    /// Notes digests. Says since when digests are still known, if some are forgotten by this.
    pub(super) fn note(&mut self, digests: impl IntoIterator<Item = Digest>, now: UnixMillis) -> Option<UnixMillis> {
        let forgotten = self.turn(now);
        if !self.half.is_zero() {
            self.young.extend(digests);
        }
        forgotten
    }

    fn turn(&mut self, now: UnixMillis) -> Option<UnixMillis> {
        let age = now.since(self.since);
        if age < self.half && self.young.len() < GENERATION {
            return None;
        }
        let young = std::mem::take(&mut self.young);
        self.old = if age < self.half * 2 { young } else { HashSet::new() };
        let known_since = self.since;
        self.since = now;
        Some(known_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_half_the_window_at_least_and_not_for_ever() {
        let mut seen = Seen::new(Duration::from_secs(600));
        let ids: Vec<Digest> = ["a", "b"].iter().map(|id| digest("chat", id)).collect();
        seen.note([ids[0]], UnixMillis(1_000_000));
        assert!(seen.contains(&ids[0]) && !seen.contains(&ids[1]));
        assert!(!seen.contains(&digest("shop", "a")), "another app's id is another id");
        seen.note([ids[1]], UnixMillis(1_000_000 + 300_000));
        assert!(seen.contains(&ids[0]) && seen.contains(&ids[1]));
        seen.note([], UnixMillis(1_000_000 + 600_000));
        assert!(!seen.contains(&ids[0]) && seen.contains(&ids[1]));
        seen.note([], UnixMillis(1_000_000 + 9_000_000));
        assert!(!seen.contains(&ids[1]), "after a long silence nothing is left");
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
