//! A job that can't be read is refused with its exact reason, path and detail, and never a panic (SPEC.md, section 3).

#[path = "support/corpus.rs"]
mod corpus;

use std::fmt::Write;

use corpus::{GOOD, corpus};
use serde_json::{Value, json};
use tidegate::job::{self, BadJob, Defaults, FcmTarget, Job, Lane, MAX_JOB_BYTES, Target, decode};

/// A device token as Apple gives it; no error may show it whole.
const TOKEN: &str = "5f3ae1005f3ae1005f3ae1005f3ae1005f3ae1005f3ae1005f3ae1005f3ae100";

fn read(body: &[u8]) -> Result<Job, BadJob> {
    decode(body, Defaults::default())
}

#[track_caller]
fn good(body: Value) -> Job {
    read(body.to_string().as_bytes()).unwrap_or_else(|bad| panic!("{bad}"))
}

#[test]
fn every_bad_job_is_refused_for_exactly_its_reason() {
    let cases = corpus();
    assert!(cases.len() >= 100, "only {} cases", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let start = String::from_utf8_lossy(&case.body[..case.body.len().min(120)]).into_owned();
        match read(&case.body) {
            Err(bad) if bad == case.wanted => {}
            Err(bad) => writeln!(wrong, "{start}\n  wanted {}\n  got    {bad}", case.wanted).unwrap(),
            Ok(_) => writeln!(wrong, "{start}\n  wanted {}\n  got    a job", case.wanted).unwrap(),
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn no_error_shows_a_whole_address() {
    for case in corpus() {
        assert!(!case.wanted.to_string().contains(TOKEN), "{}", case.wanted);
    }
    for target in
        [json!(TOKEN), json!([TOKEN]), json!({TOKEN: 1}), json!({"apns": TOKEN, "fcm": TOKEN}), json!({"x": TOKEN})]
    {
        for to in [json!([target]), target] {
            let bad = read(json!({"app": "a", "to": to, "data": {"k": "v"}}).to_string().as_bytes()).unwrap_err();
            assert!(!bad.to_string().contains(TOKEN), "{bad}");
        }
    }
    for address in [json!(format!("{TOKEN}x")), json!([TOKEN]), json!({TOKEN: 1}), json!(format!("../{TOKEN}"))] {
        for provider in ["apns", "fcm", "webpush"] {
            let job = good(json!({"app": "a", "to": [{provider: address}], "data": {"k": "v"}}));
            let shown = format!("{:?}", job.to);
            assert!(!shown.contains(TOKEN), "{shown}");
            if let Target::Bad(bad) = &job.to[0] {
                assert!(!bad.detail.contains(TOKEN), "{}", bad.detail);
                assert!(!format!("{bad:?}").contains(TOKEN));
            }
        }
    }
}

#[test]
fn too_large_is_said_before_anything_is_read() {
    let mut body = vec![b' '; MAX_JOB_BYTES + 1];
    assert_eq!(read(&body).unwrap_err().reason, "too_large");
    assert_eq!(read(&body).unwrap_err().detail, "has 1048577 bytes, may have at most 1048576");
    body.pop();
    assert_eq!(read(&body).unwrap_err().reason, "empty");
    assert_eq!(read(b"").unwrap_err().reason, "empty");
}

#[test]
fn the_largest_job_is_read() {
    let frame = json!({"app": "a", "to": [{"apns": "aa"}], "data": {"k": ""}}).to_string();
    let job = good(json!({"app": "a", "to": [{"apns": "aa"}], "data": {"k": "x".repeat(MAX_JOB_BYTES - frame.len())}}));
    assert_eq!(job.data.unwrap()["k"].as_str().unwrap().len(), MAX_JOB_BYTES - frame.len());
    let targets: Vec<_> = (0..1000).map(|n| json!({"fcm": format!("token-{n}")})).collect();
    assert_eq!(good(json!({"app": "a", "to": targets, "data": {"k": "v"}})).to.len(), 1000);
}

#[test]
fn a_job_says_all_it_can() {
    let body = json!({
        "id": "01J9ZK8Q5V3T", "app": "chat", "to": [{"apns": "5F3Ae1"}, {"fcm": "dXyz"}], "priority": "high", "ttl": 3600,
        "collapse_key": "channel-42",
        "notification": {"title": "Mina", "subtitle": "s", "body": "hi", "image": "https://i", "sound": "default", "badge": 3},
        "data": {"channel": "42", "": "empty names are names"},
        "apns": {
            "headers": {"apns-push-type": "alert", "apns-priority": 10, "apns-expiration": "0", "apns-collapse-id": 7,
                "apns-topic": "com.example.chat", "apns-id": "EABEAE54-14A8-11E5-B60B-1697F925EC7B"},
            "payload": {"aps": {"interruption-level": "time-sensitive"}, "any": [1, -2, 3.5, null, {"thing": true}]},
        },
        "fcm": {"android": {"notification": {"channel_id": "dm"}}}, "webpush": {"headers": {"Urgency": "high"}},
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    });
    let job = good(body.clone());
    assert_eq!((&*job.id, &*job.app, job.priority, job.ttl), ("01J9ZK8Q5V3T", "chat", Some(Lane::High), Some(3600)));
    assert_eq!(job.to, [Target::Apns("5F3Ae1".into()), Target::Fcm(FcmTarget::Token("dXyz".into()))]);
    let headers = job.apns.as_ref().unwrap().headers.clone();
    assert_eq!(headers["apns-priority"], "10", "numbers become texts");
    assert_eq!(headers["apns-id"], "eabeae54-14a8-11e5-b60b-1697f925ec7b", "a UUID is in lower case");
    let mut wanted = body;
    wanted["apns"]["headers"] = Value::Object(headers);
    assert_eq!(serde_json::to_value(&job).unwrap(), wanted, "everything else stays as it was");
}

#[test]
fn what_is_left_out_has_its_default() {
    let body = br#"{"to":[{"apns":"aa"}],"data":{"k":"v"},"id":null,"ttl":null,"notification":null,
        "apns":{"headers":{"apns-topic":null}}}"#;
    let job = decode(body, Defaults { id: Some("message-7"), app: Some("chat") }).unwrap();
    assert_eq!((&*job.id, &*job.app, job.priority, job.ttl), ("message-7", "chat", None, None));
    assert!(job.apns.is_none() && job.notification.is_none(), "null says nothing");
    let own = br#"{"to":[{"apns":"aa"}],"data":{"k":"v"},"id":"mine","app":"other"}"#;
    let job = decode(own, Defaults { id: Some("message-7"), app: Some("chat") }).unwrap();
    assert_eq!((&*job.id, &*job.app), ("mine", "other"));
    let made = [(); 2].map(|()| decode(body, Defaults { id: None, app: Some("chat") }).unwrap().id);
    assert!(made[0].len() == 36 && made[0] != made[1], "{made:?}");
    let bad = decode(body, Defaults { id: Some("not\na header"), app: Some("chat") }).unwrap_err();
    assert_eq!((bad.reason, &*bad.path), ("bad_value", "id"));
}

#[test]
fn one_bad_address_is_that_pushs_affair() {
    let key = "B".repeat(87);
    for (target, detail) in [
        (json!({"apns": ""}), "the device token is empty"),
        (json!({"apns": "5f3"}), "a device token has whole bytes, this one 3 digits"),
        (json!({"apns": "5g"}), "a device token has only hexadecimal digits"),
        (json!({"apns": "../aa"}), "a device token has only hexadecimal digits"),
        (json!({"apns": "aa\r\n"}), "a device token has only hexadecimal digits"),
        (json!({"apns": " 5f3a"}), "a device token has only hexadecimal digits"),
        (json!({"apns": "a".repeat(514)}), "a device token has at most 512 characters, this one 514"),
        (json!({"apns": 5}), "a device token must be a string, is a number"),
        (json!({"apns": null}), "a device token must be a string, is null"),
        (json!({"fcm": ""}), "a registration token is empty"),
        (json!({"fcm": "a b"}), "a registration token must be visible ASCII characters"),
        (json!({"fcm": "a".repeat(4097)}), "a registration token has at most 4096 bytes, not 4097"),
        (json!({"fcm": ["a"]}), "a registration token must be a string, is an array"),
        (json!({"fcm": {}}), "must have one of fid, topic and condition, has 0 keys"),
        (json!({"fcm": {"fid": "a", "topic": "b"}}), "must have one of fid, topic and condition, has 2 keys"),
        (json!({"fcm": {"token": "a"}}), "must have one of fid, topic and condition"),
        (json!({"fcm": {"topic": "/topics/news"}}), "a topic is named without /topics/"),
        (json!({"fcm": {"topic": "a/b"}}), "a topic has only letters, digits and -_.~%"),
        (json!({"fcm": {"topic": 1}}), "topic must be a string, is a number"),
        (json!({"fcm": {"fid": ""}}), "fid is empty"),
        (json!({"fcm": {"condition": "\n"}}), "a condition has no control characters"),
        (
            json!({"fcm": {"condition": "'a' in topics || ".repeat(6)}}),
            "a condition has at most five topics, this one 6",
        ),
        (json!({"webpush": "https://x"}), "must be an object with endpoint, p256dh and auth, is a string"),
        (json!({"webpush": {"endpoint": "https://x"}}), "p256dh is missing"),
        (
            json!({"webpush": {"endpoint": "https://x", "keys": {}}}),
            "has only endpoint, p256dh and auth (without keys around them)",
        ),
        (json!({"webpush": {"endpoint": "http://x", "p256dh": key, "auth": "a"}}), "the endpoint must be an https URL"),
        (json!({"webpush": {"endpoint": "https://", "p256dh": key, "auth": "a"}}), "the endpoint is not a URL"),
        (json!({"webpush": {"endpoint": "https://x y", "p256dh": key, "auth": "a"}}), "the endpoint is not a URL"),
        (
            json!({"webpush": {"endpoint": "https://x", "p256dh": "AAAA", "auth": "a"}}),
            "p256dh must have 65 bytes, has 3",
        ),
        (json!({"webpush": {"endpoint": "https://x", "p256dh": "A+/A", "auth": "a"}}), "p256dh is not base64url"),
    ] {
        let job = good(json!({"app": "a", "to": [{"apns": "aa"}, target], "data": {"k": "v"}}));
        let Target::Bad(bad) = &job.to[1] else { panic!("{target} passed for an address") };
        assert_eq!(&*bad.detail, detail, "{target}");
        assert_eq!(serde_json::to_value(&job.to[1]).unwrap(), target, "it can be told as it stood");
        assert_eq!(job.to[0], Target::Apns("aa".into()), "the good one is not spoilt");
    }
}

#[test]
fn good_addresses_are_told_as_they_stood() {
    let webpush = json!({"endpoint": "https://push.example/x?y", "p256dh": format!("{}=", "A".repeat(87)), "auth": "A".repeat(22)});
    for target in [
        json!({"apns": TOKEN}),
        json!({"fcm": "dXyz:APA91b-_"}),
        json!({"fcm": {"fid": "cAbC"}}),
        json!({"fcm": {"topic": "news.de~1%"}}),
        json!({"fcm": {"condition": "'a' in topics && ('b' in topics || !('c' in topics))"}}),
        json!({"webpush": webpush}),
    ] {
        let job = good(json!({"app": "a", "to": [target], "data": {"k": "v"}}));
        assert!(!matches!(job.to[0], Target::Bad(_)), "{target}");
        assert_eq!(serde_json::to_value(&job.to[0]).unwrap(), target);
        assert_eq!(target.to_string().parse::<Target>().unwrap(), job.to[0], "it can be read alone");
    }
    let bad = r#"{"apn":"aa"}"#.parse::<Target>().unwrap_err();
    assert_eq!((bad.reason, &*bad.path), ("unknown_field", "apn"));
    assert!(matches!(r#"{"apns":"x"}"#.parse(), Ok(Target::Bad(_))));
}

/// Comparing each with each would take minutes here.
#[test]
fn a_hundred_thousand_fields_are_no_attack() {
    let fields: Vec<_> = (0..100_000).map(|n| format!("\"{n:x}\":\"\"")).collect();
    let body = |last: &str| format!("{GOOD}\"data\":{{{},{last}}}}}", fields.join(","));
    assert!(body("").len() < MAX_JOB_BYTES);
    let job = read(body(r#""last":"""#).as_bytes()).unwrap();
    assert_eq!(job.data.unwrap().len(), 100_001);
    let bad = read(body(r#""1869f":"""#).as_bytes()).unwrap_err();
    assert_eq!((bad.reason, &*bad.path), ("duplicate_field", "data.1869f"));
}

#[test]
fn the_schema_knows_the_fields_that_decode_knows() {
    let schema = job::schema();
    let names = |schema: &Value| -> Vec<String> {
        let mut names: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    // What decode names as known where a field is not.
    let known = |body: &str| -> Vec<String> {
        let detail = read(body.as_bytes()).unwrap_err().detail;
        let (_, list) = detail.split_once("known are ").expect("a list of what is known");
        let mut names: Vec<_> = list.split(", ").map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names(&schema), known(r#"{"zzzzzzzz":1}"#));
    assert_eq!(names(&schema["$defs"]["Notification"]), known(r#"{"notification":{"zzzzzzzz":1}}"#));
    assert_eq!(names(&schema["$defs"]["ApnsSection"]), known(r#"{"apns":{"zzzzzzzz":1}}"#));
    assert_eq!(names(&schema["$defs"]["ApnsHeaders"]), known(r#"{"apns":{"headers":{"zzzzzzzz":1}}}"#));
}

#[test]
fn what_the_schema_refuses_decode_refuses() {
    let validator = jsonschema::validator_for(&job::schema()).expect("a schema");
    let mut refused = 0;
    for case in corpus() {
        let Ok(value) = serde_json::from_slice::<Value>(&case.body) else { continue };
        refused += usize::from(!validator.is_valid(&value));
    }
    // The rest is what a schema can't say: a field twice, bytes, characters, something to send.
    assert!(refused >= 70, "the schema is too weak: it refuses {refused} of the bad jobs");
}

mod any_job {
    //! Jobs at random: the good ones come back as they went, the others are errors.

    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::read;

    fn target() -> impl Strategy<Value = Value> {
        prop_oneof![
            "([0-9a-fA-F]{2}){1,80}".prop_map(|token| json!({"apns": token})),
            "[!-~]{1,200}".prop_map(|token| json!({"fcm": token})),
            "[a-zA-Z0-9_.~%-]{1,30}".prop_map(|topic| json!({"fcm": {"topic": topic}})),
            "[!-~]{1,30}".prop_map(|fid| json!({"fcm": {"fid": fid}})),
            any::<String>().prop_map(|anything| json!({"apns": anything})),
            json_value().prop_map(|anything| json!({"webpush": anything})),
        ]
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e15..1e15).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                btree_map(any::<String>(), inner, 0..6).prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    fn data() -> impl Strategy<Value = Value> {
        let name = any::<String>().prop_filter("Apple's key", |name| name != "aps");
        btree_map(name, any::<String>(), 1..20).prop_map(|data| json!(data))
    }

    fn notification() -> impl Strategy<Value = Value> {
        (any::<String>(), option::of(any::<String>()), option::of(any::<u32>())).prop_map(|(title, sound, badge)| {
            let mut notification = json!({"title": title});
            put(&mut notification, "sound", sound.map(Value::from));
            put(&mut notification, "badge", badge.map(Value::from));
            notification
        })
    }

    fn put(object: &mut Value, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            object[name] = value;
        }
    }

    prop_compose! {
        fn job()(
            id in "[!-~]{1,128}",
            to in vec(target(), 1..20),
            priority in option::of(prop_oneof!["high", "normal", "low"]),
            ttl in option::of(0_u32..=2_419_200),
            collapse_key in option::of("[a-zäöü€ :;]{1,16}"),
            notification in option::of(notification()),
            data in data(),
            payload in option::of(json_value()),
        ) -> Value {
            let mut job = json!({"id": id, "app": "chat", "to": to, "data": data});
            put(&mut job, "priority", priority.map(Value::from));
            put(&mut job, "ttl", ttl.map(Value::from));
            put(&mut job, "collapse_key", collapse_key.map(Value::from));
            put(&mut job, "notification", notification);
            put(&mut job, "apns", payload.map(|anything| json!({"payload": {"custom": anything}})));
            job
        }
    }

    proptest! {
        #[test]
        fn good_jobs_come_back_as_they_went(body in job()) {
            let read_once = read(body.to_string().as_bytes()).map_err(|bad| TestCaseError::fail(bad.to_string()))?;
            let written = serde_json::to_string(&read_once).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), body);
            prop_assert_eq!(read(written.as_bytes()).unwrap(), read_once);
        }

        #[test]
        fn the_schema_takes_what_decode_takes(body in job()) {
            // Bad addresses are no business of the schema's author.
            let mut body = body;
            body["to"] = json!([{"apns": "aa"}, {"fcm": "b"}, {"fcm": {"topic": "c"}}]);
            let validator = jsonschema::validator_for(&tidegate::job::schema()).unwrap();
            let faults: Vec<_> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
            prop_assert!(faults.is_empty(), "{faults:?}");
        }

        #[test]
        fn any_bytes_are_a_job_or_an_error(body: Vec<u8>) {
            let _ = read(&body);
        }

        #[test]
        fn any_json_is_a_job_or_an_error(value in json_value(), name in "[a-z_]{2,12}", field in "(id|to|ttl|data|apns|fcm)") {
            let mut object = Map::new();
            object.insert(name, value.clone());
            object.insert(field, value);
            let refused = read(Value::Object(object).to_string().as_bytes()).expect_err("app is missing");
            prop_assert!(refused.reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'8'));
            prop_assert!(refused.path.len() < 300 && refused.detail.len() < 400, "{refused}");
        }

        #[test]
        fn a_cut_job_is_not_json(body in job(), cut in 0.0..1.0) {
            let text = body.to_string();
            let bytes = &text.as_bytes()[..(text.len() as f64 * cut) as usize];
            let reason = read(bytes).unwrap_err().reason;
            prop_assert!(matches!(reason, "not_json" | "not_utf8" | "empty"), "{reason}");
        }
    }
}
