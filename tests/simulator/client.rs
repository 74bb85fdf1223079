//! A client: `h2` on `tokio-rustls`, and the credentials it needs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use tidegate::provider::apns::ApnsCredential;
use tidegate::provider::fcm::ServiceAccount;
use tidegate::simulator::{Simulator, SimulatorSettings, start};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "aabbccddeeff00112233445566778899";
pub(crate) const TOPIC: &str = "com.example.chat";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap().to_owned()
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

pub(crate) fn simulator(change: impl FnOnce(&mut SimulatorSettings)) -> Simulator {
    let mut settings = SimulatorSettings::default();
    change(&mut settings);
    start(settings).unwrap()
}

pub(crate) fn tls(simulator: &Simulator, protocols: &[&[u8]], identity: Option<&ApnsCredential>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match identity {
        Some(ApnsCredential::Certificate { chain_pem, key_pem }) => {
            let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(key_pem.expose_secret().as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

pub(crate) async fn tls_stream(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), socket).await
}

impl Client {
    pub(crate) async fn to(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let stream = tls_stream(address, config).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_max_send_streams(1);
        let (send, connection) = builder.handshake(stream).await.unwrap();
        Self { send, connection: tokio::spawn(connection) }
    }

    pub(crate) async fn apns(simulator: &Simulator) -> Self {
        Self::to(simulator.apns_address(), tls(simulator, &[b"h2"], None)).await
    }

    pub(crate) async fn fcm(simulator: &Simulator) -> Self {
        Self::to(simulator.fcm_address(), tls(simulator, &[b"h2"], None)).await
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&self, request: Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let body = Bytes::copy_from_slice(body);
        let answer = async {
            let mut send = self.send.clone().ready().await?;
            let (response, mut stream) = send.send_request(request, body.is_empty())?;
            if !body.is_empty() {
                stream.send_data(body, true)?;
            }
            let (head, mut body) = response.await?.into_parts();
            let mut whole = Vec::new();
            while let Some(data) = body.data().await {
                whole.extend_from_slice(&data?);
            }
            Ok(Answer { status: head.status, headers: head.headers, body: whole.into() })
        };
        tokio::time::timeout(DEADLINE, answer).await.expect("an answer in time")
    }

    /// Sends one APNs push: these headers over the usual ones; an empty value takes a header away.
    pub(crate) async fn push(&self, jwt: &str, token: &str, headers: &[(&str, &str)]) -> Result<Answer, h2::Error> {
        self.ask(apns_request(jwt, token, headers), br#"{"aps":{"alert":"hi"}}"#).await
    }

    /// Waits until the server allows that many streams.
    pub(crate) async fn until_streams(&self, streams: usize) {
        until(|| self.send.current_max_send_streams() == streams).await;
    }
}

pub(crate) fn apns_request(jwt: &str, token: &str, headers: &[(&str, &str)]) -> Request<()> {
    let bearer = format!("bearer {jwt}");
    let usual = [("apns-topic", TOPIC), ("apns-push-type", "alert"), ("authorization", bearer.as_str())];
    let mut request = Request::post(format!("https://localhost/3/device/{token}"));
    for (name, value) in usual.iter().filter(|(name, _)| !headers.iter().any(|(other, _)| other == name)) {
        request = request.header(*name, *value);
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// Waits for a condition, until the deadline.
pub(crate) async fn until(mut met: impl FnMut() -> bool) {
    let waiting = async {
        while !met() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("the condition in time");
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A provider token of this credential, issued then.
pub(crate) fn jwt(credential: &ApnsCredential, issued_at: u64) -> String {
    signed(credential, issued_at, &URL_SAFE_NO_PAD, &ECDSA_P256_SHA256_FIXED_SIGNING)
}

/// Two that APNs takes too: in padded standard base64, and with a DER signature.
pub(crate) fn lax_jwts(credential: &ApnsCredential, issued_at: u64) -> [String; 2] {
    [
        signed(credential, issued_at, &STANDARD, &ECDSA_P256_SHA256_FIXED_SIGNING),
        signed(credential, issued_at, &URL_SAFE_NO_PAD, &ECDSA_P256_SHA256_ASN1_SIGNING),
    ]
}

fn signed(
    credential: &ApnsCredential,
    issued_at: u64,
    base64: &impl Engine,
    algorithm: &'static EcdsaSigningAlgorithm,
) -> String {
    let ApnsCredential::Token { key_pem, key_id, team_id } = credential else { panic!("a token credential") };
    let header = serde_json::json!({ "alg": "ES256", "kid": key_id }).to_string();
    let claims = serde_json::json!({ "iss": team_id, "iat": issued_at }).to_string();
    let signed = format!("{}.{}", base64.encode(header), base64.encode(claims));
    let der = PrivatePkcs8KeyDer::from_pem_slice(key_pem.expose_secret().as_bytes()).unwrap();
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der(), &random).unwrap();
    let signature = key.sign(&random, signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64.encode(signature))
}

fn encode(value: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// The form that asks for an access token, with these claims over the usual ones.
pub(crate) fn assertion(account: &ServiceAccount, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut claims = serde_json::json!({
        "iss": account.client_email,
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": account.token_uri,
        "iat": now(),
        "exp": now() + 3600,
    });
    change(&mut claims);
    let header = serde_json::json!({ "alg": "RS256", "typ": "JWT" });
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let der = PrivatePkcs8KeyDer::from_pem_slice(account.private_key.expose_secret().as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    format!("grant_type={grant}&assertion={signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
