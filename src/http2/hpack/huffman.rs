//! The Huffman code (RFC 7541, appendix B).
//!
//! The code is canonical: symbols sorted by length, then by value, have ascending codes. So the lengths are all there
//! is to know; the rest is derived from them when compiling.

/// The code lengths of the 256 bytes and of EOS, bits.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;
const EOS: u16 = 256;

struct Code {
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// By length: where its symbols start in `symbols`.
    start: [u16; LONGEST + 2],
    /// By length: its first code.
    first: [u32; LONGEST + 2],
    /// By length: the first 32-bit window, left-aligned, that is above all codes up to this length.
    above: [u64; LONGEST + 2],
}

static CODE: Code = derive();

const fn derive() -> Code {
    let mut code = Code { symbols: [0; 257], start: [0; 32], first: [0; 32], above: [0; 32] };
    let (mut length, mut next, mut place) = (1, 0u32, 0usize);
    while length <= LONGEST {
        code.start[length] = place as u16;
        code.first[length] = next;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                code.symbols[place] = symbol as u16;
                place += 1;
                next += 1;
            }
            symbol += 1;
        }
        code.above[length] = (next as u64) << (32 - length);
        next <<= 1;
        length += 1;
    }
    code
}

/// The bytes are no Huffman-coded string (section 5.2): EOS within, or padding that is not EOS's first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Decodes a string.
pub(super) fn decode(coded: &[u8]) -> Result<Vec<u8>, Malformed> {
    // The shortest code has five bits.
    let mut out = Vec::with_capacity(coded.len() * 8 / SHORTEST);
    let (mut bits, mut held) = (0u64, 0usize);
    let mut coded = coded.iter();
    loop {
        while held <= 32 {
            let Some(byte) = coded.next() else { break };
            bits = bits << 8 | u64::from(*byte);
            held += 8;
        }
        // Left-aligned in 32 bits; ones are shifted in behind the end, as padding would be.
        let window = if held >= 32 { bits >> (held - 32) } else { (bits << (32 - held)) | (u64::MAX >> (32 + held)) };
        let window = window & 0xffff_ffff;
        let Some(length) = (SHORTEST..=LONGEST).find(|length| window < CODE.above[*length]) else {
            return finish(bits, held, out);
        };
        if length > held {
            return finish(bits, held, out);
        }
        let offset = (window >> (32 - length)) as u32 - CODE.first[length];
        let symbol = CODE.symbols[usize::from(CODE.start[length]) + offset as usize];
        if symbol == EOS {
            return Err(Malformed);
        }
        out.push(symbol as u8);
        held -= length;
    }
}

fn finish(bits: u64, held: usize, out: Vec<u8>) -> Result<Vec<u8>, Malformed> {
    let padding = (1u64 << held.min(63)) - 1;
    match held < 8 && bits & padding == padding {
        true => Ok(out),
        false => Err(Malformed),
    }
}

/// Encodes a string; for tests, which need a peer that does.
#[cfg(test)]
pub(super) fn encode(plain: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0u64, 0usize);
    for &byte in plain {
        let length = usize::from(LENGTHS[usize::from(byte)]);
        let nth = CODE.symbols.iter().position(|symbol| *symbol == u16::from(byte)).expect("all bytes have a code");
        let code = CODE.first[length] + (nth as u32 - u32::from(CODE.start[length]));
        bits = bits << length | u64::from(code);
        held += length;
        while held >= 8 {
            out.push((bits >> (held - 8)) as u8);
            held -= 8;
        }
    }
    if held > 0 {
        out.push(((bits << (8 - held)) | (0xff >> held)) as u8);
    }
    out
}
