//! `POST /v1/jobs`: reads, checks, queues, and answers when the jobs are on disk.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::body::{self, Held, Memory, Pace, Whole};
use super::problem::quoted;
use super::rate::{Client, Rate};
use super::split::{Shape, split};
use super::{DoorLimits, Problem, origin, trace};
use crate::dispatch::Shedding;
use crate::flow;
use crate::job::{BadJob, Defaults, Job, Lane, RouteTable, SourceName, UnixMillis, decode};
use crate::spool::{NewJob, Providers, Put, Refused, Writer};
use crate::telemetry::{JobResult, Metrics};

/// When a full spool, or a lane that sheds, may have room again: deliveries make some within seconds, or not for long.
const ROOM: Duration = Duration::from_secs(5);
/// When a disk may have room again: somebody has to do something.
const DISK: Duration = Duration::from_secs(30);
/// When another process may listen here: after a drain.
const RESTART: Duration = Duration::from_secs(10);
/// Bytes of a body that are read where they came, in a millisecond or so; more are on a thread that may take its time.
const QUICK: usize = 128 << 10;

/// What the door for jobs needs.
pub struct Jobs {
    /// Who queues them.
    pub writer: Writer,
    /// Which apps there are.
    pub routes: watch::Receiver<Arc<RouteTable>>,
    /// Which routes' lanes shed now.
    pub shedding: watch::Receiver<Shedding>,
    /// From when on no job is taken in: those that come are told to come again.
    pub closed: CancellationToken,
    /// Requests of one token, or of one address; `None`: any number.
    pub rate: Option<flow::Rate>,
    /// Where the door listens.
    pub listen: std::net::SocketAddr,
    /// Whether a token is asked for.
    pub tokens: bool,
    /// What a client may take.
    pub limits: DoorLimits,
    /// For counts.
    pub metrics: Arc<Metrics>,
}

struct Desk {
    jobs: Jobs,
    rate: Option<Rate>,
    memory: Memory,
}

/// The route `/v1/jobs`.
pub fn routes(jobs: Jobs) -> Router {
    let desk = Desk { rate: jobs.rate.map(Rate::new), memory: Memory::new(jobs.limits.body_memory), jobs };
    Router::new().route("/v1/jobs", post(enqueue)).with_state(Arc::new(desk))
}

async fn enqueue(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    match desk.enqueue(request).await {
        Ok(answer) => answer,
        Err(problem) => problem.into_response(),
    }
}

impl Desk {
    async fn enqueue(self: Arc<Self>, request: Request) -> Result<Response, Problem> {
        let (head, body) = request.into_parts();
        origin::check(&head.headers, self.jobs.listen, self.jobs.tokens)?;
        let client = Client::of(&head.extensions);
        self.check_rate(client)?;
        self.check_open()?;
        let shape = Shape::of(&head.headers)?;
        let said = Said { deadline: deadline(&head.headers)?, traceparent: trace::of(&head.headers).map(Into::into) };
        let pace = Pace { whole: self.jobs.limits.body_timeout, pause: self.jobs.limits.body_pause };
        let Whole { bytes, mut held } = body::read(&head.headers, body, &self.memory.of(client), pace).await?;
        let jobs = if bytes.len() <= QUICK {
            self.admit_all(shape, &bytes, &said)?
        } else {
            let desk = Arc::clone(&self);
            // If the client leaves meanwhile, the body keeps its part of the memory for as long as it is there.
            let admit = move || (desk.admit_all(shape, &bytes, &said), held);
            let admitted = tokio::task::spawn_blocking(admit).await;
            let (jobs, still) = admitted.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            held = still;
            jobs?
        };
        self.check_open()?;
        let ids: Vec<Box<str>> = jobs.iter().map(|job| job.id.clone()).collect();
        let put = self.queue(jobs, held).await.map_err(refusal)?;
        Ok(accepted(&ids, &put))
    }

    /// In a task of its own, which goes on if the client leaves before the answer: the jobs keep their part of the memory
    /// and their place at the writer for as long as they wait there, and are counted.
    async fn queue(&self, jobs: Vec<NewJob>, held: Held) -> Result<Put, Refused> {
        let (writer, metrics) = (self.jobs.writer.clone(), Arc::clone(&self.jobs.metrics));
        let task = tokio::spawn(async move {
            let lanes: Vec<Lane> = jobs.iter().map(|job| job.lane).collect();
            let put = writer.put(jobs).await?;
            drop(held);
            count(&metrics, &lanes, &put);
            Ok(put)
        });
        // It ends early only with the process.
        task.await.unwrap_or(Err(Refused::Closed))
    }

    /// Whoever drains may be gone for good: a job is better kept by who has it.
    fn check_open(&self) -> Result<(), Problem> {
        if self.jobs.closed.is_cancelled() { Err(refusal(Refused::Closed)) } else { Ok(()) }
    }

