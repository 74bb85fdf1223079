//! HTTP/2 frames and HPACK, as far as a small server needs them.
