//! Fields to header blocks, without state: static indices and plain literals that are not entered into any table.

use bytes::{BufMut, BytesMut};

use super::table::STATIC;

/// `:status` in the static table.
const STATUS: usize = 8;

/// Writes `:status`; must come first.
pub fn encode_status(status: u16, out: &mut BytesMut) {
    match status {
        200 => out.put_u8(0x88),
        204 => out.put_u8(0x89),
        206 => out.put_u8(0x8a),
        304 => out.put_u8(0x8b),
        400 => out.put_u8(0x8c),
        404 => out.put_u8(0x8d),
        500 => out.put_u8(0x8e),
        _ => {
            integer(STATUS, 4, 0, out);
            string(status.to_string().as_bytes(), out);
        }
    }
}

/// Writes a field; `name` is in lower case.
pub fn encode_field(name: &str, value: &str, out: &mut BytesMut) {
    match STATIC.iter().position(|(known, _)| *known == name) {
        Some(nth) => integer(nth + 1, 4, 0, out),
        None => {
            out.put_u8(0);
            string(name.as_bytes(), out);
        }
    }
    string(value.as_bytes(), out);
}

fn string(plain: &[u8], out: &mut BytesMut) {
    integer(plain.len(), 7, 0, out);
    out.put_slice(plain);
}

/// An integer with a prefix of that many bits (section 5.1), `pattern` above it.
fn integer(value: usize, prefix: u32, pattern: u8, out: &mut BytesMut) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.put_u8(pattern | value as u8);
        return;
    }
    out.put_u8(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.put_u8(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}
