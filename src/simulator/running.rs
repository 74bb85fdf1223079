//! A running simulator: its start, its addresses and credentials, its end.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::apns::ApnsDoor;
use super::authority::{Authority, Identity};
use super::connection::{Hall, Script};
use super::credentials::{self, ApnsKey, Credentials};
use super::fcm::{FcmDoor, TOKEN_PATH};
use super::ledger::{self, Ledger};
use super::listener::{Transport, listen};
use super::webpush::WebpushDoor;
use super::{Door, Faults, LedgerSnapshot, PushPage, PushQuery, PushService, SimulatorSettings, page};
use crate::job::Provider;
use crate::provider::apns::ApnsCredential;
use crate::provider::fcm::ServiceAccount;
use crate::provider::{Endpoint, Origin};

mod browsers;

/// The project of [`Simulator::write_credentials`]; any other is as good.
pub const PROJECT: &str = "tidegate-simulator";

/// The topic of the client certificate; with a token any other is as good.
pub const TOPIC: &str = "com.example.tidegate";

/// Why a simulator can't start. Nothing is left running.
#[derive(Debug)]
pub enum SimulatorError {
    /// A port can't be bound.
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The address is not a loopback one: a simulator must not be reachable from elsewhere.
    NotLoopback(SocketAddr),
    /// A certificate or a key can't be made.
    Certificate(rcgen::Error),
    /// A key can't be read.
    Key,
    /// TLS refuses what it is set up with.
    Tls(rustls::Error),
    /// Client certificates can't be verified.
    Verifier(rustls::server::VerifierBuilderError),
    /// A thread or its runtime can't be made.
    Thread(io::Error),
}

impl std::fmt::Display for SimulatorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SimulatorError::Bind { address, error } => write!(f, "the simulator can't listen on {address}: {error}"),
            SimulatorError::NotLoopback(address) => write!(f, "{address} is no loopback address; use 127.0.0.1 or ::1"),
            SimulatorError::Certificate(error) => write!(f, "the simulator's certificates can't be made: {error}"),
            SimulatorError::Key => f.write_str("a key of the simulator's can't be read"),
            SimulatorError::Tls(error) => write!(f, "the simulator's TLS can't be set up: {error}"),
            SimulatorError::Verifier(error) => write!(f, "client certificates can't be verified: {error}"),
            SimulatorError::Thread(error) => write!(f, "a thread of the simulator's can't be made: {error}"),
        }
    }
}

impl std::error::Error for SimulatorError {}

/// What a thread needs to build its door: everything in it can move between threads, a door can't.
type Build = Box<dyn FnOnce() -> Rc<RefCell<dyn Door>> + Send>;

/// A door that is bound and not built yet.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    transport: Transport,
    script: watch::Receiver<Arc<Script>>,
    build: Build,
}

