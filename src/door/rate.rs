//! How often a client may ask: a rate per token, or per address where there are no tokens.
//!
//! [governor] is the limiter here: its limit is fixed while the door is open, and who is over it is refused, not
//! made to wait.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::Extensions;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::guard::Token;
use super::listener::Peer;
use crate::flow;

/// Who is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Client {
    Token(Token),
    Peer(Peer),
}

impl Client {
    /// Who sent a request, by what the door noted of it; loopback's, if that is nothing (it always is something).
    pub(super) fn of(extensions: &Extensions) -> Self {
        let token = extensions.get::<Token>().map(|token| Self::Token(*token));
        let peer = || extensions.get::<Peer>().map_or(Peer(Ipv4Addr::LOCALHOST.into()), |peer| *peer);
        token.unwrap_or_else(|| Self::Peer(peer()))
    }
}

/// Clients that are remembered before those are forgotten that have all of their rate again.
const CLIENTS: usize = 10_000;

/// The limiter.
pub(super) struct Rate(RateLimiter<Client, HashMapStateStore<Client>, DefaultClock>);

impl Rate {
    /// Requests at this rate, and a second's worth of them at once after a pause.
    pub(super) fn new(rate: flow::Rate) -> Self {
        let at_once = NonZeroU32::new(rate.per_second() as u32).unwrap_or(NonZeroU32::MIN);
        // At the extremes a period is rounded; governor knows none of zero.
        let period = (rate.per / rate.cells.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(period).expect("not zero").allow_burst(at_once);
        Self(RateLimiter::hashmap(quota))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// When the client may ask again.
    pub(super) fn check(&self, client: Client) -> Result<(), Duration> {
        if self.0.len() > CLIENTS {
            self.0.retain_recent();
        }
        self.0.check_key(&client).map_err(|early| early.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_rate_of_its_own_and_hears_when_to_come_again() {
        let rate =
            Rate::new(flow::Rate { cells: NonZeroU32::new(120).expect("not zero"), per: Duration::from_secs(60) });
        let (one, two) = (Client::Token(Token(0)), Client::Peer(Peer([127, 0, 0, 1].into())));
        assert!(rate.check(one).is_ok() && rate.check(one).is_ok());
        let wait = rate.check(one).expect_err("two a second");
        assert!(wait <= Duration::from_millis(500) && !wait.is_zero(), "{wait:?}");
        assert!(rate.check(two).is_ok());
    }
}
