//! How FCM says no: `google.rpc.Status` as JSON, with details.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::job::UnixMillis;
use crate::simulator::exchange::{put_retry_after, retry_after};
use crate::simulator::{Injected, Reply};

/// A reason to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 404: not a method of this API.
    NoSuchMethod,
    /// 404: no such project.
    NoSuchProject,
    /// 401: no, an unknown or an expired access token.
    Unauthenticated,
    /// 403: a token that may not send for this project.
    PermissionDenied,
    /// 400: the message is against its schema.
    Invalid {
        /// Where.
        field: String,
        /// What.
        description: String,
    },
    /// 400: the target can't be a registration token.
    MalformedToken,
    /// 403: the target is another project's.
    SenderIdMismatch,
    /// 404: the target is gone.
    Unregistered,
    /// 400: the target's APNs token is gone.
    DeadIos,
    /// 401: the project's credential for the target's platform is bad.
    ThirdPartyAuth,
    /// 429: the quota is used up.
    Quota {
        /// `Retry-After`.
        wait: Option<Duration>,
    },
    /// 429: too much for this device.
    DeviceRate,
    /// 5xx.
    Server(u16),
}

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const APNS_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.ApnsError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const QUOTA_FAILURE: &str = "type.googleapis.com/google.rpc.QuotaFailure";

/// A refusal's parts.
struct Status {
    http: u16,
    status: &'static str,
    code: Option<&'static str>,
    message: String,
    details: Vec<Value>,
}

fn status(http: u16, status: &'static str, code: Option<&'static str>, message: &str) -> Status {
    let details = code.map(|code| json!({ "@type": FCM_ERROR, "errorCode": code })).into_iter().collect();
    Status { http, status, code, message: message.to_owned(), details }
}

impl Refusal {
    /// The answer.
    pub(super) fn reply(&self, injected: Option<Injected>, now: UnixMillis) -> Reply {
        if *self == Refusal::Server(502) {
            return front_end_error();
        }
        let parts = self.parts();
        let body = json!({ "error": {
            "code": parts.http, "message": parts.message, "status": parts.status, "details": parts.details,
        }});
        let mut reply = Reply::new(parts.http);
        reply.reason = Some(parts.code.unwrap_or(parts.status).to_owned());
        reply.body = Bytes::from(body.to_string());
        reply.headers.push(("content-type", "application/json; charset=UTF-8".to_owned()));
        match self {
            Refusal::Quota { wait: Some(wait) } => put_retry_after(&mut reply, *wait, false, now),
            Refusal::Quota { wait: None } | Refusal::Server(_) => retry_after(&mut reply, injected, now),
            _ => {}
        }
        reply
    }

    fn parts(&self) -> Status {
        match self {
            Refusal::NoSuchMethod => status(404, "NOT_FOUND", None, "Method not found."),
            Refusal::NoSuchProject => status(404, "NOT_FOUND", None, "Requested entity was not found."),
            Refusal::Unauthenticated => {
                status(401, "UNAUTHENTICATED", None, "Request had invalid authentication credentials.")
            }
            Refusal::PermissionDenied => {
                status(403, "PERMISSION_DENIED", None, "Permission 'cloudmessaging.messages.create' denied.")
            }
            Refusal::Invalid { field, description } => {
                let mut status = status(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), description);
                let violations = json!([{ "field": field, "description": description }]);
                status.details = vec![json!({ "@type": BAD_REQUEST, "fieldViolations": violations })];
                status
            }
            Refusal::MalformedToken => {
                let text = "The registration token is not a valid FCM registration token";
                status(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), text)
            }
            Refusal::SenderIdMismatch => {
                status(403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), "SenderId mismatch")
            }
            Refusal::Unregistered => status(404, "NOT_FOUND", Some("UNREGISTERED"), "Requested entity was not found."),
            Refusal::DeadIos => {
                let mut status =
                    status(400, "INVALID_ARGUMENT", Some("UNREGISTERED"), "APNs device token is disabled.");
                status.details.push(json!({ "@type": APNS_ERROR, "statusCode": 410, "reason": "Unregistered" }));
                status
            }
            Refusal::ThirdPartyAuth => {
                let text = "Auth error from APNS or Web Push Service";
                status(401, "UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR"), text)
            }
            Refusal::Quota { .. } => {
                quota("project", "Quota exceeded for quota metric 'Messages' and limit 'Messages per minute'.")
            }
            Refusal::DeviceRate => quota("device", "Message rate exceeded for this device."),
            Refusal::Server(500) => status(500, "INTERNAL", Some("INTERNAL"), "Internal error encountered."),
            Refusal::Server(http) => {
                status(*http, "UNAVAILABLE", Some("UNAVAILABLE"), "The service is currently unavailable.")
            }
        }
    }
}

fn quota(subject: &str, text: &str) -> Status {
    let mut status = status(429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), text);
    let violations = json!([{ "subject": subject, "description": text }]);
    status.details.push(json!({ "@type": QUOTA_FAILURE, "violations": violations }));
    status
}

/// The front end's own page: not JSON.
fn front_end_error() -> Reply {
    let body = "<!DOCTYPE html><html lang=en><title>Error 502 (Server Error)!!1</title><p>That’s an error.</html>";
    let headers = vec![("content-type", "text/html; charset=UTF-8".to_owned())];
    Reply { headers, body: Bytes::from_static(body.as_bytes()), reason: Some("502".to_owned()), ..Reply::new(502) }
}
