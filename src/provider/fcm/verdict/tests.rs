//! Every row of PROVIDERS.md, 2.5, and what is not in it.

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::verdict::Sent;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let headers = headers.iter().map(|(name, value)| {
        (http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header's value"))
    });
    Answer {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: HeaderMap::from_iter(headers),
        body: body.to_owned().into(),
    }
}

fn detail(kind: &str, fields: Value) -> Value {
    let mut detail = json!({"@type": format!("type.googleapis.com/{kind}")});
    detail.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    detail
}

fn code(code: &str) -> Value {
    detail("google.firebase.fcm.v1.FcmError", json!({"errorCode": code}))
}

fn apple(status: u16, reason: &str) -> Value {
    detail("google.firebase.fcm.v1.ApnsError", json!({"statusCode": status, "reason": reason}))
}

fn field(name: &str) -> Value {
    detail("google.rpc.BadRequest", json!({"fieldViolations": [{"field": name, "description": "Invalid"}]}))
}

fn quota(text: &str) -> Value {
    detail("google.rpc.QuotaFailure", json!({"violations": [{"subject": text, "description": "exceeded"}]}))
}

fn body(status: u16, word: &str, message: &str, details: &[Value]) -> String {
    json!({"error": {"code": status, "message": message, "status": word, "details": details}}).to_string()
}

/// A row in short: the fate, the route's effect.
fn short(verdict: &Verdict) -> String {
    let fate = match &verdict.fate {
        Fate::Accepted { .. } => "accepted".to_owned(),
        Fate::Unregistered { since: None } => "unregistered".to_owned(),
        Fate::Unregistered { since: Some(_) } => "unregistered, and since when".to_owned(),
        Fate::Rejected => "rejected".to_owned(),
        Fate::Retry { after, sent: Sent::Refused } => format!("again after {}s", after.as_secs_f64()),
        Fate::Retry { .. } => "again, though never answered".to_owned(),
        Fate::Resign => "resign".to_owned(),
        Fate::Keep => "keep".to_owned(),
    };
    let route = match verdict.route {
        RouteEffect::None => String::new(),
        RouteEffect::Slow { pause: None } => ", slow".to_owned(),
        RouteEffect::Slow { pause: Some(pause) } => format!(", slow {}s", pause.as_secs_f64()),
        RouteEffect::SlowDevice => ", slow device".to_owned(),
        RouteEffect::Alert => ", alert".to_owned(),
        RouteEffect::Misaddressed => ", misaddressed".to_owned(),
        RouteEffect::Park => ", park".to_owned(),
    };
    assert_eq!(verdict.connection, crate::verdict::ConnectionEffect::Keep, "no answer of FCM's is about a connection");
    format!("{fate}{route}")
}

#[track_caller]
fn check(status: u16, word: &str, details: &[Value], wanted: &str, reason: &str) {
    let verdict = read(&answer(status, &[], &body(status, word, "…", details)), NOW);
    assert_eq!(short(&verdict), wanted, "{status} {word} {details:?}");
    assert_eq!(verdict.reason.as_deref(), Some(reason));
    assert_eq!(verdict.status, Some(status));
}

