//! Frames round trip, and what is malformed is refused.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{DEFAULT_MAX_FRAME, ErrorCode, Frame, Setting, decode};

fn read(bytes: &[u8]) -> Result<Option<Frame>, ErrorCode> {
    decode(&mut BytesMut::from(bytes), DEFAULT_MAX_FRAME).map_err(|error| error.code)
}

fn payload() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn frame() -> impl Strategy<Value = Frame> {
    let stream = 1u32..0x7fff_ffff;
    let settings = proptest::collection::vec((1u16..2, any::<u32>()), 0..6);
    prop_oneof![
        (stream.clone(), any::<bool>(), payload()).prop_map(|(stream, end_stream, data)| {
            let cost = data.len() as u32;
            Frame::Data { stream, end_stream, data, cost }
        }),
        (stream.clone(), any::<bool>(), any::<bool>(), payload()).prop_map(
            |(stream, end_stream, end_headers, fragment)| {
                Frame::Headers { stream, end_stream, end_headers, fragment }
            }
        ),
        (stream.clone(), any::<bool>(), payload()).prop_map(|(stream, end_headers, fragment)| Frame::Continuation {
            stream,
            end_headers,
            fragment
        }),
        (stream.clone(), any::<u32>()).prop_map(|(stream, code)| Frame::Reset { stream, code: ErrorCode(code) }),
        settings.prop_map(|values| Frame::Settings {
            values: values.into_iter().map(|(setting, value)| (Setting(setting), value)).collect()
        }),
        Just(Frame::SettingsAck),
        (any::<bool>(), any::<[u8; 8]>()).prop_map(|(ack, payload)| Frame::Ping { ack, payload }),
        (stream.clone(), any::<u32>(), payload()).prop_map(|(last_stream, code, debug)| Frame::GoAway {
            last_stream,
            code: ErrorCode(code),
            debug
        }),
        (0u32..0x7fff_ffff, stream).prop_map(|(stream, increment)| Frame::WindowUpdate { stream, increment }),
    ]
}

proptest! {
    #[test]
    fn frames_round_trip(frames in proptest::collection::vec(frame(), 1..8)) {
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        for expected in frames {
            prop_assert_eq!(decode(&mut bytes, DEFAULT_MAX_FRAME).unwrap(), Some(expected));
        }
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn a_part_of_a_frame_is_left_alone(frame in frame(), cut in any::<prop::sample::Index>()) {
        let mut whole = BytesMut::new();
        frame.encode(&mut whole);
        let mut part = BytesMut::from(&whole[..cut.index(whole.len())]);
        let before = part.clone();
        prop_assert_eq!(decode(&mut part, DEFAULT_MAX_FRAME).unwrap(), None);
        prop_assert_eq!(part, before);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = BytesMut::from(bytes.as_slice());
        while let Ok(Some(_)) = decode(&mut bytes, DEFAULT_MAX_FRAME) {}
    }

    #[test]
    fn no_frame_of_a_known_type_panics(kind in 0u8..10, flags in any::<u8>(), stream in 0u8..3, payload in payload()) {
        let mut bytes = BytesMut::new();
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        bytes.extend_from_slice(&[kind, flags, 0, 0, 0, stream]);
        bytes.extend_from_slice(&payload);
        let _ = decode(&mut bytes, DEFAULT_MAX_FRAME);
    }
}

#[test]
fn padding_and_priority_are_stripped() {
    let padded = [0, 0, 6, 0, 0x9, 0, 0, 0, 1, 2, b'a', b'b', b'c', 0, 0];
    let data = Frame::Data { stream: 1, end_stream: true, data: Bytes::from_static(b"abc"), cost: 6 };
    assert_eq!(read(&padded), Ok(Some(data)));
    let prioritised = [0, 0, 6, 1, 0x24, 0, 0, 0, 1, 0x80, 0, 0, 0, 9, 0x82];
    let fragment = Bytes::from_static(&[0x82]);
    let headers = Frame::Headers { stream: 1, end_stream: false, end_headers: true, fragment };
    assert_eq!(read(&prioritised), Ok(Some(headers)));
}

#[test]
fn what_is_malformed_is_refused() {
    let cases: [(&[u8], ErrorCode); 10] = [
        (&[0, 0x40, 1, 0, 0, 0, 0, 0, 1], ErrorCode::FRAME_SIZE_ERROR),
        (&[0, 0, 1, 0, 0, 0, 0, 0, 0, 1], ErrorCode::PROTOCOL_ERROR),
        (&[0, 0, 1, 0, 8, 0, 0, 0, 1, 1], ErrorCode::PROTOCOL_ERROR),
        (&[0, 0, 0, 0, 8, 0, 0, 0, 1], ErrorCode::FRAME_SIZE_ERROR),
        (&[0, 0, 1, 4, 0, 0, 0, 0, 0, 1], ErrorCode::FRAME_SIZE_ERROR),
        (&[0, 0, 0, 4, 0, 0, 0, 0, 1], ErrorCode::PROTOCOL_ERROR),
        (&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1], ErrorCode::PROTOCOL_ERROR),
        (&[0, 0, 1, 6, 0, 0, 0, 0, 0, 1], ErrorCode::FRAME_SIZE_ERROR),
        (&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0], ErrorCode::PROTOCOL_ERROR),
        (&[0, 0, 3, 3, 0, 0, 0, 0, 1, 0, 0, 0], ErrorCode::FRAME_SIZE_ERROR),
    ];
    for (bytes, code) in cases {
        assert_eq!(read(bytes), Err(code), "{bytes:?}");
    }
}
