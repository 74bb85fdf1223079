//! A server whose every frame the test decides: real TCP, real TLS, HTTP/2 frames by hand.
//!
//! It reads the client's frames and reports them as [`Event`]s; it answers only what the test tells it to, or, in
//! [`Mode::Auto`], every whole request with 200. Headers are not decoded: tests that look at them look at the bytes.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;

static AUTHORITIES: AtomicUsize = AtomicUsize::new(1);

/// A root of trust and what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        // Two authorities of one name would be taken for each other, and told apart by their signatures only.
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("Test authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn issue(&self, edit: impl FnOnce(&mut CertificateParams)) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        edit(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate, key)
    }

    pub(crate) fn server_config(&self, alpn: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        self.server(alpn, edit, Arc::new(NoClientAuth))
    }

    /// A server that lets in only clients with a certificate of this authority.
    pub(crate) fn mutual_config(&self) -> ServerConfig {
        let mut roots = rustls::RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        roots.add(root).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        self.server(&["h2"], |_| {}, verifier.build().expect("a verifier"))
    }

    fn server(
        &self,
        alpn: &[&str],
        edit: impl FnOnce(&mut CertificateParams),
        clients: Arc<dyn ClientCertVerifier>,
    ) -> ServerConfig {
        let (certificate, key) = self.issue(edit);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// What a client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Opened,
    Headers { stream: u32, end: bool, block: Vec<u8> },
    Data { stream: u32, body: Vec<u8>, end: bool },
    Reset { stream: u32, code: u32 },
    Ping { ack: bool },
    GoAway { code: u32 },
    Closed,
}

/// What the server does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// SETTINGS at the start with this stream limit (none: no SETTINGS at all), acknowledgements, pongs, windows.
    Manual { limit: Option<u32>, pong: bool },
    /// The same, but the connection's window is left to the test.
    Windows { limit: u32 },
    /// The same, and 200 to every whole request.
    Auto { limit: u32 },
}

/// One connection as the test holds it.
pub(crate) struct Peer {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    frames: mpsc::UnboundedSender<Vec<u8>>,
}

/// The server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) peers: mpsc::UnboundedReceiver<Peer>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(tls: ServerConfig, mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let (sender, peers) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.expect("accepted");
                let acceptor = acceptor.clone();
                let sender = sender.clone();
                connections.spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let (events, receiver) = mpsc::unbounded_channel();
                    let (frames, to_send) = mpsc::unbounded_channel();
                    let _ = sender.send(Peer { events: receiver, frames: frames.clone() });
                    serve(tls, mode, events, frames, to_send).await;
                });
            }
        });
        Self { address, peers, task }
    }

    /// The next connection that came.
    pub(crate) async fn peer(&mut self) -> Peer {
        tokio::time::timeout(PATIENCE, self.peers.recv()).await.expect("a connection in time").expect("serving")
    }
}

impl Peer {
    /// The next event that is neither of the connection's beginning nor a pong.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            let event = tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event in time");
            match event {
                Some(Event::Opened | Event::Ping { ack: true }) => {}
                Some(event) => return event,
                None => return Event::Closed,
            }
        }
    }

    /// Waits for the next whole request and says on which stream it came.
    pub(crate) async fn request(&mut self) -> u32 {
        loop {
            match self.event().await {
                Event::Headers { stream, end: true, .. } | Event::Data { stream, end: true, .. } => return stream,
                Event::Headers { .. } | Event::Data { .. } => {}
                other => panic!("waited for a request, got {other:?}"),
            }
        }
    }

    /// No request has come up to now that was not taken. Settles by a PING that the client must answer.
    pub(crate) async fn nothing_more(&mut self) {
        self.frame(PING, 0, 0, &[1; 8]);
        loop {
            match tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("a pong in time") {
                Some(Event::Ping { ack: true }) => return,
                Some(Event::Opened) => {}
                other => panic!("nothing should have come before the pong, got {other:?}"),
            }
        }
    }

    /// Forgets what has come up to now. Settles by a PING that the client must answer.
    pub(crate) async fn forget(&mut self) {
        self.frame(PING, 0, 0, &[1; 8]);
        while !matches!(
            tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("a pong in time"),
            Some(Event::Ping { ack: true }) | None
        ) {}
    }

    pub(crate) fn frame(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let _ = self.frames.send(frame(kind, flags, stream, payload));
    }

    /// Answers with a status of HPACK's static table and a body.
    pub(crate) fn answer(&self, stream: u32, status: u16, body: &[u8]) {
        let end = if body.is_empty() { END_STREAM } else { 0 };
        self.frame(HEADERS, END_HEADERS | end, stream, &[indexed(status)]);
        if !body.is_empty() {
            self.frame(DATA, END_STREAM, stream, body);
        }
    }

    pub(crate) fn reset(&self, stream: u32, code: u32) {
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    pub(crate) fn limit(&self, streams: u32) {
        self.frame(SETTINGS, 0, 0, &setting(3, streams));
    }

    pub(crate) fn goaway(&self, last: u32, code: u32, debug: &str) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(debug.as_bytes());
        self.frame(GOAWAY, 0, 0, &payload);
    }

    /// Closes the socket.
    pub(crate) fn hang_up(&self) {
        let _ = self.frames.send(Vec::new());
    }
}

