//! RFC 7541, appendix C.
