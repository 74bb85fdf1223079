//! Jobs for unit tests, and an acknowledger that remembers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::{
    Acknowledger, Defaults, Envelope, FcmTarget, Job, Lane, Origin, Push, Receipt, RouteId, Routes, SourceName, Target,
    UnixMillis, decode,
};

/// Remembers what was settled and what was given back, in order.
#[derive(Default)]
pub(crate) struct Remembers {
    pub(crate) settled: Mutex<Vec<u64>>,
    pub(crate) given_back: Mutex<Vec<u64>>,
    pub(crate) excepted: Mutex<Vec<(u64, Vec<u16>)>>,
    pub(crate) lost: AtomicBool,
}

impl Acknowledger for Remembers {
    fn settle(&self, tags: Vec<u64>) {
        self.settled.lock().expect("no test panics while it holds this").extend(tags);
    }

    fn give_back(&self, tags: Vec<u64>) {
        self.given_back.lock().expect("no test panics while it holds this").extend(tags);
    }

    fn settle_except(&self, tag: u64, targets: Vec<u16>) {
        self.excepted.lock().expect("no test panics while it holds this").push((tag, targets));
    }

    fn is_live(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
    }
}

/// When all these jobs were accepted: 2026-11-24T14:50:00.123Z (`accepted`, on our own clock, is now).
pub(crate) const ACCEPTED_AT: UnixMillis = UnixMillis(1_795_531_800_123);

/// A job in the making.
pub(crate) struct Draft {
    pub(crate) job: Job,
    pub(crate) origin: Origin,
    pub(crate) routes: Routes,
}

/// A job with so many targets: an APNs token each, routes 0 (APNs) and 1 (FCM), lane `normal`, accepted now.
pub(crate) fn draft(tag: u64, targets: usize) -> Draft {
    let token = |nth: usize| Target::Apns(format!("{tag:016x}{nth:016x}").into());
    let job = Job {
        id: format!("job-{tag}").into(),
        app: "chat".into(),
        to: (0..targets).map(token).collect(),
        priority: None,
        ttl: None,
        collapse_key: None,
        notification: None,
        data: None,
        apns: None,
        fcm: None,
        webpush: None,
        traceparent: None,
    };
    let origin = origin(tag, Bytes::from_static(b"{}"));
    Draft { job, origin, routes: [Some(RouteId(0)), Some(RouteId(1)), None] }
}

fn origin(tag: u64, body: Bytes) -> Origin {
    Origin {
        source: SourceName::Amqp,
        queue: "tidegate.jobs.normal".into(),
        receipt: Receipt { acknowledger: Arc::new(Remembers::default()), tag },
        body,
        accepted_at: ACCEPTED_AT,
        accepted: Instant::now(),
        deadline: None,
        attempts: 0,
        lane: Lane::Normal,
        selected: None,
        exhausted: false,
    }
}

/// Accepts a job as it would be written, by `lane`; its app has no routes.
pub(crate) fn envelope(job: &Value, lane: Lane) -> Arc<Envelope> {
    let body = Bytes::from(job.to_string());
    let job = decode(&body, Defaults::default()).expect("a good job");
    Draft { job, origin: origin(1, body), routes: [None; 3] }.lane(lane).seal()
}

/// The first push of a job that came by the normal lane.
pub(crate) fn push(job: &Value) -> Push {
    envelope(job, Lane::Normal).push(0)
}

impl Draft {
    pub(crate) fn lane(mut self, lane: Lane) -> Self {
        self.origin.lane = lane;
        self
    }

    pub(crate) fn addressed_to_fcm(mut self) -> Self {
        for target in &mut self.job.to {
            *target = Target::Fcm(FcmTarget::Token("a-token".into()));
        }
        self
    }

    pub(crate) fn acknowledged_by(mut self, acknowledger: &Arc<Remembers>) -> Self {
        self.origin.receipt.acknowledger = Arc::clone(acknowledger) as Arc<dyn Acknowledger>;
        self
    }

    pub(crate) fn seal(self) -> Arc<Envelope> {
        Envelope::new(self.job, self.origin, self.routes)
    }
}
