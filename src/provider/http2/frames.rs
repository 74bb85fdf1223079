//! What the server says to the connection as a whole, read beside h2.
//!
//! h2 shows neither that the first SETTINGS has come nor the debug data of a GOAWAY with NO_ERROR, and APNs says there
//! why it goes (`{"reason":"Shutdown"}`). So the decrypted bytes are also read here: 9-byte frame headers (RFC 9113,
//! section 4.1), every payload skipped but GOAWAY's and WINDOW_UPDATE's. Nothing is checked; h2 does that.
//!
//! The same is done with what goes out, for one number: how much DATA has left. Together they tell what is left of the
//! connection's flow-control window, which h2 doesn't show either and which, not the stream limit, bounds APNs
//! (PROVIDERS 1.10).

/// Bytes of a GOAWAY's payload that are kept: two numbers and a short JSON object.
const KEPT: usize = 8 + 512;
const HEADER: usize = 9;
/// What a client says before its first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;
const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;

/// A GOAWAY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GoAway {
    /// Streams above it were not looked at.
    pub(super) last_stream: u32,
    /// The HTTP/2 error code.
    pub(super) code: u32,
    /// What the debug data says: the JSON `reason`, or a short plain text.
    pub(super) word: Option<Box<str>>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// SETTINGS, not an acknowledgement of ours.
    Settings,
    /// GOAWAY.
    GoAway(GoAway),
    /// So many bytes were added to the connection's window.
    Window(u32),
    /// DATA of so many bytes, padding included.
    Data(usize),
}

/// The place in the stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; HEADER],
    header_len: usize,
    /// Bytes before the first frame still to come.
    preface: usize,
    /// Payload bytes still to come.
    left: usize,
    kept: Vec<u8>,
}

impl Frames {
    /// What a client sends.
    pub(super) fn of_client() -> Self {
        Self { preface: PREFACE, ..Self::default() }
    }

    /// Takes the bytes as they come and tells `seen` what was in them.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Seen)) {
        let skipped = bytes.len().min(self.preface);
        self.preface -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.header_len < HEADER {
                let taken = bytes.len().min(HEADER - self.header_len);
                self.header[self.header_len..self.header_len + taken].copy_from_slice(&bytes[..taken]);
                self.header_len += taken;
                bytes = &bytes[taken..];
                if self.header_len < HEADER {
                    return;
                }
                self.left =
                    usize::from(self.header[0]) << 16 | usize::from(self.header[1]) << 8 | usize::from(self.header[2]);
                if self.header[3] == DATA && self.left > 0 {
                    seen(Seen::Data(self.left));
                }
            } else {
                let taken = bytes.len().min(self.left);
                self.keep(&bytes[..taken]);
                self.left -= taken;
                bytes = &bytes[taken..];
            }
            if self.left == 0 {
                self.end(&mut seen);
            }
        }
    }

    fn keep(&mut self, payload: &[u8]) {
        if matches!(self.header[3], GOAWAY | WINDOW_UPDATE) {
            let taken = payload.len().min(KEPT - self.kept.len());
            self.kept.extend_from_slice(&payload[..taken]);
        }
    }

    fn end(&mut self, seen: &mut impl FnMut(Seen)) {
        match (self.header[3], self.header[4] & ACK) {
            (SETTINGS, 0) => seen(Seen::Settings),
            (GOAWAY, _) => {
                if let Some(goaway) = parse(&self.kept) {
                    seen(Seen::GoAway(goaway));
                }
            }
            (WINDOW_UPDATE, _) if self.header[5..] == [0; 4] => {
                if let Some(size) = self.kept.first_chunk::<4>() {
                    seen(Seen::Window(u32::from_be_bytes(*size) & 0x7fff_ffff));
                }
            }
            _ => {}
        }
        self.header_len = 0;
        self.kept.clear();
    }
}

