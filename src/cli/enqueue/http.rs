//! To a spool's door: many jobs a request, a few requests at once.
//!
//! ```text
//! lines ──▶ batch ──full, or 200 ms old──▶ request ──202──▶ enqueued
//!                                          ▲    │ 400: without the bad one   413: in halves
//!                                          └────┘ 429, 503, 507: when the door says   no answer: a few times more
//! ```
//!
//! A request may be sent again because each of its jobs has an id in its body: what the door has of it already is a
//! duplicate there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;

use super::answer::{self, Answer};
use super::batch::{Batch, complete};
use super::lines::{Letter, Line};
use super::place::Door;
use super::{End, Sent, refuse, tell};
use crate::flow::Backoff;
use crate::provider::web::{self, root_cause};

/// Requests under way at once: the door's disk writes are shared by those that wait for them.
const REQUESTS: usize = 4;

/// How long a job waits for others to share its request.
const GATHER: Duration = Duration::from_millis(200);

/// How long a door that can't be reached, or fails, is tried: a restart, not an outage.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

/// From sending a request to its whole answer; the door gives a body 30 s and more.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer's length, at most: 500 ids of 128 characters are 65 KiB.
const MOST_ANSWER: usize = 1 << 20;

/// Sends the lines to the door, and waits for its answers.
///
/// # Errors
/// Why there is nothing to send them with; nothing was sent.
pub(super) async fn enqueue(door: Door, lines: mpsc::Receiver<Line>) -> Result<Sent, String> {
    let client = web::client(None)
        .map_err(|error| error.to_string())?
        .timeout(TIMEOUT)
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Gathering::new(Arc::new(Post { client, door, told: AtomicBool::new(false) })).run(lines).await)
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Delivered {
    taken: usize,
    /// Of those, how many the door had already.
    known: usize,
    bad: Vec<(usize, String)>,
    /// The lines that are not known to be enqueued, and why.
    lost: Option<((usize, usize), String)>,
}

impl Delivered {
    /// Nothing more of it is tried.
    fn lose(self, (first, last): (usize, usize), others: &[Batch], why: String) -> Self {
        let last = others.iter().filter_map(Batch::lines).map(|(_, last)| last).fold(last, usize::max);
        Self { lost: Some(((first, last), why)), ..self }
    }
}

struct Gathering {
    post: Arc<Post>,
    batch: Batch,
    /// What had no room in the batch: the next one's first.
    next: Option<Letter>,
    due: Option<Instant>,
    requests: FuturesUnordered<BoxFuture<'static, Delivered>>,
    sent: Sent,
    last: usize,
    open: bool,
}

impl Gathering {
    fn new(post: Arc<Post>) -> Self {
        let requests = FuturesUnordered::new();
        Self {
            post,
            batch: Batch::default(),
            next: None,
            due: None,
            requests,
            sent: Sent::default(),
            last: 0,
            open: true,
        }
    }

    /// Sends until the lines end, or the door does not take them: what is on its way is waited for then.
    async fn run(mut self, mut lines: mpsc::Receiver<Line>) -> Sent {
        loop {
            let due = self.due.is_some_and(|due| due <= Instant::now());
            let ready = !self.batch.is_empty() && (self.is_full() || due || !self.open);
            if ready && self.requests.len() < REQUESTS {
                self.dispatch();
                continue;
            }
            if !self.open && self.batch.is_empty() && self.requests.is_empty() {
                return self.sent;
            }
            let gather = self.open && !self.is_full();
            let until = self.due.filter(|_| !ready);
            tokio::select! {
                line = lines.recv(), if gather => self.line(line),
                Some(delivered) = self.requests.next(), if !self.requests.is_empty() => self.delivered(delivered),
                () = sleep_until(until), if until.is_some() => {}
            }
        }
    }

    fn is_full(&self) -> bool {
        self.next.is_some() || self.batch.is_full()
    }

    fn line(&mut self, line: Option<Line>) {
        match line {
            None => self.open = false,
            Some(Line::Job(mut letter)) => {
                letter.body = complete(&letter);
                self.next = self.batch.push(letter);
                self.due.get_or_insert_with(|| Instant::now() + GATHER);
            }
            Some(Line::Bad(line, bad)) => refuse(&mut self.sent, line, bad),
            Some(Line::Broken(error)) => (self.open, self.sent.end) = (false, End::Broken(error)),
        }
    }

