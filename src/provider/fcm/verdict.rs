//! What FCM's answers mean: the one table (Firebase, `ErrorCode`; PROVIDERS.md, 2.5).
//!
//! Read in this order: `details[FcmError].errorCode`, else `error.status`, else the HTTP status. What a front end answers
//! (HTML) is no error of FCM's and is read by its status alone.
//!
//! How the rows were chosen where the source leaves a choice:
//! - A token of another project (`SENDER_ID_MISMATCH`) is `rejected`: it lives, elsewhere (SPEC.md, section 6).
//! - `INVALID_ARGUMENT` kills a token only if FCM names the field `message.token`, and no other: else the payload may be
//!   at fault, and a bad payload must not unregister a million devices.
//! - `THIRD_PARTY_AUTH_ERROR` is about the project's APNs or Web Push key, which Google holds and this target needs, and
//!   no other does. Parking the route would stop Android too; so the push comes again after minutes, with an alert.
//! - What APNs said through FCM (`ApnsError`) is read by APNs' table, without what it would mean for a route and a
//!   connection to Apple: we have none.

use std::time::Duration;

use super::status::{ApnsError, Status};
use crate::job::UnixMillis;
use crate::provider::retry_after::retry_after;
use crate::provider::row::{again, parked, rejected, slow, unregistered};
use crate::provider::{Answer, apns, wording};
use crate::verdict::{Fate, RouteEffect, Verdict};

/// The least delay after a failure of Google's (PROVIDERS.md, 2.3: the first retry after 10 s or more).
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// The pause after a 429 without `Retry-After` (the same: one minute).
const AFTER_QUOTA: Duration = Duration::from_secs(60);
/// The delay where somebody must first mend the Firebase project. Five attempts are most of half an hour.
const AFTER_BROKEN_PLATFORM: Duration = Duration::from_secs(5 * 60);

/// Reads an answer.
pub(super) fn read(answer: &Answer, now: UnixMillis) -> Verdict {
    let code = answer.status.as_u16();
    let status = Status::read(&answer.body);
    if answer.status.is_success() {
        return Verdict::of(Fate::Accepted { provider_id: status.name.map(Into::into) }).with_status(code);
    }
    let wait = retry_after(&answer.headers, now).or(status.retry_delay);
    let said = match status.word() {
        Some(word) => wording::reason(word),
        None => wording::status_alone(answer.status),
    };
    if let Some(verdict) = status.apns.as_ref().and_then(|error| by_apns(error, wait)) {
        return verdict.with_status(code);
    }
    row(code, &status, wait).with_status(code).because(said)
}

/// The table.
#[rustfmt::skip]
fn row(code: u16, status: &Status, wait: Option<Duration>) -> Verdict {
    let failure = wait.unwrap_or_default().max(AFTER_FAILURE);
    match (code, status.error_code(), status.status.as_deref()) {
        // The push.
        (400, Some("INVALID_ARGUMENT"), _) | (400, None, Some("INVALID_ARGUMENT")) if status.only_the_token_is_bad() => unregistered(None),
        (400, Some("INVALID_ARGUMENT"), _) | (400, None, Some("INVALID_ARGUMENT")) => rejected(),
        (413, _, _) => rejected(), // too big even for the front end

        // The address.
        (_, Some("UNREGISTERED"), _) => unregistered(None),
        (403, Some("SENDER_ID_MISMATCH"), _) => rejected().on_route(RouteEffect::Misaddressed),
        // Most often a dead token (Google's own SDK reads it so), else the project's id is wrong: an alert as well.
        (404, None, Some("NOT_FOUND")) => unregistered(None).on_route(RouteEffect::Alert),

        // The credential, or what it may do.
        (401, Some("THIRD_PARTY_AUTH_ERROR"), _) => broken_platform(wait),
        (401, _, _) => Verdict::of(Fate::Resign), // UNAUTHENTICATED: our access token
        (403, None, _) => parked(), // PERMISSION_DENIED: a role is missing, or the API is off
        (404, None, None) => parked(), // no error of FCM's: what we speak to is not FCM's door

        // Too much.
        (429, _, _) if status.quota_of_a_device() => again(wait.unwrap_or(AFTER_QUOTA)).on_route(RouteEffect::SlowDevice),
        (429, _, _) => again(wait.unwrap_or(AFTER_QUOTA)).on_route(slow(wait.or(Some(AFTER_QUOTA)))),

        // Google's own trouble.
        (503, _, _) => again(failure).on_route(slow(wait)), // UNAVAILABLE
        (500.., _, _) => again(failure), // INTERNAL; 502, 504 and HTML of the front end

        (400..=499, _, _) => rejected().on_route(RouteEffect::Alert), // UNSPECIFIED_ERROR and what is new
        // A redirect or the like: what we speak to is not FCM.
        _ => again(failure).on_route(RouteEffect::Alert),
    }
}

/// What Apple said of an iOS token, by [APNs' table](apns::verdict::row). `None` if the detail says nothing.
fn by_apns(error: &ApnsError, wait: Option<Duration>) -> Option<Verdict> {
    if error.status == 0 || error.reason.is_empty() {
        return None;
    }
    let verdict = apns::verdict::row(error.status, &error.reason, None, None);
    let failure = wait.unwrap_or_default().max(AFTER_FAILURE);
    let verdict = match (verdict.fate, verdict.route) {
        (Fate::Keep | Fate::Resign, _) => broken_platform(wait),
        (Fate::Retry { after, .. }, RouteEffect::SlowDevice) => {
            again(after.max(failure)).on_route(RouteEffect::SlowDevice)
        }
        (Fate::Retry { after, .. }, _) => again(after.max(failure)),
        (fate, route @ (RouteEffect::Alert | RouteEffect::Misaddressed)) => Verdict::of(fate).on_route(route),
        (fate, _) => Verdict::of(fate),
    };
    Some(verdict.because(wording::reason(&error.reason)))
}

fn broken_platform(wait: Option<Duration>) -> Verdict {
    again(wait.unwrap_or_default().max(AFTER_BROKEN_PLATFORM)).on_route(RouteEffect::Alert)
}

#[cfg(test)]
mod tests;