    fn check_rate(&self, client: Client) -> Result<(), Problem> {
        let Some(rate) = &self.rate else { return Ok(()) };
        rate.check(client).map_err(|wait| {
            let title = "more requests than http.rate allows; put several jobs into one";
            Problem::later(StatusCode::TOO_MANY_REQUESTS, title, wait)
        })
    }

    fn admit_all(&self, shape: Shape, body: &Bytes, said: &Said) -> Result<Vec<NewJob>, Problem> {
        let parts = split(shape, body)?.into_iter().enumerate();
        parts.map(|(index, part)| self.admit(index, part, said)).collect()
    }

    /// Reads one job and finds its strand.
    fn admit(&self, index: usize, body: Bytes, said: &Said) -> Result<NewJob, Problem> {
        let ours = uuid::Uuid::now_v7().to_string();
        let job = decode(&body, Defaults { id: Some(&ours), app: None }).map_err(|bad| Problem::of_job(index, bad))?;
        let lane = job.priority.unwrap_or(Lane::Normal);
        self.check_app(&job, lane).map_err(|refused| match refused {
            NotNow::Bad(bad) => Problem::of_job(index, bad),
            NotNow::Sheds => {
                let title = format!("lane {lane} is overloaded and sheds: job {index} would be dropped");
                Problem::later(StatusCode::TOO_MANY_REQUESTS, title, ROOM)
            }
        })?;
        let body = match (&said.traceparent, &job.traceparent) {
            (Some(parent), None) => trace::put(body, parent),
            _ => body,
        };
        Ok(NewJob {
            named: *job.id != ours,
            providers: job.to.iter().fold(Providers::default(), |all, target| all.with(target.provider())),
            pushes: u16::try_from(job.to.len()).expect("a job has at most 1,000 targets"),
            id: job.id,
            app: job.app,
            lane,
            accepted_at: UnixMillis::now(),
            deadline: said.deadline,
            body,
        })
    }

    fn check_app(&self, job: &Job, lane: Lane) -> Result<(), NotNow> {
        let Some(routes) = self.jobs.routes.borrow().of(&job.app) else {
            let detail = format!("{:?} is not configured", job.app);
            return Err(NotNow::Bad(BadJob { reason: "unknown_app", path: "app".to_owned(), detail }));
        };
        let shedding = self.jobs.shedding.borrow();
        if shedding.is_empty() {
            return Ok(());
        }
        let mut used = job.to.iter().filter_map(|target| routes[target.provider().index()]);
        let sheds = used.any(|id| shedding.get(id.0 as usize).is_some_and(|lanes| lanes[lane.index()]));
        if sheds { Err(NotNow::Sheds) } else { Ok(()) }
    }
}

fn count(metrics: &Metrics, lanes: &[Lane], put: &Put) {
    for lane in Lane::ALL {
        let of_lane = || lanes.iter().zip(&put.duplicate).filter(|(job, _)| **job == lane);
        let duplicates = of_lane().filter(|(_, duplicate)| **duplicate).count() as u64;
        let accepted = of_lane().count() as u64 - duplicates;
        for (result, count) in [(JobResult::Accepted, accepted), (JobResult::Duplicate, duplicates)] {
            if count > 0 {
                metrics.jobs(SourceName::Spool, lane, result, count);
            }
        }
    }
}

/// What a request's head says of all its jobs.
struct Said {
    deadline: Option<UnixMillis>,
    traceparent: Option<Box<str>>,
}

/// Why a job that can be read is not queued.
enum NotNow {
    Bad(BadJob),
    Sheds,
}

fn deadline(headers: &HeaderMap) -> Result<Option<UnixMillis>, Problem> {
    let mut values = headers.get_all("x-deadline").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let problem =
        |title| Problem::new(StatusCode::BAD_REQUEST, title, "give milliseconds since the epoch, as one whole number");
    if values.next().is_some() {
        return Err(problem("there is more than one x-deadline".to_owned()));
    }
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let millis = digits.and_then(|text| text.parse().ok());
    millis
        .map(|millis| Some(UnixMillis(millis)))
        .ok_or_else(|| problem(format!("x-deadline {} is no time", quoted(value))))
}

fn accepted(ids: &[Box<str>], put: &Put) -> Response {
    let mut answer = json!({ "accepted": ids.len(), "ids": ids });
    let duplicates = ids.len() - put.queued;
    if duplicates > 0 {
        answer["duplicates"] = duplicates.into();
    }
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

fn refusal(refused: Refused) -> Problem {
    let (status, after) = match refused {
        Refused::TooLarge { .. } => {
            let remedy = "send them in several requests, or raise source.spool.max_bytes";
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, refused.to_string(), remedy);
        }
        Refused::Full { .. } => (StatusCode::TOO_MANY_REQUESTS, ROOM),
        Refused::DiskFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, DISK),
        Refused::Broken(_) => (StatusCode::SERVICE_UNAVAILABLE, ROOM),
        Refused::Closed => (StatusCode::SERVICE_UNAVAILABLE, RESTART),
    };
    Problem::later(status, refused.to_string(), after)
}