    fn dispatch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.last = batch.lines().map_or(self.last, |(_, last)| last);
        self.due = None;
        if let Some(letter) = self.next.take() {
            self.next = self.batch.push(letter);
            self.due = Some(Instant::now() + GATHER);
        }
        let post = Arc::clone(&self.post);
        self.requests.push(async move { post.deliver(batch).await }.boxed());
    }

    fn delivered(&mut self, Delivered { taken, known, bad, lost }: Delivered) {
        self.sent.enqueued += taken;
        self.sent.known += known;
        for (line, what) in bad {
            refuse(&mut self.sent, line, what);
        }
        if let Some(((first, last), why)) = lost {
            let lines = if first == last { format!("line {first}") } else { format!("lines {first} to {last}") };
            tell(format_args!("error: {lines}: {why}"));
            (self.open, self.sent.end) = (false, End::Lost(self.last));
            (self.batch, self.next, self.due) = (Batch::default(), None, None);
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}

struct Post {
    client: reqwest::Client,
    door: Door,
    /// Whether it was said that the door is waited for; forgotten when it takes something.
    told: AtomicBool,
}

impl Post {
    /// Sends a batch until each of its jobs is taken, refused or lost.
    async fn deliver(&self, batch: Batch) -> Delivered {
        let mut delivered = Delivered::default();
        let mut batches = vec![batch];
        let mut trouble = Trouble::default();
        while let Some(mut batch) = batches.pop() {
            let Some(lines) = batch.lines() else { continue };
            match self.once(batch.body(), batch.len()).await {
                Answer::Taken { duplicates } => {
                    self.told.store(false, Ordering::Relaxed);
                    delivered.known += duplicates;
                    delivered.taken += batch.len();
                    trouble = Trouble::default();
                    continue;
                }
                Answer::Bad { index, what } => match batch.remove(index) {
                    Some(line) => delivered.bad.push((line, what)),
                    None => return delivered.lose(lines, &batches, what),
                },
                Answer::TooLarge(what) if batch.len() == 1 => {
                    delivered.bad.push((lines.0, what));
                    continue;
                }
                Answer::TooLarge(_) => {
                    let second = batch.split();
                    batches.push(second);
                }
                Answer::Wait { after, why } => {
                    if !self.told.swap(true, Ordering::Relaxed) {
                        tell(format_args!("waiting: {why}"));
                    }
                    tokio::time::sleep(after).await;
                }
                Answer::Failed(why) => match trouble.again(Instant::now()) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return delivered.lose(lines, &batches, why),
                },
                Answer::Refused(why) => return delivered.lose(lines, &batches, why),
            }
            batches.push(batch);
        }
        delivered
    }

    async fn once(&self, body: Bytes, jobs: usize) -> Answer {
        let mut request = self.client.post(self.door.jobs.clone()).body(body);
        request = request.header("content-type", "application/x-ndjson");
        if let Some(token) = &self.door.token {
            request = request.bearer_auth(token.expose_secret());
        }
        match whole(request).await {
            Ok((status, retry_after, body)) => answer::read(jobs, status, retry_after.as_deref(), &body),
            Err(error) => Answer::Failed(format!("{} can't be reached: {}", self.door.jobs, root_cause(&error))),
        }
    }
}

type Whole = (reqwest::StatusCode, Option<String>, Vec<u8>);

async fn whole(request: reqwest::RequestBuilder) -> reqwest::Result<Whole> {
    let mut response = request.send().await?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    // What is longer is no answer of a door's, and read no further.
    while body.len() <= MOST_ANSWER
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), retry_after, body))
}

/// A series of failures.
#[derive(Debug, Default)]
struct Trouble {
    since: Option<Instant>,
    failures: u8,
}

impl Trouble {
    /// How long to wait before the next try; `None`: it has lasted too long.
    fn again(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        let pause = BACKOFF.delay(self.failures, Duration::ZERO, 0.5 + fastrand::f64() / 2.0);
        (now.saturating_duration_since(since) < PATIENCE).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_borne_for_ten_seconds() {
        let (mut trouble, begun) = (Trouble::default(), Instant::now());
        let mut now = begun;
        while let Some(pause) = trouble.again(now) {
            assert!(pause > Duration::ZERO && pause <= Duration::from_secs(2), "{pause:?}");
            now += pause;
        }
        let lasted = now - begun;
        assert!(lasted >= PATIENCE && lasted <= PATIENCE + Duration::from_secs(2), "{lasted:?}");
    }
}
