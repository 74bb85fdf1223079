//! Accepted jobs for unit tests.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::{Acknowledger, Defaults, Envelope, Lane, Origin, Push, Receipt, SourceName, UnixMillis, decode};

struct Nobody;

impl Acknowledger for Nobody {
    fn settle(&self, _: Vec<u64>) {}

    fn give_back(&self, _: Vec<u64>) {}

    fn is_live(&self) -> bool {
        true
    }
}

/// When the sample jobs were accepted: 2026-11-24T14:50:00.123Z.
pub(crate) const ACCEPTED_AT: UnixMillis = UnixMillis(1_795_531_800_123);

/// Accepts a job that came by `lane`.
pub(crate) fn envelope(job: &Value, lane: Lane) -> Arc<Envelope> {
    let body = Bytes::from(job.to_string());
    let job = decode(&body, Defaults::default()).expect("a good job");
    let origin = Origin {
        source: SourceName::Amqp,
        queue: "tidegate.jobs.normal".into(),
        receipt: Receipt { acknowledger: Arc::new(Nobody), tag: 1 },
        body,
        accepted_at: ACCEPTED_AT,
        accepted: Instant::now(),
        deadline: None,
        attempts: 0,
        lane,
        selected: None,
        exhausted: false,
    };
    Envelope::new(job, origin, [None; 3])
}

/// The first push of a job that came by the normal lane.
pub(crate) fn push(job: &Value) -> Push {
    envelope(job, Lane::Normal).push(0)
}
