//! The credential's life, against a token endpoint over real TLS whose answers the test decides.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::*;
use crate::flow::Backoff;
use crate::job::fixture;
use crate::provider::Endpoint;

const PATIENCE: Duration = Duration::from_secs(20);
const INVALID: &str = r#"{"error":"invalid_grant","error_description":"Invalid grant: account not found"}"#;

const QUICK: Manners = Manners {
    apart: Duration::ZERO,
    after_refusal: Duration::from_secs(60),
    after_trouble: Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(100) },
};

fn granted(token: &str, seconds: u64) -> (u16, String) {
    (200, json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"}).to_string())
}

/// What the endpoint answers, in turn; the last one again and again. A fetch needs a permit of the gate.
struct TokenServer {
    settings: FcmSettings,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    fetches: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
}

impl TokenServer {
    async fn start(answers: impl IntoIterator<Item = (u16, String)>) -> Self {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("PKCS #8");
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key)
            .expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let endpoint = Endpoint { host: "localhost".to_owned(), port, extra_roots: Some(pair.cert.pem()) };
        let account = ServiceAccount {
            project_id: "chat-1a2b".to_owned(),
            client_email: "push@chat.test".to_owned(),
            private_key_id: None,
            private_key: SecretString::from(include_str!("test_key.pem").to_owned()),
            token_uri: format!("https://localhost:{port}/token"),
        };
        let server = Self {
            settings: FcmSettings { endpoint, account },
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            fetches: Arc::default(),
            requests: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        };
        let (answers, fetches, requests, gate) = (
            Arc::clone(&server.answers),
            Arc::clone(&server.fetches),
            Arc::clone(&server.requests),
            Arc::clone(&server.gate),
        );
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.expect("accepted");
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                let (answers, fetches, requests, gate) =
                    (Arc::clone(&answers), Arc::clone(&fetches), Arc::clone(&requests), Arc::clone(&gate));
                tokio::spawn(async move {
                    let Some(request) = read_request(&mut stream).await else { return };
                    requests.lock().expect("no panic").push(request);
                    fetches.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.expect("open").forget();
                    let (status, body) = {
                        let mut answers = answers.lock().expect("no panic");
                        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
                    }
                    .expect("an answer");
                    let text = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nlocation: https://localhost:1/\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(text.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        server
    }

    fn fcm(&self, manners: Manners) -> Fcm {
        Fcm::start_with(&self.settings, manners, CancellationToken::new()).expect("a good credential")
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.to_lowercase().lines().find_map(|line| Some(line.strip_prefix("content-length: ")?.parse().ok()));
        if body.len() >= length.unwrap_or(Some(0)).unwrap_or(0) {
            return Some(text.into_owned());
        }
    }
}

async fn until(fcm: &Fcm, wanted: impl FnMut(&Credential) -> bool) -> Credential {
    let mut credential = fcm.credential();
    let waiting = credential.wait_for(wanted);
    tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("running").clone()
}

async fn until_ready(fcm: &Fcm) {
    until(fcm, |credential| matches!(credential, Credential::Ready { .. })).await;
}

fn authorization(fcm: &Fcm) -> Result<String, Verdict> {
    let push =
        fixture::push(&json!({"id": "1", "app": "chat", "to": [{"fcm": "dXyz"}], "notification": {"body": "hi"}}));
    let request = fcm.request(&push, Duration::from_secs(60), UnixMillis::now())?;
    assert!(request.headers[AUTHORIZATION].is_sensitive());
    Ok(request.headers[AUTHORIZATION].to_str().expect("ASCII").to_owned())
}

/// Asks until a fetch has begun; what is asked in the moment after a token came is forgotten, as it should be.
async fn renew_until_fetch(server: &TokenServer, fcm: &Fcm, number: usize) {
    tokio::time::timeout(PATIENCE, async {
        while server.fetches() < number {
            fcm.renew();
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a fetch in time");
}

#[tokio::test]
async fn a_token_is_fetched_and_every_push_bears_it() {
    let server = TokenServer::start([granted("CANARY", 3_600)]).await;
    let fcm = server.fcm(QUICK);
    assert_eq!(*fcm.credential().borrow(), Credential::Pending);
    let refused = authorization(&fcm).expect_err("there is no token yet");
    assert_eq!(refused.reason.as_deref(), Some("no_access_token"));
    let before = UnixMillis::now();
    let ready = until(&fcm, |credential| matches!(credential, Credential::Ready { .. })).await;
    let Credential::Ready { expires: Some(expires) } = ready else { panic!("{ready:?}") };
    assert!(expires.since(before) > Duration::from_secs(3_580), "{expires}");
    assert_eq!(authorization(&fcm).expect("a request"), "Bearer CANARY");
    assert!(!format!("{fcm:?} {ready:?}").contains("CANARY"));
    assert!(!format!("{fcm:?}").contains("PRIVATE KEY"));
    let request = server.requests.lock().expect("no panic")[0].clone();
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJ"),
        "{request}"
    );
}

#[tokio::test]
async fn a_hundred_who_ask_at_once_make_one_fetch() {
    let server = TokenServer::start([granted("one", 3_600), granted("two", 3_600), granted("three", 3_600)]).await;
    let fcm = Arc::new(server.fcm(QUICK));
    until_ready(&fcm).await;
    server.gate.forget_permits(Semaphore::MAX_PERMITS);
    renew_until_fetch(&server, &fcm, 2).await;
    assert_eq!(*fcm.credential().borrow(), Credential::Pending, "pushes wait for the new token");
    let asking = (0..100).map(|_| {
        let fcm = Arc::clone(&fcm);
        tokio::spawn(async move { fcm.renew() })
    });
    futures::future::join_all(asking).await;
    server.gate.add_permits(100);
    until_ready(&fcm).await;
    assert_eq!(authorization(&fcm).expect("a request"), "Bearer two");
    // Nothing that could be waited for shows that no fetch comes: give a third one ample time to begin.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn what_is_asked_right_after_a_token_came_is_about_the_one_before() {
    let server = TokenServer::start([granted("one", 3_600), granted("two", 3_600)]).await;
    let fcm = server.fcm(Manners { apart: Duration::from_secs(3_600), ..QUICK });
    until_ready(&fcm).await;
    for _ in 0..100 {
        fcm.renew();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.fetches(), 1);
    assert_eq!(authorization(&fcm).expect("a request"), "Bearer one");
}

#[tokio::test]
async fn a_refused_account_is_broken_until_it_is_mended() {
    let server = TokenServer::start([(400, INVALID.to_owned()), granted("mended", 3_600)]).await;
    let fcm = server.fcm(QUICK);
    let broken = until(&fcm, |credential| matches!(credential, Credential::Broken { .. })).await;
    assert_eq!(broken, Credential::Broken { reason: "invalid_grant".into() });
    assert!(authorization(&fcm).is_err());
    fcm.renew();
    until_ready(&fcm).await;
    assert_eq!(authorization(&fcm).expect("a request"), "Bearer mended");
}

#[tokio::test]
async fn a_broken_account_is_tried_again_without_being_asked() {
    let server = TokenServer::start([(400, INVALID.to_owned()), granted("mended", 3_600)]).await;
    let fcm = server.fcm(Manners { after_refusal: Duration::from_millis(50), ..QUICK });
    until_ready(&fcm).await;
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn trouble_leaves_a_valid_token_in_use_until_its_end() {
    let server = TokenServer::start([granted("short", 4), (503, String::new())]).await;
    let fcm = server.fcm(QUICK);
    until_ready(&fcm).await;
    // It is replaced at half its life: some tries fail while it is valid.
    tokio::time::timeout(PATIENCE, async {
        while server.fetches() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("tries in time");
    assert!(matches!(*fcm.credential().borrow(), Credential::Ready { .. }));
    assert_eq!(authorization(&fcm).expect("still valid"), "Bearer short");
    until(&fcm, |credential| *credential == Credential::Pending).await;
    assert!(authorization(&fcm).is_err());
    server.answers.lock().expect("no panic").push_back(granted("new", 3_600));
    until_ready(&fcm).await;
    assert_eq!(authorization(&fcm).expect("a request"), "Bearer new");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = TokenServer::start([(307, String::new()), granted("after", 3_600)]).await;
    let fcm = server.fcm(QUICK);
    until_ready(&fcm).await;
    assert_eq!(server.fetches(), 2, "the same address was asked again");
}

#[tokio::test]
async fn the_endpoint_is_verified() {
    let mut server = TokenServer::start([granted("stolen", 3_600)]).await;
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    server.settings.endpoint.extra_roots = Some(other.cert.pem());
    let fcm = server.fcm(QUICK);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((server.fetches(), fcm.credential().borrow().clone()), (0, Credential::Pending));
    server.settings.account.token_uri = "http://localhost/token".to_owned();
    let error = Fcm::check(&server.settings).expect_err("no TLS");
    assert!(matches!(error, CredentialError::TokenUri(_)), "{error}");
}

#[tokio::test]
async fn the_refresher_ends_when_it_is_told_to() {
    let server = TokenServer::start([granted("one", 3_600)]).await;
    let shutdown = CancellationToken::new();
    let fcm = Fcm::start_with(&server.settings, QUICK, shutdown.clone()).expect("a good credential");
    until_ready(&fcm).await;
    let mut credential = fcm.credential();
    shutdown.cancel();
    let ended = async { while credential.changed().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("it ended");
}
