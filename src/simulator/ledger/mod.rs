//! The ledger: what arrived, what was accepted, what was doubled, who broke the protocol.
//!
//! One task owns it. Connections send it entries in batches, before they write the answers these are about; so whoever
//! has seen an answer finds it in the next snapshot.
//!
//! A push is known by its id: `apns-id`, and for FCM and Web Push, which have none, the message's `data` key
//! [`FCM_ID_KEY`], else target and a hash of the body. *Duplicate* means: the same id accepted more than once.

mod book;
mod figures;
mod owner;

pub(super) use book::{Book, Entry};
pub use figures::{DoorFigures, LedgerSnapshot, PushPage, PushQuery, PushRecord, TokenFigures};
pub(super) use owner::{Ledger, run};

/// The key in an FCM message's `data` that names the push for the ledger.
pub const FCM_ID_KEY: &str = "tidegate-id";

/// Pushes of which details are kept: about 200 bytes each. Beyond that only figures count on (`truncated`), and a
/// further push's duplicates are not seen.
pub const MAX_PUSHES: usize = 1_000_000;
