//! Latencies by quantile: a histogram of logarithmic buckets, 5% wide, that any number of tasks may write to.
//!
//! Prometheus histograms answer the same question over time and machines, with coarse buckets; this one answers it for
//! this process, closely: for the demo's table and the status page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each bucket's upper end is this much above its lower end.
const WIDTH: f64 = 1.05;
/// 1 µs × 1.05^500 is about 11 hours.
const BUCKETS: usize = 500;

/// How long something took, over and over.
#[derive(Debug)]
pub struct Latencies {
    counts: Box<[AtomicU64]>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Latencies {
    /// Notes one.
    pub fn record(&self, took: Duration) {
        let micros = took.as_secs_f64() * 1e6;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped below")]
        let bucket = if micros <= 1.0 { 0 } else { (micros.ln() / WIDTH.ln()) as usize };
        self.counts[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// The time within which the share `quantile` (0.0 to 1.0) of them ended, to 5%; `None` before the first.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        self.counts().quantile(quantile)
    }

    /// All that were noted until now.
    #[must_use]
    pub fn counts(&self) -> LatencyCounts {
        LatencyCounts(self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect())
    }

    /// How many were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// What was noted in some time, by bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LatencyCounts(Vec<u64>);

impl LatencyCounts {
    /// What was noted since `earlier` was taken of the same latencies.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let earlier = earlier.0.iter().copied().chain(std::iter::repeat(0));
        Self(self.0.iter().zip(earlier).map(|(now, earlier)| now.saturating_sub(earlier)).collect())
    }

    /// These and others.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        let at = |counts: &[u64], nth: usize| counts.get(nth).copied().unwrap_or(0);
        let buckets = self.0.len().max(others.0.len());
        Self((0..buckets).map(|nth| at(&self.0, nth) + at(&others.0, nth)).collect())
    }

    /// The time within which the share `quantile` (0.0 to 1.0) of them ended, to 5%; `None` if there are none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let total: u64 = self.0.iter().sum();
        if total == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among fewer than 2^52"
        )]
        let rank = ((total as f64 * quantile).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let bucket = i32::try_from(bucket?).ok()?;
        Some(Duration::from_secs_f64(WIDTH.powi(bucket + 1) * 1e-6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_five_percent() {
        let latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis));
        }
        for (quantile, millis) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = latencies.quantile(quantile).expect("some were noted").as_secs_f64() * 1e3;
            assert!((got / millis - 1.0).abs() < 0.06, "quantile {quantile}: {got} ms");
        }
        assert_eq!(latencies.count(), 1000);
    }

    #[test]
    fn what_came_since_is_told_by_itself() {
        let (one, other) = (Latencies::default(), Latencies::default());
        one.record(Duration::from_secs(60));
        let before = one.counts();
        assert_eq!(one.counts().since(&before).quantile(0.5), None);
        one.record(Duration::from_millis(10));
        other.record(Duration::from_secs(1));
        let since = one.counts().since(&before);
        let slowest = |counts: &LatencyCounts| counts.quantile(1.0).expect("some").as_secs_f64();
        assert!(slowest(&since) < 0.011, "{}", slowest(&since));
        assert!(slowest(&since.and(&other.counts())) > 0.9);
        assert_eq!(before.since(&LatencyCounts::default()), before);
    }
}
