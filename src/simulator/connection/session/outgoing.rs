//! What the server says: answers within the client's windows, resets, other limits, goodbye.

use bytes::Bytes;

use super::{Fatal, Session};
use crate::http2::{ErrorCode, Frame, Setting};

impl Session {
    /// The client opens a window.
    pub(super) fn window(&mut self, id: u32, increment: u32) -> Result<(), Fatal> {
        const LARGEST: i64 = (1 << 31) - 1;
        let overflow = Fatal { code: ErrorCode::FLOW_CONTROL_ERROR, detail: "a window above 2^31-1" };
        if id == 0 {
            self.send_window += i64::from(increment);
            self.flush_all();
            return if self.send_window > LARGEST { Err(overflow) } else { Ok(()) };
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        stream.window += i64::from(increment);
        if stream.window > LARGEST {
            return Err(overflow);
        }
        self.flush(id);
        Ok(())
    }

    /// Answers a stream: `block` is an encoded header block of at most one frame.
    pub(in crate::simulator::connection) fn respond(&mut self, id: u32, block: Bytes, body: Bytes) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let end_stream = body.is_empty();
        Frame::Headers { stream: id, end_stream, end_headers: true, fragment: block }.encode(&mut self.out);
        stream.unsent = body;
        stream.answered = true;
        self.flush(id);
    }

    /// Answers a stream with a head and a first byte, and leaves it at that.
    pub(in crate::simulator::connection) fn begin(&mut self, id: u32, block: Bytes) {
        if !self.streams.contains_key(&id) {
            return;
        }
        Frame::Headers { stream: id, end_stream: false, end_headers: true, fragment: block }.encode(&mut self.out);
        let data = Bytes::from_static(b" ");
        Frame::Data { stream: id, end_stream: false, data, cost: 1 }.encode(&mut self.out);
    }

    pub(super) fn flush_all(&mut self) {
        let waiting = self.streams.iter().filter(|(_, stream)| !stream.unsent.is_empty());
        let waiting: Vec<u32> = waiting.map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|id| self.flush(id));
    }

    /// Sends what the windows allow of an answer; the stream is over when all is sent.
    pub(super) fn flush(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.answered) else { return };
        while !stream.unsent.is_empty() {
            let allowed = stream.window.min(self.send_window).max(0);
            let size = stream.unsent.len().min(self.peer_max_frame).min(usize::try_from(allowed).unwrap_or(0));
            if size == 0 {
                return;
            }
            let data = stream.unsent.split_to(size);
            stream.window -= size as i64;
            self.send_window -= size as i64;
            let end_stream = stream.unsent.is_empty();
            Frame::Data { stream: id, end_stream, data, cost: size as u32 }.encode(&mut self.out);
        }
        self.streams.remove(&id);
    }

    /// Resets a stream, or refuses one that was not taken.
    pub(in crate::simulator::connection) fn reset(&mut self, stream: u32, code: ErrorCode) {
        self.streams.remove(&stream);
        Frame::Reset { stream, code }.encode(&mut self.out);
    }

    /// Announces another stream limit, if it is another.
    pub(in crate::simulator::connection) fn limit_streams(&mut self, limit: u32) {
        if limit == self.limit {
            return;
        }
        self.limit = limit;
        self.underway.push_back(limit);
        Frame::Settings { values: vec![(Setting::MAX_CONCURRENT_STREAMS, limit)] }.encode(&mut self.out);
    }

    /// Says goodbye: streams above `last` are not served, now and later. Returns those that are dropped by it.
    pub(in crate::simulator::connection) fn go_away(&mut self, last: u32, code: ErrorCode, debug: &str) -> Vec<u32> {
        self.last_served = Some(last);
        let dropped: Vec<u32> = self.streams.keys().copied().filter(|id| *id > last).collect();
        dropped.iter().for_each(|id| drop(self.streams.remove(id)));
        let debug = Bytes::copy_from_slice(debug.as_bytes());
        Frame::GoAway { last_stream: last, code, debug }.encode(&mut self.out);
        dropped
    }
}
