//! What goes out to Apple, to the byte.

use serde_json::json;

use super::*;
use crate::job::fixture::{ACCEPTED_AT, envelope, push};
use crate::verdict::Fate;

const TOKEN: &str = "5f3ae1005f3ae1005f3ae1005f3ae1005f3ae1005f3ae1005f3ae1005f3ae100";
const HOUR: Duration = Duration::from_secs(3600);

fn put(push: &Push) -> Request {
    request(push, HOUR, ACCEPTED_AT, &Topic::new("com.example.chat")).expect("a push that can be put")
}

fn refused(push: &Push) -> String {
    let verdict =
        request(push, HOUR, ACCEPTED_AT, &Topic::new("com.example.chat")).expect_err("a push that can't be put");
    assert_eq!(verdict.fate, Fate::Rejected);
    verdict.reason.expect("a reason").into_owned()
}

/// The headers, one a line, sorted.
fn lines(request: &Request) -> Vec<String> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut lines: Vec<_> = request.headers.iter().map(line).collect();
    lines.sort();
    lines
}

fn body(job: serde_json::Value) -> String {
    String::from_utf8(put(&push(&job)).body.to_vec()).unwrap()
}

fn header(job: serde_json::Value, lane: Lane, name: &str) -> String {
    put(&envelope(&job, lane).push(0)).headers[name].to_str().unwrap().to_owned()
}

fn to() -> serde_json::Value {
    json!([{"apns": TOKEN}])
}

#[test]
fn the_specs_example() {
    let job = json!({
        "id": "01J9ZK8Q5V3T", "app": "chat", "to": [{"apns": TOKEN}, {"fcm": "dXyz"}], "priority": "high", "ttl": 3600,
        "collapse_key": "channel-42",
        "notification": {"title": "Mina", "body": "hi", "image": "https://i.example/1.png", "sound": "default", "badge": 3},
        "data": {"channel": "42"},
        "apns": {
            "headers": {"apns-push-type": "alert"}, "payload": {"aps": {"interruption-level": "time-sensitive"}},
        },
        "fcm": {"android": {"notification": {"channel_id": "dm"}}},
    });
    let request = put(&push(&job));
    assert_eq!(request.path, format!("/3/device/{TOKEN}").as_str());
    assert_eq!(
        lines(&request),
        [
            "apns-collapse-id: channel-42",
            "apns-expiration: 1795535400",
            "apns-id: 9006a78b-c561-5588-9147-ad15304d9d75",
            "apns-priority: 10",
            "apns-push-type: alert",
            "apns-topic: com.example.chat",
        ]
    );
    let wanted = concat!(
        r#"{"aps":{"alert":{"body":"hi","title":"Mina"},"badge":3,"interruption-level":"time-sensitive","#,
        r#""mutable-content":1,"sound":"default"},"channel":"42","image":"https://i.example/1.png"}"#
    );
    assert_eq!(std::str::from_utf8(&request.body).unwrap(), wanted);
}

#[test]
fn a_payload_has_each_name_once_and_in_order_wherever_it_comes_from() {
    let all = json!({"title": "t", "subtitle": "s", "body": "b", "image": "https://i", "sound": "x", "badge": 7});
    for notification in [None, Some(json!({"body": "b"})), Some(json!({"image": "https://i"})), Some(all)] {
        for data in [None, Some(json!({"a": "1", "apt": "2", "b": "\"3\"", "z": "4"})), Some(json!({"image": "mine"}))]
        {
            if notification.is_none() && data.is_none() {
                continue;
            }
            for section in [json!({}), json!({"payload": {"aps": {"badge": 9}, "b": {"c": 1}}})] {
                let job = json!({
                    "id": "1", "app": "a", "to": to(), "notification": notification, "data": data, "apns": section,
                });
                let written = body(job.clone());
                let tree: serde_json::Map<String, Value> = serde_json::from_str(&written).expect("JSON");
                assert_eq!(serde_json::to_string(&tree).unwrap(), written, "{job}");
                let image = tree.get("image").and_then(Value::as_str);
                let says_image = data.as_ref().is_some_and(|data| data.get("image").is_some());
                assert!(image.is_none() || (image == Some("mine")) == says_image, "the caller's own goes first: {job}");
            }
        }
    }
}

