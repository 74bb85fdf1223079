//! A job that a source has accepted, and the pushes it stands for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Charge, Job, Lane, MemoryBudget, Provider, Target, UnixMillis};

/// How long "now" lasts for a job with a ttl of 0: long enough for an AMQP timestamp (whole seconds) and a full lane, short
/// enough that nobody takes it for later.
pub const NOW: Duration = Duration::from_secs(5);

/// How long a job is held before its unsent pushes are put off durably: well below the 30 minutes after which RabbitMQ
/// closes the channel of a consumer that does not ack (`consumer_timeout`), and long enough that this is rare.
pub const MAX_HELD: Duration = Duration::from_secs(10 * 60);

/// A route's number: app × provider, the failure domain. Given out by the [`RouteTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// The routes of one app, by [`Provider::index`].
pub type Routes = [Option<RouteId>; 3];

/// Which apps there are and by which routes their pushes leave. Immutable; a reload makes a new one.
#[derive(Debug, Default)]
pub struct RouteTable {
    apps: HashMap<Box<str>, Routes>,
}

impl RouteTable {
    /// A table of these apps.
    #[must_use]
    pub fn new(apps: impl IntoIterator<Item = (Box<str>, Routes)>) -> Self {
        Self { apps: apps.into_iter().collect() }
    }

    /// The routes of `app`; `None` if no such app is configured.
    #[must_use]
    pub fn of(&self, app: &str) -> Option<Routes> {
        self.apps.get(app).copied()
    }

    /// The configured apps' names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.apps.keys().map(AsRef::as_ref)
    }
}

/// Where settled jobs are reported: one per source connection generation, so that a late answer can never settle
/// another job. Calls don't block and don't fail. A generation that is gone can't settle any more; what it hears is for
/// the source's memory, so that a job which ended late is not sent again when it comes again.
pub trait Acknowledger: Send + Sync {
    /// These jobs are settled: every push of them has an outcome, or is durably queued again.
    fn settle(&self, tags: Vec<u64>);

    /// These jobs were not touched: the source shall have them back (drain).
    fn give_back(&self, tags: Vec<u64>);

    /// A job that came by a generation that is gone: all its pushes have ended but those to these targets, which come
    /// again with it. Never said of a live one.
    fn settle_except(&self, tag: u64, targets: Vec<u16>);

    /// False once the source has taken its jobs back by itself (the connection is lost): they will come again, so
    /// what still waits of them must not be sent.
    fn is_live(&self) -> bool;
}

/// The right to settle one job at its source.
#[derive(Clone)]
pub struct Receipt {
    /// The source generation that gave the job.
    pub acknowledger: Arc<dyn Acknowledger>,
    /// What that source calls the job (an AMQP delivery tag).
    pub tag: u64,
}

/// A kind of source, as metrics spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceName {
    /// RabbitMQ.
    Amqp,
    /// The embedded queue.
    Spool,
}

impl SourceName {
    /// The source's name, as metrics and status spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SourceName::Amqp => "amqp",
            SourceName::Spool => "spool",
        }
    }
}

/// What a source knows of a job besides its body.
pub struct Origin {
    /// The source it came from: what can't be sent now goes back there.
    pub source: SourceName,
    /// The queue it came by within that source: a retry returns there.
    pub queue: Arc<str>,
    /// How the job is settled.
    pub receipt: Receipt,
    /// The body as it came: what a dead letter or a retry is made of.
    pub body: Bytes,
    /// When the caller enqueued it: the broker's or the caller's clock.
    pub accepted_at: UnixMillis,
    /// The same moment on our own clock, as well as we know it: latency and time to live count from here.
    pub accepted: Instant,
    /// A deadline beside the job's `ttl` (`x-deadline`, `expiration`); the earlier one holds.
    pub deadline: Option<Instant>,
    /// Attempts made before this job came (back) to us: the count a durable retry carries.
    pub attempts: u8,
    /// The lane of the queue it came by.
    pub lane: Lane,
    /// Which of the job's targets are meant, ascending, where not all of them are: the part of a job that a durable
    /// retry carries. Never empty.
    pub selected: Option<Box<[u16]>>,
    /// It was delivered more often than the source allows (a poison message): its pushes end as `failed`, untried.
    pub exhausted: bool,
}

/// A job that a source has accepted. Shared by its pushes.
pub struct Envelope {
    /// The job.
    pub job: Job,
    /// The lane it waits in: the job's own priority, else the lane it came by.
    pub lane: Lane,
    /// By which routes its pushes leave.
    pub routes: Routes,
    /// Where it came from.
    pub origin: Origin,
    /// When this delivery of it was taken from its source.
    pub taken: Instant,
    open: AtomicU32,
    charge: OnceLock<Charge>,
    rendered: [OnceLock<Bytes>; 3],
}

