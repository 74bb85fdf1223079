//! The JSON of SPEC.md, section 6.

use serde_json::json;

use super::*;
use crate::job::fixture::push;
use crate::outcome::Outcome;

fn ended(target: &Value, outcome: Outcome) -> String {
    let job = json!({"id": "job-1", "app": "chat", "to": [target], "data": {"k": "v"}});
    let json = to_json(&Ended { push: push(&job), outcome });
    let text = String::from_utf8(json.to_vec()).unwrap();
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let value = serde_json::from_str(&text).expect("JSON");
    assert!(validator.is_valid(&value), "{text} does not fit its own schema");
    text
}

fn outcome(kind: OutcomeKind) -> Outcome {
    let at = UnixMillis(1_795_531_801_000);
    Outcome { kind, reason: None, status: None, attempts: 1, provider_id: None, since: None, at }
}

#[test]
fn all_fields_in_their_order() {
    let dead = Outcome {
        reason: Some("Unregistered".into()),
        status: Some(410),
        attempts: 2,
        provider_id: Some("eabeae54-14a8-11e5-b60b-1697f925ec7b".into()),
        since: Some(UnixMillis(1_795_000_000_000)),
        ..outcome(OutcomeKind::Unregistered)
    };
    let wanted = concat!(
        r#"{"job":"job-1","app":"chat","provider":"apns","target":{"apns":"5F3Ae1"},"outcome":"unregistered","#,
        r#""reason":"Unregistered","status":410,"attempts":2,"provider_id":"eabeae54-14a8-11e5-b60b-1697f925ec7b","#,
        r#""since":"2026-11-18T11:06:40.000Z","accepted_at":"2026-11-24T14:50:00.123Z","at":"2026-11-24T14:50:01.000Z"}"#
    );
    assert_eq!(ended(&json!({"apns": "5F3Ae1"}), dead), wanted);
}

#[test]
fn empty_fields_are_left_out() {
    let wanted = concat!(
        r#"{"job":"job-1","app":"chat","provider":"fcm","target":{"fcm":"dXyz"},"outcome":"delivered","attempts":1,"#,
        r#""accepted_at":"2026-11-24T14:50:00.123Z","at":"2026-11-24T14:50:01.000Z"}"#
    );
    assert_eq!(ended(&json!({"fcm": "dXyz"}), outcome(OutcomeKind::Delivered)), wanted);
}

#[test]
fn the_target_is_the_object_that_stood_in_the_job() {
    let webpush = json!({"endpoint": "https://push.example/1", "p256dh": "A".repeat(87), "auth": "A".repeat(22)});
    for target in [
        json!({"fcm": {"topic": "news"}}),
        json!({"fcm": {"condition": "'a' in topics"}}),
        json!({"fcm": {"fid": "cAbC"}}),
        json!({"webpush": webpush}),
        // Bad ones, too: the caller must find them again.
        json!({"apns": "no/hex"}),
        json!({"apns": 5}),
        json!({"fcm": {"topic": "a", "fid": [1.5, null]}}),
        json!({"webpush": {"endpoint": "http://plain"}}),
    ] {
        let told: Value = serde_json::from_str(&ended(&target, outcome(OutcomeKind::Rejected))).unwrap();
        assert_eq!(told["target"], target);
    }
}
