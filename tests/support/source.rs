//! The AMQP source with a pipeline made by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate::job::{Envelope, Lane, MemoryBudget, RouteId, RouteTable};
use tidegate::source::amqp::{AmqpSettings, AmqpSource, Names, SourceStatus};
use tidegate::stage::{Inlet, link};
use tidegate::telemetry::Metrics;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub struct Stub {
    pub source: AmqpSource,
    pub inlets: [Inlet<Arc<Envelope>>; 3],
    pub drain: CancellationToken,
    pub memory: Arc<MemoryBudget>,
    pub status: watch::Receiver<SourceStatus>,
    _routes: watch::Sender<Arc<RouteTable>>,
}

pub fn settings(uri: &str) -> AmqpSettings {
    AmqpSettings { uri: uri.into(), ..AmqpSettings::default() }
}

impl Stub {
    pub fn start(settings: AmqpSettings) -> Self {
        Self::start_within(settings, 256 << 20)
    }

    /// The same with so many bytes for the jobs held.
    pub fn start_within(settings: AmqpSettings, bytes: usize) -> Self {
        // Shown when a test fails.
        let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter("tidegate=debug").try_init();
        let doorbell = Arc::new(Notify::new());
        let [high, normal, low] = [(); 3].map(|()| link(Arc::clone(&doorbell)));
        let table = RouteTable::new([("chat".into(), [Some(RouteId(0)), Some(RouteId(1)), None])]);
        let (sender, routes) = watch::channel(Arc::new(table));
        let drain = CancellationToken::new();
        let outlets = [high.0, normal.0, low.0];
        let memory = MemoryBudget::new(bytes);
        let source = AmqpSource::start(
            settings,
            routes,
            outlets,
            Arc::clone(&memory),
            Arc::new(Metrics::default()),
            drain.clone(),
        );
        let status = source.status();
        Self { source, inlets: [high.1, normal.1, low.1], drain, memory, status, _routes: sender }
    }

    /// Waits until the status is as wanted; fails with the last one.
    pub async fn until(&self, what: &str, wanted: impl FnMut(&SourceStatus) -> bool) -> SourceStatus {
        let mut status = self.status.clone();
        let waited = tokio::time::timeout(Duration::from_secs(60), status.wait_for(wanted)).await;
        match waited {
            Ok(status) => status.expect("the source lives").clone(),
            Err(_) => panic!("waited 60 s in vain: {what}; {:#?}", *self.status.borrow()),
        }
    }

    /// Receives the next chunk of a lane.
    pub async fn chunk(&mut self, lane: Lane) -> Vec<Arc<Envelope>> {
        let inlet = &mut self.inlets[lane.index()];
        let received = tokio::time::timeout(Duration::from_secs(30), inlet.recv()).await;
        match received {
            Ok(chunk) => chunk.expect("the source lives"),
            Err(_) => panic!("no chunk within 30 s; {:#?}", *self.status.borrow()),
        }
    }

    /// Receives exactly `count` jobs of a lane, asking for them.
    pub async fn take(&mut self, lane: Lane, count: usize) -> Vec<Arc<Envelope>> {
        let mut jobs: Vec<Arc<Envelope>> = Vec::new();
        while jobs.len() < count {
            self.inlets[lane.index()].want(count - jobs.len());
            jobs.extend(self.chunk(lane).await);
        }
        assert_eq!(jobs.len(), count, "never more than asked");
        self.inlets[lane.index()].want(0);
        jobs
    }

    pub fn names(&self) -> Names {
        self.source.names().clone()
    }
}

/// Settles jobs as the pipeline's settlement does: by acknowledger, many tags at once.
pub fn settle(jobs: &[Arc<Envelope>]) {
    let mut by_channel: BTreeMap<*const (), Vec<&Arc<Envelope>>> = BTreeMap::new();
    for job in jobs {
        let acknowledger = Arc::as_ptr(&job.origin.receipt.acknowledger).cast::<()>();
        by_channel.entry(acknowledger).or_default().push(job);
    }
    for jobs in by_channel.into_values() {
        let tags = jobs.iter().map(|job| job.origin.receipt.tag).collect();
        jobs[0].origin.receipt.acknowledger.settle(tags);
    }
}

pub fn job(id: &str) -> Vec<u8> {
    format!(r#"{{"id":"{id}","app":"chat","to":[{{"fcm":"token-of-{id}"}}],"notification":{{"title":"hi"}}}}"#).into()
}
