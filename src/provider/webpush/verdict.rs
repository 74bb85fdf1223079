//! What push services' answers mean (RFC 8030; autopush's and Apple's error tables; PROVIDERS.md, 3.4).
//!
//! There is one table for each service, chosen by the form of the answer and not by the host: whoever runs autopush
//! himself, or stands in front of one, answers in its words.
//!
//! | service | by what it is known | word |
//! | --- | --- | --- |
//! | Mozilla (autopush) | JSON with a number `errno` | `errno_109` |
//! | Apple | JSON with a text `reason` | Apple's own |
//! | Microsoft (WNS) | a header `x-wns-…` | `x-wns-error-description`, or what stands in `x-wns-status` |
//! | Google, and whoever keeps to the RFC | else | Google's own for the few that are known, else `http_<status>` |
//!
//! How the rows were chosen where the source leaves a choice:
//! - A subscription of another VAPID key is `rejected`, not `unregistered`: it lives, for another sender (SPEC.md, section
//!   6). One of them is its caller's mistake; many are a wrong key of ours, so they count among the dead, are held when
//!   they are too many, and park what they came from ([`RouteEffect::Misaddressed`]).
//! - Any other refusal of our token concerns all pushes to that service: they are kept, and the service is left alone for a
//!   while ([`RouteEffect::Park`]). A route keeps these apart by origin, so a service that refuses us stops no other.
//! - 401 and 403 without a word that we know are of the second kind: to lose pushes is worse than to delay them.
//! - 3xx is never followed: where an endpoint leads is not its service's to say (PROVIDERS.md, 3.5).

use std::time::Duration;

use serde_json::Value;

use crate::job::UnixMillis;
use crate::provider::retry_after::retry_after;
use crate::provider::row::{again, parked, rejected, slow, unregistered};
use crate::provider::{Answer, wording};
use crate::verdict::{ConnectionEffect, Fate, Reason, RouteEffect, Verdict};

/// The least delay after a failure of the service's. Backoff goes on from there.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The least delay for a subscription that got too many pushes.
const AFTER_THROTTLE: Duration = Duration::from_secs(5);
/// A `Retry-After` of a 429 beyond this is the service's as a whole, not one subscription's: the longest that was seen
/// for one is a minute.
const LONGEST_OF_A_DEVICE: Duration = Duration::from_secs(60);

/// In whose words an answer is.
enum Said {
    Mozilla(u64, Box<str>),
    Apple(Box<str>),
    Microsoft(Option<Box<str>>),
    Text(Box<str>),
}

/// Reads an answer.
pub(super) fn read(answer: &Answer, now: UnixMillis) -> Verdict {
    let status = answer.status.as_u16();
    let wait = retry_after(&answer.headers, now);
    let said = Said::read(answer);
    if answer.status.is_success() {
        return accepted(answer, &said).with_status(status);
    }
    let verdict = match &said {
        Said::Mozilla(errno, message) => mozilla(status, *errno, message, wait),
        Said::Apple(reason) => apple(status, reason, wait),
        Said::Microsoft(_) => microsoft(status, wait),
        Said::Text(text) => text_row(status, text, wait),
    };
    verdict.with_status(status).because(said.reason(answer))
}

/// Any 2xx. WNS says so, too, of what it dropped: then it is not delivered.
fn accepted(answer: &Answer, said: &Said) -> Verdict {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    if let Said::Microsoft(_) = said {
        match header("x-wns-status") {
            Some("dropped") => return rejected().because("dropped"),
            Some("channelthrottled") => {
                return again(AFTER_THROTTLE).on_route(RouteEffect::SlowDevice).because("channelthrottled");
            }
            _ => {}
        }
    }
    // The message resource (RFC 8030, section 5), cut down to its last part: the rest names the subscription.
    let id = header("apns-id").or_else(|| header("location")?.rsplit('/').next());
    let id = id.filter(|id| !id.is_empty()).map(|id| wording::reason(id).into_owned().into_boxed_str());
    Verdict::of(Fate::Accepted { provider_id: id })
}

impl Said {
    fn read(answer: &Answer) -> Self {
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).map(Box::from);
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        if let Some(errno) = json.get("errno").and_then(Value::as_u64) {
            return Said::Mozilla(errno, text("message").unwrap_or_default().into());
        }
        if let Some(reason) = text("reason") {
            return Said::Apple(reason.into());
        }
        if answer.headers.keys().any(|name| name.as_str().starts_with("x-wns-")) {
            return Said::Microsoft(header("x-wns-error-description").or_else(|| header("x-wns-status")));
        }
        Said::Text(String::from_utf8_lossy(&answer.body).into())
    }

    fn reason(&self, answer: &Answer) -> Reason {
        match self {
            Said::Mozilla(errno, _) => Reason::Owned(format!("errno_{errno}")),
            Said::Apple(reason) if !reason.is_empty() => wording::reason(reason),
            Said::Microsoft(Some(word)) if !word.is_empty() => wording::reason(word),
            Said::Text(text) => match KNOWN_WORDS.into_iter().find(|word| text.contains(word)) {
                Some(word) => Reason::Borrowed(word),
                None if is_mismatch(text) => Reason::Borrowed("vapid_key_mismatch"),
                None => wording::status_alone(answer.status),
            },
            _ => wording::status_alone(answer.status),
        }
    }
}

