//! What systemd is told (sd_notify(3)): that it is up, that it reloads, drains, and is alive.
//!
//! Lines in a datagram to the socket that `NOTIFY_SOCKET` names; without it nothing is said. What can't be sent is not
//! tried again: a service must not wait for its supervisor.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// The way to systemd.
pub(super) struct Notifier {
    socket: Option<UnixDatagram>,
    /// Ticks twice as often as systemd wants to hear of us.
    beat: Option<Interval>,
}

impl Notifier {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`. Needs a tokio runtime.
    pub(super) fn from_env() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| connect(name.as_bytes()).ok());
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let patience = number("WATCHDOG_USEC").filter(|micros| *micros > 1 && ours && socket.is_some());
        let beat = patience.map(|micros| {
            let mut beat = interval(Duration::from_micros(micros / 2));
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beat
        });
        Self { socket, beat }
    }

    /// It is up.
    pub(super) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads its configuration again; [`ready`](Self::ready) follows.
    pub(super) fn reloading(&self) {
        self.say("RELOADING=1\nSTATUS=reloading the configuration");
    }

    /// It drains, which may take so long.
    pub(super) fn stopping(&self, deadline: Duration) {
        let micros = deadline.as_micros();
        self.say(&format!("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={micros}"));
    }

    /// Says now and then that it is alive, where somebody wants to hear that; never ends. Whoever waits for this beside
    /// what else he does is alive. Cancel-safe.
    pub(super) async fn alive(&mut self) {
        let Self { socket, beat } = self;
        let Some(beat) = beat else { return std::future::pending().await };
        loop {
            beat.tick().await;
            say(socket.as_ref(), "WATCHDOG=1");
        }
    }

    fn say(&self, text: &str) {
        say(self.socket.as_ref(), text);
    }
}

fn say(socket: Option<&UnixDatagram>, text: &str) {
    if let Some(Err(error)) = socket.map(|socket| socket.send(text.as_bytes())) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// A path, or with `@` in front a name in Linux's abstract namespace.
fn connect(name: &[u8]) -> std::io::Result<UnixDatagram> {
    let address = match name.split_first() {
        Some((b'@', name)) => abstract_address(name)?,
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> std::io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> std::io::Result<SocketAddr> {
    Err(std::io::ErrorKind::Unsupported.into())
}
