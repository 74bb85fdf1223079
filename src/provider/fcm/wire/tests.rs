//! What goes out to Google, to the byte.

use serde_json::{Value, json};

use super::*;
use crate::job::Lane;
use crate::job::fixture::{ACCEPTED_AT, envelope, push};

const HOUR: Duration = Duration::from_secs(3600);

fn put(push: &Push, left: Duration) -> Request {
    request(push, left, ACCEPTED_AT, &Project::new("chat-1a2b")).expect("a push that can be put")
}

fn body_in(job: Value, lane: Lane) -> String {
    let body = put(&envelope(&job, lane).push(0), HOUR).body;
    let text = String::from_utf8(body.to_vec()).unwrap();
    serde_json::from_str::<Value>(&text).expect("JSON");
    text
}

fn body(job: Value) -> String {
    body_in(job, Lane::Normal)
}

fn refused(job: Value) -> String {
    let verdict =
        request(&push(&job), HOUR, ACCEPTED_AT, &Project::new("chat-1a2b")).expect_err("a push that can't be put");
    assert_eq!(verdict.fate, Fate::Rejected);
    verdict.reason.expect("a reason").into_owned()
}

fn to() -> Value {
    json!([{"fcm": "dXyz"}])
}

#[test]
fn the_specs_example() {
    let job = json!({
        "id": "01J9ZK8Q5V3T", "app": "chat", "to": [{"apns": "5f3ae1"}, {"fcm": "dXyz:APA91b"}], "priority": "high",
        "ttl": 3600, "collapse_key": "channel-42",
        "notification": {"title": "Mina", "body": "hi", "image": "https://i.example/1.png", "sound": "default", "badge": 3},
        "data": {"channel": "42"},
        "apns": {"payload": {"aps": {"interruption-level": "time-sensitive"}}},
        "fcm": {"android": {"notification": {"channel_id": "dm"}}},
    });
    let request = put(&envelope(&job, Lane::Low).push(1), HOUR);
    assert_eq!(request.path, "/v1/projects/chat-1a2b/messages:send");
    assert_eq!(request.headers.len(), 1);
    assert_eq!(request.headers[CONTENT_TYPE], "application/json");
    let wanted = concat!(
        r#"{"message":{"token":"dXyz:APA91b","android":{"ttl":"3600s","collapse_key":"channel-42","#,
        r#""notification":{"channel_id":"dm","sound":"default"},"priority":"HIGH"},"#,
        r#""apns":{"payload":{"aps":{"badge":3,"sound":"default"}}},"data":{"channel":"42"},"#,
        r#""notification":{"body":"hi","image":"https://i.example/1.png","title":"Mina"}}}"#
    );
    assert_eq!(std::str::from_utf8(&request.body).unwrap(), wanted);
}

#[test]
fn messages_to_the_byte() {
    let data = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v", "ü": "\u{1}\u{2}"}});
    assert_eq!(
        body(data),
        r#"{"message":{"token":"dXyz","android":{"ttl":"3600s","priority":"NORMAL"},"data":{"k":"v","ü":"\u0001\u0002"}}}"#
    );
    let topic = json!({"id": "1", "app": "a", "to": [{"fcm": {"topic": "news"}}], "notification": {"title": "t"}});
    assert_eq!(
        body_in(topic, Lane::Low),
        r#"{"message":{"topic":"news","android":{"ttl":"3600s","priority":"NORMAL"},"notification":{"title":"t"}}}"#
    );
    let condition = json!({"id": "1", "app": "a", "to": [{"fcm": {"condition": "'a' in topics && \"b\" in topics"}}],
        "fcm": {"data": {"k": "v"}}});
    assert_eq!(
        body_in(condition, Lane::High),
        concat!(
            r#"{"message":{"condition":"'a' in topics && \"b\" in topics","#,
            r#""android":{"ttl":"3600s","priority":"HIGH"},"data":{"k":"v"}}}"#
        )
    );
    let fid =
        json!({"id": "1", "app": "a", "to": [{"fcm": {"fid": "cAbC"}}], "data": {"k": "v"}, "fcm": {"android": null}});
    assert_eq!(body(fid), r#"{"message":{"fid":"cAbC","data":{"k":"v"}}}"#);
}

#[test]
fn the_callers_section_wins() {
    let with = |fcm: Value| {
        body(
            json!({"id": "1", "app": "a", "to": to(), "collapse_key": "k", "notification": {"title": "t"}, "fcm": fcm}),
        )
    };
    assert_eq!(
        with(
            json!({"android": {"ttl": "5s", "priority": "HIGH", "collapse_key": "mine"}, "notification": {"title": "T"}})
        ),
        concat!(
            r#"{"message":{"token":"dXyz","android":{"collapse_key":"mine","priority":"HIGH","ttl":"5s"},"#,
            r#""notification":{"title":"T"}}}"#
        )
    );
    assert_eq!(
        with(json!({"android": {"ttl": null, "collapseKey": "mine", "notification": null}, "notification": null})),
        r#"{"message":{"token":"dXyz","android":{"collapseKey":"mine","notification":null,"priority":"NORMAL"}}}"#
    );
    assert_eq!(
        with(json!({"android": 7, "webpush": {"headers": {"Urgency": "high"}}})),
        concat!(
            r#"{"message":{"token":"dXyz","android":7,"notification":{"title":"t"},"#,
            r#""webpush":{"headers":{"Urgency":"high"}}}}"#
        )
    );
}

#[test]
fn the_ttl_is_what_is_left_and_never_more() {
    let push = push(&json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}}));
    let ttl = |left| {
        let message: Value = serde_json::from_slice(&put(&push, left).body).unwrap();
        message["message"]["android"]["ttl"].as_str().unwrap().to_owned()
    };
    assert_eq!(ttl(HOUR), "3600s");
    assert_eq!(ttl(Duration::from_millis(1999)), "1s");
    assert_eq!(ttl(Duration::from_millis(10)), "0s");
    assert_eq!(ttl(Duration::from_secs(2_419_200)), "2419200s");
    assert!(body(json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}, "ttl": 0})).contains(r#""ttl":"0s""#));
}

