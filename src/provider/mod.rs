//! The providers' protocols.
//!
//! Every provider is the same three things: a [`Protocol`] (how an attempt is put and what its answer means), a
//! credential behind it, and a [pool](http2) of HTTP/2 connections that carries requests and knows, of each that was
//! not answered, whether the provider can have seen it. [Web Push](webpush) is many servers; it has a pool for each
//! [`Origin`].
//!
//! ```text
//!          request(push)            send                    streams
//! delivery ───────────▶ Protocol ───────▶ http2::Pool ───────────────▶ provider
//!          ◀─────────── verdict  ◀─────── Answer, or Failure with what is known of it
//! ```

pub mod apns;
mod client;
mod credential;
pub mod fcm;
pub mod http2;
mod jwt;
mod merge;
mod origin;
mod protocol;
mod retry_after;
mod row;
mod settings;
pub mod tls;
pub mod web;
pub mod webpush;
mod wire;
mod wording;

pub use client::{Client, Door, Reach};
pub use credential::CredentialError;
pub use origin::Origin;
pub use protocol::{Answer, Credential, Protocol, Request};
pub use settings::{Endpoint, Fingerprint, ProviderSettings};
