//! Frames (RFC 9113, sections 4 and 6).
//!
//! ```text
//! +-----------------------------------------------+
//! | length (24) | type (8) | flags (8) | R | stream (31) |  9 bytes, then `length` bytes
//! +-----------------------------------------------+
//! ```
//!
//! [`decode`] takes whole frames from the front of a buffer, strips padding and priority, and refuses what a section
//! of the RFC forbids whatever the state of the connection. What depends on state is its user's.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What a client sends first (section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest payload unless a peer allows more (section 6.5.2), bytes.
pub const DEFAULT_MAX_FRAME: usize = 16_384;

/// The flow-control window of a new stream and of a new connection (section 6.9.2), bytes.
pub const DEFAULT_WINDOW: u32 = 65_535;

const HEADER: usize = 9;
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// An error code (section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Graceful.
    pub const NO_ERROR: Self = Self(0x0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// Something broke here.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// More bytes than the window allows.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// A frame for a stream that is over.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame of a wrong size.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// Not processed at all: safe to send again.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// Not wanted any more.
    pub const CANCEL: Self = Self(0x8);
    /// The HPACK state is lost.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The peer is too busy with us.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
}

/// A setting's identifier (section 6.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Setting(pub u16);

impl Setting {
    /// HPACK's table, bytes.
    pub const HEADER_TABLE_SIZE: Self = Self(0x1);
    /// Whether the server may push (1) or not (0).
    pub const ENABLE_PUSH: Self = Self(0x2);
    /// Streams the peer may have open at once.
    pub const MAX_CONCURRENT_STREAMS: Self = Self(0x3);
    /// The window of a new stream, bytes.
    pub const INITIAL_WINDOW_SIZE: Self = Self(0x4);
    /// The largest payload, bytes.
    pub const MAX_FRAME_SIZE: Self = Self(0x5);
    /// The largest header list, bytes (advisory).
    pub const MAX_HEADER_LIST_SIZE: Self = Self(0x6);
}

/// One frame. Padding and the deprecated priority fields are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// DATA (6.1).
    Data {
        /// Its stream.
        stream: u32,
        /// No more comes on that stream.
        end_stream: bool,
        /// The content.
        data: Bytes,
        /// What it takes from the flow-control windows: content and padding, bytes.
        cost: u32,
    },
    /// HEADERS (6.2).
    Headers {
        /// Its stream.
        stream: u32,
        /// No more comes on that stream.
        end_stream: bool,
        /// The block is whole.
        end_headers: bool,
        /// The block, or its first part.
        fragment: Bytes,
    },
    /// CONTINUATION (6.10).
    Continuation {
        /// Its stream.
        stream: u32,
        /// The block is whole.
        end_headers: bool,
        /// A further part of the block.
        fragment: Bytes,
    },
    /// RST_STREAM (6.4).
    Reset {
        /// The stream.
        stream: u32,
        /// Why.
        code: ErrorCode,
    },
    /// SETTINGS (6.5).
    Settings {
        /// The settings; in the order sent.
        values: Vec<(Setting, u32)>,
    },
    /// SETTINGS with ACK (6.5.3).
    SettingsAck,
    /// PING (6.7).
    Ping {
        /// An answer.
        ack: bool,
        /// Eight opaque bytes.
        payload: [u8; 8],
    },
    /// GOAWAY (6.8).
    GoAway {
        /// The last stream that was or may be processed.
        last_stream: u32,
        /// Why.
        code: ErrorCode,
        /// For people and for APNs' `{"reason":…}`.
        debug: Bytes,
    },
    /// WINDOW_UPDATE (6.9).
    WindowUpdate {
        /// The stream, or 0 for the connection.
        stream: u32,
        /// Further bytes allowed.
        increment: u32,
    },
    /// PRIORITY, PUSH_PROMISE and what this RFC does not know (5.5): to be ignored, or refused, by its user.
    Other {
        /// The type.
        kind: u8,
        /// The stream.
        stream: u32,
    },
}

/// Why bytes are no frame. The connection can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameError {
    /// What the GOAWAY shall say.
    pub code: ErrorCode,
    /// In words.
    pub detail: &'static str,
}

const fn malformed(code: ErrorCode, detail: &'static str) -> FrameError {
    FrameError { code, detail }
}

