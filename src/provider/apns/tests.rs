//! The protocol as a whole: what a push bears, and what the credential says of itself.

use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::job::fixture;
use crate::provider::Endpoint;
use crate::verdict::RouteEffect;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    let mut params = rcgen::CertificateParams::new(vec!["com.example.chat".to_owned()]).expect("a name");
    params.not_after = rcgen::date_time_ymd(2031, 2, 3);
    let signing_key = rcgen::KeyPair::generate().expect("a key");
    let cert = params.self_signed(&signing_key).expect("signed");
    rcgen::CertifiedKey { cert, signing_key }
}

fn apns(credential: ApnsCredential) -> Result<Apns, CredentialError> {
    let endpoint = Endpoint { host: "localhost".to_owned(), port: 443, extra_roots: Some(certificate().cert.pem()) };
    Apns::new(&ApnsSettings { endpoint, topic: "com.example.chat".to_owned(), credential })
}

fn token() -> ApnsCredential {
    let key = rcgen::KeyPair::generate().expect("a key");
    ApnsCredential::Token {
        key_pem: SecretString::from(key.serialize_pem()),
        key_id: "ABC123DEFG".to_owned(),
        team_id: "TEAM123456".to_owned(),
    }
}

fn put(apns: &Apns, now: UnixMillis) -> Request {
    let push =
        fixture::push(&json!({"id": "1", "app": "chat", "to": [{"apns": "5f3ae1"}], "notification": {"body": "hi"}}));
    apns.request(&push, Duration::from_secs(60), now).expect("a request")
}

#[test]
fn every_push_bears_the_same_token_until_it_is_renewed() {
    let apns = apns(token()).expect("a good credential");
    let header = |now| put(&apns, now).headers[AUTHORIZATION].clone();
    let first = header(NOW);
    assert!(first.is_sensitive() && first.as_bytes().starts_with(b"bearer eyJ"));
    assert_eq!(header(NOW), first);
    apns.renew();
    assert_ne!(header(UnixMillis(NOW.0 + 61_000)), first);
    assert_eq!(*apns.credential().borrow(), Credential::Ready { expires: None });
}

#[test]
fn with_a_certificate_no_push_bears_a_token_and_its_end_is_known() {
    let pair = certificate();
    let key_pem = SecretString::from(pair.signing_key.serialize_pem());
    let apns = apns(ApnsCredential::Certificate { chain_pem: pair.cert.pem(), key_pem }).expect("a good credential");
    assert!(put(&apns, NOW).headers.get(AUTHORIZATION).is_none());
    assert!(apns.tls().client_auth_cert_resolver.has_certs());
    let Credential::Ready { expires: Some(expires) } = apns.credential().borrow().clone() else { panic!("an end") };
    assert_eq!(expires.to_string(), "2031-02-03T00:00:00.000Z");
}

#[test]
fn a_certificate_that_is_none_is_named() {
    let key_pem = SecretString::from("CANARY".to_owned());
    let error =
        apns(ApnsCredential::Certificate { chain_pem: "CANARY".to_owned(), key_pem }).expect_err("no certificate");
    assert_eq!(error, CredentialError::Certificate("it holds no certificate".to_owned()));
    assert!(!format!("{error}").contains("CANARY"));
}

#[test]
fn an_expired_token_asks_for_another() {
    let apns = apns(token()).expect("a good credential");
    let answer = Answer {
        status: http::StatusCode::FORBIDDEN,
        headers: http::HeaderMap::new(),
        body: br#"{"reason":"ExpiredProviderToken"}"#.as_slice().into(),
    };
    let push = fixture::push(&json!({"app": "chat", "to": [{"apns": "5f3ae1"}], "notification": {"body": "hi"}}));
    let verdict = apns.verdict(&push, &answer);
    assert_eq!(verdict.fate, Fate::Resign);
    assert_ne!(verdict.route, RouteEffect::Park);
}

/// One job that names a topic which the credential may not push to must not stop the app's other jobs.
#[test]
fn a_topic_that_the_caller_named_is_the_callers_fault() {
    let apns = apns(token()).expect("a good credential");
    let body = br#"{"reason":"TopicDisallowed"}"#.as_slice().into();
    let answer = Answer { status: http::StatusCode::BAD_REQUEST, headers: http::HeaderMap::new(), body };
    let job = |headers: serde_json::Value| {
        let job = json!({"app": "chat", "to": [{"apns": "5f3ae1"}], "notification": {"body": "hi"}, "apns": {"headers": headers}});
        apns.verdict(&fixture::push(&job), &answer)
    };
    let plain = job(json!({"apns-priority": "5"}));
    assert_eq!((plain.fate, plain.route), (Fate::Keep, RouteEffect::Park));
    for headers in [json!({"apns-topic": "com.example.other"}), json!({"apns-push-type": "voip"})] {
        let named = job(headers);
        assert_eq!((named.fate, named.route), (Fate::Rejected, RouteEffect::Alert));
    }
}
