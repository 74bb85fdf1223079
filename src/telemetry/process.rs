//! `process_…`: what the operating system knows of this process, under the names that every exporter gives it.
//!
//! Read from Linux's `/proc` at each scrape. Where there is none, the families are there and hold nothing.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// `/proc` counts CPU time in ticks; a second has 100 of them on every architecture that we run on (`USER_HZ`).
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

/// What was read.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    start_seconds: Option<f64>,
    open_files: Option<f64>,
}

impl Reading {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
        let open_files = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        Self { open_files, ..Self::parse(&stat, &boot, &memory) }
    }

    /// Reads proc(5)'s `/proc/pid/stat` (utime 14, stime 15, starttime 22), `btime` of `/proc/stat`, `VmRSS` of
    /// `/proc/pid/status`.
    fn parse(stat: &str, boot: &str, memory: &str) -> Self {
        // The name, field 2, may hold spaces and brackets.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<f64> = after_name.split(' ').map(|field| field.trim().parse().unwrap_or(f64::NAN)).collect();
        let field = |number: usize| fields.get(number - 3).copied().filter(|value| value.is_finite());
        let booted = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        Self {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS),
            resident_bytes: bytes(memory, "VmRSS:").map(|bytes| bytes as f64),
            start_seconds: booted.zip(field(22)).map(|(booted, ticks)| booted + ticks / TICKS),
            open_files: None,
        }
    }
}

/// What `/proc/self/status` says under this name, as `VmRSS:`, in bytes. `None` elsewhere than on Linux.
pub(crate) fn memory(name: &str) -> Option<u64> {
    bytes(&std::fs::read_to_string("/proc/self/status").ok()?, name)
}

fn bytes(status: &str, name: &str) -> Option<u64> {
    let kib = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))?;
    kib.parse::<u64>().ok().map(|kib| kib << 10)
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let Reading { cpu_seconds, resident_bytes, start_seconds, open_files } = Reading::now();
        let help = "User and system CPU time";
        let family = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        if let Some(seconds) = cpu_seconds {
            ConstCounter::new(seconds).encode(family)?;
        }
        for (name, help, unit, value) in [
            ("process_resident_memory", "Resident memory", Some(Unit::Bytes), resident_bytes),
            ("process_start_time", "When the process started", Some(Unit::Seconds), start_seconds),
            ("process_open_fds", "Files and sockets open", None, open_files),
        ] {
            let family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            if let Some(value) = value {
                ConstGauge::new(value).encode(family)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_after_a_name_that_looks_like_fields() {
        let stat =
            "7 (tide) gate (x) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 8 0 1000 99 2048 18446744073709551615";
        let read = Reading::parse(stat, "cpu 1 2 3\nbtime 1700000000\n", "Name:\tx\nVmRSS:\t    2048 kB\n");
        let expected = Reading {
            cpu_seconds: Some(3.0),
            resident_bytes: Some(2_097_152.0),
            start_seconds: Some(1_700_000_010.0),
            open_files: None,
        };
        assert_eq!(read, expected);
        assert_eq!(Reading::parse("", "", ""), Reading::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_alive() {
        let now = Reading::now();
        assert!(now.resident_bytes.is_some_and(|bytes| bytes > 1e6), "{now:?}");
        let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(now.start_seconds.is_some_and(|start| (seconds - 3_600.0..=seconds + 2.0).contains(&start)), "{now:?}");
        assert!(now.open_files.is_some_and(|files| files >= 3.0));
    }
}