/// RFC 9113, section 6.8.
fn parse(payload: &[u8]) -> Option<GoAway> {
    let (last, rest) = payload.split_first_chunk::<4>()?;
    let (code, debug) = rest.split_first_chunk::<4>()?;
    Some(GoAway {
        last_stream: u32::from_be_bytes(*last) & 0x7fff_ffff,
        code: u32::from_be_bytes(*code),
        word: word(debug),
    })
}

fn word(debug: &[u8]) -> Option<Box<str>> {
    #[derive(serde::Deserialize)]
    struct Said {
        reason: String,
    }
    let text = serde_json::from_slice::<Said>(debug)
        .map(|said| said.reason)
        .or_else(|_| String::from_utf8(debug.to_vec()))
        .ok()?;
    let text: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect();
    (!text.trim().is_empty()).then(|| text.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    }

    fn goaway(last: u32, code: u32, debug: &[u8]) -> Vec<u8> {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(debug);
        frame(GOAWAY, 0, &payload)
    }

    /// A conversation with everything in it, and what must be seen in it.
    fn conversation() -> (Vec<u8>, Vec<Seen>) {
        let mut bytes = frame(SETTINGS, 0, &[0, 3, 0, 0, 0, 1]);
        bytes.extend(frame(SETTINGS, ACK, &[]));
        bytes.extend(frame(1, 4, &[0x88; 40]));
        bytes.extend(frame(DATA, 1, &[7; 300]));
        bytes.extend(frame(DATA, 1, &[]));
        bytes.extend(frame(WINDOW_UPDATE, 0, &[0x80, 0, 1, 2]));
        bytes.extend(goaway(9, 0, br#"{"reason":"Shutdown","timestamp":1}"#));
        bytes.extend(frame(SETTINGS, 0, &[]));
        bytes.extend(goaway(0x8000_0005, 7, b"Maximum active streams violated"));
        bytes.extend(goaway(5, 0, &[]));
        let said = |last_stream, code, word: Option<&str>| {
            Seen::GoAway(GoAway { last_stream, code, word: word.map(Into::into) })
        };
        let seen = vec![
            Seen::Settings,
            Seen::Data(300),
            Seen::Window(258),
            said(9, 0, Some("Shutdown")),
            Seen::Settings,
            said(5, 7, Some("Maximum active streams violated")),
            said(5, 0, None),
        ];
        (bytes, seen)
    }

    #[test]
    fn the_same_is_seen_however_the_bytes_are_cut() {
        let (bytes, expected) = conversation();
        for size in 1..bytes.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for chunk in bytes.chunks(size) {
                frames.read(chunk, |fact| seen.push(fact));
            }
            assert_eq!(seen, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn a_clients_preface_is_no_frame_and_a_streams_window_not_the_connections() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, &[]));
        let mut update = frame(WINDOW_UPDATE, 0, &[0, 0, 0, 9]);
        update[8] = 3;
        bytes.extend(update);
        bytes.extend(frame(DATA, 0, &[1]));
        for size in 1..bytes.len() {
            let mut frames = Frames::of_client();
            let mut seen = Vec::new();
            bytes.chunks(size).for_each(|chunk| frames.read(chunk, |fact| seen.push(fact)));
            assert_eq!(seen, [Seen::Settings, Seen::Data(1)], "in chunks of {size}");
        }
    }

    #[test]
    fn a_long_goaway_is_not_kept_whole() {
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        frames.read(&goaway(1, 11, &[b'x'; 16_000]), |fact| seen.push(fact));
        let Some(Seen::GoAway(goaway)) = seen.first() else { panic!("{seen:?}") };
        assert_eq!(goaway.word.as_ref().map(|word| word.len()), Some(64));
    }

    #[test]
    fn noise_is_no_panic() {
        let mut frames = Frames::default();
        for _ in 0..2_000 {
            let noise: Vec<u8> = (0..fastrand::usize(0..200)).map(|_| fastrand::u8(..)).collect();
            frames.read(&noise, |_| {});
        }
    }
}
