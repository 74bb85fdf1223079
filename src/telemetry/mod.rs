//! Metrics and logs: every name an operator sees, in one place.

mod latency;
mod logging;
mod metrics;

pub use latency::{Latencies, LatencyCounts};
pub use logging::{start_logging, start_logging_to};
pub use metrics::{JobResult, Metrics, PushEnd, RouteGauges, RouteLabel};
