//! The protocol as a whole: what is signed, what is refused, and that neither shows a secret.

use serde_json::json;

use super::*;
use crate::job::fixture;

fn settings() -> WebpushSettings {
    WebpushSettings {
        key: new_key(),
        subject: "mailto:ops@example.com".to_owned(),
        extra_roots: None,
        services: Services::new([]).expect("none"),
        private_networks: Vec::new(),
        padding: Padding::None,
    }
}

fn push(endpoint: &str) -> Push {
    fixture::push(&json!({"id": "j", "app": "web", "data": {"k": "v"}, "to": [{"webpush": {
        "endpoint": endpoint,
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg"
    }}]}))
}

#[test]
fn a_push_is_signed_for_its_origin_and_all_others_there_by_the_same_token() {
    let webpush = Webpush::new(&settings()).expect("a good credential");
    let authorization = |endpoint: &str| {
        let request = webpush.request(&push(endpoint), Duration::from_secs(60), UnixMillis::now());
        request.expect("it can be put").headers[AUTHORIZATION].clone()
    };
    let apple = authorization("https://web.push.apple.com/a");
    assert!(apple.is_sensitive());
    assert!(apple.to_str().expect("ASCII").ends_with(&format!("k={}", webpush.public_key())));
    assert_eq!(apple, authorization("https://web.push.apple.com/b"));
    assert_ne!(apple, authorization("https://fcm.googleapis.com/fcm/send/a"));
}

#[test]
fn an_endpoint_that_is_not_allowed_has_no_origin_and_no_request() {
    let webpush = Webpush::new(&settings()).expect("a good credential");
    let bad = push("https://169.254.169.254/latest/meta-data/");
    let reason = |verdict: Verdict| (verdict.fate, verdict.reason.unwrap_or_default().into_owned());
    let wanted = (Fate::Rejected, "endpoint_host_not_allowed".to_owned());
    assert_eq!(reason(webpush.origin(&bad).expect_err("not allowed")), wanted);
    let refused = webpush.request(&bad, Duration::from_secs(60), UnixMillis::now());
    assert_eq!(reason(refused.expect_err("not allowed")), wanted);
}

#[test]
fn another_providers_target_is_none_of_ours() {
    let webpush = Webpush::new(&settings()).expect("a good credential");
    let push = fixture::push(&json!({"id": "j", "app": "web", "data": {"k": "v"}, "to": [{"apns": "aa"}]}));
    assert_eq!(webpush.origin(&push).expect_err("no subscription").reason.as_deref(), Some("bad_target"));
}
