use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::*;
use crate::job::UnixMillis;
use crate::provider::webpush::encrypt;
use crate::simulator::Faults;

const ORIGIN: &str = "https://127.0.0.1:4431";
const NOW: u64 = 1_800_000_000;

struct Bench {
    key: KeyPair,
    door: WebpushDoor,
}

impl Bench {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let (settings, public) = (WebpushDoorSettings::default(), key.der_bytes().to_vec());
        let door = WebpushDoor::new(PushService::Strict, settings, ORIGIN.to_owned(), public, 1);
        Self { key, door }
    }

    fn authorization(&self, claims: &Value) -> String {
        sign(&self.key, &json!({"typ": "JWT", "alg": "ES256"}), claims)
    }

    fn good(&self) -> Request {
        let subscription = subscription(1, PushService::Strict, ORIGIN, "a");
        let body = encrypt(b"hi", 0, &subscription).expect("it is encrypted");
        let authorization = self.authorization(&json!({"aud": ORIGIN, "exp": NOW + 3600, "sub": "mailto:a@b.example"}));
        let headers = [
            ("authorization", authorization.as_str()),
            ("ttl", "60"),
            ("urgency", "high"),
            ("topic", "t"),
            ("content-encoding", "aes128gcm"),
        ];
        Request {
            connection: 1,
            stream: 1,
            method: "POST".to_owned(),
            path: "/push/a".to_owned(),
            authority: "127.0.0.1:4431".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: body.into(),
            client_certificate: None,
            at: Instant::now(),
            wall: UnixMillis(NOW * 1000),
        }
    }

    fn answer(&mut self, request: &Request) -> (u16, String) {
        let faults = Faults::default();
        let reply = self.door.answer(request, Circumstances { faults: &faults, injected: None });
        (reply.status, reply.reason.unwrap_or_default())
    }
}

fn sign(key: &KeyPair, header: &Value, claims: &Value) -> String {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = pair.expect("a key").sign(&random, signed.as_bytes()).expect("signed");
    let (signature, public) = (URL_SAFE_NO_PAD.encode(signature), URL_SAFE_NO_PAD.encode(key.der_bytes()));
    format!("vapid t={signed}.{signature}, k={public}")
}

fn with(mut request: Request, name: &str, value: Option<&str>) -> Request {
    request.headers.retain(|(key, _)| key != name);
    request.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    request
}

#[test]
fn a_good_push_is_accepted_once_and_its_salt_and_key_not_again() {
    let mut bench = Bench::new();
    let request = bench.good();
    assert_eq!(bench.answer(&request), (201, String::new()));
    assert_eq!(bench.answer(&request), (400, "used_twice".to_owned()));
    let empty = with(Request { body: Bytes::new(), ..bench.good() }, "content-encoding", None);
    assert_eq!(bench.answer(&empty), (201, String::new()));
}

#[test]
fn what_vapid_must_say_is_checked() {
    let mut bench = Bench::new();
    let claims = |aud: &str, exp: u64, sub: &str| json!({"aud": aud, "exp": exp, "sub": sub});
    for (claims, reason) in [
        (claims("https://127.0.0.1", NOW + 60, "mailto:a@b.example"), "bad_audience"),
        (claims("https://127.0.0.1:4431/", NOW + 60, "mailto:a@b.example"), "bad_audience"),
        (claims(ORIGIN, NOW, "mailto:a@b.example"), "bad_expiry"),
        (claims(ORIGIN, NOW + 24 * 3600 + 1, "mailto:a@b.example"), "bad_expiry"),
        (claims(ORIGIN, NOW + 60, "a@b.example"), "bad_subject"),
        (json!({"aud": ORIGIN}), "bad_token"),
    ] {
        let request = with(bench.good(), "authorization", Some(&bench.authorization(&claims)));
        assert_eq!(bench.answer(&request), (401, reason.to_owned()), "{claims}");
    }
    let good = claims(ORIGIN, NOW + 60, "mailto:a@b.example");
    let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let other = sign(&other, &json!({"typ": "JWT", "alg": "ES256"}), &good);
    let request = with(bench.good(), "authorization", Some(&other));
    assert_eq!(bench.answer(&request), (403, "other_key".to_owned()));
    let forged = bench.authorization(&good).replace(", k=B", ", k=A");
    for (header, reason) in [
        (None, "missing_authorization"),
        (Some("Bearer x"), "missing_authorization"),
        (Some("vapid t=a.b.c"), "missing_authorization"),
        (Some(forged.as_str()), "bad_signature"),
    ] {
        let request = with(bench.good(), "authorization", header);
        assert_eq!(bench.answer(&request), (401, reason.to_owned()), "{header:?}");
    }
}

#[test]
fn headers_and_body_are_checked() {
    let mut bench = Bench::new();
    let long = "t".repeat(33);
    for (name, value, reason) in [
        ("ttl", None, "missing_ttl"),
        ("ttl", Some("-1"), "bad_ttl"),
        ("ttl", Some("1.5"), "bad_ttl"),
        ("urgency", Some("High"), "bad_urgency"),
        ("topic", Some("a b"), "bad_topic"),
        ("topic", Some(long.as_str()), "bad_topic"),
        ("content-encoding", None, "encoding"),
        ("content-encoding", Some("aesgcm"), "encoding"),
    ] {
        let request = with(bench.good(), name, value);
        assert_eq!(bench.answer(&request), (400, reason.to_owned()), "{name} {value:?}");
    }
    let body = bench.good().body;
    let changed = |at: usize, to: u8| {
        let mut body = body.to_vec();
        body[at] = to;
        body
    };
    // The record size of 4096 becomes 16; the key's length; its form; the ciphertext.
    let small = [changed(18, 0)[..18].to_vec(), vec![0, 16], body[20..].to_vec()].concat();
    for (body, status, reason) in [
        (vec![0; 4097], 413, "too_large"),
        (body[..50].to_vec(), 400, "no_header"),
        (body[..100].to_vec(), 400, "no_record"),
        (small, 400, "record_size"),
        (changed(20, 64), 400, "bad_key_id"),
        (changed(21, 2), 400, "bad_key_id"),
        (changed(30, body[30] ^ 1), 400, "key_off_the_curve"),
        (changed(90, body[90] ^ 1), 400, "not_decryptable"),
    ] {
        let request = Request { body: body.into(), ..bench.good() };
        assert_eq!(bench.answer(&request), (status, reason.to_owned()));
    }
    for (method, path, status) in [("GET", "/push/a", 405), ("POST", "/push/", 404), ("POST", "/other/a", 404)] {
        let request = Request { method: method.to_owned(), path: path.to_owned(), ..bench.good() };
        assert_eq!(bench.answer(&request).0, status, "{method} {path}");
    }
}
