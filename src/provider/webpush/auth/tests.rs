//! VAPID tokens as a push service reads them.

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use super::*;

const START: UnixMillis = UnixMillis(1_800_000_000_000);

fn after(minutes: u64) -> UnixMillis {
    UnixMillis(START.0 + minutes * 60_000)
}

fn pair() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key")
}

fn signer(pair: &rcgen::KeyPair) -> Signer {
    Signer::new(&SecretString::from(pair.serialize_pem()), "mailto:ops@example.com").expect("a good key")
}

fn mozilla() -> Origin {
    Origin { host: "updates.push.services.mozilla.com".into(), port: 443 }
}

#[test]
fn a_token_is_what_rfc_8292_asks_for() {
    let pair = pair();
    let odd = Origin { host: "push.example".into(), port: 8443 };
    let header = signer(&pair).authorization(&odd, START).expect("a token");
    assert!(header.is_sensitive());
    let (token, public) =
        header.to_str().expect("ASCII").strip_prefix("vapid t=").expect("the scheme").split_once(", k=").expect("both");
    assert_eq!(URL_SAFE_NO_PAD.decode(public).expect("base64url"), pair.public_key_raw());
    let parts: Vec<_> = token.split('.').collect();
    let [head, claims, signature] = parts[..] else { panic!("three parts") };
    let json = |part: &str| {
        serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
    };
    assert_eq!(json(head), serde_json::json!({"typ": "JWT", "alg": "ES256"}));
    let wanted = serde_json::json!({
        "aud": "https://push.example:8443", "exp": 1_800_000_000_u64 + 12 * 3600, "sub": "mailto:ops@example.com"
    });
    assert_eq!(json(claims), wanted);
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key_raw());
    key.verify(format!("{head}.{claims}").as_bytes(), &signature).expect("signed with the key");
}

#[test]
fn a_token_is_shared_for_six_hours_and_by_one_origin_alone() {
    let signer = signer(&pair());
    let first = signer.authorization(&mozilla(), START);
    assert_eq!(signer.authorization(&mozilla(), after(359)), first);
    let google = Origin { host: "fcm.googleapis.com".into(), port: 443 };
    assert_ne!(signer.authorization(&google, after(1)), first);
    assert_ne!(signer.authorization(&mozilla(), after(360)), first);
}

#[test]
fn a_clock_that_jumps_back_makes_a_new_token() {
    let signer = signer(&pair());
    let first = signer.authorization(&mozilla(), after(60));
    assert_eq!(signer.authorization(&mozilla(), after(56)), first, "a small correction of the clock");
    assert_ne!(signer.authorization(&mozilla(), START), first);
}

#[test]
fn tokens_of_a_thousand_origins_are_not_kept() {
    let signer = signer(&pair());
    for nth in 0..1_000_u64 {
        let origin = Origin { host: format!("o{nth}.example").into(), port: 443 };
        signer.authorization(&origin, UnixMillis(START.0 + nth)).expect("a token");
    }
    assert_eq!(signer.tokens.lock().expect("nobody panicked").len(), KEPT);
}

#[test]
fn both_forms_of_a_key_are_the_same_key() {
    // RFC 8291's example: any pair will do.
    let raw = SecretString::from("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw\n".to_owned());
    let signer = Signer::new(&raw, "https://example.com/contact").expect("a good key");
    assert_eq!(
        signer.public(),
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
    );
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_shown() {
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key").serialize_pem();
    let zero = URL_SAFE_NO_PAD.encode([0; 32]);
    for bad in ["CANARY", p384.as_str(), zero.as_str(), ""] {
        let error = Signer::new(&SecretString::from(bad.to_owned()), "mailto:ops@example.com").expect_err("a bad key");
        assert!(matches!(error, CredentialError::VapidKey(_)), "{error}");
        assert!(bad.is_empty() || !error.to_string().contains(bad), "{error}");
    }
    let key = SecretString::from(pair().serialize_pem());
    let bad = [
        "",
        "ops@example.com",
        "mailto:",
        "mailto:ops",
        "mailto:@example.com",
        "mailto: ops@example.com",
        "mailto:<ops@example.com>",
        "mailto:ops@localhost",
        "https://",
        "https://localhost/x",
        "http://example.com",
        "mailto:ops@example.com\r\nx: y",
    ];
    for subject in bad {
        assert_eq!(Signer::new(&key, subject).err(), Some(CredentialError::VapidSubject), "{subject}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let pair = pair();
    let signer = signer(&pair);
    let header = signer.authorization(&mozilla(), START).expect("a token");
    let shown = format!("{signer:?} {header:?}");
    assert!(!shown.contains("eyJ"), "{shown}");
    assert!(!pair.serialize_pem().lines().any(|line| shown.contains(line)), "{shown}");
}
