//! One connection: the session's bytes, the door's answers, the script's faults, the ledger's entries.
//!
//! ```text
//! read ─▶ apply (synchronous: session, faults, door) ─▶ ledger ─▶ one write ─▶ read …
//!             ▲ time: answers that are due, stalls that end, limits that change, idleness
//! ```
//!
//! Everything that one read brings is answered by one write. The ledger is told before the answers are written.

mod chance;
mod driver;
mod due;
mod session;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::driver::Driver;
use super::ledger::Ledger;
use super::{Door, Faults};

/// Room for one read, bytes: several TLS records.
const READ: usize = 64 * 1024;

/// How long a client may take to read what was written before the connection is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a closed connection's last bytes may take to be read by the client.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Faults, and since when they hold.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) faults: Faults,
    pub(super) since: Instant,
}

impl Script {
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

/// What all connections of one door share. They run on one thread, and nobody holds the door over an await.
#[derive(Clone)]
pub(super) struct Hall {
    pub(super) door: Rc<RefCell<dyn Door>>,
    pub(super) ledger: Ledger,
    pub(super) script: watch::Receiver<Arc<Script>>,
    pub(super) stop: CancellationToken,
    pub(super) seed: u64,
    pub(super) fast: bool,
}

/// Who is on the other end.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// The connection's number at this door, from 1.
    pub(super) number: u64,
    /// The client certificate, DER.
    pub(super) certificate: Option<Bytes>,
}

/// Serves one connection to its end.
pub(super) async fn serve<S>(mut socket: S, peer: Peer, mut hall: Hall)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let number = peer.number;
    let provider = hall.door.borrow().provider();
    let mut driver = Driver::new(peer, &hall, Instant::now());
    loop {
        driver.advance(Instant::now());
        hall.ledger.enter(provider, driver.take_entries()).await;
        if !write(&mut socket, driver.out()).await {
            break;
        }
        if driver.is_over() {
            close(&mut socket).await;
            break;
        }
        let wake = tokio::time::Instant::from_std(driver.wake());
        driver.input().reserve(READ);
        tokio::select! {
            read = socket.read_buf(driver.input()) => match read {
                Ok(1..) => {
                    // Faults that were set before the client spoke hold for what it says.
                    if hall.script.has_changed().unwrap_or(false) {
                        driver.rescript(Arc::clone(&hall.script.borrow_and_update()));
                    }
                    driver.receive(Instant::now());
                }
                Ok(0) | Err(_) => break,
            },
            () = tokio::time::sleep_until(wake) => {}
            Ok(()) = hall.script.changed() => driver.rescript(Arc::clone(&hall.script.borrow_and_update())),
            () = hall.stop.cancelled() => break,
        }
    }
    hall.ledger.enter(provider, driver.take_entries()).await;
    hall.door.borrow_mut().closed(number);
}

/// Writes everything; false if the connection is gone.
async fn write<S: AsyncWrite + Unpin>(socket: &mut S, out: &mut bytes::BytesMut) -> bool {
    if out.is_empty() {
        return true;
    }
    let whole = async {
        socket.write_all(out).await?;
        socket.flush().await
    };
    let written = tokio::time::timeout(WRITE_TIMEOUT, whole).await;
    out.clear();
    matches!(written, Ok(Ok(())))
}

/// Closes, and reads on until the client closes too: closing a socket with unread bytes would reset it, and the
/// client would lose our last words.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S) {
    let last = async {
        let mut rest = [0; 4096];
        let _ = socket.shutdown().await;
        while matches!(socket.read(&mut rest).await, Ok(1..)) {}
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, last).await;
}