#[test]
fn payloads_to_the_byte() {
    let alert =
        json!({"id": "1", "app": "a", "to": to(), "notification": {"title": "t", "subtitle": "s", "body": "b"}});
    assert_eq!(body(alert), r#"{"aps":{"alert":{"body":"b","subtitle":"s","title":"t"}}}"#);
    let silent = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v", "ü\n": "\u{1}"}});
    assert_eq!(body(silent), r#"{"aps":{"content-available":1},"k":"v","ü\n":"\u0001"}"#);
    let badge = json!({"id": "1", "app": "a", "to": to(), "notification": {"badge": 0}});
    assert_eq!(body(badge), r#"{"aps":{"badge":0}}"#);
    let own_image =
        json!({"id": "1", "app": "a", "to": to(), "notification": {"image": "u"}, "data": {"image": "mine"}});
    assert_eq!(body(own_image), r#"{"aps":{"mutable-content":1},"image":"mine"}"#);
    let raw = json!({"id": "1", "app": "a", "to": to(), "apns": {"payload": {"x": null, "aps": {"alert": "hi"}}}});
    assert_eq!(body(raw), r#"{"aps":{"alert":"hi"},"x":null}"#);
    let replaced = json!({"id": "1", "app": "a", "to": to(), "notification": {"title": "t", "image": "u"},
        "apns": {"payload": {"image": null, "aps": {"alert": "text", "mutable-content": null}}}});
    assert_eq!(body(replaced), r#"{"aps":{"alert":"text"}}"#);
    let activity = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"},
        "apns": {"headers": {"apns-push-type": "liveactivity"}, "payload": {"aps": {"event": "end"}}}});
    assert_eq!(body(activity), r#"{"aps":{"event":"end"},"k":"v"}"#);
}

#[test]
fn the_kind_follows_from_what_a_person_notices() {
    let kind = |fields: serde_json::Value| {
        let mut job = json!({"id": "1", "app": "a", "to": to()});
        job.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        (header(job.clone(), Lane::High, "apns-push-type"), header(job, Lane::High, "apns-priority"))
    };
    let alert = || ("alert".to_owned(), "10".to_owned());
    let background = || ("background".to_owned(), "5".to_owned());
    assert_eq!(kind(json!({"notification": {"body": "b"}})), alert());
    assert_eq!(kind(json!({"notification": {"body": "b"}, "data": {"k": "v"}})), alert());
    assert_eq!(kind(json!({"data": {"k": "v"}})), background());
    assert_eq!(kind(json!({"data": {"k": "v"}, "apns": {"payload": {"aps": {"sound": "s"}}}})), alert());
    assert_eq!(kind(json!({"apns": {"payload": {"aps": {"content-available": 1}}}})), background());
    assert_eq!(kind(json!({"apns": {"payload": {"aps": {"content-available": 1, "badge": 0}}}})), alert());
    assert_eq!(kind(json!({"apns": {"payload": {"k": 1}}})), alert());
    let said = json!({"notification": {"body": "b"}, "apns": {"headers": {"apns-push-type": "background"}}});
    assert_eq!(kind(said), background(), "a background push may have no other priority");
}

#[test]
fn priority_follows_the_lane_unless_said() {
    let job = json!({"id": "1", "app": "a", "to": to(), "notification": {"body": "b"}});
    assert_eq!(Lane::ALL.map(|lane| header(job.clone(), lane, "apns-priority")), ["10", "5", "1"]);
    let said = json!({"id": "1", "app": "a", "to": to(), "notification": {"body": "b"},
        "apns": {"headers": {"apns-priority": 1}}});
    assert_eq!(header(said, Lane::High, "apns-priority"), "1");
}

#[test]
fn the_topic_has_the_push_types_suffix() {
    // PROVIDERS.md, 1.3.
    for (push_type, topic) in [
        ("alert", "com.example.chat"),
        ("background", "com.example.chat"),
        ("voip", "com.example.chat.voip"),
        ("complication", "com.example.chat.complication"),
        ("fileprovider", "com.example.chat.pushkit.fileprovider"),
        ("mdm", "com.example.chat"),
        ("location", "com.example.chat.location-query"),
        ("liveactivity", "com.example.chat.push-type.liveactivity"),
        ("pushtotalk", "com.example.chat.voip-ptt"),
        ("controls", "com.example.chat.push-type.controls"),
        ("widgets", "com.example.chat.push-type.widgets"),
    ] {
        let headers = json!({"apns-push-type": push_type});
        let job = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}, "apns": {"headers": headers}});
        assert_eq!(header(job, Lane::Normal, "apns-topic"), topic, "{push_type}");
    }
    let said = json!({"apns-push-type": "voip", "apns-topic": "com.example.other.voip"});
    let job = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}, "apns": {"headers": said}});
    assert_eq!(header(job, Lane::Normal, "apns-topic"), "com.example.other.voip");
}