/// Takes one whole frame from the front of `buffer`; `None` if it is not all there yet (nothing is taken then).
///
/// # Errors
/// [`FrameError`] for a payload above `max_frame`, a wrong size, bad padding, or a frame on a stream it can't be on.
pub fn decode(buffer: &mut BytesMut, max_frame: usize) -> Result<Option<Frame>, FrameError> {
    let Some(header) = buffer.first_chunk::<HEADER>() else { return Ok(None) };
    let [a, b, c, kind, flags, stream @ ..] = *header;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let stream = u32::from_be_bytes(stream) & LARGEST_WINDOW;
    if length > max_frame {
        return Err(malformed(ErrorCode::FRAME_SIZE_ERROR, "a frame larger than MAX_FRAME_SIZE"));
    }
    if buffer.len() < HEADER + length {
        return Ok(None);
    }
    buffer.advance(HEADER);
    let payload = buffer.split_to(length).freeze();
    parse(kind, flags, stream, payload).map(Some)
}

fn parse(kind: u8, flags: u8, stream: u32, payload: Bytes) -> Result<Frame, FrameError> {
    match kind {
        0x0 => data(flags, stream, payload),
        0x1 => headers(flags, stream, payload),
        0x3 => reset(stream, payload),
        0x4 => settings(flags, stream, payload),
        0x6 => ping(flags, stream, payload),
        0x7 => go_away(stream, payload),
        0x8 => window_update(stream, payload),
        0x9 if stream == 0 => Err(malformed(ErrorCode::PROTOCOL_ERROR, "CONTINUATION on stream 0")),
        0x9 => Ok(Frame::Continuation { stream, end_headers: flags & END_HEADERS != 0, fragment: payload }),
        _ => Ok(Frame::Other { kind, stream }),
    }
}

fn data(flags: u8, stream: u32, payload: Bytes) -> Result<Frame, FrameError> {
    let cost = u32::try_from(payload.len()).expect("a frame's length has 24 bits");
    let data = unpad(flags, on_stream(stream, payload)?)?;
    Ok(Frame::Data { stream, end_stream: flags & END_STREAM != 0, data, cost })
}

fn headers(flags: u8, stream: u32, payload: Bytes) -> Result<Frame, FrameError> {
    let mut fragment = unpad(flags, on_stream(stream, payload)?)?;
    if flags & PRIORITY != 0 {
        if fragment.len() < 5 {
            return Err(malformed(ErrorCode::FRAME_SIZE_ERROR, "HEADERS too short for its priority fields"));
        }
        fragment.advance(5);
    }
    let end_headers = flags & END_HEADERS != 0;
    Ok(Frame::Headers { stream, end_stream: flags & END_STREAM != 0, end_headers, fragment })
}

fn reset(stream: u32, payload: Bytes) -> Result<Frame, FrameError> {
    let code = ErrorCode(word(&on_stream(stream, payload)?)?);
    Ok(Frame::Reset { stream, code })
}

