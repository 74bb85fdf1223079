//! Accepts connections and bounds what each may cost: how many there are, how long a client may take for a request's head,
//! how large that may be, how long it may leave its answer unread. A client that is slow on purpose holds its own
//! connection and nothing else. Loopback has no privilege: a place behind a proxy on the same machine is as easily taken.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::heads::{Heads, Turns};
use super::socket::Socket;

/// What a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoorLimits {
    /// Connections in all; one more is told 503 and closed.
    pub connections: usize,
    /// Connections of one address (of one /64 with IPv6): a quarter, so that no single one can shut the others out.
    pub connections_per_peer: usize,
    /// For a request's head.
    pub head_timeout: Duration,
    /// Between two requests of a connection; longer than `head_timeout`.
    pub idle_timeout: Duration,
    /// For a body, besides a second for each 32 KiB of it.
    pub body_timeout: Duration,
    /// For the next byte of a body.
    pub body_pause: Duration,
    /// For a client to take a byte of its answer.
    pub write_timeout: Duration,
    /// Bytes of all bodies that are being read or queued; one client's (token or address) may have half of them. At least
    /// two of the largest.
    pub body_memory: usize,
    /// How long requests under way may take to end when the door closes.
    pub farewell: Duration,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_per_peer: 256,
            head_timeout: Duration::from_secs(10),
            // As long as is usual: a client that takes a connection from its pool just when it is closed gets an error.
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            body_pause: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            body_memory: 64 << 20,
            farewell: Duration::from_secs(5),
        }
    }
}

/// Bytes of a request's head: more than any client has to say. They are counted between two reads, so at the most twice as
/// many get through.
const HEAD: usize = 32 << 10;
/// Header fields of a request.
const FIELDS: usize = 64;
/// Connections that the kernel holds until they are accepted. The usual 128 are not enough for a fleet that reconnects at
/// once: who does not fit in waits a second for its next try, or believes that it is connected.
const BACKLOG: u32 = 1_024;
/// How long to wait when the process has no file descriptors left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// Connections too many that are told so at once; beyond them they are closed without a word.
const TURNED_AWAY: usize = 64;
/// What a connection too many is told.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 134\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"too many connections\",\"status\":503,\"detail\":\"use fewer, and keep them open for several requests each\"}\n";

/// Where a request comes from: an address; with IPv6 the first 64 bits of it, for one machine may have all of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Peer(pub(super) IpAddr);

impl Peer {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

/// Listens at this address.
///
/// # Errors
/// If it can't be listened on.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Not on Windows, where it would let others take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listener` until `stop`; then requests under way are answered still.
pub async fn serve(listener: TcpListener, router: Router, limits: DoorLimits, stop: CancellationToken) {
    let mut guests = Guests::default();
    let mut closed = false;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    closed = false;
                    guests.admit(socket, Peer::of(peer.ip()), &router, limits, &stop);
                }
                // Not of one connection's making, or gone by itself; never a reason to spin, nor to fill the log.
                Err(error) => {
                    if !std::mem::replace(&mut closed, true) {
                        tracing::warn!(%error, "a connection can't be accepted; trying on");
                    }
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
            },
            () = guests.leave() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    guests.turned_away.abort_all();
    let farewell = async { while guests.connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limits.farewell, farewell).await;
}

/// Open connections.
#[derive(Default)]
struct Guests {
    connections: JoinSet<()>,
    turned_away: JoinSet<()>,
    peers: HashMap<Id, Peer>,
    by_peer: HashMap<Peer, usize>,
}

impl Guests {
    fn admit(&mut self, socket: TcpStream, peer: Peer, router: &Router, limits: DoorLimits, stop: &CancellationToken) {
        let of_peer = self.by_peer.get(&peer).copied().unwrap_or(0);
        if self.connections.len() >= limits.connections || of_peer >= limits.connections_per_peer {
            if self.turned_away.len() < TURNED_AWAY {
                self.turned_away.spawn(turn_away(Socket::new(socket, limits.write_timeout, None)));
            }
            return;
        }
        // An answer is one small write; waiting for more would only delay it.
        let _ = socket.set_nodelay(true);
        let task = self.connections.spawn(connection(socket, peer, router.clone(), limits, stop.clone()));
        self.peers.insert(task.id(), peer);
        self.by_peer.insert(peer, of_peer + 1);
    }

    /// Ready when one has left.
    async fn leave(&mut self) {
        let left = tokio::select! {
            Some(left) = self.connections.join_next_with_id() => left,
            Some(_) = self.turned_away.join_next() => return,
            else => return std::future::pending().await,
        };
        let id = left.map_or_else(|panicked| panicked.id(), |(id, ())| id);
        let peer = self.peers.remove(&id).expect("it was noted when it came");
        let count = self.by_peer.get_mut(&peer).expect("it was counted when it came");
        *count -= 1;
        if *count == 0 {
            self.by_peer.remove(&peer);
        }
    }
}

/// Says why, if the client takes it at once, and closes.
async fn turn_away(mut socket: Socket) {
    let told = async {
        let _ = socket.write_all(TOO_MANY).await;
        let _ = socket.shutdown().await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}

async fn connection(socket: TcpStream, peer: Peer, router: Router, limits: DoorLimits, stop: CancellationToken) {
    let turns = Turns::default();
    let socket = Socket::new(socket, limits.write_timeout, Some(Heads::new(limits.head_timeout, turns.clone())));
    let router = TowerToHyperService::new(router.layer(Extension(peer)));
    let service = service_fn(move |request| {
        turns.next();
        let (turns, answer) = (turns.clone(), router.call(request));
        async move {
            let answer = answer.await;
            turns.next();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(HEAD)
        .max_headers(FIELDS)
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    tokio::select! {
        // What a client does to its own connection is its own affair.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use super::{Peer, TOO_MANY};

    #[test]
    fn what_a_connection_too_many_is_told_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).expect("JSON");
    }

    #[test]
    fn one_machine_is_one_peer() {
        let same = |one: &str, other: &str| {
            let peer = |text: &str| Peer::of(text.parse().expect("an address"));
            peer(one) == peer(other)
        };
        assert!(same("2001:db8::1", "2001:db8::ffff:1:2:3"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
