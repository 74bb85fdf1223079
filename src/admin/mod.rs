//! The operator's HTTP door: health, metrics, status.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 or 503, with the reasons |
//! | `GET /metrics` | OpenMetrics text |
//! | `GET /v1/status` | everything there is to see, as JSON |
//!
//! The health doors are open, since an orchestrator knocks at them; the others ask for a bearer token where tokens are
//! configured, compared in constant time.

mod door;

pub use door::{AdminError, serve};