#[test]
fn every_row_of_the_table() {
    let argument = "INVALID_ARGUMENT";
    let title = field("message.notification.title");
    check(400, argument, &[code(argument), title.clone()], "rejected", argument);
    check(400, argument, &[title], "rejected", argument);
    check(400, argument, &[], "rejected", argument);
    // A malformed token: only where FCM names the token, and nothing else.
    check(400, argument, &[code(argument), field("message.token")], "unregistered", argument);
    let both = [code(argument), field("message.token"), field("message.data")];
    check(400, argument, &both, "rejected", argument);
    check(400, argument, &[code(argument)], "rejected", argument);
    // iOS tokens.
    check(400, argument, &[code(argument), apple(410, "Unregistered")], "unregistered", "Unregistered");
    check(404, "NOT_FOUND", &[code("UNREGISTERED"), apple(410, "Unregistered")], "unregistered", "Unregistered");
    check(400, argument, &[code(argument), apple(400, "BadDeviceToken")], "unregistered", "BadDeviceToken");
    check(400, argument, &[code(argument), apple(413, "PayloadTooLarge")], "rejected", "PayloadTooLarge");
    check(400, argument, &[code(argument), apple(400, "BadTopic")], "rejected, alert", "BadTopic");
    check(
        400,
        argument,
        &[code(argument), apple(429, "TooManyRequests")],
        "again after 10s, slow device",
        "TooManyRequests",
    );
    check(
        503,
        "UNAVAILABLE",
        &[code("UNAVAILABLE"), apple(503, "ServiceUnavailable")],
        "again after 10s",
        "ServiceUnavailable",
    );
    check(
        403,
        "PERMISSION_DENIED",
        &[apple(403, "InvalidProviderToken")],
        "again after 300s, alert",
        "InvalidProviderToken",
    );
    let third_party = [code("THIRD_PARTY_AUTH_ERROR"), apple(403, "BadEnvironmentKeyInToken")];
    check(401, "UNAUTHENTICATED", &third_party, "again after 300s, alert", "BadEnvironmentKeyInToken");
    // Credentials.
    let third_party = [code("THIRD_PARTY_AUTH_ERROR")];
    check(401, "UNAUTHENTICATED", &third_party, "again after 300s, alert", "THIRD_PARTY_AUTH_ERROR");
    check(401, "UNAUTHENTICATED", &[], "resign", "UNAUTHENTICATED");
    check(403, "PERMISSION_DENIED", &[code("SENDER_ID_MISMATCH")], "rejected, misaddressed", "SENDER_ID_MISMATCH");
    check(403, "PERMISSION_DENIED", &[], "keep, park", "PERMISSION_DENIED");
    // Addresses.
    check(404, "NOT_FOUND", &[code("UNREGISTERED")], "unregistered", "UNREGISTERED");
    check(404, "NOT_FOUND", &[], "unregistered, alert", "NOT_FOUND");
    // Too much.
    let exceeded = code("QUOTA_EXCEEDED");
    check(429, "RESOURCE_EXHAUSTED", std::slice::from_ref(&exceeded), "again after 60s, slow 60s", "QUOTA_EXCEEDED");
    check(
        429,
        "RESOURCE_EXHAUSTED",
        &[exceeded.clone(), quota("project:1")],
        "again after 60s, slow 60s",
        "QUOTA_EXCEEDED",
    );
    check(429, "RESOURCE_EXHAUSTED", &[exceeded, quota("Device:x")], "again after 60s, slow device", "QUOTA_EXCEEDED");
    check(429, "RESOURCE_EXHAUSTED", &[], "again after 60s, slow 60s", "RESOURCE_EXHAUSTED");
    // Google's own trouble.
    check(500, "INTERNAL", &[code("INTERNAL")], "again after 10s", "INTERNAL");
    check(503, "UNAVAILABLE", &[code("UNAVAILABLE")], "again after 10s, slow", "UNAVAILABLE");
    check(504, "DEADLINE_EXCEEDED", &[], "again after 10s", "DEADLINE_EXCEEDED");
    // UNSPECIFIED_ERROR: by the HTTP status.
    let unspecified = "UNSPECIFIED_ERROR";
    check(400, argument, &[code(unspecified)], "rejected", unspecified);
    check(401, "UNAUTHENTICATED", &[code(unspecified)], "resign", unspecified);
    check(429, "RESOURCE_EXHAUSTED", &[code(unspecified)], "again after 60s, slow 60s", unspecified);
    check(500, "INTERNAL", &[code(unspecified)], "again after 10s", unspecified);
    // Unknown ones.
    check(409, "ABORTED", &[code("BREWING_TEA")], "rejected, alert", "BREWING_TEA");
    check(599, "UNKNOWN", &[code("BREWING_TEA")], "again after 10s", "BREWING_TEA");
}

