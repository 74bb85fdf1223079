//! A connection to the broker: TLS that can't fall back, our name, and errors that say what to do.
//!
//! Two traps are closed here. lapin, built with the wrong features, speaks plaintext under `amqps://`; so TLS is
//! not left to it: the TCP stream is wrapped here, by a call that does not compile without TLS. And its URI type
//! shows the password in `Debug` and in parse errors; so no error of its parser is ever repeated, and every other
//! text passes [`Redacted`] before it leaves.
//!
//! lapin's own recovery is off: a lost connection is an end, and the supervisor makes a new one. That is the
//! simplest proof that no tag of an old channel is ever acked on a new one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::tcp::{AMQPUriTcpExt, RustlsConnector, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;

use super::AmqpSettings;
use super::leash::Leash;

/// TCP, TLS and the AMQP handshake together. Longer than a slow handshake, shorter than an operator's patience.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest frame for connections that consume, in bytes. lapin reads into a ring of 32 frames and goes all round it: with
/// RabbitMQ's 128 KiB that is 4 MiB for each connection, and every message comes to lie where no cache has it. Larger bodies
/// come in several frames. Connections that publish keep what the broker proposes, for a message's headers must fit into one.
const CONSUMERS_FRAME: u32 = 16 << 10;

/// Why there is no connection. The text names the place and the remedy, never the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectError {
    /// The settings can't work: the URI, the CA file, the client certificate.
    Settings(String),
    /// Nobody answers there, or not in AMQP, or not in TLS, or with a certificate that does not fit.
    Unreachable(String),
    /// The broker refused the user, the password or the virtual host.
    Refused(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Settings(text) | Self::Unreachable(text) | Self::Refused(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for ConnectError {}

/// Connects; `purpose` is part of the name that the broker's operator sees.
///
/// # Errors
/// [`ConnectError`]; nothing is left open.
pub(super) async fn connect(settings: &AmqpSettings, purpose: &str) -> Result<Connection, ConnectError> {
    connect_within(settings, purpose, None, CONNECT_TIMEOUT).await
}

/// The same for a connection that takes many messages and publishes none.
///
/// # Errors
/// As [`connect`].
pub(super) async fn connect_to_consume(settings: &AmqpSettings) -> Result<Connection, ConnectError> {
    connect_within(settings, "consume", Some(CONSUMERS_FRAME), CONNECT_TIMEOUT).await
}

async fn connect_within(
    settings: &AmqpSettings,
    purpose: &str,
    frame_max: Option<u32>,
    patience: Duration,
) -> Result<Connection, ConnectError> {
    let mut uri = parse(settings)?;
    let heartbeat = settings.heartbeat.as_secs().clamp(1, u64::from(u16::MAX));
    uri.query.heartbeat = Some(u16::try_from(heartbeat).expect("clamped to 16 bits"));
    uri.query.frame_max = uri.query.frame_max.or(frame_max);
    let redacted = Redacted::of(&uri);
    let place = format!("{}:{}", uri.authority.host, uri.authority.port);
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(RustlsConnector::from(tls_config(settings)?)),
    };
    let name = format!("tidegate {purpose} {}", std::process::id());
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = lapin::runtime::default_runtime()
        .map_err(|error| ConnectError::Unreachable(format!("no runtime to connect with: {error}")))?;
    let leash = Leash::default();
    let collar = leash.collar();
    let attempt = Connection::connector(
        uri,
        runtime,
        async move |uri: AMQPUri, runtime| {
            // Plain TCP first, whatever the scheme says; TLS is ours to put on top.
            let mut tcp = uri.clone();
            tcp.scheme = AMQPScheme::AMQP;
            let stream = tcp.connect_with_config_async(TLSConfig::default(), &runtime).await?;
            if let AsyncTcpStream::Plain(socket) = &stream {
                collar.connected(socket.get_ref())?;
            }
            let Some(tls) = &tls else { return Ok(stream) };
            let stream = stream.into_rustls(tls, &uri.authority.host).await?;
            assert!(matches!(stream, AsyncTcpStream::Rustls(_)), "amqps:// is TLS or nothing");
            Ok(stream)
        },
        properties,
    );
    match tokio::time::timeout(patience, attempt).await {
        Ok(Ok(connection)) => {
            leash.release();
            Ok(connection)
        }
        Ok(Err(error)) => Err(explain(&error, &place, &redacted)),
        Err(_) => Err(ConnectError::Unreachable(format!(
            "{place} accepted no AMQP connection within {} s: is it RabbitMQ's AMQP port (5672, TLS 5671)?",
            patience.as_secs()
        ))),
    }
}

fn parse(settings: &AmqpSettings) -> Result<AMQPUri, ConnectError> {
    let text = settings.uri.expose_secret();
    // Neither the text nor the parser's words are repeated: both can hold the password.
    let mut uri: AMQPUri = text.parse().map_err(|_| {
        ConnectError::Settings(
            "source.amqp.uri is no AMQP URI; write amqp://user:password@host:5672/%2f (amqps:// for TLS), with \
             special characters percent-encoded"
                .to_owned(),
        )
    })?;
    // The parser takes an IPv6 address for no host at all and falls back to localhost.
    let authority = text.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(rest));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
        address.clone_into(&mut uri.authority.host);
    }
    Ok(uri)
}

