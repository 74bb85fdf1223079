//! A request's body: in time, within its bound, within the memory for all bodies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Problem;
use super::rate::Client;

/// The largest body.
pub(super) const MAX_BODY: usize = 16 << 20;
/// The slowest that a body may come, once its time is over: bytes a second. So the largest one has nine minutes.
const SLOWEST: u32 = 32 << 10;
/// What is counted at once of the memory for bodies, bytes.
const UNIT: usize = 1 << 10;
/// How long a body waits for others' memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// The memory that all bodies share. One client's may have half of it, so that no single one can shut the others out by
/// sending large bodies slowly.
#[derive(Clone)]
pub(super) struct Memory(Arc<Pools>);

struct Pools {
    all: Arc<Semaphore>,
    each: usize,
    /// Those of clients that have bodies on their way, or had some not long ago.
    clients: Mutex<HashMap<Client, Weak<Semaphore>>>,
}

/// Clients that are remembered before those are forgotten that have no body on its way.
const CLIENTS: usize = 1_024;

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        let units = bytes.max(2 * MAX_BODY).div_ceil(UNIT);
        let all = Arc::new(Semaphore::new(units));
        Self(Arc::new(Pools { all, each: units / 2, clients: Mutex::default() }))
    }

    /// As this client may have it.
    pub(super) fn of(&self, client: Client) -> Share {
        let Pools { all, each, clients } = &*self.0;
        let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS {
            clients.retain(|_, pool| pool.strong_count() > 0);
        }
        let known = clients.entry(client).or_default();
        let own = known.upgrade().unwrap_or_else(|| Arc::new(Semaphore::new(*each)));
        *known = Arc::downgrade(&own);
        Share { own, all: Arc::clone(all) }
    }
}

/// The memory as one client may have it.
pub(super) struct Share {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Share {
    async fn take(&self, units: usize) -> Result<[OwnedSemaphorePermit; 2], Problem> {
        let units = u32::try_from(units).expect("a body has some thousand units");
        let [own, all] = [&self.own, &self.all].map(|pool| Arc::clone(pool).acquire_many_owned(units));
        let taken = tokio::time::timeout(PATIENCE, async { [own.await, all.await] }).await;
        let taken = taken.map_err(|_| {
            let title = "other requests' bodies take all the memory there is for them";
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, title, Duration::from_secs(1))
        })?;
        Ok(taken.map(|permit| permit.expect("nobody closes it")))
    }
}

/// A part of the memory.
#[derive(Debug, Default)]
pub(super) struct Held(Option<[OwnedSemaphorePermit; 2]>);

impl Held {
    fn units(&self) -> usize {
        self.0.as_ref().map_or(0, |[_, all]| all.num_permits())
    }

    /// Makes it enough for `bytes` of a body that will have `most` at the most; says how many it is enough for then. It is
    /// doubled, as the buffer is. What has come counts, not what is announced: an announcement costs a client nothing.
    /// Should several large bodies get stuck for each other's sake, the one that waits longest goes.
    async fn grow(&mut self, bytes: usize, most: usize, share: &Share) -> Result<usize, Problem> {
        let (held, needed) = (self.units(), bytes.div_ceil(UNIT));
        if needed > held {
            let wanted = needed.max((2 * held).min(most.div_ceil(UNIT)));
            let [own, all] = share.take(wanted - held).await?;
            match &mut self.0 {
                Some(held) => {
                    held[0].merge(own);
                    held[1].merge(all);
                }
                none => *none = Some([own, all]),
            }
        }
        Ok(self.units() * UNIT)
    }
}

/// A body, and its part of the memory.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) held: Held,
}

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// For all of it, besides a second for each [`SLOWEST`] bytes.
    pub(super) whole: Duration,
    /// For its next byte.
    pub(super) pause: Duration,
}

