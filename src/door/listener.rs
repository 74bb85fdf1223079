//! Accepts connections and bounds what each may cost: how many there are, how long a client may take for a request's head,
//! how large that may be. A client that is slow on purpose holds its own connection and nothing else.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoorLimits {
    /// Connections in all; one more is told 503 and closed.
    pub connections: usize,
    /// Connections of one address: a quarter, so that no single one can shut the others out.
    pub connections_per_peer: usize,
    /// For a request's head, and between two requests of a connection.
    pub head_timeout: Duration,
    /// For a body, besides a second for each KiB of it.
    pub body_timeout: Duration,
    /// Bytes of all bodies that are being read or queued.
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
            body_timeout: Duration::from_secs(30),
            body_memory: 64 << 20,
            farewell: Duration::from_secs(5),
        }
    }
}

/// Bytes of a request's head.
const HEAD: usize = 64 << 10;
/// Header fields of a request.
const FIELDS: usize = 64;
/// How long to wait when the process has no file descriptors left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// What a connection too many is told.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 134\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"too many connections\",\"status\":503,\"detail\":\"use fewer, and keep them open for several requests each\"}\n";

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Peer(pub(super) IpAddr);

/// Serves `router` on `listener` until `stop`; then requests under way are answered still.
pub async fn serve(listener: TcpListener, router: Router, limits: DoorLimits, stop: CancellationToken) {
    let mut guests = Guests::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => guests.admit(socket, peer, &router, limits, &stop),
                // Not of one connection's making, or gone by itself; never a reason to spin.
                Err(error) => {
                    tracing::debug!(%error, "a connection can't be accepted");
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
            },
            Some(ended) = guests.tasks.join_next(), if !guests.tasks.is_empty() => guests.left(ended.ok()),
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    let farewell = async { while guests.tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limits.farewell, farewell).await;
}

/// Open connections.
#[derive(Default)]
struct Guests {
    tasks: JoinSet<IpAddr>,
    by_peer: HashMap<IpAddr, usize>,
}

impl Guests {
    fn admit(
        &mut self,
        socket: TcpStream,
        peer: SocketAddr,
        router: &Router,
        limits: DoorLimits,
        stop: &CancellationToken,
    ) {
        let peer = peer.ip();
        let of_peer = self.by_peer.get(&peer).copied().unwrap_or(0);
        if self.tasks.len() >= limits.connections || of_peer >= limits.connections_per_peer {
            return turn_away(socket);
        }
        self.by_peer.insert(peer, of_peer + 1);
        let (router, stop) = (router.clone(), stop.clone());
        self.tasks.spawn(async move {
            connection(socket, Peer(peer), router, limits, stop).await;
            peer
        });
    }

    /// One has left; whose it was is not known if it panicked: then its place stays taken until there is nobody.
    fn left(&mut self, peer: Option<IpAddr>) {
        if let Some(peer) = peer
            && let Some(count) = self.by_peer.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                self.by_peer.remove(&peer);
            }
        }
        if self.tasks.is_empty() {
            self.by_peer.clear();
        }
    }
}

/// Says why, if the socket takes it at once, and closes.
fn turn_away(mut socket: TcpStream) {
    tokio::spawn(async move {
        let told = async {
            let _ = socket.write_all(TOO_MANY).await;
            let _ = socket.shutdown().await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
    });
}

async fn connection(socket: TcpStream, peer: Peer, router: Router, limits: DoorLimits, stop: CancellationToken) {
    // An answer is one small write; waiting for more would only delay it.
    let _ = socket.set_nodelay(true);
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
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
    use super::TOO_MANY;

    #[test]
    fn what_a_connection_too_many_is_told_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).expect("JSON");
    }
}