/// TLS 1.2 or 1.3, the server's name and chain checked, the client's certificate where one is configured.
fn tls_config(settings: &AmqpSettings) -> Result<Arc<rustls::ClientConfig>, ConnectError> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One odd certificate in the system's store must not close the door for all.
        let _ = roots.add(certificate);
    }
    if let Some(pem) = &settings.extra_roots {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| bad("source.amqp.ca_file", &error))?;
            roots.add(certificate).map_err(|error| bad("source.amqp.ca_file", &error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS", &error))?
        .with_root_certificates(roots);
    let config = match &settings.client_certificate {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| bad("source.amqp.certificate_file", &error))?;
            let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())
                .map_err(|error| bad("source.amqp.private_key_file", &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| bad("source.amqp.certificate_file", &error))?
        }
    };
    Ok(Arc::new(config))
}

fn bad(what: &str, error: &dyn fmt::Display) -> ConnectError {
    ConnectError::Settings(format!("{what} can't be used: {error}; it must be PEM, and fit its counterpart"))
}

fn explain(error: &lapin::Error, place: &str, redacted: &Redacted) -> ConnectError {
    let text = redacted.text(&error.to_string());
    if text.contains("ACCESS_REFUSED") || text.contains("ACCESS-REFUSED") {
        return ConnectError::Refused(format!(
            "{place} refused the user or password of source.amqp.uri ({text}); check them, and that the user may log \
             in from here (guest may from loopback only)"
        ));
    }
    if text.contains("NOT_ALLOWED") || text.contains("NOT-ALLOWED") {
        return ConnectError::Refused(format!(
            "{place} refused the virtual host of source.amqp.uri ({text}); it must exist and the user have permissions \
             there; `/` is written %2f"
        ));
    }
    let remedy = if text.contains("certificate") || text.contains("UnknownIssuer") {
        "the broker's certificate must chain to source.amqp.ca_file or the system's roots and name this host"
    } else if text.contains("InvalidContentType") || text.contains("corrupt message") {
        "this port does not speak TLS; amqps:// needs the broker's TLS listener (usually 5671)"
    } else {
        "check host and port, and that the broker runs"
    };
    ConnectError::Unreachable(format!("{place} can't be reached: {text}; {remedy}"))
}

/// Takes the password out of texts that others wrote.
struct Redacted(Vec<String>);

impl Redacted {
    fn of(uri: &AMQPUri) -> Self {
        let password = &uri.authority.userinfo.password;
        // Where the password is the user's name (guest:guest) it is none.
        if password.is_empty() || *password == uri.authority.userinfo.username {
            return Self(Vec::new());
        }
        Self(vec![password.clone()])
    }

    fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(uri: &str) -> AmqpSettings {
        AmqpSettings { uri: uri.into(), ..AmqpSettings::default() }
    }

    /// Threads of lapin's that live now.
    fn io_threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("lapin-io-loop")).count()
    }

    #[tokio::test]
    async fn a_peer_that_never_speaks_keeps_no_thread() {
        let peer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = peer.local_addr().unwrap().port();
        let accepted = tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((socket, _)) = peer.accept().await {
                silent.push(socket);
            }
        });
        for scheme in ["amqp", "amqps"] {
            for _ in 0..5 {
                let settings = settings(&format!("{scheme}://u:p@127.0.0.1:{port}/%2f"));
                let error = connect_within(&settings, "test", None, Duration::from_millis(100)).await.unwrap_err();
                assert!(error.to_string().contains("accepted no AMQP connection"), "{error}");
            }
        }
        let give_up = tokio::time::Instant::now() + Duration::from_secs(20);
        while io_threads() > 0 {
            assert!(tokio::time::Instant::now() < give_up, "{} threads are left of ten tries", io_threads());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        accepted.abort();
    }

    #[test]
    fn an_ipv6_host_is_not_taken_for_localhost() {
        let uri = parse(&settings("amqp://u:p@[::1]:5673/%2f")).unwrap();
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("::1", 5673));
        assert_eq!(parse(&settings("amqp://u:p@broker/%2f")).unwrap().authority.host, "broker");
    }

    #[test]
    fn a_uri_that_is_none_is_not_repeated() {
        for uri in ["amqp:canary-secret", "canary-secret", "http://u:canary-secret@h/", "amqp://u:canary-secret@h:x/"] {
            let error = parse(&settings(uri)).unwrap_err();
            assert!(matches!(error, ConnectError::Settings(_)));
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }
}
