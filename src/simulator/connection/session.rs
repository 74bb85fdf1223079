//! One connection's HTTP/2, from the server's side (RFC 9113). Pure: bytes in, events out, bytes out; no clock.
//!
//! ```text
//! receive(bytes) ─▶ Event::{Request, Cancelled}        respond, reset, limit_streams, go_away ─▶ out (one write for many)
//! ```
//!
//! A stream above the limit is refused, and it is the client's fault only when the client has acknowledged the SETTINGS
//! that set the limit (section 5.1.2 and 6.5.3): until then the largest limit that it may still believe in holds.

mod outgoing;

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::http2::{DEFAULT_MAX_FRAME, DEFAULT_WINDOW, ErrorCode, Frame, FrameError, PREFACE, Setting, decode, hpack};

/// HEADER_TABLE_SIZE (APNs' own figure), bytes.
const HEADER_TABLE: u32 = 4096;

/// The header list limit where none is announced, bytes: what a request of ours can never need.
const HEADER_LIST: u32 = 65_536;

/// The largest header block over all its CONTINUATIONs, bytes: a flood of them is cut off there.
const LARGEST_BLOCK: usize = 65_536;

/// The largest body, bytes: far above what providers take, so that they can say so themselves.
const LARGEST_BODY: usize = 1 << 20;

/// Consumed bytes after which the window is opened again, as APNs was seen to do: about 32 KiB.
const WINDOW_STEP: u32 = 32_768;

/// What the client did that the driver must know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A request is whole.
    Request(Incoming),
    /// The client gave a stream up.
    Cancelled(u32),
    /// A stream was above the limit. It is refused, unless the driver says goodbye.
    Excess(u32),
    /// The client did what it must not, and the connection goes on.
    Violation(&'static str),
}

/// A whole request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) stream: u32,
    /// Decoded fields; empty where blocks are not looked at.
    pub(super) fields: Vec<hpack::Field>,
    /// The header list was above the limit.
    pub(super) oversized: bool,
    pub(super) body: Bytes,
}

/// The connection can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fatal {
    pub(super) code: ErrorCode,
    pub(super) detail: &'static str,
}

impl From<FrameError> for Fatal {
    fn from(error: FrameError) -> Self {
        Self { code: error.code, detail: error.detail }
    }
}

const fn broken(detail: &'static str) -> Fatal {
    Fatal { code: ErrorCode::PROTOCOL_ERROR, detail }
}

#[derive(Debug, Default)]
struct Stream {
    fields: Vec<hpack::Field>,
    oversized: bool,
    body: BytesMut,
    /// The client has said everything.
    ended: bool,
    /// Bytes of the body whose window was not given back yet.
    consumed: u32,
    /// What the client's window lets us send.
    window: i64,
    /// What the window held back.
    unsent: Bytes,
    /// The whole answer is given, as far as windows let it.
    answered: bool,
}

/// A header block that is not whole yet.
#[derive(Debug)]
struct Partial {
    stream: u32,
    end_stream: bool,
    block: BytesMut,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    decoder: hpack::Decoder,
    /// Whether header blocks are decoded; not in fast mode, where nobody asks.
    blind: bool,
    /// Says nothing any more but what is still to be answered.
    mute: bool,
    prefaced: bool,
    streams: HashMap<u32, Stream>,
    partial: Option<Partial>,
    /// The highest stream the client opened.
    highest: u32,
    /// After a GOAWAY: the last stream that is still served.
    last_served: Option<u32>,
    /// The stream limit last announced.
    limit: u32,
    /// The one acknowledged; `None` before the first acknowledgement.
    acknowledged: Option<u32>,
    /// Announced and not acknowledged, oldest first.
    underway: VecDeque<u32>,
    receive_window: i64,
    consumed: u32,
    send_window: i64,
    peer_initial_window: i64,
    peer_max_frame: usize,
    most: u32,
    input: BytesMut,
    /// What is to be written.
    pub(super) out: BytesMut,
}

