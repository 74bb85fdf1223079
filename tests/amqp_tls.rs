//! `amqps://` is TLS or nothing, and no error tells the password.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::SecretString;
use support::broker::Broker;
use support::source::{Stub, settings};
use tidegate::source::amqp::{AmqpSettings, BrokerTls, PrivateBroker, SourceState, declare};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const CANARY: &str = "c4nary-p4ss";

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

async fn refused(settings: &AmqpSettings) -> String {
    let error = declare(settings).await.expect_err("it must not connect");
    let text = format!("{error} {error:?} {settings:?}");
    assert!(!text.contains(CANARY), "the password is in: {text}");
    error.to_string()
}

#[tokio::test]
async fn amqps_to_a_plaintext_port_says_hello_in_tls_and_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let first = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 1024];
        let count = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(count);
        // What a broker says to somebody who does not speak AMQP.
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"AMQP\x00\x00\x09\x01").await.unwrap();
        bytes
    });
    let error = refused(&settings(&format!("amqps://u:{CANARY}@127.0.0.1:{port}/%2f"))).await;
    let bytes = first.await.unwrap();
    // RFC 8446, section 5.1: a record of type handshake (22); section 4: its first message is client_hello (1).
    assert_eq!((bytes[0], bytes[1], bytes[5]), (22, 3, 1), "{bytes:x?}");
    assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    assert!(error.contains("TLS"), "{error}");
}

/// Everything that is logged, by anybody, at the finest level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_finest_log_does_not_tell_the_password() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .try_init()
        .expect("the first of its process");
    let user = ["default_user = canary", &format!("default_pass = {CANARY}")];
    let broker = PrivateBroker::start_with(&user, None).await.unwrap();
    let stub = Stub::start(settings(&format!("amqp://canary:{CANARY}@127.0.0.1:{}/%2f", broker.port())));
    stub.until("consuming", |status| status.state == SourceState::Consuming).await;
    stub.source.publisher().connected().await.unwrap();
    stub.source.close().await;
    refused(&settings(&format!("amqp://guest:{CANARY}@127.0.0.1:{}/%2f", broker.port()))).await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("lapin"), "the libraries' own words are in it");
    let line = log.lines().find(|line| line.contains(CANARY));
    assert_eq!(line, None);
}

#[tokio::test]
async fn a_wrong_password_is_explained_and_not_told() {
    let broker = Broker::start().await;
    let stub = Stub::start(settings(&format!("amqp://guest:{CANARY}@127.0.0.1:{}/%2f", broker.port())));
    let status = stub.until("it is reported", |status| status.error.is_some()).await;
    let text = format!("{status:?}");
    assert!(text.contains("refused the user or password") && !text.contains(CANARY), "{text}");
    let error = refused(&settings(&format!("amqp://guest:guest@127.0.0.1:{}/nowhere", broker.port()))).await;
    assert!(error.contains("virtual host"), "{error}");
    stub.source.close().await;
    let error = refused(&settings(&format!("amqp://u:{CANARY}@127.0.0.1:1/%2f"))).await;
    assert!(error.contains("127.0.0.1:1") && error.contains("the broker runs"), "{error}");
}

#[tokio::test]
async fn the_brokers_certificate_is_checked_and_ours_is_shown() {
    let (ours, theirs) = (authority("ours"), authority("somebody else's"));
    let (certificate, key) = issue(&ours, "localhost");
    let tls = BrokerTls { certificate, key, client_roots: Some(ours.pem()) };
    let broker = PrivateBroker::start_with(&[], Some(&tls)).await.unwrap();
    let uri = broker.tls_uri().unwrap();
    let (certificate, key) = issue(&ours, "client");
    let client_certificate = Some((certificate, SecretString::from(key)));
    let good = AmqpSettings { extra_roots: Some(ours.pem()), client_certificate, ..settings(&uri) };

    let stub = Stub::start(good.clone());
    stub.until("consuming", |status| status.state == SourceState::Consuming).await;
    stub.source.close().await;

    let wrong_root = AmqpSettings { extra_roots: Some(theirs.pem()), ..good.clone() };
    let error = refused(&wrong_root).await;
    assert!(error.contains("UnknownIssuer") && error.contains("ca_file"), "{error}");
    let wrong_name = AmqpSettings { uri: uri.replace("localhost", "127.0.0.1").into(), ..good.clone() };
    assert!(refused(&wrong_name).await.contains("certificate"));
    let nobody = AmqpSettings { client_certificate: None, ..good.clone() };
    refused(&nobody).await;
    let no_pem = AmqpSettings { client_certificate: Some((String::new(), "no key".into())), ..good };
    assert!(refused(&no_pem).await.contains("PEM"));
}
