//! The server's side of HTTP/2, frame by frame.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{Event, Fatal, Session};
use crate::http2::{DEFAULT_MAX_FRAME, ErrorCode, Frame, PREFACE, Setting, decode};

/// `:method: POST`, `:path: /`.
const BLOCK: &[u8] = &[0x83, 0x84];

fn session(limit: u32) -> Session {
    let mut session = Session::new(limit, Some(8000));
    session.input().extend_from_slice(PREFACE);
    feed(&mut session, Frame::Settings { values: Vec::new() });
    session
}

fn feed(session: &mut Session, frame: Frame) {
    frame.encode(session.input());
}

fn headers(stream: u32, end_stream: bool) -> Frame {
    Frame::Headers { stream, end_stream, end_headers: true, fragment: Bytes::from_static(BLOCK) }
}

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.receive().unwrap()).collect()
}

fn written(session: &mut Session) -> Vec<Frame> {
    std::iter::from_fn(|| decode(&mut session.out, DEFAULT_MAX_FRAME).unwrap()).collect()
}

fn excess(events: &[Event]) -> Vec<u32> {
    let excess = |event: &Event| if let Event::Excess(stream) = event { Some(*stream) } else { None };
    events.iter().filter_map(excess).collect()
}

#[test]
fn the_first_settings_are_apples() {
    let mut session = session(1);
    let settings = [
        (Setting::HEADER_TABLE_SIZE, 4096),
        (Setting::MAX_CONCURRENT_STREAMS, 1),
        (Setting::INITIAL_WINDOW_SIZE, 65_535),
        (Setting::MAX_FRAME_SIZE, 16_384),
        (Setting::MAX_HEADER_LIST_SIZE, 8000),
    ];
    assert_eq!(written(&mut session), [Frame::Settings { values: settings.to_vec() }]);
    assert_eq!(events(&mut session), []);
    assert_eq!(written(&mut session), [Frame::SettingsAck]);
}

#[test]
fn a_limit_holds_only_once_it_is_acknowledged() {
    let mut session = session(2);
    (0..3).for_each(|nth| feed(&mut session, headers(1 + 2 * nth, true)));
    assert_eq!(excess(&events(&mut session)), [0; 0], "nobody has acknowledged anything");
    feed(&mut session, Frame::SettingsAck);
    feed(&mut session, headers(7, true));
    assert_eq!(excess(&events(&mut session)), [7]);
    // A higher limit may be believed in as soon as it is written, a lower one must be acknowledged first.
    session.limit_streams(4);
    feed(&mut session, headers(9, true));
    assert_eq!(excess(&events(&mut session)), [0; 0]);
    feed(&mut session, Frame::SettingsAck);
    session.limit_streams(1);
    session.reset(9, ErrorCode::CANCEL);
    feed(&mut session, headers(11, true));
    feed(&mut session, Frame::SettingsAck);
    feed(&mut session, headers(13, true));
    assert_eq!(excess(&events(&mut session)), [13]);
    assert_eq!(session.most(), 4);
}

#[test]
fn an_acknowledgement_too_many_is_a_violation() {
    let mut session = session(1);
    feed(&mut session, Frame::SettingsAck);
    feed(&mut session, Frame::SettingsAck);
    assert!(matches!(events(&mut session)[..], [Event::Violation(_)]));
}

#[test]
fn windows_are_given_back_in_steps() {
    let mut session = session(10);
    feed(&mut session, headers(1, false));
    events(&mut session);
    written(&mut session);
    let data = Bytes::from(vec![0; 16_384]);
    let mut send = |nth: u32| {
        feed(&mut session, Frame::Data { stream: 1, end_stream: nth == 2, data: data.clone(), cost: 16_384 });
        let events = events(&mut session).len();
        (events, written(&mut session))
    };
    assert_eq!(send(0), (0, vec![]));
    let step = |stream| Frame::WindowUpdate { stream, increment: 32_768 };
    assert_eq!(send(1), (0, vec![step(0), step(1)]));
    assert_eq!(send(2), (1, vec![]));
}

