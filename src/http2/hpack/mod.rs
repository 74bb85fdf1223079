//! HPACK (RFC 7541): header fields as indices into a shared table, literals and Huffman codes.
//!
//! The [`Decoder`] is complete: static and dynamic table, evictions, size updates, Huffman. The encoding functions use
//! the static table and plain literals only, so they need no state and no agreement with the peer. No crate is used
//! for it: the small ones have not been maintained for years, and `h2` keeps its own to itself.

mod decoder;
mod encoder;
mod huffman;
mod table;

pub use decoder::{Block, Decoder, Error, Field};
pub use encoder::{encode_field, encode_status};

#[cfg(test)]
mod tests;