impl Session {
    /// A new connection, its first SETTINGS ready to be written.
    pub(super) fn new(limit: u32, header_list: Option<u32>) -> Self {
        let decoder = hpack::Decoder::new(HEADER_TABLE as usize, header_list.unwrap_or(HEADER_LIST) as usize);
        let mut values = vec![
            (Setting::HEADER_TABLE_SIZE, HEADER_TABLE),
            (Setting::MAX_CONCURRENT_STREAMS, limit),
            (Setting::INITIAL_WINDOW_SIZE, DEFAULT_WINDOW),
            (Setting::MAX_FRAME_SIZE, DEFAULT_MAX_FRAME as u32),
        ];
        values.extend(header_list.map(|limit| (Setting::MAX_HEADER_LIST_SIZE, limit)));
        let mut out = BytesMut::new();
        Frame::Settings { values }.encode(&mut out);
        Self {
            decoder,
            blind: false,
            mute: false,
            prefaced: false,
            streams: HashMap::new(),
            partial: None,
            highest: 0,
            last_served: None,
            limit,
            acknowledged: None,
            underway: VecDeque::from([limit]),
            receive_window: DEFAULT_WINDOW.into(),
            consumed: 0,
            send_window: DEFAULT_WINDOW.into(),
            peer_initial_window: DEFAULT_WINDOW.into(),
            peer_max_frame: DEFAULT_MAX_FRAME,
            most: 0,
            input: BytesMut::new(),
            out,
        }
    }

    /// From now on header blocks are not decoded. Can't be undone: the table is lost.
    pub(super) fn go_blind(&mut self) {
        self.blind = true;
    }

    /// From now on it neither gives credit nor answers a PING.
    pub(super) fn go_mute(&mut self) {
        self.mute = true;
    }

    /// Where bytes from the socket go.
    pub(super) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// The most streams that were open at once.
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// The highest stream the client opened.
    pub(super) fn highest(&self) -> u32 {
        self.highest
    }

    /// Whether a stream still waits for its answer.
    pub(super) fn is_open(&self, stream: u32) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Streams without a whole answer.
    pub(super) fn open(&self) -> usize {
        self.streams.len()
    }