#[test]
fn the_id_is_stable_over_retries_and_differs_by_push() {
    let id = |app: &str, id: &str, token: &str| {
        let job = json!({"id": id, "app": app, "to": [{"apns": token}], "data": {"k": "v"}});
        header(job, Lane::Normal, "apns-id")
    };
    let first = id("chat", "job-1", "aa");
    assert_eq!(first, id("chat", "job-1", "aa"));
    assert_eq!(first, first.to_lowercase());
    assert_eq!(Uuid::parse_str(&first).unwrap().get_version_num(), 5);
    for other in [id("chat", "job-2", "aa"), id("chat", "job-1", "ab"), id("mail", "job-1", "aa")] {
        assert_ne!(first, other);
    }
    let said = json!({"apns-id": "EABEAE54-14A8-11E5-B60B-1697F925EC7B"});
    let job = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}, "apns": {"headers": said}});
    assert_eq!(header(job, Lane::Normal, "apns-id"), "eabeae54-14a8-11e5-b60b-1697f925ec7b");
}

#[test]
fn the_expiration_is_the_deadline_and_never_later() {
    let job = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}});
    let at = |left, now| {
        let request = request(&push(&job), left, UnixMillis(now), &Topic::new("t")).unwrap();
        request.headers["apns-expiration"].to_str().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(at(Duration::from_millis(1_900), 10_050), 11);
    assert_eq!(at(Duration::from_millis(1_950), 10_050), 12);
    assert_eq!(at(Duration::ZERO, 10_050), 0);
    let now_or_never = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}, "ttl": 0});
    assert_eq!(header(now_or_never, Lane::Normal, "apns-expiration"), "0");
    let said = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"},
        "apns": {"headers": {"apns-expiration": 1_900_000_000}}});
    assert_eq!(header(said, Lane::Normal, "apns-expiration"), "1900000000");
}

