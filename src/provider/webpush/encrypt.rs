//! Encryption for one subscription (RFC 8291, over RFC 8188's `aes128gcm`).
//!
//! ```text
//!  ours, new for each message ─┐
//!                              ├─ECDH─▶ secret ──HMAC(auth)──▶ IKM ──HMAC(salt)──▶ key, nonce
//!  the browser's (p256dh) ─────┘
//!
//!  body: salt (16) ‖ record size (4) ‖ 65 ‖ our public key (65) ‖ AES-128-GCM(plaintext ‖ 2 ‖ zeros) ‖ tag (16)
//! ```
//!
//! There is always exactly one record (RFC 8291, section 4). What the two random values decide is an argument, so that
//! the RFC's worked example can be made again.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hmac::{HMAC_SHA256, Key, Tag, sign};
use ring::rand::{SecureRandom, SystemRandom};

/// An uncompressed P-256 point: 4, then both coordinates.
pub(super) const POINT: usize = 65;
/// The authentication secret.
pub(super) const AUTH: usize = 16;
const SALT: usize = 16;
/// The record size that is announced; it must be greater than what stands in the record (RFC 8291, section 4).
const RECORD: u32 = 4096;
/// What stands before the record: salt, record size, length of the key, key.
const HEADER: usize = SALT + 4 + 1 + POINT;
const TAG: usize = 16;
/// Ends the plaintext of the last record (RFC 8188, section 2).
const LAST: u8 = 2;
/// The largest body that every push service must take (RFC 8030, section 7.2).
const MAX_BODY: usize = 4096;
/// The largest plaintext, bytes: 3,993.
pub(super) const MAX_PLAINTEXT: usize = MAX_BODY - HEADER - TAG - 1;

/// The browser's half of a subscription.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Recipient {
    /// Its public key.
    pub(super) public: [u8; POINT],
    /// The secret that only it and its app know.
    pub(super) auth: [u8; AUTH],
}

/// Why nothing was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotEncrypted {
    /// The browser's key is no point of the curve.
    BadKey,
    /// The plaintext is too large.
    TooLarge,
    /// The system gave no randomness.
    NoRandomness,
}

/// Encrypts `plaintext`, filled up with zeros to `padded` bytes if it is shorter.
pub(super) fn encrypt(
    plaintext: &[u8],
    padded: usize,
    to: &Recipient,
    random: &SystemRandom,
) -> Result<Vec<u8>, NotEncrypted> {
    let mut salt = [0; SALT];
    random.fill(&mut salt).map_err(|_| NotEncrypted::NoRandomness)?;
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, random).map_err(|_| NotEncrypted::NoRandomness)?;
    let public = ours.compute_public_key().map_err(|_| NotEncrypted::NoRandomness)?;
    let public: [u8; POINT] = public.as_ref().try_into().expect("a P-256 point has 65 bytes");
    // It checks that the other point is on the curve.
    let theirs = UnparsedPublicKey::new(&ECDH_P256, to.public);
    agree_ephemeral(ours, &theirs, |secret| seal(plaintext, padded, to, secret, &public, &salt))
        .map_err(|_| NotEncrypted::BadKey)?
}

/// Everything after ECDH.
fn seal(
    plaintext: &[u8],
    padded: usize,
    to: &Recipient,
    secret: &[u8],
    public: &[u8; POINT],
    salt: &[u8; SALT],
) -> Result<Vec<u8>, NotEncrypted> {
    if plaintext.len() > MAX_PLAINTEXT {
        return Err(NotEncrypted::TooLarge);
    }
    let padded = padded.clamp(plaintext.len(), MAX_PLAINTEXT);
    let (key, nonce) = key_and_nonce(to, secret, public, salt);
    let mut record = Vec::with_capacity(padded + 1 + TAG);
    record.extend_from_slice(plaintext);
    record.push(LAST);
    record.resize(padded + 1, 0);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).map_err(|_| NotEncrypted::TooLarge)?;

    let mut body = Vec::with_capacity(HEADER + record.len());
    body.extend_from_slice(salt);
    body.extend_from_slice(&RECORD.to_be_bytes());
    body.push(POINT as u8);
    body.extend_from_slice(public);
    body.extend_from_slice(&record);
    Ok(body)
}