    /// Reads on; `None`: the next frame is not all there.
    pub(super) fn receive(&mut self) -> Result<Option<Event>, Fatal> {
        if !self.prefaced && !self.preface()? {
            return Ok(None);
        }
        while let Some(frame) = decode(&mut self.input, DEFAULT_MAX_FRAME)? {
            if let Some(event) = self.frame(frame)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn preface(&mut self) -> Result<bool, Fatal> {
        let length = self.input.len().min(PREFACE.len());
        if self.input[..length] != PREFACE[..length] {
            return Err(broken("no HTTP/2 preface"));
        }
        if length == PREFACE.len() {
            let _ = self.input.split_to(length);
            self.prefaced = true;
        }
        Ok(self.prefaced)
    }

    fn frame(&mut self, frame: Frame) -> Result<Option<Event>, Fatal> {
        if self.partial.is_some() && !matches!(frame, Frame::Continuation { .. }) {
            return Err(broken("a frame within a header block"));
        }
        match frame {
            Frame::Headers { stream, end_stream, end_headers, fragment } => {
                self.headers(stream, end_stream, end_headers, &fragment)
            }
            Frame::Continuation { stream, end_headers, fragment } => self.continuation(stream, end_headers, &fragment),
            Frame::Data { stream, end_stream, data, cost } => self.data(stream, end_stream, &data, cost),
            Frame::Reset { stream, .. } => self.cancelled(stream),
            Frame::Settings { values } => self.settings(&values).map(|()| None),
            Frame::SettingsAck => self.settings_ack(),
            Frame::Ping { ack: false, payload } => {
                if !self.mute {
                    Frame::Ping { ack: true, payload }.encode(&mut self.out);
                }
                Ok(None)
            }
            Frame::WindowUpdate { stream, increment } => self.window(stream, increment).map(|()| None),
            Frame::Other { kind: 0x5, .. } => Err(broken("PUSH_PROMISE from a client")),
            Frame::Ping { .. } | Frame::GoAway { .. } | Frame::Other { .. } => Ok(None),
        }
    }

    fn headers(&mut self, stream: u32, end_stream: bool, whole: bool, part: &[u8]) -> Result<Option<Event>, Fatal> {
        if whole {
            return self.block(stream, end_stream, part);
        }
        self.partial = Some(Partial { stream, end_stream, block: BytesMut::from(part) });
        Ok(None)
    }

    fn continuation(&mut self, stream: u32, whole: bool, part: &[u8]) -> Result<Option<Event>, Fatal> {
        let Some(mut partial) = self.partial.take().filter(|partial| partial.stream == stream) else {
            return Err(broken("CONTINUATION without HEADERS"));
        };
        if partial.block.len() + part.len() > LARGEST_BLOCK {
            return Err(Fatal { code: ErrorCode::ENHANCE_YOUR_CALM, detail: "a header block above 64 KiB" });
        }
        partial.block.extend_from_slice(part);
        if whole {
            return self.block(stream, partial.end_stream, &partial.block);
        }
        self.partial = Some(partial);
        Ok(None)
    }

    /// A whole header block: a request's, or its trailers.
    fn block(&mut self, id: u32, end_stream: bool, block: &[u8]) -> Result<Option<Event>, Fatal> {
        // Decoded whatever becomes of the stream: the table is the connection's.
        let decoded = match self.blind {
            true => hpack::Block { fields: Vec::new(), oversized: false },
            false => self.decoder.decode(block).map_err(|_| Fatal {
                code: ErrorCode::COMPRESSION_ERROR,
                detail: "a header block that can't be decoded",
            })?,
        };
        if let Some(stream) = self.streams.get_mut(&id) {
            if stream.ended || !end_stream {
                return Err(broken("HEADERS within a stream"));
            }
            return Ok(self.ended(id));
        }
        if id <= self.highest {
            // A stream that we reset or refused: its trailers may still be on their way (section 5.4.2).
            return Ok(None);
        }
        if id.is_multiple_of(2) {
            return Err(broken("an even stream from a client"));
        }
        self.highest = id;
        if self.last_served.is_some_and(|last| id > last) {
            return Ok(None);
        }
        if self.is_above_limit() {
            return Ok(Some(Event::Excess(id)));
        }
        let window = self.peer_initial_window;
        let hpack::Block { fields, oversized } = decoded;
        self.streams.insert(id, Stream { fields, oversized, window, ..Stream::default() });
        self.most = self.most.max(u32::try_from(self.streams.len()).unwrap_or(u32::MAX));
        Ok(if end_stream { self.ended(id) } else { None })
    }

    fn is_above_limit(&self) -> bool {
        let Some(acknowledged) = self.acknowledged else { return false };
        let believed = self.underway.iter().copied().fold(acknowledged, u32::max);
        self.streams.len() >= believed as usize
    }

    fn ended(&mut self, id: u32) -> Option<Event> {
        let stream = self.streams.get_mut(&id)?;
        stream.ended = true;
        let fields = std::mem::take(&mut stream.fields);
        let body = std::mem::take(&mut stream.body).freeze();
        Some(Event::Request(Incoming { stream: id, fields, oversized: stream.oversized, body }))
    }

    fn data(&mut self, id: u32, end_stream: bool, data: &[u8], cost: u32) -> Result<Option<Event>, Fatal> {
        self.receive_window -= i64::from(cost);
        if self.receive_window < 0 {
            return Err(Fatal { code: ErrorCode::FLOW_CONTROL_ERROR, detail: "more than the connection's window" });
        }
        self.consume(cost);
        if id > self.highest {
            return Err(broken("DATA on an idle stream"));
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(None) };
        if stream.ended {
            return Err(Fatal { code: ErrorCode::STREAM_CLOSED, detail: "DATA after END_STREAM" });
        }
        if stream.body.len() + data.len() > LARGEST_BODY {
            self.reset(id, ErrorCode::ENHANCE_YOUR_CALM);
            return Ok(Some(Event::Violation("a body above 1 MiB")));
        }
        stream.body.extend_from_slice(data);
        if end_stream {
            return Ok(self.ended(id));
        }
        stream.consumed += cost;
        if stream.consumed >= WINDOW_STEP && !self.mute {
            let increment = std::mem::take(&mut stream.consumed);
            Frame::WindowUpdate { stream: id, increment }.encode(&mut self.out);
        }
        Ok(None)
    }

    /// Gives the connection's window back, in steps.
    fn consume(&mut self, cost: u32) {
        self.consumed += cost;
        if self.consumed >= WINDOW_STEP && !self.mute {
            let increment = std::mem::take(&mut self.consumed);
            self.receive_window += i64::from(increment);
            Frame::WindowUpdate { stream: 0, increment }.encode(&mut self.out);
        }
    }

    fn cancelled(&mut self, id: u32) -> Result<Option<Event>, Fatal> {
        if id > self.highest {
            return Err(broken("RST_STREAM on an idle stream"));
        }
        Ok(self.streams.remove(&id).map(|_| Event::Cancelled(id)))
    }

    fn settings(&mut self, values: &[(Setting, u32)]) -> Result<(), Fatal> {
        for &(setting, value) in values {
            match setting {
                Setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.peer_initial_window;
                    self.peer_initial_window = value.into();
                    self.streams.values_mut().for_each(|stream| stream.window += change);
                }
                Setting::MAX_FRAME_SIZE => self.peer_max_frame = value as usize,
                // We enter nothing into the client's table, we push nothing.
                _ => {}
            }
        }
        Frame::SettingsAck.encode(&mut self.out);
        self.flush_all();
        Ok(())
    }

    fn settings_ack(&mut self) -> Result<Option<Event>, Fatal> {
        match self.underway.pop_front() {
            Some(limit) => self.acknowledged = Some(limit),
            None => return Ok(Some(Event::Violation("a SETTINGS acknowledgement too many"))),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
