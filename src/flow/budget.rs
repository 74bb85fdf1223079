//! How many retries a route may afford.
//!
//! Retries multiply an overload: three attempts a push are three times the load, just when the provider can't bear it.
//! So retries are paid from what sends bring in (Google, "Site Reliability Engineering", chapter 21; Brooker, "Fixing
//! retries with token buckets and circuit breakers"):
//!
//! ```text
//!   each send  ──▶ +0.1 ┌────────┐
//!                       │ ≤ 200  │ ──▶ −1 each retry
//!   each second ──▶ +5  └────────┘      empty: put off
//! ```
//!
//! In every span of T seconds with S sends at most `0.1 × S + 5 × T + 200` retries go out. What the budget refuses is
//! neither failed nor dropped but put off, durably, for as long as the drought has lasted so far: who comes back and
//! finds it still dry waits twice as long.

use std::time::{Duration, Instant};

/// In thousandths of a retry: what a send brings in.
const A_SEND: u64 = 100;
/// What a retry costs.
const A_RETRY: u64 = 1_000;
/// What a second brings in: a quiet route can retry too.
const A_SECOND: u64 = 5_000;
/// What can be saved up: the wave that a short failure makes.
const MOST: u64 = 200_000;

/// The shortest that a refused retry is put off: what is durable can't come sooner anyway.
const SHORTEST: Duration = Duration::from_secs(2);
/// The longest.
const LONGEST: Duration = Duration::from_secs(600);

/// The budget of one route.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    balance: u64,
    /// Up to when the seconds were paid in.
    paid_until: Instant,
    /// Since when retries are refused.
    dry_since: Option<Instant>,
}

impl RetryBudget {
    /// A full budget: nothing is known against the provider yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { balance: MOST, paid_until: now, dry_since: None }
    }

    /// Notes the first attempt of a push.
    pub fn sent(&mut self) {
        self.balance = (self.balance + A_SEND).min(MOST);
    }

    /// Whether a retry can be paid now. If not, how long it shall be put off; `sample` is uniform in `0.0..1.0`.
    ///
    /// # Errors
    /// The delay: as long as the drought has lasted, within 2 s and 10 min, and up to half of that more.
    pub fn check(&mut self, sample: f64, now: Instant) -> Result<(), Duration> {
        self.pay_in(now);
        if self.balance >= A_RETRY {
            return Ok(());
        }
        let dry_since = *self.dry_since.get_or_insert(now);
        let delay = now.saturating_duration_since(dry_since).clamp(SHORTEST, LONGEST);
        Err(delay + delay.mul_f64(sample.clamp(0.0, 1.0) / 2.0))
    }

    /// Pays a retry that [`check`](Self::check) allowed.
    pub fn spend(&mut self) {
        debug_assert!(self.balance >= A_RETRY, "only what the check allowed is spent");
        self.balance = self.balance.saturating_sub(A_RETRY);
    }

    /// Gives back what was spent on a retry that surely was not processed.
    pub fn refund(&mut self) {
        self.balance = (self.balance + A_RETRY).min(MOST);
    }

    /// Retries that could go out now.
    #[must_use]
    pub fn left(&self) -> u32 {
        u32::try_from(self.balance / A_RETRY).unwrap_or(u32::MAX)
    }

    fn pay_in(&mut self, now: Instant) {
        let nanos = now.saturating_duration_since(self.paid_until).as_nanos();
        let income = nanos * u128::from(A_SECOND) / 1_000_000_000;
        if income > 0 {
            // What is less than a thousandth stays for the next time.
            let paid = Duration::from_nanos_u128(income * 1_000_000_000 / u128::from(A_SECOND));
            self.paid_until += paid;
            self.balance = (self.balance + u64::try_from(income).unwrap_or(MOST)).min(MOST);
        }
        // A drought is over when a quarter is saved up, not with the first drop.
        if self.balance >= MOST / 4 {
            self.dry_since = None;
        }
    }
}
