//! A door with a spool behind it, which nobody reads but the test.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tempfile::TempDir;
use tidegate::dispatch::Shedding;
use tidegate::door::{self, DoorLimits, Jobs};
use tidegate::flow::Rate;
use tidegate::job::{RouteId, RouteTable};
use tidegate::spool::{Reader, Spool, SpoolSettings, Stored, Writer};
use tidegate::telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How it is opened.
pub(crate) struct How {
    pub(crate) limits: DoorLimits,
    /// Requests a second.
    pub(crate) rate: Option<u32>,
    pub(crate) max_bytes: u64,
    pub(crate) min_free: u64,
}

impl Default for How {
    fn default() -> Self {
        Self { limits: DoorLimits::default(), rate: None, max_bytes: 1 << 30, min_free: 0 }
    }
}

/// The door.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shedding: watch::Sender<Shedding>,
    pub(crate) routes: watch::Sender<Arc<RouteTable>>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    _directory: TempDir,
}

/// Apps with a route for APNs each, numbered in this order.
pub(crate) fn table(apps: &[&str]) -> Arc<RouteTable> {
    let routes = |number| [Some(RouteId(number)), None, None];
    Arc::new(RouteTable::new((0..).zip(apps).map(|(number, app)| ((*app).into(), routes(number)))))
}

/// What a client that does not read is not given in full.
pub(crate) const LARGE: usize = 32 << 20;

impl Door {
    pub(crate) async fn open(how: How) -> Self {
        let (directory, spool) = spool(how.max_bytes, how.min_free);
        let listener = door::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (routes, routes_out) = watch::channel(table(&["chat"]));
        let (shedding, shedding_out) = watch::channel(Shedding::new());
        let metrics = Arc::new(Metrics::default());
        let jobs = Jobs {
            closed: CancellationToken::new(),
            writer: spool.writer.clone(),
            routes: routes_out,
            shedding: shedding_out,
            rate: how.rate.map(|cells| Rate { cells: NonZeroU32::new(cells).unwrap(), per: Duration::from_secs(1) }),
            listen: address,
            tokens: false,
            limits: how.limits,
            metrics: Arc::clone(&metrics),
        };
        let large = || async { vec![b'x'; LARGE] };
        let router = Router::new().route("/large", get(large)).merge(door::routes(jobs));
        let stop = CancellationToken::new();
        let task = tokio::spawn(door::serve(listener, router, how.limits, stop.clone()));
        let Spool { writer, reader } = spool;
        Self { address, writer, reader, metrics, shedding, routes, stop, task, _directory: directory }
    }

    /// A door with such limits.
    pub(crate) async fn with(limits: DoorLimits) -> Self {
        Self::open(How { limits, ..How::default() }).await
    }

    pub(crate) fn queued(&mut self) -> Vec<Stored> {
        queued(&mut self.reader)
    }

    /// The ids of what was queued, sorted.
    pub(crate) fn queued_ids(&mut self) -> Vec<String> {
        let mut ids: Vec<String> = self.queued().into_iter().map(|job| job.id.into()).collect();
        ids.sort();
        ids
    }
}

/// A spool in a directory of its own.
pub(crate) fn spool(max_bytes: u64, min_free: u64) -> (TempDir, Spool) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let spool = Spool::open(&SpoolSettings { path, max_bytes, min_free, ..SpoolSettings::default() }).unwrap();
    (directory, spool)
}

/// What was queued since it was read last.
pub(crate) fn queued(reader: &mut Reader) -> Vec<Stored> {
    let mut all = Vec::new();
    for strand in reader.strands().unwrap() {
        loop {
            let some = reader.next(strand.id, 1_000, usize::MAX).unwrap();
            if some.is_empty() {
                break;
            }
            all.extend(some);
        }
    }
    all
}