#[test]
fn a_fan_out_shares_one_body() {
    let targets: Vec<_> = (0..1000).map(|n| json!({"apns": format!("{n:064x}")})).collect();
    let job = json!({"id": "1", "app": "a", "to": targets, "notification": {"body": "b"}});
    let envelope = envelope(&job, Lane::Low);
    let requests: Vec<_> = envelope.pushes().map(|push| put(&push)).collect();
    assert_eq!(requests.len(), 1000);
    let first = requests[0].body.as_ptr();
    assert!(requests.iter().all(|request| request.body.as_ptr() == first), "one body, a thousand times");
    let ids: std::collections::HashSet<_> = requests.iter().map(|request| request.headers["apns-id"].clone()).collect();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn what_is_too_large_is_rejected_here() {
    let sized = |bytes: usize, push_type: &str| {
        let frame = r#"{"k":""}"#.len();
        push(&json!({"id": "1", "app": "a", "to": to(), "apns": {
            "headers": {"apns-push-type": push_type}, "payload": {"k": "x".repeat(bytes - frame)}}}))
    };
    assert_eq!(put(&sized(4096, "alert")).body.len(), 4096);
    assert_eq!(refused(&sized(4097, "alert")), "payload_too_large");
    assert_eq!(put(&sized(5120, "voip")).body.len(), 5120);
    assert_eq!(refused(&sized(5121, "voip")), "payload_too_large");
}

#[test]
fn a_push_that_is_not_apples_or_says_nothing_is_rejected() {
    assert_eq!(
        refused(&push(&json!({"id": "1", "app": "a", "to": [{"apns": "xyz"}], "data": {"k": "v"}}))),
        "bad_target"
    );
    assert_eq!(
        refused(&push(&json!({"id": "1", "app": "a", "to": [{"fcm": "xyz"}], "data": {"k": "v"}}))),
        "bad_target"
    );
    let for_android = json!({"id": "1", "app": "a", "to": to(), "fcm": {"data": {"k": "v"}}});
    assert_eq!(refused(&push(&for_android)), "nothing_to_send");
    let urgent =
        json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}, "apns": {"headers": {"apns-priority": 10}}});
    assert_eq!(refused(&push(&urgent)), "bad_priority", "only data is a background push");
}

#[test]
fn a_topic_that_can_not_be_a_header_is_rejected() {
    let push = push(&json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}}));
    for topic in ["a\r\nauthorization: bearer x", "a\nb", "a\0b"] {
        let verdict = request(&push, HOUR, ACCEPTED_AT, &Topic::new(topic)).unwrap_err();
        assert_eq!(verdict.reason.as_deref(), Some("bad_header"), "{topic:?}");
    }
}

#[test]
fn what_differs_by_push_stays_out_of_hpacks_table() {
    let request = put(&push(&json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}, "collapse_key": "c"})));
    let kept_out: Vec<_> =
        request.headers.iter().filter(|(_, value)| value.is_sensitive()).map(|(name, _)| name).collect();
    assert_eq!(kept_out, [&EXPIRATION, &ID, &COLLAPSE_ID]);
}

proptest::proptest! {
    /// S5: no text can leave its place in the path; the target never gets there without being hexadecimal.
    #[test]
    fn no_token_escapes_its_path(token: String) {
        let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        proptest::prop_assert_eq!(path(&token).is_some(), plain);
    }

    /// S5: whatever a caller writes into the headers, either the job is refused or each value stands in its own header.
    #[test]
    fn no_value_escapes_its_header(collapse: String, topic: String, id: String, expiration: String) {
        let headers = json!({"apns-collapse-id": collapse, "apns-topic": topic, "apns-id": id, "apns-expiration": expiration});
        for (name, value) in headers.as_object().unwrap() {
            let mut one = serde_json::Map::new();
            one.insert(name.clone(), value.clone());
            let job = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}, "apns": {"headers": one}}).to_string();
            let Ok(_) = crate::job::decode(job.as_bytes(), crate::job::Defaults::default()) else { continue };
            let job = serde_json::from_str(&job).unwrap();
            let request = put(&push(&job));
            let sent = request.headers[name.as_str()].as_bytes();
            proptest::prop_assert!(sent.iter().all(|byte| *byte >= b' ' && *byte != 0x7f));
            proptest::prop_assert!(sent.eq_ignore_ascii_case(value.as_str().unwrap().as_bytes()));
        }
    }
    /// S5: the same for the collapse key.
    #[test]
    fn no_collapse_key_escapes_its_header(key: String) {
        let job = json!({"id": "1", "app": "a", "to": to(), "data": {"k": "v"}, "collapse_key": key});
        let read = crate::job::decode(job.to_string().as_bytes(), crate::job::Defaults::default());
        let fits = (1..=64).contains(&key.len()) && !key.chars().any(char::is_control);
        proptest::prop_assert_eq!(read.is_ok(), fits);
        if fits {
            let sent = put(&push(&job)).headers[COLLAPSE_ID].clone();
            proptest::prop_assert_eq!(sent.as_bytes(), key.as_bytes());
        }
    }
}
