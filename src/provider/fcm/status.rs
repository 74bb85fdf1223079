//! The body of FCM's answers: `google.rpc.Status` in JSON, and the details FCM puts into it.
//!
//! ```json
//! {"error":{"code":404,"message":"…","status":"NOT_FOUND","details":[
//!   {"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}
//! ```
//!
//! Untrusted and open: a part that is missing, unknown or of another type is as good as absent, the rest counts.

use std::time::Duration;

use serde_json::Value;

/// What was read of a body.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Status {
    /// `name`, of an accepted message.
    pub(super) name: Option<String>,
    /// `error.status`: `INVALID_ARGUMENT`.
    pub(super) status: Option<String>,
    /// What APNs said, where the target is an iOS device.
    pub(super) apns: Option<ApnsError>,
    /// `google.rpc.RetryInfo`.
    pub(super) retry_delay: Option<Duration>,
    error_code: Option<String>,
    message: String,
    bad_fields: Vec<String>,
    violations: Vec<String>,
}

/// APNs' own answer to FCM.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ApnsError {
    pub(super) status: u16,
    pub(super) reason: String,
}

impl Status {
    /// Reads a body; what is not JSON says nothing.
    pub(super) fn read(body: &[u8]) -> Self {
        let root: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &root["error"];
        let mut status = Self {
            name: text(&root["name"]),
            status: text(&error["status"]),
            message: text(&error["message"]).unwrap_or_default(),
            ..Self::default()
        };
        for detail in list(&error["details"]) {
            status.note(detail);
        }
        status
    }

    fn note(&mut self, detail: &Value) {
        let kind = detail["@type"].as_str().unwrap_or_default();
        match kind.rsplit(['.', '/']).next().unwrap_or_default() {
            "FcmError" => self.error_code = text(&detail["errorCode"]).or(self.error_code.take()),
            "ApnsError" => self.apns = Some(apns_error(detail)),
            "BadRequest" => self.bad_fields.extend(list(&detail["fieldViolations"]).filter_map(|v| text(&v["field"]))),
            "QuotaFailure" => {
                let texts = list(&detail["violations"]).flat_map(|v| [text(&v["subject"]), text(&v["description"])]);
                self.violations.extend(texts.flatten());
            }
            "RetryInfo" => self.retry_delay = detail["retryDelay"].as_str().and_then(seconds),
            _ => {}
        }
    }

    /// FCM's own code, unless it says nothing.
    pub(super) fn error_code(&self) -> Option<&str> {
        self.error_code.as_deref().filter(|code| *code != "UNSPECIFIED_ERROR")
    }

    /// The word to report.
    pub(super) fn word(&self) -> Option<&str> {
        self.error_code.as_deref().or(self.status.as_deref())
    }

    /// Whether FCM found fault with the token and with nothing else.
    pub(super) fn only_the_token_is_bad(&self) -> bool {
        !self.bad_fields.is_empty() && self.bad_fields.iter().all(|field| field == "message.token")
    }

    /// Whether the quota that was exceeded is one device's. `QuotaFailure` says so, or without it the message.
    pub(super) fn quota_of_a_device(&self) -> bool {
        let names_device = |text: &str| text.to_ascii_lowercase().contains("device");
        match self.violations.is_empty() {
            true => names_device(&self.message),
            false => self.violations.iter().any(|text| names_device(text)),
        }
    }
}

/// Documented as `status_code`, seen as `statusCode`.
fn apns_error(detail: &Value) -> ApnsError {
    let status = detail["statusCode"].as_u64().or_else(|| detail["status_code"].as_u64());
    let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
    ApnsError { status, reason: text(&detail["reason"]).unwrap_or_default() }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// `google.protobuf.Duration` in JSON: `"3.5s"`.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds.min(86_400.0)).ok()
}
