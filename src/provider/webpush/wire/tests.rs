//! Requests to the header, and what is no request.

use serde_json::json;

use super::*;
use crate::job::fixture;
use crate::provider::webpush::Services;
use crate::provider::webpush::endpoint::{self};

const DAY: Duration = Duration::from_secs(86_400);

fn target() -> Value {
    json!({"webpush": {
        "endpoint": "https://web.push.apple.com/abc",
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg"
    }})
}

fn job(more: Value) -> Value {
    let mut job = json!({"id": "j", "app": "web", "to": [target()]});
    job.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    job
}

fn put(job: &Value, lane: Lane, left: Duration, padding: Padding) -> Result<Request, String> {
    let push = fixture::envelope(job, lane).push(0);
    let crate::job::Target::Webpush(subscription) = push.target() else { panic!("a subscription") };
    let services = Services::new([]).expect("none");
    let endpoint = endpoint::read(&subscription.endpoint, &services).expect("Apple's").clone();
    request(&push, subscription, endpoint, left, padding, &SystemRandom::new())
        .map_err(|verdict| verdict.reason.expect("a rejection has its reason").into_owned())
}

fn header(request: &Request, name: &str) -> Option<String> {
    request.headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned())
}

#[test]
fn a_request_is_what_rfc_8030_and_8291_ask_for() {
    let job = job(json!({"notification": {"body": "hi"}, "collapse_key": "channel-42"}));
    let request = put(&job, Lane::High, Duration::from_millis(3_599_999), Padding::None).expect("it can be put");
    assert_eq!(request.path.as_str(), "/abc");
    for (name, value) in [
        ("ttl", "3599"),
        ("urgency", "high"),
        ("topic", "channel-42"),
        ("content-encoding", "aes128gcm"),
        ("content-type", "application/octet-stream"),
    ] {
        assert_eq!(header(&request, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(request.headers.len(), 5);
    assert!(request.headers["topic"].is_sensitive() && request.headers["ttl"].is_sensitive());
    let plain = br#"{"notification":{"body":"hi"}}"#.len();
    assert_eq!(request.body.len(), 86 + plain + 1 + 16);
}

#[test]
fn the_lane_is_the_urgency_and_now_or_never_has_no_ttl() {
    for (lane, urgency) in [(Lane::High, "high"), (Lane::Normal, "normal"), (Lane::Low, "low")] {
        let request =
            put(&job(json!({"data": {"k": "v"}, "ttl": 0})), lane, DAY, Padding::None).expect("it can be put");
        assert_eq!(
            (header(&request, "urgency").as_deref(), header(&request, "ttl").as_deref()),
            (Some(urgency), Some("0"))
        );
        assert_eq!(header(&request, "topic"), None);
    }
}

#[test]
fn a_collapse_key_that_is_no_topic_becomes_one_and_two_never_the_same() {
    let topic = |key: &str| {
        let job = job(json!({"data": {"k": "v"}, "collapse_key": key}));
        header(&put(&job, Lane::Low, DAY, Padding::None).expect("it can be put"), "topic").expect("a topic")
    };
    for key in ["a key", "ü", "0123456789012345678901234567890123", "a/b", "a+b"] {
        let topic = topic(key);
        assert!(topic.len() == 32 && is_topic(&topic), "{key}: {topic}");
    }
    assert_ne!(topic("a/b"), topic("a+b"));
    assert_eq!(topic("a/b"), topic("a/b"));
}

#[test]
fn what_the_caller_sets_wins_and_nothing_else_can_be_set() {
    let headers = json!({"TTL": 60, "Urgency": "very-low", "topic": "mine"});
    let said = job(json!({"collapse_key": "x", "webpush": {"headers": headers, "payload": {"a": 1}}}));
    let request = put(&said, Lane::High, DAY, Padding::None).expect("it can be put");
    let all = ["ttl", "urgency", "topic"].map(|name| header(&request, name).expect("it is there"));
    assert_eq!(all, ["60", "very-low", "mine"]);
    for bad in [
        json!({"authorization": "vapid t=x"}),
        json!({"host": "evil.example"}),
        json!({"content-encoding": "aesgcm"}),
        json!({"ttl": -1}),
        json!({"ttl": "soon"}),
        json!({"ttl": 99_999_999}),
        json!({"urgency": "High"}),
        json!({"topic": "a topic"}),
        json!({"topic": "x".repeat(33)}),
        json!({"topic": "a\r\nb: c"}),
    ] {
        let job = job(json!({"webpush": {"headers": bad, "payload": {"a": 1}}}));
        assert_eq!(put(&job, Lane::High, DAY, Padding::None).err().as_deref(), Some("bad_header"), "{bad}");
    }
    for bad in [json!({"payload": 7}), json!({"payload": []}), json!({"headers": "x"}), json!({"title": "x"})] {
        let job = job(json!({"webpush": bad}));
        assert_eq!(put(&job, Lane::High, DAY, Padding::None).err().as_deref(), Some("bad_webpush_section"), "{bad}");
    }
}

#[test]
fn an_empty_push_has_neither_body_nor_coding() {
    let empty = job(json!({"webpush": {"payload": null}}));
    let request = put(&empty, Lane::High, DAY, Padding::Full).expect("it can be put");
    assert!(request.body.is_empty());
    assert_eq!((header(&request, "content-encoding"), header(&request, "ttl").as_deref()), (None, Some("86400")));
    assert_eq!(
        put(&job(json!({"fcm": {"android": {"priority": "HIGH"}}})), Lane::High, DAY, Padding::None).err().as_deref(),
        Some("nothing_to_send")
    );
}

#[test]
fn the_limit_is_3993_bytes_of_plaintext() {
    let of = |length: usize| job(json!({"webpush": {"payload": "x".repeat(length)}}));
    for padding in Padding::ALL {
        let request = put(&of(3993), Lane::High, DAY, padding).expect("it fits");
        assert_eq!(request.body.len(), 4096);
        assert_eq!(put(&of(3994), Lane::High, DAY, padding).err().as_deref(), Some("payload_too_large"));
    }
}

#[test]
fn padding_hides_a_length_within_its_class() {
    let size = |length: usize, padding| {
        put(&job(json!({"webpush": {"payload": "x".repeat(length)}})), Lane::High, DAY, padding)
            .expect("it fits")
            .body
            .len()
    };
    let overhead = 86 + 1 + 16;
    for (lengths, class) in [
        ([1, 256], 256),
        ([257, 512], 512),
        ([513, 1024], 1024),
        ([1025, 2048], 2048),
        ([2049, 3072], 3072),
        ([3073, 3993], 3993),
    ] {
        for length in lengths {
            assert_eq!(size(length, Padding::Classes), class + overhead, "{length}");
            assert_eq!(size(length, Padding::Full), 4096, "{length}");
            assert_eq!(size(length, Padding::None), length + overhead, "{length}");
        }
    }
}

#[test]
fn a_key_that_is_no_point_is_the_pushs_own_fault() {
    let mut bad = job(json!({"data": {"k": "v"}}));
    // 65 bytes, the first of them 0: the job's reader can't know better.
    bad["to"][0]["webpush"]["p256dh"] = json!("A".repeat(87));
    assert_eq!(put(&bad, Lane::High, DAY, Padding::None).err().as_deref(), Some("bad_subscription_key"));
}