/// RFC 8291, section 3.4.
fn key_and_nonce(to: &Recipient, secret: &[u8], public: &[u8; POINT], salt: &[u8; SALT]) -> (LessSafeKey, Nonce) {
    let prk = mac(&to.auth, &[secret]);
    let ikm = mac(prk.as_ref(), &[b"WebPush: info\0", &to.public, public, &[1]]);
    let prk = mac(salt, &[ikm.as_ref()]);
    let key = mac(prk.as_ref(), &[b"Content-Encoding: aes128gcm\0", &[1]]);
    let nonce = mac(prk.as_ref(), &[b"Content-Encoding: nonce\0", &[1]]);
    let key = UnboundKey::new(&AES_128_GCM, &key.as_ref()[..16]).expect("an AES-128 key has 16 bytes");
    let nonce = Nonce::try_assume_unique_for_key(&nonce.as_ref()[..12]).expect("a nonce has 12 bytes");
    (LessSafeKey::new(key), nonce)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Tag {
    let key = Key::new(HMAC_SHA256, key);
    match parts {
        [whole] => sign(&key, whole),
        parts => {
            let mut context = ring::hmac::Context::with_key(&key);
            parts.iter().for_each(|part| context.update(part));
            context.sign()
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        URL_SAFE_NO_PAD.decode(text).expect("base64url").try_into().expect("the length")
    }

    /// The browser's half of RFC 8291's example.
    fn example() -> Recipient {
        Recipient {
            public: bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        }
    }

    #[test]
    fn the_worked_example_of_rfc_8291_comes_out_byte_for_byte() {
        let ours = p256::SecretKey::from_slice(&bytes::<32>("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"));
        let ours = ours.expect("a private key");
        let theirs = p256::PublicKey::from_sec1_bytes(&example().public).expect("a point");
        let secret = p256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
        assert_eq!(secret.raw_secret_bytes()[..], bytes::<32>("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs"));
        let public = bytes("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
        let plaintext = b"When I grow up, I want to be a watermelon";
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw");
        let body = seal(plaintext, 0, &example(), secret.raw_secret_bytes(), &public, &salt).expect("it fits");
        let wanted = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(body), wanted);
    }

    #[test]
    fn the_largest_plaintext_makes_the_largest_body() {
        let random = SystemRandom::new();
        assert_eq!(MAX_PLAINTEXT, 3993);
        let body = encrypt(&[7; MAX_PLAINTEXT], 0, &example(), &random).expect("it fits");
        assert_eq!(body.len(), MAX_BODY);
        assert_eq!(encrypt(&[7; MAX_PLAINTEXT + 1], 0, &example(), &random), Err(NotEncrypted::TooLarge));
        let padded = encrypt(&[7; 3], usize::MAX, &example(), &random).expect("padding never makes it too large");
        assert_eq!(padded.len(), MAX_BODY);
    }

    #[test]
    fn no_key_and_no_salt_is_used_twice() {
        let random = SystemRandom::new();
        let heads = (0..50).map(|_| encrypt(b"x", 0, &example(), &random).expect("encrypted")[..HEADER].to_vec());
        let heads: std::collections::HashSet<_> =
            heads.flat_map(|head| [head[..16].to_vec(), head[21..].to_vec()]).collect();
        assert_eq!(heads.len(), 100);
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_refused() {
        let mut off = example();
        off.public[64] ^= 1;
        let mut compressed = example();
        compressed.public[0] = 2;
        let zeros = Recipient { public: [0; POINT], auth: [0; AUTH] };
        for bad in [off, compressed, zeros] {
            assert_eq!(encrypt(b"x", 0, &bad, &SystemRandom::new()), Err(NotEncrypted::BadKey));
        }
    }
}
