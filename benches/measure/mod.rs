//! CPU time of this process's threads, as the kernel counts it (ticks of 10 ms).

use std::fs;
use std::time::Duration;

/// CPU time so far of all threads whose name `counts`; a thread that has ended no longer counts.
pub(crate) fn cpu_of(counts: impl Fn(&str) -> bool) -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("Linux");
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    let ticks = stats.filter_map(|stat| {
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let numbers = after.split_whitespace().skip(11).take(2);
        counts(name).then(|| numbers.filter_map(|number| number.parse::<u64>().ok()).sum::<u64>())
    });
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
