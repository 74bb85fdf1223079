//! Metrics and logs: every name an operator sees, in one place.

mod metrics;

pub use metrics::{JobResult, Metrics};
