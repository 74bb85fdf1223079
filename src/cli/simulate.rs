//! `tidegate simulate`: the provider simulators alone, for load tests of anybody's sender.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, fail, runtime};
use crate::simulator::{self, SimulatorSettings};
use crate::telemetry;

/// Run the provider simulators alone: APNs and FCM on loopback, over TLS, with faults and a ledger.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidegate simulate\n  tidegate simulate --config simulator.toml --credentials var/simulator"
)]
pub(super) struct Simulate {
    /// Ports, limits and faults, as TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the CA, an APNs key and a service account that it accepts are written.
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
    let simulator = match simulator::start(settings) {
        Ok(simulator) => simulator,
        Err(error) => return fail(Exit::Unavailable, error),
    };
    if let Err(error) = simulator.write_credentials(&folder) {
        return fail(Exit::Io, format!("{}: {error}", folder.display()));
    }
    println!("APNs    https://localhost:{}", simulator.apns_address().port());
    println!("FCM     https://localhost:{} (token endpoint: /token)", simulator.fcm_address().port());
    println!("ledger  http://{}/ledger", simulator.ledger_address());
    println!("trust and credentials are in {}; end it with ctrl-c", folder.display());
    if let Err(error) = tokio::signal::ctrl_c().await {
        return fail(Exit::Unavailable, error);
    }
    simulator.shutdown().await;
    Exit::Done
}
