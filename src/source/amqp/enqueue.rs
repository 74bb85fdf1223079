//! Publishing jobs, as a caller does: for `tidegate enqueue`, demos and tests.

use std::future::Future;

use bytes::Bytes;

use super::letters;
use super::names::Names;
use super::publish::{PublishError, Publisher};
use crate::job::{Lane, UnixMillis};

/// Publishes one job to `<prefix>.jobs`, persistent and mandatory, with `id` as its message id. Ready when the broker
/// has confirmed it. Many may run at once; they are written in the order of their first poll.
///
/// # Errors
/// [`PublishError`] for this job alone. After `Unconfirmed` the broker may have it; the same `id` keeps that harmless
/// for whoever dedupes.
pub fn enqueue(
    publisher: &Publisher,
    names: &Names,
    lane: Lane,
    id: &str,
    job: Bytes,
) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
    publisher.publish(letters::job(names, lane, id, job, UnixMillis::now()))
}

/// The same, straight to a queue: for queues that callers fill without our exchange. It need not have a lane of ours.
///
/// # Errors
/// [`PublishError`], as for [`enqueue`].
pub fn enqueue_to(
    publisher: &Publisher,
    queue: &str,
    id: &str,
    job: Bytes,
) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
    publisher.publish(letters::job_to(queue, id, job, UnixMillis::now()))
}