fn settings(flags: u8, stream: u32, payload: Bytes) -> Result<Frame, FrameError> {
    if stream != 0 {
        return Err(malformed(ErrorCode::PROTOCOL_ERROR, "SETTINGS on a stream"));
    }
    if flags & ACK != 0 {
        return match payload.is_empty() {
            true => Ok(Frame::SettingsAck),
            false => Err(malformed(ErrorCode::FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with a payload")),
        };
    }
    let (pairs, rest) = payload.as_chunks::<6>();
    if !rest.is_empty() {
        return Err(malformed(ErrorCode::FRAME_SIZE_ERROR, "SETTINGS not a multiple of six bytes"));
    }
    let pair = |&[a, b, c, d, e, f]: &[u8; 6]| (Setting(u16::from_be_bytes([a, b])), u32::from_be_bytes([c, d, e, f]));
    let values: Vec<_> = pairs.iter().map(pair).collect();
    values.iter().try_for_each(|&(setting, value)| check_setting(setting, value))?;
    Ok(Frame::Settings { values })
}

fn check_setting(setting: Setting, value: u32) -> Result<(), FrameError> {
    match setting {
        Setting::ENABLE_PUSH if value > 1 => Err(malformed(ErrorCode::PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")),
        Setting::INITIAL_WINDOW_SIZE if value > LARGEST_WINDOW => {
            Err(malformed(ErrorCode::FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE above 2^31-1"))
        }
        Setting::MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => {
            Err(malformed(ErrorCode::PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range"))
        }
        _ => Ok(()),
    }
}

fn ping(flags: u8, stream: u32, payload: Bytes) -> Result<Frame, FrameError> {
    if stream != 0 {
        return Err(malformed(ErrorCode::PROTOCOL_ERROR, "PING on a stream"));
    }
    let payload = payload.as_ref().try_into();
    let payload = payload.map_err(|_| malformed(ErrorCode::FRAME_SIZE_ERROR, "PING without eight bytes"))?;
    Ok(Frame::Ping { ack: flags & ACK != 0, payload })
}

fn go_away(stream: u32, mut payload: Bytes) -> Result<Frame, FrameError> {
    if stream != 0 {
        return Err(malformed(ErrorCode::PROTOCOL_ERROR, "GOAWAY on a stream"));
    }
    if payload.len() < 8 {
        return Err(malformed(ErrorCode::FRAME_SIZE_ERROR, "GOAWAY too short"));
    }
    let last_stream = payload.get_u32() & LARGEST_WINDOW;
    let code = ErrorCode(payload.get_u32());
    Ok(Frame::GoAway { last_stream, code, debug: payload })
}

fn window_update(stream: u32, payload: Bytes) -> Result<Frame, FrameError> {
    let increment = word(&payload)? & LARGEST_WINDOW;
    if increment == 0 {
        return Err(malformed(ErrorCode::PROTOCOL_ERROR, "WINDOW_UPDATE by nothing"));
    }
    Ok(Frame::WindowUpdate { stream, increment })
}

fn on_stream(stream: u32, payload: Bytes) -> Result<Bytes, FrameError> {
    match stream {
        0 => Err(malformed(ErrorCode::PROTOCOL_ERROR, "a stream's frame on stream 0")),
        _ => Ok(payload),
    }
}

fn word(payload: &[u8]) -> Result<u32, FrameError> {
    let bytes = payload.try_into();
    let bytes = bytes.map_err(|_| malformed(ErrorCode::FRAME_SIZE_ERROR, "a payload that is not four bytes"))?;
    Ok(u32::from_be_bytes(bytes))
}

fn unpad(flags: u8, mut payload: Bytes) -> Result<Bytes, FrameError> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let Some(&padding) = payload.first() else {
        return Err(malformed(ErrorCode::FRAME_SIZE_ERROR, "a padded frame without a pad length"));
    };
    payload.advance(1);
    match payload.len().checked_sub(padding.into()) {
        Some(length) => Ok(payload.slice(..length)),
        None => Err(malformed(ErrorCode::PROTOCOL_ERROR, "more padding than payload")),
    }
}

impl Frame {
    /// Writes the frame. Its payload is at most what the peer allows (its user's care).
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Frame::Data { stream, end_stream, data, .. } => {
                head(out, data.len(), 0x0, flag(*end_stream, END_STREAM), *stream);
                out.put_slice(data);
            }
            Frame::Headers { stream, end_stream, end_headers, fragment } => {
                let flags = flag(*end_stream, END_STREAM) | flag(*end_headers, END_HEADERS);
                head(out, fragment.len(), 0x1, flags, *stream);
                out.put_slice(fragment);
            }
            Frame::Continuation { stream, end_headers, fragment } => {
                head(out, fragment.len(), 0x9, flag(*end_headers, END_HEADERS), *stream);
                out.put_slice(fragment);
            }
            Frame::Reset { stream, code } => {
                head(out, 4, 0x3, 0, *stream);
                out.put_u32(code.0);
            }
            Frame::Settings { values } => {
                head(out, values.len() * 6, 0x4, 0, 0);
                for (setting, value) in values {
                    out.put_u16(setting.0);
                    out.put_u32(*value);
                }
            }
            Frame::SettingsAck => head(out, 0, 0x4, ACK, 0),
            Frame::Ping { ack, payload } => {
                head(out, 8, 0x6, flag(*ack, ACK), 0);
                out.put_slice(payload);
            }
            Frame::GoAway { last_stream, code, debug } => {
                head(out, 8 + debug.len(), 0x7, 0, 0);
                out.put_u32(*last_stream);
                out.put_u32(code.0);
                out.put_slice(debug);
            }
            Frame::WindowUpdate { stream, increment } => {
                head(out, 4, 0x8, 0, *stream);
                out.put_u32(*increment);
            }
            Frame::Other { kind, stream } => head(out, 0, *kind, 0, *stream),
        }
    }
}

const fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn head(out: &mut BytesMut, length: usize, kind: u8, flags: u8, stream: u32) {
    let length = u32::try_from(length).expect("no payload of ours comes near 16 MiB");
    out.reserve(HEADER + length as usize);
    out.put_u32(length << 8 | u32::from(kind));
    out.put_u8(flags);
    out.put_u32(stream);
}

#[cfg(test)]
mod tests;
