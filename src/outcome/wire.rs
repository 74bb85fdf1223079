//! An outcome as callers read it (SPEC.md, section 6).

use bytes::Bytes;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::Value;

use super::{Ended, OutcomeKind};
use crate::job::{Provider, Target, UnixMillis};

/// How one push ended. Fields that say nothing are left out.
#[derive(Serialize, JsonSchema)]
struct OutcomeWire<'e> {
    /// The job's id.
    job: &'e str,
    /// The app.
    app: &'e str,
    /// The provider.
    provider: Provider,
    /// The object that stood in the job's `to`.
    #[schemars(with = "serde_json::Map<String, Value>")]
    target: &'e Target,
    /// How it ended.
    outcome: OutcomeKind,
    /// The provider's own word where there is one (`BadDeviceToken`), else Tidegate's in snake_case.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'e str>,
    /// The HTTP status of the provider's last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// How often it was tried.
    attempts: u8,
    /// What the provider calls the push.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<&'e str>,
    /// Since when the token is dead. Delete it only if it was registered before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    since: Option<UnixMillis>,
    /// When the job was enqueued.
    #[schemars(with = "DateTime")]
    accepted_at: UnixMillis,
    /// When it ended.
    #[schemars(with = "DateTime")]
    at: UnixMillis,
    /// The W3C trace context that the job came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'e str>,
}

/// A time as RFC 3339 writes it: UTC, with milliseconds.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct DateTime(#[schemars(extend("format" = "date-time"))] String);

/// The JSON object that tells of one outcome, on one line.
#[must_use]
pub fn to_json(ended: &Ended) -> Bytes {
    let Ended { push, outcome } = ended;
    let wire = OutcomeWire {
        job: &push.envelope.job.id,
        app: &push.envelope.job.app,
        provider: push.target().provider(),
        target: push.target(),
        outcome: outcome.kind,
        reason: outcome.reason.as_deref(),
        status: outcome.status,
        attempts: outcome.attempts,
        provider_id: outcome.provider_id.as_deref(),
        since: outcome.since,
        accepted_at: push.envelope.origin.accepted_at,
        at: outcome.at,
        traceparent: push.envelope.job.traceparent.as_deref(),
    };
    serde_json::to_vec(&wire).expect("an outcome is texts and numbers").into()
}

/// JSON Schema (draft 2020-12) of an outcome.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schema_for!(OutcomeWire<'static>);
    schema.insert("title".to_owned(), "Tidegate outcome".into());
    schema.to_value()
}

#[cfg(test)]
mod tests;
