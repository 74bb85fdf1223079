//! What is logged of a push whose job belongs to a trace that its caller records: a line that can be put into the trace.
//!
//! At the level `debug` of `tidegate::trace`, so off unless somebody asks for it. The caller samples by the flag in
//! `traceparent`; of a job with many targets no more than [`OF_ONE_JOB`] are told, spread over all of them.

use super::Ended;
use crate::telemetry::{RouteLabel, is_sampled, trace_id};

/// Lines of one job.
const OF_ONE_JOB: usize = 10;

/// Says how a push ended.
pub(super) fn tell(ended: &Ended, app: &str) {
    if !tracing::enabled!(target: "tidegate::trace", tracing::Level::DEBUG) {
        return;
    }
    let Ended { push, outcome } = ended;
    let job = &push.envelope.job;
    let Some(parent) = job.traceparent.as_deref().filter(|parent| is_sampled(parent)) else { return };
    if !is_told(push.index, job.to.len()) {
        return;
    }
    let route = RouteLabel { app: app.into(), provider: push.target().provider() };
    let took = push.envelope.origin.accepted.elapsed();
    tracing::debug!(
        target: "tidegate::trace",
        trace_id = trace_id(parent), parent_id = parent.get(36..52), job = %job.id, target_index = push.index, %route,
        lane = %push.envelope.lane, outcome = outcome.kind.as_str(), reason = outcome.reason.as_deref(),
        status = outcome.status, attempts = outcome.attempts, took_ms = u64::try_from(took.as_millis()).ok(),
        "push ended"
    );
}

/// Whether this of so many targets is among those that are told.
const fn is_told(index: u16, targets: usize) -> bool {
    (index as usize).is_multiple_of(targets.div_ceil(OF_ONE_JOB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_pushes_are_all_told_and_of_many_a_few() {
        for targets in [1, 2, 9, 10, 11, 99, 100, 101, 1_000] {
            let told = (0..targets).filter(|index| is_told(u16::try_from(*index).unwrap(), targets)).count();
            assert!((targets.min(OF_ONE_JOB / 2 + 1)..=OF_ONE_JOB).contains(&told), "{targets}: {told}");
        }
        assert!((0..10).all(|index| is_told(index, 10)));
    }
}
