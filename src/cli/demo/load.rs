//! The burst: jobs as a backend would write them.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream::{self, StreamExt};

use crate::job::Lane;
use crate::source::amqp::{Names, Publisher, enqueue};

/// Jobs whose confirms are waited for at once.
const WINDOW: usize = 1_000;

/// The apps of the demo.
pub(super) const APPS: [&str; 2] = ["chat", "shop"];

/// What is published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burst {
    pub(super) pushes: u64,
    pub(super) targets_per_job: u64,
}

impl Burst {
    fn jobs(self) -> u64 {
        self.pushes.div_ceil(self.targets_per_job)
    }

    /// Publishes all of it as fast as the broker confirms; `published` counts pushes.
    pub(super) async fn publish(
        self,
        publisher: &Publisher,
        names: &Names,
        published: &AtomicU64,
    ) -> Result<(), String> {
        let sent = stream::iter(0..self.jobs()).map(|nth| async move {
            let targets = self.targets_per_job.min(self.pushes - nth * self.targets_per_job);
            let (lane, id) = (lane_of(nth), format!("demo-{nth}"));
            enqueue(publisher, names, lane, &id, job(nth, &id, targets)).await.map_err(|error| error.to_string())?;
            Ok::<u64, String>(targets)
        });
        let mut sent = sent.buffer_unordered(WINDOW);
        while let Some(targets) = sent.next().await {
            published.fetch_add(targets?, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// One in ten is urgent, three in ten are bulk.
fn lane_of(nth: u64) -> Lane {
    match nth % 10 {
        0 => Lane::High,
        1..=6 => Lane::Normal,
        _ => Lane::Low,
    }
}

/// A chat message or an offer; every second job's targets are Apple's, the others Google's.
fn job(nth: u64, id: &str, targets: u64) -> Bytes {
    let app = APPS[usize::from((nth / 2) % 2 == 1)];
    let apple = nth.is_multiple_of(2);
    let mut json = format!(
        r#"{{"id":"{id}","app":"{app}","ttl":3600,"notification":{{"title":"Mina","body":"See you at eight?"}},"data":{{"channel":"{}"}},"to":["#,
        nth % 1000
    );
    for target in 0..targets {
        if target > 0 {
            json.push(',');
        }
        let address = (nth << 10) | target;
        if apple {
            json.push_str(&format!(r#"{{"apns":"{address:064x}"}}"#));
        } else {
            json.push_str(&format!(r#"{{"fcm":"demo-token-{address:040x}"}}"#));
        }
    }
    json.push_str("]}");
    json.into()
}
