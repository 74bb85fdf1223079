//! Where in a document something stands: `to[3].apns`, `apns.headers.apns-priority`, `data["a b"]`.

use std::fmt;

use super::show;

/// A place in a document; a list on the stack, from the innermost step outwards.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    /// The document itself.
    Root,
    /// A field of an object.
    Field(&'p Path<'p>, &'p str),
    /// An element of an array.
    Element(&'p Path<'p>, usize),
}

impl Path<'_> {
    pub(super) fn field<'p>(&'p self, name: &'p str) -> Path<'p> {
        Path::Field(self, name)
    }

    pub(super) fn element(&self, index: usize) -> Path<'_> {
        Path::Element(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Element(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Field(Path::Root, name) if is_plain(name) => f.write_str(name),
            Path::Field(parent, name) if is_plain(name) => write!(f, "{parent}.{name}"),
            Path::Field(parent, name) => write!(f, "{parent}[{}]", show::text(name)),
        }
    }
}

/// Names that need no quotes. A long one is not plain: it may be anything, an address too, and is shown cut short.
fn is_plain(name: &str) -> bool {
    let byte_is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.len() <= show::WHOLE && name.bytes().all(byte_is_plain)
}
