//! What each push service's answers come to, table by table.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::*;
use crate::verdict::Sent;

const NOW: UnixMillis = UnixMillis(1_795_531_800_000);

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::try_from(*name).expect("a name"), HeaderValue::try_from(*value).expect("a value"));
    }
    Answer {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: map,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn verdict(status: u16, headers: &[(&str, &str)], body: &str) -> Verdict {
    read(&answer(status, headers, body), NOW)
}

fn mozilla(status: u16, errno: u64, message: &str) -> Verdict {
    let body = format!(r#"{{"code":{status},"errno":{errno},"error":"x","message":"{message}"}}"#);
    verdict(status, &[], &body)
}

fn apple(status: u16, reason: &str) -> Verdict {
    verdict(status, &[], &format!(r#"{{"reason":"{reason}"}}"#))
}

fn said(verdict: &Verdict) -> (&Fate, RouteEffect, &str) {
    (&verdict.fate, verdict.route, verdict.reason.as_deref().unwrap_or_default())
}

const fn seconds(seconds: u64) -> Fate {
    Fate::Retry { after: Duration::from_secs(seconds), sent: Sent::Refused }
}

const DEAD: Fate = Fate::Unregistered { since: None };

#[test]
fn any_2xx_is_accepted_and_the_message_has_its_name() {
    for status in [200, 201, 202] {
        let location = [("location", "https://push.example/m/secret/abc-1")];
        let verdict = verdict(status, &location, "");
        assert_eq!(verdict.fate, Fate::Accepted { provider_id: Some("abc-1".into()) });
    }
    assert_eq!(verdict(201, &[], "").fate, Fate::Accepted { provider_id: None });
    assert_eq!(verdict(201, &[("apns-id", "u-1")], "").fate, Fate::Accepted { provider_id: Some("u-1".into()) });
}

#[test]
fn mozillas_table() {
    use RouteEffect::{Alert, Misaddressed, None, Park};
    assert_eq!(said(&mozilla(410, 106, "gone")), (&DEAD, None, "errno_106"));
    assert_eq!(said(&mozilla(410, 103, "gone")), (&DEAD, None, "errno_103"));
    assert_eq!(said(&mozilla(404, 102, "bad url")), (&DEAD, None, "errno_102"));
    assert_eq!(said(&mozilla(413, 104, "large")), (&Fate::Rejected, None, "errno_104"));
    assert_eq!(said(&mozilla(400, 111, "ttl")), (&Fate::Rejected, Alert, "errno_111"));
    assert_eq!(said(&mozilla(401, 109, "VAPID public key mismatch")), (&Fate::Rejected, Misaddressed, "errno_109"));
    assert_eq!(said(&mozilla(401, 109, "Invalid VAPID token")), (&Fate::Keep, Park, "errno_109"));
    assert_eq!(said(&mozilla(502, 901, "bridge")), (&seconds(1), None, "errno_901"));
    let busy = verdict(503, &[("retry-after", "120")], r#"{"code":503,"errno":201,"error":"x","message":"y"}"#);
    assert_eq!(said(&busy), (&seconds(120), RouteEffect::Slow { pause: Some(Duration::from_secs(120)) }, "errno_201"));
}

#[test]
fn apples_table() {
    use RouteEffect::{Alert, Misaddressed, None, Park};
    assert_eq!(said(&apple(400, "VapidPkHashMismatch")), (&Fate::Rejected, Misaddressed, "VapidPkHashMismatch"));
    assert_eq!(said(&apple(403, "BadJwtToken")), (&Fate::Keep, Park, "BadJwtToken"));
    assert_eq!(said(&apple(410, "ExpiredSubscription")), (&DEAD, None, "ExpiredSubscription"));
    assert_eq!(said(&apple(413, "PayloadTooLarge")), (&Fate::Rejected, None, "PayloadTooLarge"));
    assert_eq!(said(&apple(400, "BadTtl")), (&Fate::Rejected, Alert, "BadTtl"));
    assert_eq!(said(&apple(429, "TooManyRequests")), (&seconds(5), RouteEffect::SlowDevice, "TooManyRequests"));
    assert_eq!(apple(503, "Shutdown").connection, ConnectionEffect::Retire);
    assert_eq!(apple(500, "InternalServerError").connection, ConnectionEffect::Suspect);
}

#[test]
fn googles_table() {
    use RouteEffect::{Misaddressed, None, Park};
    let mismatch = "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions.\n";
    assert_eq!(said(&verdict(403, &[], mismatch)), (&Fate::Rejected, Misaddressed, "vapid_key_mismatch"));
    assert_eq!(said(&verdict(403, &[], "invalid JWT provided\n")), (&Fate::Keep, Park, "http_403"));
    assert_eq!(said(&verdict(410, &[], "push subscription has unsubscribed or expired.\n")), (&DEAD, None, "http_410"));
    assert_eq!(said(&verdict(404, &[], "NotRegistered")), (&DEAD, None, "NotRegistered"));
    assert_eq!(
        said(&verdict(400, &[], "UnauthorizedRegistration")),
        (&Fate::Rejected, Misaddressed, "UnauthorizedRegistration")
    );
    assert_eq!(said(&verdict(413, &[], "")), (&Fate::Rejected, None, "http_413"));
}

#[test]
fn microsofts_table() {
    let wns = |status, state| verdict(status, &[("x-wns-status", state)], "");
    assert!(matches!(wns(201, "received").fate, Fate::Accepted { .. }));
    assert_eq!(said(&wns(200, "dropped")), (&Fate::Rejected, RouteEffect::None, "dropped"), "200 is not delivered");
    assert_eq!(said(&wns(200, "channelthrottled")), (&seconds(5), RouteEffect::SlowDevice, "channelthrottled"));
    assert_eq!(said(&wns(406, "dropped")), (&seconds(5), RouteEffect::Slow { pause: None }, "dropped"));
    let gone = verdict(410, &[("x-wns-status", "dropped"), ("x-wns-error-description", "Channel expired")], "");
    assert_eq!(said(&gone), (&DEAD, RouteEffect::None, "Channel expired"));
}

#[test]
fn the_rfcs_table() {
    use RouteEffect::{Alert, None, Park, Slow, SlowDevice};
    for (status, fate, route) in [
        (404, DEAD, None),
        (410, DEAD, None),
        (413, Fate::Rejected, None),
        (400, Fate::Rejected, Alert),
        (401, Fate::Keep, Park),
        (403, Fate::Keep, Park),
        (405, Fate::Rejected, Alert),
        (429, seconds(5), SlowDevice),
        (500, seconds(1), None),
        (502, seconds(1), None),
        (503, seconds(1), Slow { pause: Option::None }),
    ] {
        let verdict = verdict(status, &[], "");
        assert_eq!(said(&verdict), (&fate, route, format!("http_{status}").as_str()));
        assert_eq!(verdict.status, Some(status));
    }
}

#[test]
fn a_redirect_is_never_followed_whoever_says_it() {
    for status in [301, 302, 303, 307, 308] {
        let verdict = verdict(status, &[("location", "http://169.254.169.254/")], "");
        assert_eq!(said(&verdict), (&Fate::Rejected, RouteEffect::Alert, format!("http_{status}").as_str()));
    }
}

#[test]
fn a_long_retry_after_of_a_429_is_the_services_and_a_short_one_the_devices() {
    let of = |wait| verdict(429, &[("retry-after", wait)], "");
    assert_eq!(said(&of("30")), (&seconds(30), RouteEffect::SlowDevice, "http_429"));
    let pause = Some(Duration::from_secs(600));
    assert_eq!(said(&of("600")), (&seconds(600), RouteEffect::Slow { pause }, "http_429"));
    let date = of("Tue, 24 Nov 2026 14:50:20 GMT");
    assert_eq!(date.fate, seconds(20));
}

/// What a stranger's server says is kept short, and never kills what it can't know.
#[test]
fn noise_in_a_body_is_no_panic_and_no_long_reason() {
    for status in [200, 201, 301, 400, 401, 403, 404, 410, 413, 418, 429, 500, 503, 599] {
        for body in [
            "",
            "{",
            "[]",
            "null",
            r#"{"errno":"x","reason":7}"#,
            r#"{"errno":1e99}"#,
            "\u{0}\u{1b}[31m",
            &"é".repeat(4000),
            &format!(r#"{{"reason":"{}"}}"#, "x".repeat(4000)),
        ] {
            let verdict = verdict(status, &[], body);
            assert!(verdict.reason.as_deref().unwrap_or_default().len() <= 128, "{status} {body}");
            let dead = matches!(verdict.fate, Fate::Unregistered { .. });
            assert_eq!(dead, matches!(status, 404 | 410), "{status} {body}");
        }
    }
}