/// A running simulator. Dropping it stops it.
pub struct Simulator {
    settings: SimulatorSettings,
    apns_address: SocketAddr,
    fcm_address: SocketAddr,
    /// By [`PushService::index`].
    webpush_addresses: [SocketAddr; 5],
    ledger_address: SocketAddr,
    credentials: Credentials,
    ledger: Ledger,
    apns_script: watch::Sender<Arc<Script>>,
    fcm_script: watch::Sender<Arc<Script>>,
    webpush_scripts: [watch::Sender<Arc<Script>>; 5],
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

/// Starts a simulator with fresh credentials. When this returns, its doors are open.
///
/// # Errors
/// [`SimulatorError`]; nothing is left running then.
pub fn start(settings: SimulatorSettings) -> Result<Simulator, SimulatorError> {
    start_with(settings, Credentials::new(TOPIC)?)
}

/// The same with the credentials that [`Simulator::write_credentials`] left in a folder, so that whoever trusted the
/// simulator before its end trusts it again. With fresh ones, if they aren't all there.
///
/// # Errors
/// As [`start`].
pub fn start_again(settings: SimulatorSettings, directory: &Path) -> Result<Simulator, SimulatorError> {
    match Credentials::kept(directory) {
        Some(credentials) => start_with(settings, credentials),
        None => start(settings),
    }
}

fn start_with(settings: SimulatorSettings, credentials: Credentials) -> Result<Simulator, SimulatorError> {
    let (authority, apns_keys) = (&credentials.authority, &credentials.apns_keys);
    let public = credentials::service_account_public()?;
    let (apns_listener, apns_address) = bind(&settings, settings.apns_port)?;
    let (fcm_listener, fcm_address) = bind(&settings, settings.fcm_port)?;
    let (page_listener, ledger_address) = bind(&settings, settings.ledger_port)?;
    let (apns_script, apns_scripted) = watch::channel(script(settings.apns.faults.clone()));
    let (fcm_script, fcm_scripted) = watch::channel(script(settings.fcm.faults.clone()));
    let (ledger, inbox) = Ledger::new();
    let stop = CancellationToken::new();

    let apns = {
        let (door, seed) = (settings.apns.clone(), settings.seed);
        let keys = apns_keys.iter().map(|key| key.known.clone()).collect();
        Bound {
            listener: apns_listener,
            address: apns_address,
            transport: transport(&settings, authority, &[b"h2"], true)?,
            script: apns_scripted,
            build: Box::new(move || Rc::new(RefCell::new(ApnsDoor::new(door, keys, seed)))),
        }
    };
    let fcm = {
        let (door, seed) = (settings.fcm.clone(), settings.seed);
        let uri = token_uri(&settings, fcm_address);
        Bound {
            listener: fcm_listener,
            address: fcm_address,
            transport: transport(&settings, authority, &[b"h2", b"http/1.1"], false)?,
            script: fcm_scripted,
            build: Box::new(move || Rc::new(RefCell::new(FcmDoor::new(door, uri, public, seed)))),
        }
    };
    let (webpush_addresses, webpush_scripts, webpush) = push_services(&settings, &credentials)?;
    let mut simulator = Simulator {
        apns_address,
        webpush_addresses,
        webpush_scripts,
        fcm_address,
        ledger_address,
        credentials,
        ledger: ledger.clone(),
        apns_script,
        fcm_script,
        stop: stop.clone(),
        threads: Vec::new(),
        settings,
    };
    let (mut first, mut second) = (vec![apns], Vec::new());
    let place = if simulator.settings.threads > 1 { &mut second } else { &mut first };
    place.push(fcm);
    place.extend(webpush);
    let served = (page::Page::new(&simulator, ledger.clone()), stop.clone());
    simulator.run("simulator-1", first, move |local| {
        local.spawn_local(ledger::run(inbox));
        if let Ok(listener) = tokio::net::TcpListener::from_std(page_listener) {
            local.spawn_local(page::serve(listener, served.0, served.1));
        }
    })?;
    if !second.is_empty() {
        simulator.run("simulator-2", second, |_| {})?;
    }
    Ok(simulator)
}

type PushServices = ([SocketAddr; 5], [watch::Sender<Arc<Script>>; 5], Vec<Bound>);

/// The doors of the push services.
fn push_services(settings: &SimulatorSettings, credentials: &Credentials) -> Result<PushServices, SimulatorError> {
    let mut doors = Vec::new();
    for service in PushService::ALL {
        let door = settings.webpush.of(service).clone();
        let (listener, address) = bind(settings, door.port)?;
        let (sender, scripted) = watch::channel(script(door.faults.clone()));
        let protocols: &[&[u8]] = if door.http1_only { &[b"http/1.1"] } else { &[b"h2", b"http/1.1"] };
        let transport = transport(settings, &credentials.authority, protocols, false)?;
        let (origin, key, seed) = (origin(address), credentials.vapid.public.clone(), settings.seed);
        let build: Build = Box::new(move || Rc::new(RefCell::new(WebpushDoor::new(service, door, origin, key, seed))));
        doors.push((address, sender, Bound { listener, address, transport, script: scripted, build }));
    }
    let addresses = std::array::from_fn(|nth| doors[nth].0);
    let (senders, bounds): (Vec<_>, Vec<_>) = doors.into_iter().map(|(_, sender, bound)| (sender, bound)).unzip();
    let senders = senders.try_into().map_err(|_| SimulatorError::Key)?;
    Ok((addresses, senders, bounds))
}

/// As it stands in an endpoint and in `aud`: by address, as the certificates bear it.
fn origin(address: SocketAddr) -> String {
    Origin { host: address.ip().to_string().into(), port: address.port() }.to_string()
}

fn bind(settings: &SimulatorSettings, port: u16) -> Result<(TcpListener, SocketAddr), SimulatorError> {
    let address = SocketAddr::new(settings.listen, port);
    if !settings.listen.is_loopback() {
        return Err(SimulatorError::NotLoopback(address));
    }
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|error| SimulatorError::Bind { address, error })
}

fn transport(
    settings: &SimulatorSettings,
    authority: &Authority,
    protocols: &[&[u8]],
    clients: bool,
) -> Result<Transport, SimulatorError> {
    match settings.cleartext {
        true => Ok(Transport::Cleartext),
        false => authority.server(protocols, clients).map(|config| Transport::Tls(TlsAcceptor::from(config))),
    }
}

fn script(faults: Faults) -> Arc<Script> {
    Arc::new(Script { faults, since: Instant::now() })
}

fn token_uri(settings: &SimulatorSettings, address: SocketAddr) -> String {
    let scheme = if settings.cleartext { "http" } else { "https" };
    format!("{scheme}://{address}{TOKEN_PATH}")
}

