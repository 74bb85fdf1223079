//! The examples of RFC 7541, appendix C, and what no input may do.

use bytes::BytesMut;
use proptest::prelude::*;

use super::{Decoder, Error, Field, encode_field, encode_status, huffman};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn fields(pairs: &[(&str, &str)]) -> Vec<Field> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A block, its fields, and what the table holds afterwards.
type Step<'a> = (&'a str, &'a [(&'a str, &'a str)], usize);

/// Decodes blocks one after the other.
fn series(limit: usize, blocks: &[Step<'_>]) {
    let mut decoder = Decoder::new(limit, 65_536);
    for (block, expected, size) in blocks {
        assert_eq!(decoder.decode(&bytes(block)).unwrap().fields, fields(expected));
        assert_eq!(decoder.table_size(), *size);
    }
}

#[test]
fn literals_and_indices_c2() {
    let indexing = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    series(4096, &[(indexing, &[("custom-key", "custom-header")], 55)]);
    series(4096, &[("040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")], 0)]);
    series(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &[("password", "secret")], 0)]);
    series(4096, &[("82", &[(":method", "GET")], 0)]);
}

const FIRST: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

#[test]
fn requests_c3_plain() {
    let first = "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
    let second = "8286 84be 5808 6e6f 2d63 6163 6865";
    let third = "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65";
    series(4096, &[(first, FIRST, 57), (second, SECOND, 110), (third, THIRD, 164)]);
}

#[test]
fn requests_c4_huffman() {
    let first = "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff";
    let second = "8286 84be 5886 a8eb 1064 9cbf";
    let third = "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf";
    series(4096, &[(first, FIRST, 57), (second, SECOND, 110), (third, THIRD, 164)]);
}

const DATE_21: &str = "Mon, 21 Oct 2013 20:13:21 GMT";
const DATE_22: &str = "Mon, 21 Oct 2013 20:13:22 GMT";
const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

fn responses(first: &str, second: &str, third: &str) {
    let site = ("location", "https://www.example.com");
    let private = ("cache-control", "private");
    series(
        256,
        &[
            (first, &[(":status", "302"), private, ("date", DATE_21), site], 222),
            (second, &[(":status", "307"), private, ("date", DATE_21), site], 222),
            (
                third,
                &[
                    (":status", "200"),
                    private,
                    ("date", DATE_22),
                    site,
                    ("content-encoding", "gzip"),
                    ("set-cookie", COOKIE),
                ],
                215,
            ),
        ],
    );
}

#[test]
fn responses_c5_plain_with_eviction() {
    responses(
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120
         474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738
         666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33
         3630 303b 2076 6572 7369 6f6e 3d31",
    );
}

#[test]
fn responses_c6_huffman_with_eviction() {
    responses(
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718
         63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7
         b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    );
}

#[test]
fn integers_c1() {
    // 1337 with a prefix of five bits, as a size update: above the table's limit here, within it there.
    assert_eq!(Decoder::new(1336, 4096).decode(&bytes("3f9a 0a")), Err(Error::TableSize));
    assert!(Decoder::new(1337, 4096).decode(&bytes("3f9a 0a")).is_ok());
    assert_eq!(Decoder::new(4096, 4096).decode(&bytes("3fff ffff ffff ffff")), Err(Error::Integer));
}

#[test]
fn what_is_malformed_is_refused() {
    let decode = |hex| Decoder::new(4096, 4096).decode(&bytes(hex));
    assert_eq!(decode("80"), Err(Error::Index));
    assert_eq!(decode("be"), Err(Error::Index));
    assert_eq!(decode("400a 63"), Err(Error::Truncated));
    assert_eq!(decode("82 20"), Err(Error::TableSize));
    // Padding of zeros, padding of a whole byte, EOS itself (section 5.2).
    assert_eq!(decode("00 81 00 00"), Err(Error::Huffman));
    assert_eq!(decode("00 82 1fff 00"), Err(Error::Huffman));
    assert_eq!(decode("00 84 ffff fffc 00"), Err(Error::Huffman));
}

#[test]
fn a_list_above_the_limit_is_not_kept_but_the_table_is() {
    let mut decoder = Decoder::new(4096, 60);
    let block = decoder.decode(&bytes("82 400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572")).unwrap();
    assert_eq!((block.fields, block.oversized), (fields(&[(":method", "GET")]), true));
    assert_eq!(decoder.table_size(), 55);
}

proptest! {
    #[test]
    fn huffman_round_trips(plain in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(huffman::decode(&huffman::encode(&plain)), Ok(plain));
    }

    #[test]
    fn fields_round_trip(status in 100u16..600, pairs in proptest::collection::vec(("[a-z-]{1,40}", "[ -~]{0,300}"), 0..12)) {
        let mut block = BytesMut::new();
        encode_status(status, &mut block);
        pairs.iter().for_each(|(name, value)| encode_field(name, value, &mut block));
        let mut expected = vec![(":status".to_owned(), status.to_string())];
        expected.extend(pairs);
        prop_assert_eq!(Decoder::new(4096, 65_536).decode(&block).unwrap().fields, expected);
    }

    #[test]
    fn no_block_panics(block in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(4096, 65_536);
        let _ = decoder.decode(&block);
        prop_assert!(decoder.table_size() <= 4096);
    }
}
