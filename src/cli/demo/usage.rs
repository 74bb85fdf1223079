//! What this process used, as the kernel counts it (Linux; elsewhere unknown).

use std::fs;
use std::time::Duration;

use crate::telemetry::process::memory;

/// A clock tick of `/proc`, as Linux has had it on every architecture for decades (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all threads, those of the simulators apart.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cpu {
    pub(super) pipeline: Duration,
    pub(super) simulators: Duration,
}

impl Cpu {
    /// Until now; `None` where the kernel does not tell.
    pub(super) fn now() -> Option<Self> {
        let mut cpu = Self::default();
        for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
            let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
            let (name, used) = parse(&stat)?;
            if name.starts_with("sim") { cpu.simulators += used } else { cpu.pipeline += used }
        }
        Some(cpu)
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            pipeline: self.pipeline.saturating_sub(earlier.pipeline),
            simulators: self.simulators.saturating_sub(earlier.simulators),
        }
    }
}

/// A line of `/proc/<pid>/task/<tid>/stat`: the thread's name stands in parentheses, user and system ticks are fields 14
/// and 15 of proc(5).
fn parse(stat: &str) -> Option<(&str, Duration)> {
    let (head, fields) = stat.rsplit_once(") ")?;
    let name = head.split_once('(')?.1;
    let ticks = |nth: usize| fields.split(' ').nth(nth)?.parse::<u32>().ok();
    Some((name, TICK * (ticks(11)? + ticks(12)?)))
}

/// The most memory the process has had resident, in bytes.
pub(super) fn peak_memory() -> Option<u64> {
    memory("VmHWM:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_though_its_name_has_spaces_and_parentheses() {
        let line = "7 (sim (x) y) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 99";
        assert_eq!(parse(line), Some(("sim (x) y", Duration::from_secs(2))));
        assert_eq!(parse("7 S"), None);
    }
}
