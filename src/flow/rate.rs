//! How much may pass in how much time.

use std::num::NonZeroU32;
use std::time::Duration;

/// A rate: `cells` per `per`. Written `"600000/min"` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub cells: NonZeroU32,
    /// In what time; more than zero.
    pub per: Duration,
}
