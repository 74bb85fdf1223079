//! The kernel's account of a process: CPU time and memory, from `/proc`.

use std::fs;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A tick of `/proc/<pid>/stat`: `USER_HZ` is 100 wherever Linux runs.
const TICK: Duration = Duration::from_millis(10);

/// How long a process may take to end that was asked to; `tidegate serve` drains for 30 s.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// User and system time of a process and all its threads since its start. A process that has ended keeps its account
/// until it is waited for.
pub fn cpu(pid: u32) -> Option<Duration> {
    let fields = stat(pid)?;
    let ticks = |nth: usize| fields.get(nth)?.parse::<u32>().ok();
    // Fields 14 and 15, counted from the state, which is the third.
    Some(TICK * (ticks(11)? + ticks(12)?))
}

/// The most memory that was resident at once, in bytes.
pub fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    kib.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kib| kib << 10)
}

fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(ToOwned::to_owned).collect())
}

/// The Erlang machine of the broker that listens on this port.
pub fn broker(port: u16) -> Option<u32> {
    let name = format!("RABBITMQ_NODENAME=tidegate-{port}@localhost");
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_ours = |pid: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("comm").starts_with(b"beam") && String::from_utf8_lossy(&read("environ")).contains(&name)
    };
    pids.into_iter().find(is_ours)
}

/// A process of ours; it does not outlive its value.
pub struct Process {
    child: Child,
}

impl Process {
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(|child| Self { child })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn cpu(&self) -> Duration {
        cpu(self.pid()).unwrap_or_default()
    }

    /// Whether it runs no more.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end by itself, for so long at most; how it ended, and what CPU time it took in all.
    pub fn end_within(mut self, patience: Duration) -> io::Result<(ExitStatus, Duration)> {
        let deadline = Instant::now() + patience;
        loop {
            let state = stat(self.pid()).and_then(|fields| fields.into_iter().next());
            if state.is_none_or(|state| state == "Z" || state == "X") {
                let took = self.cpu();
                return Ok((self.child.wait()?, took));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("it had not ended after {} s", patience.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end (SIGTERM) and waits.
    pub fn terminate(self) -> io::Result<(ExitStatus, Duration)> {
        let pid = self.pid().to_string();
        Command::new("kill").args(["-TERM", &pid]).stdout(Stdio::null()).status()?;
        self.end_within(LAST_WORDS)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
