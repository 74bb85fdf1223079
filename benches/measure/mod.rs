//! What the benches of the spool and its door share: the store, and CPU time as the kernel's clocks for it tell.

pub(crate) mod store;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Of this process so far, all threads together.
pub(crate) fn process_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// Of this thread so far.
#[allow(dead_code, reason = "not every bench has threads that are told apart")]
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).expect("CPU time only grows")
}
