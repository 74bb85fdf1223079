//! Every row of PROVIDERS.md, 1.8, and what is not in it.

use http::{HeaderMap, HeaderValue, StatusCode};

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

fn said(status: u16, reason: &str) -> Verdict {
    read(&answer(status, &[], &format!(r#"{{"reason":"{reason}"}}"#)), NOW)
}

/// A row in short: the fate, the route's effect, the connection's.
fn short(verdict: &Verdict) -> String {
    let fate = match &verdict.fate {
        Fate::Accepted { .. } => "accepted".to_owned(),
        Fate::Unregistered { since: None } => "unregistered".to_owned(),
        Fate::Unregistered { since: Some(at) } => format!("unregistered since {}", at.0),
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
    let connection = match verdict.connection {
        ConnectionEffect::Keep => "",
        ConnectionEffect::Retire => ", retire",
        ConnectionEffect::Suspect => ", suspect",
    };
    format!("{fate}{route}{connection}")
}

/// PROVIDERS.md, 1.8, row by row in its order.
const ROWS: [(u16, &str, &str); 36] = [
    (400, "BadCollapseId", "rejected"),
    (400, "BadDeviceToken", "unregistered"),
    (400, "BadExpirationDate", "rejected"),
    (400, "BadMessageId", "rejected, alert"),
    (400, "BadPriority", "rejected"),
    (400, "BadTopic", "rejected, alert"),
    (400, "DeviceTokenNotForTopic", "rejected, misaddressed"),
    (400, "DuplicateHeaders", "rejected, alert"),
    (400, "IdleTimeout", "again after 0s, retire"),
    (400, "InvalidPushType", "rejected"),
    (400, "MissingDeviceToken", "rejected"),
    (400, "MissingTopic", "rejected, alert"),
    (400, "PayloadEmpty", "rejected"),
    (400, "TopicDisallowed", "keep, park"),
    (403, "BadCertificate", "keep, park, retire"),
    (403, "BadCertificateEnvironment", "keep, park, retire"),
    (403, "ExpiredProviderToken", "resign, retire"),
    (403, "Forbidden", "rejected, alert"),
    (403, "InvalidProviderToken", "resign, retire"),
    (403, "MissingProviderToken", "keep, park"),
    (403, "UnrelatedKeyIdInToken", "again after 0s, retire"),
    (403, "BadEnvironmentKeyIdInToken", "keep, park, retire"), // as documented
    (403, "BadEnvironmentKeyInToken", "keep, park, retire"),   // as seen (APNSwift, pull request 229)
    (404, "BadPath", "rejected, alert"),
    (405, "MethodNotAllowed", "keep, park"),
    (410, "ExpiredToken", "unregistered"),
    (410, "Unregistered", "unregistered"),
    (413, "PayloadTooLarge", "rejected"),
    (429, "TooManyProviderTokenUpdates", "again after 30s, slow 30s"),
    (429, "TooManyRequests", "again after 5s, slow device"),
    (500, "InternalServerError", "again after 1s, suspect"),
    (503, "ServiceUnavailable", "again after 1s, slow"),
    (503, "Shutdown", "again after 0s, retire"),
    // other, unknown
    (418, "BrewingTea", "rejected, alert"),
    (599, "BrewingTea", "again after 1s, suspect"),
    (429, "BrewingTea", "again after 1s, slow"),
];

#[test]
fn every_row_of_the_table() {
    for (status, reason, wanted) in ROWS {
        let verdict = said(status, reason);
        assert_eq!(short(&verdict), wanted, "{status} {reason}");
        assert_eq!(verdict.status, Some(status));
        assert_eq!(verdict.reason.as_deref(), Some(reason), "the reason is kept as it came");
    }
}

#[test]
fn accepted_carries_apples_id() {
    let verdict = read(&answer(200, &[("apns-id", "eabeae54-14a8-11e5-b60b-1697f925ec7b")], ""), NOW);
    let id = Some("eabeae54-14a8-11e5-b60b-1697f925ec7b".into());
    assert_eq!(verdict, Verdict::of(Fate::Accepted { provider_id: id }).with_status(200));
    let verdict = read(&answer(200, &[], ""), NOW);
    assert_eq!(verdict, Verdict::of(Fate::Accepted { provider_id: None }).with_status(200));
}

#[test]
fn a_dead_token_says_since_when() {
    let body = r#"{"reason":"Unregistered","timestamp":1699999990000}"#;
    assert_eq!(short(&read(&answer(410, &[], body), NOW)), "unregistered since 1699999990000");
    for timestamp in ["-5", "1.5e300", "\"soon\"", "null", "{}"] {
        let body = format!(r#"{{"reason":"Unregistered","timestamp":{timestamp}}}"#);
        let verdict = read(&answer(410, &[], &body), NOW);
        assert_eq!(short(&verdict), "unregistered", "{timestamp}");
        assert_eq!(verdict.reason.as_deref(), Some("Unregistered"), "{timestamp}");
    }
}

#[test]
fn retry_after_is_obeyed_where_it_appears() {
    let at = |status, reason: &str| {
        let body = format!(r#"{{"reason":"{reason}"}}"#);
        short(&read(&answer(status, &[("retry-after", "90")], &body), NOW))
    };
    assert_eq!(at(503, "ServiceUnavailable"), "again after 90s, slow 90s");
    assert_eq!(at(500, "InternalServerError"), "again after 90s, suspect");
    assert_eq!(at(429, "TooManyRequests"), "again after 90s, slow device");
    assert_eq!(at(429, "TooManyProviderTokenUpdates"), "again after 90s, slow 90s");
    let date = answer(503, &[("retry-after", "Tue, 14 Nov 2023 22:13:50 GMT")], r#"{"reason":"ServiceUnavailable"}"#);
    assert_eq!(short(&read(&date, NOW)), "again after 30s, slow 30s");
}

#[test]
fn answers_that_are_not_apples_are_read_by_their_status() {
    let bodies = [
        "",
        "<html>Bad Gateway</html>",
        "[]",
        "null",
        r#"{"reason":7}"#,
        r#"{"reason":""}"#,
        "{\"reason\":\"x",
        "\u{0}",
    ];
    for body in bodies {
        let at = |status| read(&answer(status, &[], body), NOW);
        assert_eq!(short(&at(502)), "again after 1s, suspect", "{body:?}");
        assert_eq!(at(502).reason.as_deref(), Some("http_502"), "{body:?}");
        assert_eq!(short(&at(410)), "unregistered", "{body:?}");
        assert_eq!(short(&at(403)), "rejected, alert", "{body:?}");
        assert_eq!(short(&at(301)), "again after 1s, alert", "{body:?}");
    }
}

#[test]
fn a_reason_is_cut_and_cleaned() {
    let long = "x".repeat(500);
    assert_eq!(said(400, &long).reason.unwrap().len(), 128);
    let wide = "ü".repeat(500);
    assert_eq!(said(400, &wide).reason.unwrap().len(), 128);
    assert_eq!(said(400, r"a\r\nb\u0000c").reason.as_deref(), Some("abc"));
}

proptest::proptest! {
    /// S4: whatever a provider answers, there is a verdict.
    #[test]
    fn no_answer_panics(status in 100_u16..1000, body: Vec<u8>, wait: String) {
        let mut answer = answer(status, &[], "");
        answer.body = body.into();
        if let Ok(value) = HeaderValue::from_str(&wait) {
            answer.headers.insert("retry-after", value);
        }
        let verdict = read(&answer, NOW);
        proptest::prop_assert_eq!(verdict.status, Some(status));
    }
}
