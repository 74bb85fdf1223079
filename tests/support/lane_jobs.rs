//! Jobs of one push each that nobody settles: for a look at the lanes alone (a test counts, a bench times).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tidegate::job::{Acknowledger, Defaults, Envelope, Lane, Origin, Receipt, RouteId, SourceName, UnixMillis, decode};

struct Nobody;

impl Acknowledger for Nobody {
    fn settle(&self, _: Vec<u64>) {}
    fn give_back(&self, _: Vec<u64>) {}
    fn settle_except(&self, _: u64, _: Vec<u16>) {}
    fn is_live(&self) -> bool {
        true
    }
}

/// So many, for these routes in turn, each in the lane that `lane` names for its number.
pub(crate) fn jobs(count: u32, routes: u32, lane: impl Fn(u32) -> Lane) -> Vec<Arc<Envelope>> {
    let body = format!(r#"{{"app":"chat","to":[{{"apns":"{:064x}"}}],"notification":{{"title":"x"}}}}"#, 1);
    let acknowledger: Arc<dyn Acknowledger> = Arc::new(Nobody);
    let one = |nth: u32| {
        let job = decode(body.as_bytes(), Defaults::default()).expect("a good job");
        let origin = Origin {
            source: SourceName::Amqp,
            queue: "jobs".into(),
            receipt: Receipt { acknowledger: Arc::clone(&acknowledger), tag: u64::from(nth) },
            body: Bytes::new(),
            accepted_at: UnixMillis::now(),
            accepted: Instant::now(),
            deadline: None,
            attempts: 0,
            lane: lane(nth),
            selected: None,
            exhausted: false,
        };
        Envelope::new(job, origin, [Some(RouteId(nth % routes)), None, None])
    };
    (0..count).map(one).collect()
}
