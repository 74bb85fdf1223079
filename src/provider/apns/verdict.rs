//! What APNs' answers mean: the one table (Apple, "Handling notification responses from APNs"; PROVIDERS.md, 1.8).
//!
//! How the rows were chosen where the source leaves a choice:
//! - A broken credential or configuration keeps the push and parks the route ([`Fate::Keep`], [`RouteEffect::Park`]): a
//!   key that was revoked at night must not burn the morning's jobs.
//! - What is broken for one push only (a header of its caller's) is that push's outcome and an alert. A push that parked
//!   the route would let one job stop an app.
//! - The token of another topic is `rejected`, not `unregistered`: it lives, elsewhere (SPEC.md, section 6).
//! - Apple advises fifteen minutes before retrying a 5xx. That is useless for a message; so the floor here is a second,
//!   and backoff and the route's own slowing do the rest.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::job::UnixMillis;
use crate::provider::Answer;
use crate::provider::retry_after::retry_after;
use crate::provider::row::{again, parked, rejected, slow, unregistered};
use crate::provider::wording;
use crate::verdict::{ConnectionEffect, Fate, RouteEffect, Verdict};

/// The least delay after a failure of Apple's. Backoff goes on from there.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The least delay for a device that got too many pushes in a row.
const AFTER_DEVICE_THROTTLE: Duration = Duration::from_secs(5);
/// How long a route rests whose tokens were changed too often (PROVIDERS.md, 1.8: `RETRY(30 s)`).
const AFTER_TOKEN_UPDATES: Duration = Duration::from_secs(30);

/// The body of an error. Untrusted: one part of another type must not cost the other.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    reason: Value,
    /// Milliseconds since 1970, with 410 alone.
    timestamp: Value,
}

/// Reads an answer.
pub(super) fn read(answer: &Answer, now: UnixMillis) -> Verdict {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        let id = answer.headers.get("apns-id").and_then(|id| id.to_str().ok());
        return Verdict::of(Fate::Accepted { provider_id: id.map(Into::into) }).with_status(status);
    }
    let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
    let reason = body.reason.as_str().unwrap_or_default();
    let wait = retry_after(&answer.headers, now);
    let since = body.timestamp.as_u64().map(UnixMillis);
    let verdict = row(status, reason, since, wait).with_status(status);
    match reason {
        "" => verdict.because(wording::status_alone(answer.status)),
        reason => verdict.because(wording::reason(reason)),
    }
}

/// The table. `wait` is the answer's `Retry-After`, which Apple doesn't document and we would obey.
#[rustfmt::skip]
pub(in crate::provider) fn row(status: u16, reason: &str, since: Option<UnixMillis>, wait: Option<Duration>) -> Verdict {
    let failure = wait.unwrap_or_default().max(AFTER_FAILURE);
    match (status, reason) {
        // The push is malformed, or over a limit.
        (400, "BadCollapseId" | "BadExpirationDate" | "BadPriority" | "InvalidPushType") => rejected(),
        (400, "MissingDeviceToken" | "PayloadEmpty") => rejected(),
        (413, _) | (_, "PayloadTooLarge") => rejected(),
        // The same, and it should not have left us like that.
        (400, "BadMessageId" | "BadTopic" | "DuplicateHeaders" | "MissingTopic") => rejected().on_route(RouteEffect::Alert),
        (404, _) => rejected().on_route(RouteEffect::Alert), // BadPath, the only documented 404

        // The address. BadDeviceToken is also what every token of the other environment gets.
        (400, "BadDeviceToken") => unregistered(None),
        (400, "DeviceTokenNotForTopic") => rejected().on_route(RouteEffect::Misaddressed),
        (410, _) => unregistered(since), // ExpiredToken, Unregistered

        // The connection, or the token it was opened with: another connection will do.
        (400, "IdleTimeout") => again(Duration::ZERO).on_connection(ConnectionEffect::Retire),
        (403, "UnrelatedKeyIdInToken") => again(Duration::ZERO).on_connection(ConnectionEffect::Retire),
        (403, "ExpiredProviderToken" | "InvalidProviderToken") => Verdict::of(Fate::Resign).on_connection(ConnectionEffect::Retire),

        // The credential, or what it may do.
        (403, "BadCertificate" | "BadCertificateEnvironment") => parked().on_connection(ConnectionEffect::Retire),
        (403, "BadEnvironmentKeyIdInToken" | "BadEnvironmentKeyInToken") => parked().on_connection(ConnectionEffect::Retire),
        (403, "MissingProviderToken") => parked(),
        (400, "TopicDisallowed") => parked(),
        (405, _) => parked(), // MethodNotAllowed: what we speak to is not APNs' push door
        // Apple lists it among what must never be retried, beside payload and token errors: this push's own.
        (403, "Forbidden") => rejected().on_route(RouteEffect::Alert),

        // Too much. Renewing the token would make the first of these worse; the route rests, so that the pushes behind
        // don't burn their attempts on it.
        (429, "TooManyProviderTokenUpdates") => again(wait.unwrap_or_default().max(AFTER_TOKEN_UPDATES)).on_route(slow(wait.or(Some(AFTER_TOKEN_UPDATES)))),
        (429, "TooManyRequests") => again(wait.unwrap_or_default().max(AFTER_DEVICE_THROTTLE)).on_route(RouteEffect::SlowDevice),
        (429, _) => again(failure).on_route(slow(wait)), // undocumented: by HTTP's meaning

        // Apple's own trouble.
        (503, "Shutdown") => again(Duration::ZERO).on_connection(ConnectionEffect::Retire),
        (503, _) => again(failure).on_route(slow(wait)), // ServiceUnavailable
        (500.., _) => again(failure).on_connection(ConnectionEffect::Suspect), // InternalServerError

        (400..=499, _) => rejected().on_route(RouteEffect::Alert),
        // A redirect or the like: what we speak to is not APNs.
        _ => again(failure).on_route(RouteEffect::Alert),
    }
}

#[cfg(test)]
mod tests;
