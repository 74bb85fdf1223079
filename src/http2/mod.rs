//! HTTP/2 frames and HPACK, as far as a small server needs them (RFC 9113, RFC 7541).
//!
//! Bytes in, frames out; no socket, no clock, no state beyond HPACK's table. The `h2` crate is what the pipeline
//! sends with; it can't play a provider, because its server side can't change MAX_CONCURRENT_STREAMS after the
//! handshake nor put debug data into a GOAWAY, which is just what APNs does.
//!
//! ```text
//! bytes ──frame::decode──▶ Frame ──(HEADERS, CONTINUATION)── block ──hpack::Decoder──▶ fields
//! bytes ◀──Frame::encode── Frame ◀──(HEADERS)────────────── block ◀──hpack::encode_*── fields
//! ```

mod frame;
pub mod hpack;

pub use frame::{DEFAULT_MAX_FRAME, DEFAULT_WINDOW, ErrorCode, Frame, FrameError, PREFACE, Setting, decode};
