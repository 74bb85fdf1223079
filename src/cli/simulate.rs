//! `tidegate simulate`: the provider simulators alone, for load tests of anybody's sender.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::{Exit, Signals, fail, print, runtime};
use crate::provider::apns::ApnsCredential;
use crate::simulator::{self, PushService, Simulator, SimulatorError, SimulatorSettings};
use crate::telemetry;

/// Run the provider simulators alone: APNs, FCM and browsers' push services on loopback, over TLS, with faults and a ledger.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate simulate\n  tidegate simulate --config simulator.toml --credentials var/simulator"
)]
pub(super) struct Simulate {
    /// Ports, limits and faults, as TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the CA, an APNs key, a service account and a VAPID key that it accepts are written, and a configuration that uses them.
    /// If they are there already they stay as they are, and so do the ports, unless the configuration names some: a
    /// pipeline that runs meanwhile sees an outage, no stranger.
    #[arg(long, value_name = "FOLDER", default_value = "var/simulator")]
    credentials: PathBuf,
}

impl Simulate {
    pub(super) fn run(self) -> Exit {
        telemetry::start_logging("info");
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(error) => return fail(Exit::Config, error),
        };
        runtime().block_on(simulate(settings, self.credentials))
    }

    fn settings(&self) -> Result<SimulatorSettings, String> {
        let Some(path) = &self.config else { return Ok(SimulatorSettings::default()) };
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

async fn simulate(settings: SimulatorSettings, folder: PathBuf) -> Exit {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(Exit::Unavailable, error),
    };
    let simulator = match start(settings, &folder) {
        Ok(simulator) => simulator,
        Err(error) => return fail(Exit::Unavailable, error),
    };
    let written = simulator
        .write_credentials(&folder)
        .and_then(|()| std::fs::write(folder.join(PORTS), Ports::of(&simulator).text()))
        .and_then(|()| std::fs::write(folder.join("tidegate.toml"), configuration(&simulator)));
    if let Err(error) = written {
        return fail(Exit::Io, format!("{}: {error}", folder.display()));
    }
    let printed = print(welcome(&simulator, &folder));
    if printed != Exit::Done {
        return printed;
    }
    signals.any().await;
    simulator.shutdown().await;
    Exit::Done
}

/// The file that outcomes go to.
const OUTCOMES: &str = "outcomes.ndjson";

/// The file that remembers the ports.
const PORTS: &str = "ports.toml";

/// The ports of a simulator.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Ports {
    apns_port: u16,
    fcm_port: u16,
    ledger_port: u16,
    /// By [`PushService::index`]; a file of the time before has none.
    #[serde(default)]
    webpush_ports: [u16; 5],
}

impl Ports {
    fn of(simulator: &Simulator) -> Self {
        Self {
            apns_port: simulator.apns_address().port(),
            fcm_port: simulator.fcm_address().port(),
            ledger_port: simulator.ledger_address().port(),
            webpush_ports: PushService::ALL.map(|service| simulator.webpush_address(service).port()),
        }
    }

    /// Those of the last start. A file that is no such file remembers nothing.
    fn last(folder: &Path) -> Option<Self> {
        toml::from_str(&std::fs::read_to_string(folder.join(PORTS)).ok()?).ok()
    }

    fn text(self) -> String {
        let Self { apns_port, fcm_port, ledger_port, webpush_ports } = self;
        format!(
            "apns_port = {apns_port}\nfcm_port = {fcm_port}\nledger_port = {ledger_port}\nwebpush_ports = {webpush_ports:?}\n"
        )
    }

    /// Ports for those that may be any.
    fn fill(self, mut settings: SimulatorSettings) -> SimulatorSettings {
        for (service, last) in PushService::ALL.into_iter().zip(self.webpush_ports) {
            let port = &mut settings.webpush.of_mut(service).port;
            if *port == 0 {
                *port = last;
            }
        }
        let SimulatorSettings { apns_port, fcm_port, ledger_port, .. } = &mut settings;
        for (port, last) in [(apns_port, self.apns_port), (fcm_port, self.fcm_port), (ledger_port, self.ledger_port)] {
            if *port == 0 {
                *port = last;
            }
        }
        settings
    }
}

/// Where it was, if it was and nobody else is there now; as who it was in any case.
fn start(settings: SimulatorSettings, folder: &Path) -> Result<Simulator, SimulatorError> {
    if let Some(ports) = Ports::last(folder) {
        match simulator::start_again(ports.fill(settings.clone()), folder) {
            Err(SimulatorError::Bind { .. }) => {}
            started => return started,
        }
    }
    simulator::start_again(settings, folder)
}

/// Where everything is.
fn welcome(simulator: &Simulator, folder: &Path) -> String {
    let web = PushService::ALL.map(|service| format!("{}: {}", service.as_str(), simulator.webpush_origin(service)));
    format!(
        "APNs    https://localhost:{apns}\n\
         FCM     https://localhost:{fcm} (token endpoint: /token)\n\
         Web     {web}\n\
         ledger  http://{ledger}/ledger (browsers to push to: /subscriptions)\n\
         trust and credentials are in {folder}; a pipeline that uses them:\n  \
         tidegate serve --config {config}\n\
         its outcomes: tail -F {outcomes}\n\
         end it with ctrl-c",
        apns = simulator.apns_address().port(),
        fcm = simulator.fcm_address().port(),
        web = web.join(" "),
        ledger = simulator.ledger_address(),
        folder = folder.display(),
        config = folder.join("tidegate.toml").display(),
        outcomes = folder.join(OUTCOMES).display(),
    )
}

/// A configuration with one app, `chat`, whose routes lead here.
fn configuration(simulator: &Simulator) -> String {
    let (key_id, team_id) = match simulator.apns_credential() {
        ApnsCredential::Token { key_id, team_id, .. } => (key_id, team_id),
        ApnsCredential::Certificate { .. } => unreachable!("the simulator's first credential is a token"),
    };
    let (apns, fcm) = (simulator.apns_address().port(), simulator.fcm_address().port());
    let hosts = PushService::ALL.map(|service| format!("{:?}", simulator.webpush_address(service).to_string()));
    let (hosts, listen) = (hosts.join(", "), simulator.ledger_address().ip());
    let prefix = if listen.is_ipv4() { 32 } else { 128 };
    format!(
        r#"# Written by `tidegate simulate`: an app whose routes lead to the simulators that are running now.
[source.spool]
path = "spool"

# RabbitMQ as well, or instead:
# [source.amqp]
# uri = "amqp://guest:guest@127.0.0.1:5672/%2f"

[outcomes]
# All kinds, so that there is something to see in the file beside this one.
publish = ["delivered", "unregistered", "rejected", "expired", "collapsed", "shed", "failed"]
file = "{OUTCOMES}"

[providers.apns]
endpoint = "https://localhost:{apns}"
ca_file = "ca.pem"

[providers.fcm]
endpoint = "https://localhost:{fcm}"
ca_file = "ca.pem"

# Browsers: without these two lines only real push services would be spoken to, and no private address.
[providers.webpush]
hosts = [{hosts}]
private_networks = ["{listen}/{prefix}"]
ca_file = "ca.pem"

[apps.chat.apns]
key_file = "AuthKey_{key_id}.p8"
key_id = "{key_id}"
team_id = "{team_id}"
topic = "com.example.chat"

[apps.chat.fcm]
service_account_file = "service-account.json"

[apps.chat.webpush]
key_file = "vapid.pem"
subject = "mailto:ops@example.com"
"#
    )
}