impl Simulator {
    /// Starts a thread with its doors and whatever else `extra` puts on it.
    fn run<F>(&mut self, name: &str, doors: Vec<Bound>, extra: F) -> Result<(), SimulatorError>
    where
        F: FnOnce(&LocalSet) + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(SimulatorError::Thread)?;
        let (ledger, stop) = (self.ledger.clone(), self.stop.clone());
        let (seed, fast) = (self.settings.seed, self.settings.fast);
        let life = move || {
            let _context = runtime.enter();
            let local = LocalSet::new();
            extra(&local);
            for bound in doors {
                let Ok(listener) = tokio::net::TcpListener::from_std(bound.listener) else { continue };
                let door = (bound.build)();
                let (ledger, stop) = (ledger.clone(), stop.clone());
                let hall = Hall { door, ledger, script: bound.script, stop, seed, fast };
                local.spawn_local(listen(listener, bound.address, bound.transport, hall));
            }
            local.block_on(&runtime, stop.cancelled());
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(life);
        self.threads.push(thread.map_err(SimulatorError::Thread)?);
        Ok(())
    }

    /// Where APNs listens.
    #[must_use]
    pub fn apns_address(&self) -> SocketAddr {
        self.apns_address
    }

    /// Where FCM listens, its token endpoint too.
    #[must_use]
    pub fn fcm_address(&self) -> SocketAddr {
        self.fcm_address
    }

    /// Where the ledger's page is (plain HTTP).
    #[must_use]
    pub fn ledger_address(&self) -> SocketAddr {
        self.ledger_address
    }

    /// APNs' or FCM's endpoint (of Web Push the strict service's) with the authority that its certificate needs, as the pipeline takes it. By address:
    /// `localhost`, which the certificate bears too, may mean another one first.
    #[must_use]
    pub fn endpoint(&self, provider: Provider) -> Endpoint {
        let address = match provider {
            Provider::Apns => self.apns_address,
            Provider::Fcm => self.fcm_address,
            Provider::Webpush => self.webpush_address(PushService::Strict),
        };
        Endpoint { host: address.ip().to_string(), port: address.port(), extra_roots: Some(self.ca_pem().to_owned()) }
    }

    /// The certificate authority, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.credentials.authority.identity().chain_pem
    }

    /// A token credential that APNs' door accepts.
    #[must_use]
    pub fn apns_credential(&self) -> ApnsCredential {
        self.credentials.apns_keys[0].credential()
    }

    /// All token credentials it knows: the one above, another key of its team, a key of another team.
    #[must_use]
    pub fn apns_credentials(&self) -> Vec<ApnsCredential> {
        self.credentials.apns_keys.iter().map(ApnsKey::credential).collect()
    }

    /// A client certificate that APNs' door accepts, for [`TOPIC`] alone.
    #[must_use]
    pub fn apns_certificate(&self) -> ApnsCredential {
        let Identity { chain_pem, key_pem } = self.credentials.client.clone();
        ApnsCredential::Certificate { chain_pem, key_pem }
    }

    /// A service account of `project` whose token endpoint is the simulator's.
    #[must_use]
    pub fn service_account(&self, project: &str) -> ServiceAccount {
        credentials::service_account(project, &token_uri(&self.settings, self.fcm_address))
    }

    /// Writes `ca.pem`, `AuthKey_<kid>.p8`, `client.pem`, `client-key.pem`, `vapid.pem` and `service-account.json` (of
    /// [`PROJECT`]) into a directory, which is made if need be, and `ca-key.pem` for [`start_again`]; all for the
    /// owner's eyes only.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_credentials(&self, directory: &Path) -> io::Result<()> {
        self.credentials.write(directory, &self.service_account(PROJECT))
    }

    /// The figures now. Whoever has seen an answer finds it in here.
    pub async fn ledger(&self) -> LedgerSnapshot {
        self.ledger.snapshot().await
    }

    /// Single pushes.
    pub async fn pushes(&self, query: PushQuery) -> PushPage {
        self.ledger.pushes(query).await
    }

    /// Replaces a door's faults, those of all push services for Web Push; their times count from now. Connections that are open see them with their next
    /// request.
    pub fn set_faults(&self, provider: Provider, faults: Faults) {
        let senders = match provider {
            Provider::Apns => std::slice::from_ref(&self.apns_script),
            Provider::Fcm => std::slice::from_ref(&self.fcm_script),
            Provider::Webpush => &self.webpush_scripts,
        };
        for sender in senders {
            sender.send_replace(script(faults.clone()));
        }
    }

    /// Stops: closes every connection and waits for the threads.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        // A panic of a simulator's thread was printed by it; there is nobody to tell here.
        let _ = joined.await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator")
            .field("apns", &self.apns_address)
            .field("fcm", &self.fcm_address)
            .field("ledger", &self.ledger_address)
            .finish_non_exhaustive()
    }
}
