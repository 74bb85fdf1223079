//! Tidegate: push delivery under pressure.
//!
//! A backend enqueues push jobs in RabbitMQ, or over HTTP in a durable queue that is built in. Tidegate pulls them at the
//! pace at which Apple, Google and the browsers' push services take them, and no faster: what can't be sent now stays in
//! the queue, the important goes first, and every push has exactly one outcome.
//!
//! # One picture
//!
//! ```text
//! source ──▶ dispatch ──▶ delivery ──▶ provider        ◀── demand flows to the left
//!   ▲        lanes,        gate,         APNs, FCM,
//!   │        fairness      attempts      Web Push
//!   │                                      │ verdict
//!   └──────── settle ◀──── outcome ◀───────┘
//! ```
//!
//! Three kinds of stage run concurrently: a [`source`] per queue (the broker, the [`spool`]), one [`dispatch`], one
//! [`delivery`] per route (app × provider). Between them are [links](stage) that carry chunks of events down and demand
//! up: a stage never gets more than it asked for, so a slow provider is felt, at last, as a smaller prefetch at the
//! broker, or as jobs that stay on disk, and nowhere as memory. Everything else, decoding, classifying, deciding,
//! encoding, is plain functions.
//!
//! # One push, from source to outcome
//!
//! 1. A job that is posted is put into the [`spool`] by the [`door`], which answers when it is on disk; [`source::spool`]
//!    reads it from there, [`source::amqp`] takes a message from the broker, both as far as they were asked to. The job is
//!    read strictly ([`job::decode`]) and wrapped in an [`Envelope`](job::Envelope), which knows how it is settled. A job
//!    that can't be read is a dead letter at once.
//! 2. [`dispatch`] expands it into [`Push`](job::Push)es, one per target; each waits in its lane until its route asks.
//! 3. [`delivery`] asks when its [`Gate`](delivery::Gate) has room: rate, concurrency, circuit, credential, streams.
//! 4. [`provider`] puts the request ([`Protocol`](provider::Protocol)), an [HTTP/2 pool](provider::http2) carries it (for
//!    [Web Push](provider::webpush) one of many: each push service has its own, and a gate of its own before it), and the
//!    answer is read once, at the edge, into a [`Verdict`](verdict::Verdict).
//! 5. [`outcome::dispose`], a pure table, says what is done: it ends, it comes again soon (the shelf), or later (the
//!    broker, the spool).
//! 6. [`outcome`] counts it, tells the sinks, has what must come again or is dead kept durably; when the last push of a
//!    job is through with all that, the job is acked. Not before: `kill -9` at any moment loses nothing.
//!
//! # Layers
//!
//! Lowest first; a module imports only from lines above its own. `tests/layers.rs` executes this table.
//!
//! ```layers
//! job
//! verdict
//! flow stage telemetry http2
//! provider dispatch spool
//! source
//! outcome
//! delivery
//! pipeline
//! door config simulator
//! admin
//! cli
//! ```
//!
//! # Reading order
//!
//! [`job`], [`verdict`], [`stage`], [`flow`], [`dispatch`], [`delivery`], [`outcome`], [`source`], [`spool`], [`provider`],
//! [`pipeline`]; then, as you like, [`config`], [`simulator`], [`cli`].

pub mod admin;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod dispatch;
pub mod door;
pub mod flow;
pub mod http2;
pub mod job;
pub mod outcome;
pub mod pipeline;
pub mod provider;
pub mod simulator;
pub mod source;
pub mod spool;
pub mod stage;
pub mod telemetry;
pub mod verdict;
