//! The HTTP door: how requests come in, and the one that queues jobs.
//!
//! | file | what |
//! | --- | --- |
//! | `listener` | accepts connections, bounds how many, how long and how large |
//! | `heads` | a request's head in time |
//! | `socket` | a client that does not read; an end that does not swallow the last answer |
//! | `bare` | words for what the HTTP library refuses |
//! | `guard` | who may enter: bearer tokens |
//! | `origin` | what web pages may not do |
//! | `rate` | how often |
//! | `body` | a body in time, within its bound, within the memory for all bodies |
//! | `split` | one job, an array, or lines: each job's own bytes; pure |
//! | `jobs` | `POST /v1/jobs` |
//! | `problem` | what is wrong and what to do about it: `application/problem+json` |
//!
//! # `POST /v1/jobs`
//!
//! | sent | answered |
//! | --- | --- |
//! | one job or an array of jobs (`application/json`), or one job a line (`application/x-ndjson`) | 202 `{"accepted": n, "ids": […]}` when they are on disk; `duplicates` counts those whose id was seen before |
//! | a job that can't be read, or of an app that is not configured | 400 with `index`, `path` and `reason`; nothing of the request is queued |
//! | another media type, a content coding | 415 |
//! | more than 16 MiB, more than 10,000 jobs, or more than the spool may ever hold | 413 |
//! | a body that does not come in time (30 s, and a second for each 32 KiB), or pauses for 10 s | 408 |
//! | no token, or one that is not configured | 401 |
//! | too many requests; a full spool; a lane that sheds | 429 with `Retry-After` |
//! | a disk that is nearly full | 507 with `Retry-After` |
//! | a drain; a store that can't be written to; no memory for the body | 503 with `Retry-After` |
//!
//! `x-deadline` (milliseconds since the epoch) shortens the time to live of all jobs of a request. A request may be
//! repeated: jobs with an id of their own are not queued twice.
//!
//! Nothing of a request is queued before all of it was found good: lines, too, are gathered (they have the same bounds as an
//! array) and put at once. A header `traceparent` is written into those jobs that name none; all else is kept as it came. What is no
//! HTTP, or has a head of more than 32 KiB or 64 fields, is refused (400, 431) and its connection closed.
//!
//! # Measured
//!
//! `cargo bench --bench door`, 25 November 2026: two cores of an AMD EPYC, nothing else running, clients on the same cores; jobs of
//! some 400 bytes with ids of their own, read strictly, every request answered after its sync. Jobs a second, and CPU time a job
//! without the clients' (14 us a request, 25 of a single client).
//!
//! | jobs a request, clients | in | CPU | in, read and settled | CPU |
//! | --- | --- | --- | --- | --- |
//! | 1, 1 | 2,100 | 313 us | 2,300 | 340 us |
//! | 1, 16 | 21,600 | 53 us | 20,600 | 58 us |
//! | 1, 64 | 34,800 | 34 us | 32,100 | 39 us |
//! | 100, 1 | 100,000 | 8 us | 110,000 | 9 us |
//! | 100, 16 | 253,000 | 5 us | 269,000 | 6 us |
//! | 100, 64 | 277,000 | 5 us | 222,000 | 6 us |
//! | 1,000, 1 | 182,000 | 5 us | 166,000 | 6 us |
//! | 1,000, 16 | 255,000 | 5 us | 181,000 | 7 us |
//! | 1,000, 64 | 255,000 | 4 us | 156,000 | 7 us |

mod bare;
mod body;
mod guard;
mod heads;
mod jobs;
mod listener;
mod origin;
mod problem;
mod rate;
mod socket;
mod split;
mod trace;

pub use guard::guard;
pub use jobs::{Jobs, routes};
pub use listener::{DoorLimits, listen, serve};
pub use origin::check as check_origin;
pub use problem::Problem;
pub use split::MAX_JOBS;
