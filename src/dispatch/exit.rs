//! The ways out of a lane that don't lead to a provider.

use std::time::Duration;

use crate::job::Push;

/// A push that leaves without having been sent.
pub struct Exit {
    /// The push.
    pub push: Push,
    /// Why it leaves.
    pub why: Why,
}

/// Why a push leaves without having been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its time to live passed.
    Expired,
    /// Its time to live will have passed when its turn comes.
    WouldExpire,
    /// A newer push to the same target with the same collapse key waits in its stead.
    Collapsed,
    /// Its lane sheds, and it had waited longer than the lane's `max_age`.
    TooOld,
    /// Its lane sheds, and it would have waited longer than the lane's `max_age`.
    WouldWait,
    /// Its route is blocked and its place is needed, or was removed: it is kept durably and comes again after the delay.
    Parked {
        /// Not before.
        delay: Duration,
    },
    /// Its job was delivered more often than the source allows.
    Exhausted,
    /// Its app has no route for its provider.
    NoRoute,
    /// Its address can't be one.
    BadTarget,
    /// The process drains: it goes back to where it came from.
    Returned,
}
