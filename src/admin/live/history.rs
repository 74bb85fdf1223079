//! The last minutes, as they are sent to who opens the page now.

use std::collections::VecDeque;

use bytes::Bytes;

/// Seconds kept, at most: ten minutes, as much as the page shows.
const SECONDS: usize = 600;
/// And their bytes, at most: with very many routes the past is shorter.
const BYTES: usize = 2 << 20;

/// Seconds, the latest last, each as JSON.
#[derive(Debug, Default)]
pub(super) struct History {
    seconds: VecDeque<Bytes>,
    bytes: usize,
    /// Seconds that ever were.
    count: u64,
}

impl History {
    /// One more.
    pub(super) fn push(&mut self, second: Bytes) {
        self.bytes += second.len();
        self.count += 1;
        self.seconds.push_back(second);
        while self.seconds.len() > SECONDS || self.bytes > BYTES {
            let Some(oldest) = self.seconds.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// Those after the first `seen` that ever were, as far as they are still there; and how many there were in all.
    pub(super) fn after(&self, seen: u64) -> (Vec<Bytes>, u64) {
        let new = usize::try_from(self.count.saturating_sub(seen)).unwrap_or(usize::MAX).min(self.seconds.len());
        (self.seconds.range(self.seconds.len() - new..).cloned().collect(), self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_tells_what_is_new() {
        let mut history = History::default();
        assert_eq!(history.after(0), (vec![], 0));
        for nth in 0..1_000_u32 {
            history.push(nth.to_string().into());
        }
        let (all, count) = history.after(0);
        assert_eq!((all.len(), count, &all[0]), (SECONDS, 1_000, &Bytes::from("400")));
        assert_eq!(history.after(998).0, ["998", "999"].map(Bytes::from));
        assert!(history.after(1_000).0.is_empty());
        (0..40).for_each(|_| history.push(vec![b'x'; 64 << 10].into()));
        assert_eq!(history.after(0).0.len(), BYTES / (64 << 10));
    }
}