#[test]
fn pings_are_answered_and_silence_is_kept_after_goaway() {
    let mut session = session(10);
    feed(&mut session, Frame::Ping { ack: false, payload: *b"12345678" });
    feed(&mut session, headers(1, true));
    feed(&mut session, headers(3, true));
    assert_eq!(events(&mut session).len(), 2);
    assert!(written(&mut session).contains(&Frame::Ping { ack: true, payload: *b"12345678" }));
    assert_eq!(session.go_away(1, ErrorCode::NO_ERROR, r#"{"reason":"Shutdown"}"#), [3]);
    feed(&mut session, headers(5, true));
    assert_eq!(events(&mut session), []);
    session.respond(3, Bytes::from_static(&[0x88]), Bytes::new());
    session.respond(1, Bytes::from_static(&[0x88]), Bytes::new());
    let debug = Bytes::from_static(br#"{"reason":"Shutdown"}"#);
    let answer =
        Frame::Headers { stream: 1, end_stream: true, end_headers: true, fragment: Bytes::from_static(&[0x88]) };
    let goodbye = Frame::GoAway { last_stream: 1, code: ErrorCode::NO_ERROR, debug };
    assert_eq!(written(&mut session), [goodbye, answer]);
    assert_eq!(session.open(), 0);
}

#[test]
fn answers_wait_for_the_clients_window() {
    let mut session = session(10);
    feed(&mut session, Frame::Settings { values: vec![(Setting::INITIAL_WINDOW_SIZE, 3)] });
    feed(&mut session, headers(1, true));
    events(&mut session);
    written(&mut session);
    session.respond(1, Bytes::from_static(&[0x8c]), Bytes::from_static(b"abcdef"));
    let data = |text: &'static str, end_stream| {
        let data = Bytes::from_static(text.as_bytes());
        Frame::Data { stream: 1, end_stream, cost: data.len() as u32, data }
    };
    assert_eq!(written(&mut session)[1..], [data("abc", false)]);
    assert!(session.is_open(1));
    feed(&mut session, Frame::WindowUpdate { stream: 1, increment: 10 });
    events(&mut session);
    assert_eq!(written(&mut session), [data("def", true)]);
    assert!(!session.is_open(1));
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    let broken = |frames: &[Frame]| {
        let mut session = session(10);
        frames.iter().for_each(|frame| feed(&mut session, frame.clone()));
        loop {
            match session.receive() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{frames:?} are in order"),
                Err(Fatal { code, .. }) => return code,
            }
        }
    };
    let data = |stream| Frame::Data { stream, end_stream: true, data: Bytes::new(), cost: 0 };
    let open = Frame::Headers { stream: 1, end_stream: true, end_headers: false, fragment: Bytes::new() };
    let index =
        Frame::Headers { stream: 1, end_stream: true, end_headers: true, fragment: Bytes::from_static(&[0x80]) };
    assert_eq!(broken(&[headers(2, true)]), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(broken(&[data(1)]), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(broken(&[headers(1, true), data(1)]), ErrorCode::STREAM_CLOSED);
    assert_eq!(broken(&[open, headers(3, true)]), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(broken(&[index]), ErrorCode::COMPRESSION_ERROR);
    assert_eq!(broken(&[Frame::Other { kind: 5, stream: 1 }]), ErrorCode::PROTOCOL_ERROR);
    let mut session = Session::new(1, None);
    session.input().extend_from_slice(b"GET / HTTP/1.1\r\n");
    assert!(session.receive().is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut session = session(3);
        session.input().extend_from_slice(&bytes);
        while let Ok(Some(_)) = session.receive() {}
    }

    #[test]
    fn no_frames_panic(frames in proptest::collection::vec((0u8..10, any::<u8>(), 0u8..6, proptest::collection::vec(any::<u8>(), 0..12)), 0..40)) {
        let mut session = session(3);
        let mut bytes = BytesMut::new();
        for (kind, flags, stream, payload) in &frames {
            bytes.extend_from_slice(&[0, 0, payload.len() as u8, *kind, *flags, 0, 0, 0, *stream]);
            bytes.extend_from_slice(payload);
        }
        session.input().extend_from_slice(&bytes);
        while let Ok(Some(event)) = session.receive() {
            if let Event::Request(request) = event {
                session.respond(request.stream, Bytes::from_static(&[0x88]), Bytes::from_static(b"x"));
            }
        }
    }
}