/// Google's words in plain text.
const KNOWN_WORDS: [&str; 5] =
    ["NotRegistered", "UnauthorizedRegistration", "InvalidTokenFormat", "MismatchSenderId", "InvalidRegistration"];

/// Whether a text says that the subscription was made for another key than ours.
fn is_mismatch(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // Google, and autopush ("VAPID public key mismatch").
    (text.contains("vapid") || text.contains("credentials"))
        && (text.contains("do not correspond") || text.contains("mismatch"))
}

fn misaddressed() -> Verdict {
    rejected().on_route(RouteEffect::Misaddressed)
}

/// autopush's numbers (its `docs/src/errors.md`).
#[rustfmt::skip]
fn mozilla(status: u16, errno: u64, message: &str, wait: Option<Duration>) -> Verdict {
    match (status, errno) {
        (401 | 403, 109) if is_mismatch(message) => misaddressed(),
        (404 | 410, _) | (_, 102 | 103 | 105 | 106) => unregistered(None), // no such endpoint, user or subscription
        (_, 104) => rejected(), // too large
        (_, 107 | 202) => again(wait.unwrap_or_default().max(AFTER_FAILURE)), // a proxy in between; asked to retry
        (_, 110..=114) => rejected().on_route(RouteEffect::Alert), // our headers
        (502, 901..=903) => again(wait.unwrap_or_default().max(AFTER_FAILURE)), // the bridge to Google or Apple
        _ => by_status(status, wait),
    }
}

#[rustfmt::skip]
fn apple(status: u16, reason: &str, wait: Option<Duration>) -> Verdict {
    match (status, reason) {
        (_, "VapidPkHashMismatch") => misaddressed(),
        (403, "BadJwtToken") | (_, "BadAuthorizationHeader" | "BadVapidPublicKey") => parked(),
        (_, "PayloadTooLarge") => rejected(),
        (400, "BadTtl" | "BadUrgency" | "BadWebPushTopic" | "BadWebPushRequest") => rejected().on_route(RouteEffect::Alert),
        (_, "BadPath") => rejected().on_route(RouteEffect::Alert),
        (_, "IdleTimeout") => again(Duration::ZERO).on_connection(ConnectionEffect::Retire),
        (503, "Shutdown") => again(Duration::ZERO).on_connection(ConnectionEffect::Retire),
        _ => by_status(status, wait),
    }
}

#[rustfmt::skip]
fn microsoft(status: u16, wait: Option<Duration>) -> Verdict {
    match status {
        406 => again(wait.unwrap_or_default().max(AFTER_THROTTLE)).on_route(slow(wait)), // throttled
        _ => by_status(status, wait),
    }
}

#[rustfmt::skip]
fn text_row(status: u16, text: &str, wait: Option<Duration>) -> Verdict {
    match status {
        401 | 403 if is_mismatch(text) || text.contains("MismatchSenderId") => misaddressed(),
        // A subscription of the time before VAPID, which no key will ever fit.
        400 | 401 if text.contains("UnauthorizedRegistration") => misaddressed(),
        400 if text.contains("NotRegistered") || text.contains("InvalidRegistration") => unregistered(None),
        _ => by_status(status, wait),
    }
}

/// RFC 8030, and HTTP.
#[rustfmt::skip]
fn by_status(status: u16, wait: Option<Duration>) -> Verdict {
    let failure = wait.unwrap_or_default().max(AFTER_FAILURE);
    match status {
        404 | 410 => unregistered(None),
        413 => rejected(),
        401 | 403 => parked(),
        429 => match wait {
            // Whoever asks for more than a device's pause means all of us.
            Some(wait) if wait > LONGEST_OF_A_DEVICE => again(wait).on_route(slow(Some(wait))),
            wait => again(wait.unwrap_or_default().max(AFTER_THROTTLE)).on_route(RouteEffect::SlowDevice),
        },
        503 => again(failure).on_route(slow(wait)),
        500.. => again(failure).on_connection(ConnectionEffect::Suspect),
        400..=499 => rejected().on_route(RouteEffect::Alert),
        // A redirect: never followed.
        _ => rejected().on_route(RouteEffect::Alert),
    }
}

#[cfg(test)]
mod tests;