#[test]
fn a_fan_out_is_rendered_once() {
    let targets: Vec<_> = (0..1000).map(|n| json!({"fcm": format!("token-{n}")})).collect();
    let envelope = envelope(&json!({"id": "1", "app": "a", "to": targets, "data": {"k": "v"}}), Lane::Low);
    let bodies: Vec<_> = envelope.pushes().map(|push| put(&push, HOUR).body).collect();
    let again = || -> bytes::Bytes { panic!("rendered already") };
    let template = envelope.rendered(Provider::Fcm, |_| again());
    assert_eq!(template::fill(template, &FcmTarget::Token("token-7".into()), 3600), bodies[7]);
    for (n, body) in bodies.iter().enumerate() {
        let message: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(message["message"]["token"], format!("token-{n}"));
    }
}

#[test]
fn what_is_too_large_is_rejected_here() {
    let job = |target: &Value, bytes: usize| {
        json!({"id": "1", "app": "a", "to": [{"fcm": target}], "notification": {"title": "t"},
        "data": {"k": "x".repeat(bytes - "title".len() - "t".len() - "k".len())}})
    };
    let fits = |target: &Value, bytes| put(&push(&job(target, bytes)), HOUR).body.len() > bytes;
    for (target, most) in [
        (json!("dXyz"), 4096),
        (json!({"fid": "f"}), 4096),
        (json!({"topic": "t"}), 2048),
        (json!({"condition": "'t' in topics"}), 2048),
    ] {
        assert!(fits(&target, most), "{target}");
        assert_eq!(refused(job(&target, most + 1)), "payload_too_large", "{target}");
    }
}

#[test]
fn what_fcm_keeps_for_itself_is_rejected_here() {
    // PROVIDERS.md, 2.2.
    for key in ["from", "message_type", "google.x", "gcm.notification.title"] {
        assert_eq!(
            refused(json!({"id": "1", "app": "a", "to": to(), "data": {key: "v"}})),
            "reserved_data_key",
            "{key}"
        );
    }
    for key in ["From", "from_", "googly", "gcm", "message"] {
        body(json!({"id": "1", "app": "a", "to": to(), "data": {key: "v"}}));
    }
}

#[test]
fn a_push_that_is_not_fcms_or_says_nothing_is_rejected() {
    assert_eq!(refused(json!({"id": "1", "app": "a", "to": [{"fcm": ""}], "data": {"k": "v"}})), "bad_target");
    assert_eq!(refused(json!({"id": "1", "app": "a", "to": [{"apns": "aa"}], "data": {"k": "v"}})), "bad_target");
    let for_apple = json!({"id": "1", "app": "a", "to": to(), "apns": {"payload": {"k": 1}}});
    assert_eq!(refused(for_apple), "nothing_to_send");
}

#[test]
fn a_project_that_can_not_stand_in_a_path_parks_the_route() {
    let push = push(&json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}}));
    for project in ["", "..", "a/b", "a?b", "a b", "a#b", "a\r\nb", "ä"] {
        let verdict = request(&push, HOUR, ACCEPTED_AT, &Project::new(project)).unwrap_err();
        assert_eq!((verdict.fate, verdict.route), (Fate::Keep, RouteEffect::Park), "{project:?}");
    }
    request(&push, HOUR, ACCEPTED_AT, &Project::new("example.com:chat")).expect("an old project with a domain");
}

proptest::proptest! {
    /// S5: whatever stands in an address, the message is JSON and the address is in its place.
    #[test]
    fn no_address_escapes_its_string(address: String, key: String, value: String) {
        let job = json!({"id": "1", "app": "a", "to": to(), "fcm": {"data": {key: value}}});
        let envelope = envelope(&job, Lane::Normal);
        let template = envelope.rendered(Provider::Fcm, |job| template::render(job, Lane::Normal));
        let body = template::fill(template, &FcmTarget::Token(address.as_str().into()), 7);
        let message: Value = serde_json::from_slice(&body).unwrap();
        proptest::prop_assert_eq!(message["message"]["token"].as_str(), Some(address.as_str()));
        proptest::prop_assert_eq!(message["message"]["android"]["ttl"].as_str(), Some("7s"));
        proptest::prop_assert_eq!(&message["message"]["data"], &job["fcm"]["data"]);
    }
}
