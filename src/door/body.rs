//! A request's body: in time, within its bound, within the memory for all bodies.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Problem;

/// The largest body.
pub(super) const MAX_BODY: usize = 16 << 20;
/// The slowest that a body may come, once its time is over: bytes a second.
const SLOWEST: u32 = 1 << 10;
/// What is counted at once of the memory for bodies, bytes.
const UNIT: usize = 1 << 10;
/// How long a body waits for others' memory.
const PATIENCE: Duration = Duration::from_secs(2);

/// The memory that all bodies share.
#[derive(Clone)]
pub(super) struct Memory(Arc<Semaphore>);

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.max(MAX_BODY).div_ceil(UNIT))))
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let taken = tokio::time::timeout(PATIENCE, Arc::clone(&self.0).acquire_many_owned(units)).await;
        let taken = taken.map_err(|_| {
            let title = "other requests' bodies take all the memory there is for them";
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, title, Duration::from_secs(1))
        })?;
        Ok(taken.expect("nobody closes it"))
    }
}

/// A body, and its part of the memory.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) _memory: Vec<OwnedSemaphorePermit>,
}

/// Reads it.
///
/// # Errors
/// 408, 413, 503, or 400 if the client broke off.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    memory: &Memory,
    timeout: Duration,
) -> Result<Whole, Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let begun = Instant::now();
    let mut parts = Vec::new();
    // What is announced is taken at once, so that two large bodies can't each hold half of what both need.
    if let Some(length) = announced.and_then(|length| usize::try_from(length).ok()) {
        parts.push(memory.take(length).await?);
    }
    let mut bytes = BytesMut::new();
    loop {
        let grace = Duration::from_secs((bytes.len() / SLOWEST as usize) as u64);
        let frame = tokio::time::timeout_at(begun + timeout + grace, body.frame()).await;
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
        if announced.is_none() {
            parts.push(memory.take(data.len()).await?);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Whole { bytes: bytes.freeze(), _memory: parts })
}

fn too_large() -> Problem {
    let title = format!("the body is larger than {MAX_BODY} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, title, "send the jobs in several requests")
}

fn too_slow(received: usize) -> Problem {
    let title = format!("the body came too slowly: {received} bytes so far");
    Problem::new(StatusCode::REQUEST_TIMEOUT, title, format!("send it at {SLOWEST} bytes a second at least"))
}