/// Reads it.
///
/// # Errors
/// 408, 413, 503, or 400 if the client broke off.
pub(super) async fn read(headers: &HeaderMap, mut body: Body, share: &Share, pace: Pace) -> Result<Whole, Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let begun = Instant::now();
    let most = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(MAX_BODY);
    let (mut bytes, mut held) = (Vec::new(), Held::default());
    loop {
        let earned = Duration::from_secs((bytes.len() / SLOWEST as usize) as u64);
        let end = (begun + pace.whole + earned).min(Instant::now() + pace.pause);
        let frame = tokio::time::timeout_at(end, body.frame()).await;
        let frame = frame.map_err(|_| too_slow(bytes.len()))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            let title = format!("the body broke off after {} bytes: {error}", bytes.len());
            Problem::new(StatusCode::BAD_REQUEST, title, "send the whole body, as long as content-length says")
        })?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > MAX_BODY {
            return Err(too_large());
        }
        let room = held.grow(bytes.len() + data.len(), most, share).await?;
        bytes.reserve_exact(room - bytes.len());
        bytes.extend_from_slice(&data);
    }
    Ok(Whole { bytes: bytes.into(), held })
}

fn too_large() -> Problem {
    let title = format!("the body is larger than {MAX_BODY} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, title, "send the jobs in several requests")
}

fn too_slow(received: usize) -> Problem {
    let title = format!("the body came too slowly: {received} bytes so far");
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        title,
        format!("send it without long pauses, at {SLOWEST} bytes a second at least"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::guard::Token;
    use super::super::listener::Peer;
    use super::*;

    fn client(last: u8) -> Client {
        Client::Peer(Peer([127, 0, 0, last].into()))
    }

    #[tokio::test]
    async fn memory_is_taken_by_what_has_come() {
        let memory = Memory::new(0);
        let all = 2 * MAX_BODY / UNIT;
        let left = || memory.0.all.available_permits();
        let (mut held, share) = (Held::default(), memory.of(client(1)));
        // Byte by byte: no more than twice of it, nor more than it can become.
        for bytes in 1..=100_000 {
            let room = held.grow(bytes, 100_000, &share).await.expect("there is room");
            let needed = bytes.div_ceil(UNIT);
            assert!((needed..=2 * needed).contains(&(all - left())), "{} for {bytes} bytes", all - left());
            assert!(room >= bytes && room < 100_000 + UNIT && room == (all - left()) * UNIT, "{room}");
        }
        for bytes in [MAX_BODY / 2 + 1, MAX_BODY - 1, MAX_BODY] {
            held.grow(bytes, MAX_BODY, &share).await.expect("there is room for the largest");
        }
        assert_eq!(left(), all / 2);
        drop(held);
        assert_eq!(left(), all);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_for_memory_hears_when_to_come_again() {
        let memory = Memory::new(0);
        let [mut one, mut other, mut third] = [(); 3].map(|()| Held::default());
        for (held, nth) in [(&mut one, 1), (&mut other, 2)] {
            held.grow(MAX_BODY, MAX_BODY, &memory.of(client(nth))).await.expect("there is room");
        }
        let problem = third.grow(1, MAX_BODY, &memory.of(client(3))).await.expect_err("there is none left");
        assert_eq!((problem.status.as_u16(), problem.retry_after), (503, Some(Duration::from_secs(1))));
        drop(one);
        third.grow(1, MAX_BODY, &memory.of(client(3))).await.expect("there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_leaves_half_to_the_others() {
        let memory = Memory::new(0);
        let [mut one, mut more, mut other] = [(); 3].map(|()| Held::default());
        one.grow(MAX_BODY, MAX_BODY, &memory.of(client(1))).await.expect("there is room");
        more.grow(1, MAX_BODY, &memory.of(client(1))).await.expect_err("it has its half");
        other.grow(MAX_BODY, MAX_BODY, &memory.of(client(2))).await.expect("there is room for another");
        drop(one);
        more.grow(1, MAX_BODY, &memory.of(client(1))).await.expect("there is room again");
    }

    #[tokio::test]
    async fn clients_that_send_nothing_are_forgotten() {
        let memory = Memory::new(0);
        let mut held = Held::default();
        held.grow(1, 1, &memory.of(client(1))).await.expect("there is room");
        for nth in 0..10 * CLIENTS {
            drop(memory.of(Client::Token(Token(nth))));
        }
        let clients = memory.0.clients.lock().expect("nobody panics");
        assert!(clients.len() <= CLIENTS && clients[&client(1)].strong_count() > 0, "{}", clients.len());
    }
}
