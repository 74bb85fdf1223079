//! Making one connection: look the name up, try its addresses in turn, TLS, ALPN, the server's first SETTINGS.
//!
//! The name is looked up for every connection, so that they spread over the provider's servers (PROVIDERS 1.1).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use h2::client::SendRequest;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{Failure, FailureKind};
use super::http1;
use super::io::{Gate, Wire};
use super::line::Line;
use super::options::PoolOptions;
use super::task;

/// Addresses tried for one connection, at most.
const MAX_ADDRESSES: usize = 4;
/// Streams that were reset and are still remembered, so that what the server sends on them yet is ignored. Ours are
/// request time-outs: in a brown-out thousands within seconds. About 500 bytes each.
const REMEMBERED_RESETS: usize = 8_192;
/// For how long they are remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// A response's headers, uncompressed. Providers send some hundred bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Finds a name's addresses: (host, port) in, all of them out.
pub type Resolver = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// A name has addresses, and none of them may be dialled: what a [`Resolver`] answers with, within its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAddressAllowed;

impl std::fmt::Display for NoAddressAllowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("none of the name's addresses may be dialled")
    }
}

impl std::error::Error for NoAddressAllowed {}

/// The system's look-up.
pub(in crate::provider) fn system_resolver() -> Resolver {
    Arc::new(|host, port| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect::<Vec<_>>()) })
    })
}

/// Where to, and how.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) name: ServerName<'static>,
    pub(super) tls: TlsConnector,
    pub(super) resolver: Resolver,
}

/// By what a connection's requests go.
pub(super) enum Requests {
    /// HTTP/2.
    Http2(SendRequest<Bytes>),
    /// HTTP/1.1.
    Http1(http1::Requests),
}

/// A connection that can carry requests; in HTTP/2 it has the server's first SETTINGS.
pub(super) struct Opened {
    pub(super) line: Arc<Line>,
    pub(super) requests: Requests,
}

/// Makes one.
pub(super) async fn open(
    to: Destination,
    options: Arc<PoolOptions>,
    line: impl Fn() -> Arc<Line>,
) -> Result<Opened, Failure> {
    let limit = options.connect_timeout;
    let addresses = timeout(limit, (to.resolver)(to.host.clone(), to.port))
        .await
        .map_err(|_| Failure::connecting(FailureKind::NameNotResolved, "the look-up took too long"))?
        .map_err(|error| not_resolved(&error))?;
    let mut last = Failure::connecting(FailureKind::NameNotResolved, "the name has no address");
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        let line = line();
        last = match timeout(limit, open_at(address, &to, &options, Arc::clone(&line))).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::connecting(FailureKind::ConnectFailed, format!("{address}: no connection in time")),
        };
        // Its task, if it has one already, need not wait for the peer to take part in closing.
        line.release();
    }
    Err(last)
}

async fn open_at(
    address: SocketAddr,
    to: &Destination,
    options: &Arc<PoolOptions>,
    line: Arc<Line>,
) -> Result<Opened, Failure> {
    let tcp = TcpStream::connect(address).await.map_err(|error| refused(address, &error))?;
    tcp.set_nodelay(true).map_err(|error| refused(address, &error))?;
    let tls = to.tls.connect(to.name.clone(), tcp).await.map_err(|error| tls_failure(address, &error))?;
    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        if options.http1 {
            let requests = Requests::Http1(http1::start(tls, &line).await?);
            return Ok(Opened { line, requests });
        }
        return Err(Failure::connecting(FailureKind::NoHttp2, format!("{address} did not choose h2")));
    }
    handshake(tls, options, line).await
}

async fn handshake(tls: TlsStream<TcpStream>, options: &Arc<PoolOptions>, line: Arc<Line>) -> Result<Opened, Failure> {
    let gate = Arc::new(Gate::default());
    let wire = Wire::new(tls, Arc::clone(&gate), Arc::clone(&line));
    let (requests, connection) = builder(options)
        .handshake::<_, Bytes>(wire)
        .await
        .map_err(|error| Failure::connecting(FailureKind::HandshakeFailed, error))?;
    let (ready, is_ready) = oneshot::channel();
    tokio::spawn(task::drive(connection, Arc::clone(&line), gate, Arc::clone(options), ready));
    if is_ready.await.is_err() {
        let end = line.end().unwrap_or_default();
        return Err(Failure::connecting(FailureKind::HandshakeFailed, end).with_word(line.goaway_word()));
    }
    Ok(Opened { line, requests: Requests::Http2(requests) })
}

fn builder(options: &PoolOptions) -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        // h2's default is "unlimited" until SETTINGS says otherwise, which overruns APNs (PROVIDERS 1.6).
        .initial_max_send_streams(options.first_streams)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .reset_stream_duration(REMEMBERED_FOR)
        // A frame for a stream that is no longer remembered counts as a local error, the count never falls, and at
        // 1,024 h2 kills the connection (ENGINEERING 1.6). A connection may live for weeks, so any number would be
        // reached; each such frame costs one RST_STREAM and no memory.
        .max_local_error_reset_streams(None);
    builder
}

fn not_resolved(error: &io::Error) -> Failure {
    let refused = error.get_ref().is_some_and(|inner| inner.is::<NoAddressAllowed>());
    let kind = if refused { FailureKind::AddressNotAllowed } else { FailureKind::NameNotResolved };
    Failure::connecting(kind, error)
}

fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::connecting(FailureKind::ConnectFailed, format!("{address}: {error}"))
}

fn tls_failure(address: SocketAddr, error: &io::Error) -> Failure {
    let by_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let kind = match by_tls {
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => FailureKind::NoHttp2,
        Some(_) => FailureKind::TlsFailed,
        None => FailureKind::ConnectFailed,
    };
    Failure::connecting(kind, format!("{address}: {error}"))
}
