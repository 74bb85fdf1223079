//! One attempt as FCM wants it (Firebase reference, `projects.messages:send`; PROVIDERS.md, 2.1 and 2.2).

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};

use super::template;
use crate::job::{FcmTarget, Job, Provider, Push, Target, UnixMillis};
use crate::provider::Request;
use crate::provider::wire::rejected;
use crate::verdict::{Fate, RouteEffect, Verdict};

/// The largest payload, in bytes of names and values (PROVIDERS.md, 2.2).
const MAX_PAYLOAD: usize = 4096;
/// The same for a message to a topic; a condition is one over topics.
const MAX_TOPIC_PAYLOAD: usize = 2048;

/// Names that FCM keeps for itself in `data`, and the prefixes of more (PROVIDERS.md, 2.2).
const RESERVED: [&str; 2] = ["from", "message_type"];
const RESERVED_PREFIXES: [&str; 2] = ["google.", "gcm.notification."];

/// Puts one attempt, without authorization. `left` is what is left of the push's time to live.
///
/// # Errors
/// `rejected`, with Tidegate's own reason: `bad_target`, `nothing_to_send`, `reserved_data_key`, `payload_too_large`. A
/// project's id that can't stand in a path keeps the push and parks the route: `bad_project_id`.
pub(super) fn request(push: &Push, left: Duration, _now: UnixMillis, project: &Project) -> Result<Request, Verdict> {
    let Target::Fcm(target) = push.target() else { return Err(rejected("bad_target")) };
    let job = &push.envelope.job;
    check(job)?;
    let path = project.path.clone().ok_or_else(bad_project)?;
    let lane = push.envelope.lane;
    let template = push.envelope.rendered(Provider::Fcm, |job| template::render(job, lane));
    if template::size(template) > largest(target) {
        return Err(rejected("payload_too_large"));
    }
    // Whole seconds, rounded down: Google must not deliver later than we would.
    let seconds = if push.envelope.now_or_never() { 0 } else { left.as_secs() };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    Ok(Request { path, headers, body: template::fill(template, target, seconds) })
}

fn check(job: &Job) -> Result<(), Verdict> {
    if job.notification.is_none() && job.data.is_none() && job.fcm.is_none() {
        return Err(rejected("nothing_to_send"));
    }
    match job.data.iter().flatten().any(|(name, _)| is_reserved(name)) {
        true => Err(rejected("reserved_data_key")),
        false => Ok(()),
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

const fn largest(target: &FcmTarget) -> usize {
    match target {
        FcmTarget::Token(_) | FcmTarget::Fid(_) => MAX_PAYLOAD,
        FcmTarget::Topic(_) | FcmTarget::Condition(_) => MAX_TOPIC_PAYLOAD,
    }
}

/// Where a project's messages go to: the same for all, so it is made once.
#[derive(Debug)]
pub(super) struct Project {
    /// `None` if the id can't stand in a path.
    path: Option<PathAndQuery>,
}

impl Project {
    /// An id has lower-case letters, digits and dashes, of old also a domain (`example.com:project`).
    pub(super) fn new(id: &str) -> Self {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        let is_id = !id.is_empty() && !id.starts_with('.') && id.bytes().all(fits);
        let path = || PathAndQuery::try_from(["/v1/projects/", id, "/messages:send"].concat()).ok();
        Self { path: is_id.then(path).flatten() }
    }
}

fn bad_project() -> Verdict {
    Verdict::of(Fate::Keep).on_route(RouteEffect::Park).because("bad_project_id")
}

#[cfg(test)]
mod tests;
