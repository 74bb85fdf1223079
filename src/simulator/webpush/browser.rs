//! The browsers behind the simulator: as many subscriptions as one likes, none of which is kept. An id makes its keys, the
//! same each time, so that a message can be decrypted by whoever knows the seed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToSec1Point;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;

use super::PushService;

const POINT: usize = 65;
const HEADER: usize = 16 + 4 + 1 + POINT;

/// One browser's half of a subscription.
pub(super) struct Browser {
    private: p256::SecretKey,
    public: [u8; POINT],
    auth: [u8; 16],
}

/// What a body's header says.
pub(super) struct Head<'b> {
    pub(super) salt: &'b [u8],
    pub(super) key: &'b [u8],
}

impl Browser {
    /// The one with this id.
    pub(super) fn of(seed: u64, service: PushService, id: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes());
        let derive = |what: &str| hmac::sign(&key, format!("{what} {} {id}", service.as_str()).as_bytes());
        // Out of 2^32 digests one is no private key; then another is taken.
        let mut privates =
            (0..).filter_map(|nth: u32| p256::SecretKey::from_slice(derive(&format!("private {nth}")).as_ref()).ok());
        let private = privates.next().expect("an endless series");
        let point = private.public_key().to_sec1_point(false);
        let public = point.as_bytes().try_into().expect("an uncompressed point has 65 bytes");
        let auth = derive("auth").as_ref()[..16].try_into().expect("sixteen bytes");
        Self { private, public, auth }
    }

    /// `p256dh`, as it stands in a subscription.
    pub(super) fn p256dh(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public)
    }

    /// `auth`, as it stands in a subscription.
    pub(super) fn auth(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.auth)
    }

    /// Decrypts a message as a browser does (RFC 8291, section 3.4; RFC 8188, section 2).
    pub(super) fn decrypt(&self, body: &[u8]) -> Result<Vec<u8>, &'static str> {
        let head = head(body)?;
        let ours = self.private.to_nonzero_scalar();
        let theirs = p256::PublicKey::from_sec1_bytes(head.key).map_err(|_| "key_off_the_curve")?;
        let secret = p256::ecdh::diffie_hellman(ours, theirs.as_affine());
        let info: [&[u8]; 3] = [b"WebPush: info\0", &self.public, head.key];
        let ikm: [u8; 32] = expand(&self.auth, secret.raw_secret_bytes(), &info);
        let key: [u8; 16] = expand(head.salt, ikm, &[b"Content-Encoding: aes128gcm\0"]);
        let nonce: [u8; 12] = expand(head.salt, ikm, &[b"Content-Encoding: nonce\0"]);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(|_| "key")?);
        let mut record = body[HEADER..].to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = key.open_in_place(nonce, Aad::empty(), &mut record).map_err(|_| "not_decryptable")?;
        let end = plain.iter().rposition(|byte| *byte != 0).ok_or("no_delimiter")?;
        if plain[end] == 2 { Ok(plain[..end].to_vec()) } else { Err("wrong_delimiter") }
    }
}

/// Reads the header, and checks what stands in it (RFC 8188, section 2.1; RFC 8291, section 4).
pub(super) fn head(body: &[u8]) -> Result<Head<'_>, &'static str> {
    let (header, record) = body.split_at_checked(HEADER).ok_or("no_header")?;
    let size = u32::from_be_bytes(header[16..20].try_into().expect("four bytes"));
    if header[20] as usize != POINT || header[21] != 4 {
        return Err("bad_key_id");
    }
    if record.len() < 17 {
        return Err("no_record");
    }
    // One record, and the size that is announced is greater than it.
    if usize::try_from(size).is_ok_and(|size| size <= record.len()) {
        return Err("record_size");
    }
    Ok(Head { salt: &header[..16], key: &header[21..] })
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(salt: &[u8], secret: impl AsRef<[u8]>, info: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    let prk = Salt::new(HKDF_SHA256, salt).extract(secret.as_ref());
    prk.expand(info, Length(N)).and_then(|okm| okm.fill(&mut out)).expect("a few bytes can always be expanded");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_makes_the_same_browser_each_time_and_another_id_another_one() {
        let of = |service, id| Browser::of(1, service, id).p256dh();
        assert_eq!(of(PushService::Mozilla, "a"), of(PushService::Mozilla, "a"));
        assert_ne!(of(PushService::Mozilla, "a"), of(PushService::Mozilla, "b"));
        assert_ne!(of(PushService::Mozilla, "a"), of(PushService::Google, "a"));
    }

    #[test]
    fn the_worked_example_of_rfc_8291_is_decrypted() {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let browser = Browser {
            private: p256::SecretKey::from_slice(&bytes("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")).expect("a key"),
            public: bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
                .try_into()
                .expect("a point"),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().expect("sixteen bytes"),
        };
        let mut body = bytes(
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
        );
        assert_eq!(browser.decrypt(&body).expect("it is"), b"When I grow up, I want to be a watermelon");
        *body.last_mut().expect("not empty") ^= 1;
        assert_eq!(browser.decrypt(&body), Err("not_decryptable"));
    }
}