fn indexed(status: u16) -> u8 {
    match status {
        200 => 0x88,
        400 => 0x8c,
        404 => 0x8d,
        500 => 0x8e,
        other => panic!("{other} is not in the static table"),
    }
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut setting = id.to_be_bytes().to_vec();
    setting.extend_from_slice(&value.to_be_bytes());
    setting
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

async fn serve(
    tls: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    mode: Mode,
    events: mpsc::UnboundedSender<Event>,
    frames: mpsc::UnboundedSender<Vec<u8>>,
    mut to_send: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    let (mut reader, mut writer) = tokio::io::split(tls);
    let reading = async {
        let mut preface = [0; 24];
        if reader.read_exact(&mut preface).await.is_err() {
            return;
        }
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let _ = events.send(Event::Opened);
        if let Mode::Manual { limit: Some(limit), .. } | Mode::Auto { limit } | Mode::Windows { limit } = mode {
            let _ = frames.send(frame(SETTINGS, 0, 0, &setting(3, limit)));
        }
        let mut header = [0; 9];
        while reader.read_exact(&mut header).await.is_ok() {
            let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
            let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
            let mut payload = vec![0; length];
            if reader.read_exact(&mut payload).await.is_err() {
                return;
            }
            take(header[3], header[4], stream, payload, mode, &events, &frames);
        }
    };
    let writing = async {
        while let Some(bytes) = to_send.recv().await {
            if bytes.is_empty() || writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
    let _ = events.send(Event::Closed);
}

fn take(
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
    mode: Mode,
    events: &mpsc::UnboundedSender<Event>,
    frames: &mpsc::UnboundedSender<Vec<u8>>,
) {
    let number = |at: usize| payload.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let send = |kind, flags, stream, payload: &[u8]| {
        let _ = frames.send(frame(kind, flags, stream, payload));
    };
    let end = flags & END_STREAM != 0;
    let event = match kind {
        HEADERS => Some(Event::Headers { stream, end, block: payload.clone() }),
        DATA => {
            // The windows are given back at once.
            let size = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
            if !payload.is_empty() && !matches!(mode, Mode::Windows { .. }) {
                send(WINDOW_UPDATE, 0, 0, &size);
            }
            Some(Event::Data { stream, body: payload.clone(), end })
        }
        RST_STREAM => Some(Event::Reset { stream, code: number(0) }),
        SETTINGS if flags & ACK == 0 => {
            send(SETTINGS, ACK, 0, &[]);
            None
        }
        PING => {
            let ack = flags & ACK != 0;
            if !ack && !matches!(mode, Mode::Manual { pong: false, .. }) {
                send(PING, ACK, 0, &payload);
            }
            Some(Event::Ping { ack })
        }
        GOAWAY => Some(Event::GoAway { code: number(4) }),
        _ => None,
    };
    if let Some(event) = event {
        let _ = events.send(event);
    }
    if matches!(mode, Mode::Auto { .. }) && matches!(kind, HEADERS | DATA) && end {
        send(HEADERS, END_HEADERS | END_STREAM, stream, &[indexed(200)]);
    }
}
