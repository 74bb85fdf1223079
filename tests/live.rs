//! What goes on, as those see it who look on: `GET /v1/stream`, `GET /v1/tap`, `GET /v1/dead`, the dashboard's files, `tidegate top`
//! and `tidegate tap`, over real sockets against the real binary.

#![expect(clippy::unwrap_used, reason = "a test that can't go on shall fail")]

mod support;

#[path = "cli/command.rs"]
#[expect(dead_code, reason = "these tests use a part of it")]
mod command;

#[path = "live/events.rs"]
mod events;

#[path = "live/stream.rs"]
mod stream;

#[path = "live/tap.rs"]
mod tap;

#[path = "live/dead.rs"]
mod dead;

#[path = "live/page.rs"]
mod page;

#[path = "live/terminal.rs"]
mod terminal;
