//! A door's listener: accepts, shakes hands, and hands each connection its protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{self, Hall, Peer, Script};
use super::http1::{Reader, Unreadable};
use super::ledger::Entry;
use super::{Circumstances, Request, Window};
use crate::job::UnixMillis;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long to wait before a port is bound again that could not be bound.
const REBIND: Duration = Duration::from_millis(20);

/// How long a listener sleeps that has no reason to wake.
const NOTHING_TO_DO: Duration = Duration::from_secs(3600);

/// How connections of a door are spoken to.
#[derive(Clone)]
pub(super) enum Transport {
    /// TLS.
    Tls(TlsAcceptor),
    /// HTTP/2 with prior knowledge.
    Cleartext,
}

/// Listens until the simulator stops. The listener is `None` while the script refuses connections.
pub(super) async fn listen(listener: TcpListener, address: SocketAddr, transport: Transport, mut hall: Hall) {
    let mut listener = Some(listener);
    let mut number = 0;
    loop {
        let script = Arc::clone(&hall.script.borrow_and_update());
        let now = Instant::now();
        let elapsed = script.elapsed(now);
        let refusal = end_of(&script.faults.refusals, elapsed);
        match (&listener, refusal) {
            (Some(_), Some(_)) => listener = None,
            (None, None) => listener = bind(address).await,
            _ => {}
        }
        let next = script.faults.refusals.iter().map(|window| window.from).filter(|from| *from > elapsed).min();
        let wake = refusal.or(next).map_or(now + NOTHING_TO_DO, |at| script.since + at);
        tokio::select! {
            accepted = accept(listener.as_ref()) => {
                let Some(socket) = accepted else { continue };
                number += 1;
                spawn_local(welcome(socket, number, transport.clone(), hall.clone()));
            }
            () = tokio::time::sleep_until(tokio::time::Instant::from_std(wake)) => {}
            Ok(()) = hall.script.changed() => {}
            () = hall.stop.cancelled() => return,
        }
    }
}

fn end_of(windows: &[Window], elapsed: Duration) -> Option<Duration> {
    windows.iter().filter_map(|window| window.end_if_within(elapsed)).max()
}

async fn bind(address: SocketAddr) -> Option<TcpListener> {
    let bound = TcpListener::bind(address).await;
    if bound.is_err() {
        tokio::time::sleep(REBIND).await;
    }
    bound.ok()
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(socket, _)| socket),
        None => std::future::pending().await,
    }
}

/// One connection, from its first byte to its last.
async fn welcome(socket: TcpStream, number: u64, transport: Transport, hall: Hall) {
    let provider = hall.door.borrow().provider();
    hall.ledger.enter(provider, vec![Entry::Connected]).await;
    // Nagle's delay would be a latency that nobody asked for.
    let _ = socket.set_nodelay(true);
    // Not in the match itself: that would hold the script's lock for the connection's life.
    let silence = silence(&hall.script.borrow());
    match silence {
        Some(end) => keep_silent(&socket, end, &hall).await,
        None => speak(socket, number, transport, &hall).await,
    }
    hall.ledger.enter(provider, vec![Entry::Disconnected]).await;
}

fn silence(script: &Script) -> Option<Instant> {
    end_of(&script.faults.silences, script.elapsed(Instant::now())).map(|end| script.since + end)
}

async fn keep_silent(_socket: &TcpStream, end: Instant, hall: &Hall) {
    tokio::select! {
        () = tokio::time::sleep_until(tokio::time::Instant::from_std(end)) => {}
        () = hall.stop.cancelled() => {}
    }
}

async fn speak(socket: TcpStream, number: u64, transport: Transport, hall: &Hall) {
    let provider = hall.door.borrow().provider();
    let acceptor = match transport {
        Transport::Tls(acceptor) => acceptor,
        Transport::Cleartext => return speak_cleartext(socket, number, hall).await,
    };
    let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await else {
        return hall.ledger.enter(provider, vec![Entry::HandshakeFailed]).await;
    };
    let peer = Peer { number, certificate: certificate(&tls) };
    let speaks_h1 = hall.door.borrow().speaks_http1();
    match tls.get_ref().1.alpn_protocol() {
        Some(b"h2") => {
            hall.ledger.enter(provider, vec![Entry::Handshake]).await;
            connection::serve(tls, peer, hall.clone()).await;
        }
        _ if speaks_h1 => {
            hall.ledger.enter(provider, vec![Entry::Handshake]).await;
            serve_http1(Reader::new(tls), peer, hall).await;
        }
        _ => hall.ledger.enter(provider, vec![Entry::HandshakeFailed]).await,
    }
}

/// Without TLS the first bytes tell: HTTP/2 begins with `PRI`.
async fn speak_cleartext(socket: TcpStream, number: u64, hall: &Hall) {
    let peer = Peer { number, certificate: None };
    let mut first = [0; 3];
    let known = tokio::time::timeout(HANDSHAKE, async {
        loop {
            match socket.peek(&mut first).await {
                Ok(3) | Ok(0) | Err(_) => return,
                Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    if known.await.is_err() {
        return;
    }
    if &first == b"PRI" || !hall.door.borrow().speaks_http1() {
        return connection::serve(socket, peer, hall.clone()).await;
    }
    serve_http1(Reader::new(socket), peer, hall).await;
}

fn certificate(tls: &TlsStream<TcpStream>) -> Option<Bytes> {
    let certificates = tls.get_ref().1.peer_certificates()?;
    certificates.first().map(|certificate| Bytes::copy_from_slice(certificate))
}

/// HTTP/1.1: one request after the other, no drawn faults.
async fn serve_http1<S>(mut reader: Reader<S>, peer: Peer, hall: &Hall)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let provider = hall.door.borrow().provider();
    loop {
        let read = tokio::select! {
            read = reader.next() => read,
            () = hall.stop.cancelled() => break,
        };
        let incoming = match read {
            Ok(incoming) => incoming,
            Err(Unreadable::Gone) => break,
            Err(Unreadable::Refused(status)) => {
                let _ = reader.answer(status, &[("connection", "close")], b"").await;
                break;
            }
        };
        let request = Request {
            connection: peer.number,
            stream: 0,
            method: incoming.method,
            path: incoming.path,
            authority: String::new(),
            headers: incoming.headers,
            body: incoming.body,
            client_certificate: peer.certificate.clone(),
            at: Instant::now(),
            wall: UnixMillis::now(),
        };
        let script = Arc::clone(&hall.script.borrow());
        let circumstances = Circumstances { faults: &script.faults, injected: None };
        let reply = hall.door.borrow_mut().answer(&request, circumstances);
        hall.ledger.enter(provider, vec![Entry::answered(&reply, request.at, request.wall)]).await;
        if !reply.delay.is_zero() {
            tokio::time::sleep(reply.delay).await;
        }
        let headers: Vec<_> = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if reader.answer(reply.status, &headers, &reply.body).await.is_err() {
            break;
        }
    }
    hall.door.borrow_mut().closed(peer.number);
}