#[test]
fn accepted_carries_the_messages_name() {
    let verdict = read(&answer(200, &[], r#"{"name":"projects/p/messages/0:1"}"#), NOW);
    let name = Some("projects/p/messages/0:1".into());
    assert_eq!(verdict, Verdict::of(Fate::Accepted { provider_id: name }).with_status(200));
    let verdict = read(&answer(200, &[], "<html>"), NOW);
    assert_eq!(verdict, Verdict::of(Fate::Accepted { provider_id: None }).with_status(200), "200 is 200");
}

#[test]
fn retry_after_is_obeyed() {
    let at =
        |status, word, wait| short(&read(&answer(status, &[("retry-after", wait)], &body(status, word, "", &[])), NOW));
    assert_eq!(at(429, "RESOURCE_EXHAUSTED", "7"), "again after 7s, slow 7s");
    assert_eq!(at(429, "RESOURCE_EXHAUSTED", "Tue, 14 Nov 2023 22:13:50 GMT"), "again after 30s, slow 30s");
    assert_eq!(at(429, "RESOURCE_EXHAUSTED", "soon"), "again after 60s, slow 60s");
    assert_eq!(at(503, "UNAVAILABLE", "45"), "again after 45s, slow 45s");
    assert_eq!(at(503, "UNAVAILABLE", "2"), "again after 10s, slow 2s", "the floor of 10 s holds for the push");
    assert_eq!(at(500, "INTERNAL", "45"), "again after 45s");
    let info = detail("google.rpc.RetryInfo", json!({"retryDelay": "12.5s"}));
    let told = answer(429, &[], &body(429, "RESOURCE_EXHAUSTED", "", &[info]));
    assert_eq!(short(&read(&told, NOW)), "again after 12.5s, slow 12.5s");
}

#[test]
fn a_front_ends_answer_is_read_by_its_status() {
    for body in
        ["", "<html>502</html>", "[]", "null", "7", r#"{"error":"no"}"#, r#"{"error":{"details":{}}}"#, "{\"error\":{"]
    {
        let at = |status| read(&answer(status, &[], body), NOW);
        assert_eq!(short(&at(502)), "again after 10s", "{body}");
        assert_eq!(at(502).reason.as_deref(), Some("http_502"), "{body}");
        assert_eq!(short(&at(503)), "again after 10s, slow", "{body}");
        assert_eq!(short(&at(504)), "again after 10s", "{body}");
        assert_eq!(short(&at(429)), "again after 60s, slow 60s", "{body}");
        assert_eq!(short(&at(413)), "rejected", "{body}");
        assert_eq!(short(&at(404)), "keep, park", "{body}");
        assert_eq!(short(&at(403)), "keep, park", "{body}");
        assert_eq!(short(&at(400)), "rejected, alert", "{body}");
        assert_eq!(short(&at(302)), "again after 10s, alert", "{body}");
    }
}

#[test]
fn a_detail_without_content_says_nothing() {
    let empty = detail("google.firebase.fcm.v1.ApnsError", json!({}));
    check(404, "NOT_FOUND", &[code("UNREGISTERED"), empty], "unregistered", "UNREGISTERED");
    let documented = detail("google.firebase.fcm.v1.ApnsError", json!({"status_code": 410, "reason": "ExpiredToken"}));
    check(400, "INVALID_ARGUMENT", &[documented], "unregistered", "ExpiredToken");
    let broken = answer(429, &[], &body(429, "X", "", &[detail("google.rpc.RetryInfo", json!({"retryDelay": "-1s"}))]));
    assert_eq!(short(&read(&broken, NOW)), "again after 60s, slow 60s");
}

proptest::proptest! {
    /// S4: whatever a provider answers, there is a verdict.
    #[test]
    fn no_answer_panics(status in 100_u16..1000, body: Vec<u8>) {
        let mut answer = answer(status, &[], "");
        answer.body = body.into();
        proptest::prop_assert_eq!(read(&answer, NOW).status, Some(status));
    }

    /// The same for what looks like FCM's error and has something else in its places.
    #[test]
    fn no_shape_panics(
        status in 400_u16..600,
        kind in "google.(rpc.(BadRequest|QuotaFailure|RetryInfo)|firebase.fcm.v1.(FcmError|ApnsError))",
        name in "(errorCode|statusCode|reason|fieldViolations|violations|retryDelay)",
        place in 0_usize..12,
        number: i64,
        text: String,
    ) {
        let odd = [
            json!(null), json!(number), json!(text), json!(format!("{number}s")), json!([text]), json!({"field": number}),
            json!([{"field": text}]), json!([[number]]), json!([{"subject": null}]), json!(true), json!(1e300), json!("1e99s"),
        ];
        let details = [code("INTERNAL"), detail(&kind, json!({name: odd[place]}))];
        let verdict = read(&answer(status, &[], &body(status, &text, &text, &details)), NOW);
        proptest::prop_assert_eq!(verdict.status, Some(status));
        proptest::prop_assert!(verdict.reason.is_some_and(|reason| reason.len() <= 128));
    }
}
