//! What `serve` tells systemd, over a real socket.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::tempdir;

use super::command::{Ran, Running, tidegate};

const MINUTE: Duration = Duration::from_secs(60);

struct Systemd {
    socket: UnixDatagram,
    running: Running,
}

impl Systemd {
    /// Starts `serve` as a service: with a spool, and somebody who listens.
    fn start(folder: &Path, socket: UnixDatagram, name: &str, watchdog: &[(&str, &str)]) -> Self {
        let text = "[http]\nlisten = \"127.0.0.1:0\"\n[source.spool]\npath = \"spool\"\nmin_free = \"1MiB\"\n";
        std::fs::write(folder.join("tidegate.toml"), text).unwrap();
        let mut command = tidegate(folder, &["serve", "--config", "tidegate.toml"]);
        command.env("NOTIFY_SOCKET", name).env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        let running = Running::start(command.envs(watchdog.iter().copied()));
        Self { socket, running }
    }

    /// Waits for a message that has `line`; the lines of that message.
    fn hears(&self, line: &str) -> Vec<String> {
        let give_up = Instant::now() + MINUTE;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{line} was not said");
            self.socket.set_read_timeout(Some(left)).unwrap();
            let mut message = [0; 4_096];
            let length = self.socket.recv(&mut message).unwrap();
            let lines: Vec<String> = String::from_utf8_lossy(&message[..length]).lines().map(str::to_owned).collect();
            if lines.iter().any(|said| said == line) {
                return lines;
            }
        }
    }

    fn stop(self) -> Ran {
        self.running.signal("TERM");
        let said = self.hears("STOPPING=1");
        assert!(said.contains(&"EXTEND_TIMEOUT_USEC=50000000".to_owned()), "30 s of draining and 20: {said:?}");
        self.running.ended()
    }
}

#[test]
fn systemd_is_told_that_it_is_up_reloads_and_drains() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = Systemd::start(folder.path(), UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap(), &[]);
    let said = systemd.hears("READY=1");
    assert!(said.iter().any(|line| line.starts_with("STATUS=up, its door at 127.0.0.1:")), "{said:?}");
    systemd.running.signal("HUP");
    systemd.hears("RELOADING=1");
    systemd.hears("READY=1");
    // Nobody wanted a watchdog.
    systemd.socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(systemd.socket.recv(&mut [0; 4_096]).is_err());
    let ran = systemd.stop();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

#[test]
fn a_watchdog_is_fed_in_the_abstract_namespace_too_and_the_drain_is_fed_on() {
    let folder = tempdir().unwrap();
    let name = format!("tidegate-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let systemd = Systemd::start(folder.path(), socket, &format!("@{name}"), &[("WATCHDOG_USEC", "400000")]);
    systemd.hears("READY=1");
    let begin = Instant::now();
    for _ in 0..5 {
        systemd.hears("WATCHDOG=1");
    }
    assert!(begin.elapsed() >= Duration::from_millis(600), "every half of it, not more often");
    let ran = systemd.stop();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

#[test]
fn a_watchdog_of_another_process_is_not_ours_and_nobody_there_is_no_trouble() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let others = [("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let systemd = Systemd::start(folder.path(), socket, path.to_str().unwrap(), &others);
    systemd.hears("READY=1");
    systemd.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(systemd.socket.recv(&mut [0; 4_096]).is_err());
    std::fs::remove_file(&path).unwrap();
    let Systemd { socket, running } = systemd;
    drop(socket);
    running.signal("HUP");
    running.signal("TERM");
    assert_eq!(running.ended().code, Some(0));
}
