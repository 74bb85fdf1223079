//! What goes on, as it goes on: measured once a second by one task, and shared by all who look on.
//!
//! ```text
//!           one task                           each listener, at its own pace
//! View ──▶ Meter ──second──▶ History (watch) ──▶ GET /v1/stream: history, then each second
//!      └──── posture changed? ──status (watch) ─▶                and the status, once a second and whenever it changed
//! outcomes ──▶ Tap ───────────────────────────▶ GET /v1/tap: those that were asked for
//! ```
//!
//! The seconds of the last ten minutes are kept whether anybody looks or not, so that who is called at night sees how it
//! began; that costs some microseconds a second. The status is put together only while somebody looks. A listener that
//! is slow is sent the seconds that it missed, and only the latest status; one that reads nothing is closed by the door.

mod filter;
mod history;
mod second;
mod stream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::door::Problem;
use crate::pipeline::View;
use history::History;
use second::Meter;

pub(super) use stream::{stream, tap};

/// Between two seconds.
const SECOND: Duration = Duration::from_secs(1);
/// How often it is looked whether a route's state or limits have changed, while somebody looks on.
const LOOK: Duration = Duration::from_millis(100);
/// Pages, terminals and scripts that may look on at once, of each of the two kinds: a wall of screens and a team.
const LISTENERS: usize = 64;

/// What goes on. Cheap to clone.
#[derive(Clone)]
pub(super) struct Live {
    view: View,
    history: watch::Receiver<History>,
    status: watch::Sender<Bytes>,
    seats: Arc<Semaphore>,
    taps: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Live {
    /// Starts measuring, until `stop`.
    pub(super) fn start(view: View, stop: CancellationToken) -> Self {
        let (history_in, history) = watch::channel(History::default());
        let status = watch::Sender::new(Bytes::new());
        tokio::spawn(measure(view.clone(), history_in, status.clone(), stop.clone()));
        let seats = || Arc::new(Semaphore::new(LISTENERS));
        Self { view, history, status, seats: seats(), taps: seats(), stop }
    }

    fn seat(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
        let full = |_| {
            let title = format!("{LISTENERS} others look on already");
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, title, Duration::from_secs(5))
        };
        Arc::clone(of).try_acquire_owned().map_err(full)
    }
}

async fn measure(view: View, history: watch::Sender<History>, status: watch::Sender<Bytes>, stop: CancellationToken) {
    let mut meter = Meter::start(&view, Instant::now());
    let mut second = tokio::time::interval_at(tokio::time::Instant::now() + SECOND, SECOND);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut posture = view.posture();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = second.tick() => {
                if let Some(second) = meter.read(&view, Instant::now()) {
                    history.send_modify(|history| history.push(json(&second)));
                }
                if status.receiver_count() > 0 {
                    status.send_replace(json(&view.status()));
                }
            }
            _ = look.tick(), if status.receiver_count() > 0 => {
                let now = view.posture();
                if now != posture {
                    posture = now;
                    status.send_replace(json(&view.status()));
                }
            }
        }
    }
}

fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).expect("texts and numbers are JSON").into()
}
