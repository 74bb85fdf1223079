//! The burst: jobs as a backend would write them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use reqwest::Client;

use crate::job::Lane;
use crate::source::amqp::{Names, Publisher, enqueue};

/// Jobs whose confirms are waited for at once.
const CONFIRMS: usize = 1_000;
/// Jobs of one request to the door, and requests that are under way at once.
const JOBS_A_REQUEST: u64 = 100;
const REQUESTS: usize = 16;

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

    /// Brings all of it as fast as it is taken; `published` counts pushes.
    pub(super) async fn publish(self, way: &Way, published: &AtomicU64) -> Result<(), String> {
        let at_once = way.jobs_at_once();
        let starts = (0..self.jobs()).step_by(at_once.try_into().unwrap_or(usize::MAX));
        let sent = stream::iter(starts).map(|first| async move {
            let jobs: Vec<Draft> = (first..(first + at_once).min(self.jobs())).map(|nth| self.draft(nth)).collect();
            let pushes: u64 = jobs.iter().map(|job| job.targets).sum();
            way.bring(jobs).await.map(|()| pushes)
        });
        let mut sent = sent.buffer_unordered(way.window());
        while let Some(pushes) = sent.next().await {
            published.fetch_add(pushes?, Ordering::Relaxed);
        }
        Ok(())
    }

    fn draft(self, nth: u64) -> Draft {
        let targets = self.targets_per_job.min(self.pushes - nth * self.targets_per_job);
        let (lane, id) = (lane_of(nth), format!("demo-{nth}"));
        Draft { body: job(nth, &id, lane, targets), lane, id, targets }
    }
}

/// A job on its way in.
pub(super) struct Draft {
    id: String,
    lane: Lane,
    targets: u64,
    body: Bytes,
}

/// The way in.
pub(super) enum Way {
    /// Published, and confirmed.
    Broker(Publisher, Names),
    /// Posted, several lines a request, and answered when they are on disk.
    Door(Client, String),
}

impl Way {
    /// To the door at this address.
    pub(super) fn door(address: SocketAddr) -> Result<Self, String> {
        let client = Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        Ok(Self::Door(client, format!("http://{address}/v1/jobs")))
    }

    const fn jobs_at_once(&self) -> u64 {
        match self {
            Self::Broker(..) => 1,
            Self::Door(..) => JOBS_A_REQUEST,
        }
    }

    const fn window(&self) -> usize {
        match self {
            Self::Broker(..) => CONFIRMS,
            Self::Door(..) => REQUESTS,
        }
    }

    async fn bring(&self, jobs: Vec<Draft>) -> Result<(), String> {
        match self {
            Self::Broker(publisher, names) => {
                for Draft { id, lane, body, .. } in jobs {
                    enqueue(publisher, names, lane, &id, body).await.map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            Self::Door(client, url) => {
                let lines: Vec<u8> = jobs.iter().flat_map(|job| [&job.body[..], b"\n"].concat()).collect();
                post(client, url, lines.into()).await
            }
        }
    }
}

/// Posts until it is taken: a full spool asks to come again.
async fn post(client: &Client, url: &str, lines: Bytes) -> Result<(), String> {
    loop {
        let request = client.post(url).header("content-type", "application/x-ndjson").body(lines.clone());
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
        match (answer.status().as_u16(), after) {
            (202, _) => return Ok(()),
            (429 | 503 | 507, Some(after)) => tokio::time::sleep(Duration::from_secs(after)).await,
            (status, _) => {
                let problem = answer.text().await.unwrap_or_default();
                return Err(format!("the door answers {status}: {problem}"));
            }
        }
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
fn job(nth: u64, id: &str, lane: Lane, targets: u64) -> Bytes {
    let app = APPS[usize::from((nth / 2) % 2 == 1)];
    let apple = nth.is_multiple_of(2);
    let mut json = format!(
        r#"{{"id":"{id}","app":"{app}","priority":"{lane}","ttl":3600,"notification":{{"title":"Mina","body":"See you at eight?"}},"data":{{"channel":"{}"}},"to":["#,
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
