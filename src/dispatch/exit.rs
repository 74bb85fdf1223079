//! The ways out of a lane that don't lead to a provider.

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
    /// Its job was delivered more often than the source allows.
    Exhausted,
    /// Its app has no route for its provider.
    NoRoute,
    /// Its address can't be one.
    BadTarget,
    /// The process drains: it goes back to where it came from.
    Returned,
}
