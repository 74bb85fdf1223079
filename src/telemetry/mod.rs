//! Metrics and logs: every name an operator sees, in one place.
//!
//! | file | what |
//! | --- | --- |
//! | `metrics`, `labels`, `bounds` | what is counted, by what, and how many values that may have |
//! | `board`, `process` | what routes show, what the system knows: read when somebody scrapes |
//! | `latency` | quantiles of this process |
//! | `logging`, `repeats` | lines, and how often the same is said |
//! | `trace` | the W3C trace context that a job brought along |

mod board;
mod bounds;
#[cfg(test)]
pub(crate) mod captured;
mod labels;
mod latency;
mod logging;
mod metrics;
pub(crate) mod process;
mod repeats;
mod trace;

pub use board::RouteGauges;
pub use labels::{JobResult, RouteLabel};
pub use latency::{Latencies, LatencyCounts};
pub use logging::{start_logging, start_logging_to};
pub use metrics::{Exposition, Metrics, PushEnd};
pub use trace::{is_sampled, trace_id};
