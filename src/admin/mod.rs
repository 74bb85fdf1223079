//! The operator's HTTP door: health, metrics, status, a hand on the limits.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 or 503, with the reasons |
//! | `GET /metrics` | OpenMetrics text, or Prometheus' own, as `accept` says |
//! | `GET /v1/status` | everything there is to see, as JSON |
//! | `POST /v1/jobs` | queues jobs, where there is a spool: see [`door`](crate::door) |
//! | `GET /` | the dashboard |
//! | `GET /v1/stream` | the status and each second's numbers as they come, and those of the last ten minutes: server-sent events |
//! | `GET /v1/tap` | outcomes as they come, filtered by app, provider, outcome, target's hash: server-sent events |
//! | `GET /v1/dead`, `POST /v1/dead/replay` | the spool's dead letters by reason; sends those of a reason once more |
//! | `GET /v1/jobs/{id}` | what became of a job: what waits, what comes again, how its pushes ended |
//! | `PATCH /v1/routes/{app}/{provider}` | changes a route's rate and concurrency, pauses and resumes it, until the next reload |
//!
//! The health doors are open, since an orchestrator knocks at them, and so are the dashboard's files, in which there is
//! nothing; the others ask for a bearer token where tokens are
//! configured, compared in constant time. What changes something, or goes on for long, is moreover closed to the pages of
//! other sites.
//! Errors are `application/problem+json`, with the remedy.

mod door;
mod jobs;
mod letters;
mod live;
mod page;
mod patch;
mod scrape;

pub use door::{AdminError, serve};