impl Envelope {
    /// Accepts a job.
    #[must_use]
    pub fn new(job: Job, origin: Origin, routes: Routes) -> Arc<Self> {
        let pushes = origin.selected.as_ref().map_or(job.to.len(), |selected| selected.len());
        let open = AtomicU32::new(u32::try_from(pushes).unwrap_or(u32::MAX));
        let lane = job.priority.unwrap_or(origin.lane);
        Arc::new(Self {
            job,
            lane,
            routes,
            origin,
            taken: Instant::now(),
            open,
            charge: OnceLock::new(),
            rendered: Default::default(),
        })
    }

    /// How many pushes this delivery of the job stands for: all its targets, or those a retry selected.
    #[must_use]
    pub fn push_count(&self) -> usize {
        self.origin.selected.as_ref().map_or(self.job.to.len(), |selected| selected.len())
    }

    /// The job's pushes, in the order of its targets.
    pub fn pushes(self: &Arc<Self>) -> impl Iterator<Item = Push> {
        (0..self.push_count()).map(|nth| match &self.origin.selected {
            Some(selected) => self.push(selected[nth].into()),
            None => self.push(nth),
        })
    }

    /// How many pushes of this delivery of it are not settled.
    #[must_use]
    pub fn open_pushes(&self) -> usize {
        self.open.load(Ordering::Relaxed) as usize
    }

    /// The push to the target at `index`.
    #[must_use]
    pub fn push(self: &Arc<Self>, index: usize) -> Push {
        debug_assert!(index < self.job.to.len());
        let index = u16::try_from(index).expect("a job has at most 1,000 targets");
        Push { envelope: Arc::clone(self), index, attempts: self.origin.attempts, resigned: false }
    }

    /// When a push of this job is over, given its route's default time to live. A push is sent strictly before it.
    /// One with a ttl of 0 ("now or never") has [`NOW`] to be sent in.
    #[must_use]
    pub fn deadline(&self, default_ttl: Duration) -> Instant {
        let ttl = self.job.ttl.map_or(default_ttl, |seconds| Duration::from_secs(seconds.into()));
        let ttl = if self.now_or_never() { NOW } else { ttl };
        let by_ttl = self.origin.accepted + ttl;
        self.origin.deadline.map_or(by_ttl, |cut| cut.min(by_ttl))
    }

    /// Whether the job may be tried only once (`ttl` 0).
    #[must_use]
    pub fn now_or_never(&self) -> bool {
        self.job.ttl == Some(0)
    }

    /// Notes that `pushes` of the job are settled; true for the call that settles the last one. Only the settlement
    /// task calls this.
    pub fn settle(&self, pushes: u32) -> bool {
        let open = self.open.fetch_sub(pushes, Ordering::AcqRel);
        debug_assert!(open >= pushes, "more pushes settled than the job has");
        open == pushes
    }

    /// Whether its source still counts the job as ours. If not (its connection was lost) it comes again by itself, and
    /// nothing more must be sent or kept of this delivery of it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.origin.receipt.acknowledger.is_live()
    }

    /// Charges the job to `budget` for as long as it is held.
    pub fn charge_to(&self, budget: &Arc<MemoryBudget>) {
        self.charge.get_or_init(|| budget.charge(self.footprint()));
    }

    fn footprint(&self) -> usize {
        Self::estimate(self.origin.body.len(), self.push_count())
    }

    /// What a job takes in memory, in bytes: its body as it came and as it was read, its targets and its pushes. An
    /// estimate, on the safe side.
    #[must_use]
    pub const fn estimate(body: usize, pushes: usize) -> usize {
        const FIXED: usize = 1024;
        const PER_PUSH: usize = 96;
        FIXED + 3 * body + PER_PUSH * pushes
    }

    /// What a provider rendered of this job once for all its targets; `render` runs at the first call.
    pub fn rendered(&self, provider: Provider, render: impl FnOnce(&Job) -> Bytes) -> &Bytes {
        self.rendered[provider.index()].get_or_init(|| render(&self.job))
    }
}

/// One job × one target: what a provider sees, and what has an outcome.
#[derive(Clone)]
pub struct Push {
    /// The job it belongs to.
    pub envelope: Arc<Envelope>,
    /// Which of the job's targets.
    pub index: u16,
    /// Attempts made so far, those before a durable retry included.
    pub attempts: u8,
    /// Whether a renewed credential was already tried for it (at most once a push).
    pub resigned: bool,
}

impl Push {
    /// The device address.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.envelope.job.to[usize::from(self.index)]
    }

    /// The route it leaves by; `None` if its app has none for this provider.
    #[must_use]
    pub fn route(&self) -> Option<RouteId> {
        self.envelope.routes[self.target().provider().index()]
    }
}
