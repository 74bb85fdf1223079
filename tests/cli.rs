//! The binary as a user meets it: exit codes, what is said where, what is left behind (SPEC.md, section 2).

#![expect(clippy::unwrap_used, reason = "a test that can't go on shall fail")]

mod support;

#[path = "cli/command.rs"]
mod command;

#[path = "cli/offline.rs"]
mod offline;

#[path = "cli/enqueue.rs"]
mod enqueue;

#[path = "cli/enqueue_http.rs"]
mod enqueue_http;

#[path = "cli/dead.rs"]
mod dead;

#[path = "cli/simulate.rs"]
mod simulate;

#[path = "cli/serve.rs"]
mod serve;

#[path = "cli/job.rs"]
mod job;

#[path = "cli/manual.rs"]
mod manual;

#[path = "cli/notify.rs"]
mod notify;

#[path = "cli/demo.rs"]
mod demo;
