//! What the demo runs with: a day like any other, and two apps with two routes each.

use std::time::Duration;

use super::Demo;
use super::load::APPS;
use super::place::Place;
use crate::delivery::RouteSettings;
use crate::dispatch::LaneSettings;
use crate::job::Provider;
use crate::outcome::{OutcomeKind, OutcomeSettings};
use crate::pipeline::{AppSettings, HttpSettings, LimitSettings, Settings};
use crate::provider::ProviderSettings;
use crate::provider::apns::ApnsSettings;
use crate::provider::fcm::FcmSettings;
use crate::simulator::{
    DeadTokens, Faults, Latency, Mute, Reset, ResetCode, ServerError, Simulator, SimulatorSettings, Throttle, Window,
};

/// How long the drain may take.
pub(super) const DRAIN: Duration = Duration::from_secs(30);

/// The providers.
pub(super) fn simulator_settings(demo: &Demo) -> SimulatorSettings {
    let mut settings = SimulatorSettings::default();
    for faults in [&mut settings.apns.faults, &mut settings.fcm.faults] {
        faults.latency = Latency::LogNormal { median: Duration::from_millis(30), sigma: 0.4 };
        if !demo.calm {
            *faults = faulty(faults.clone());
        }
    }
    if !demo.calm {
        settings.apns.faults.mute = Some(Mute { connection: 2, after_streams: 300 });
        settings.fcm.faults.throttle = Some(throttled_moment());
    }
    settings
}

/// Google takes nothing for a moment, and says when to come again.
fn throttled_moment() -> Throttle {
    let during = Window { from: Duration::from_secs(4), length: Duration::from_millis(1_500) };
    Throttle { share: 0.3, retry_after: Some(Duration::from_secs(2)), as_date: false, during: Some(during) }
}

/// A day like any other: some dead tokens, some resets, now and then a server that can't.
fn faulty(faults: Faults) -> Faults {
    Faults {
        dead_tokens: DeadTokens { share: 0.01, ..DeadTokens::default() },
        reset: Some(Reset { share: 0.002, code: ResetCode::RefusedStream }),
        server_error: Some(ServerError { share: 0.0005, status: 500, retry_after: None }),
        ..faults
    }
}

/// The pipeline.
pub(super) fn settings(place: &Place, simulator: &Simulator) -> Settings {
    let route = |provider| match provider {
        Provider::Fcm => ProviderSettings::Fcm(FcmSettings {
            endpoint: simulator.endpoint(provider),
            account: simulator.service_account("demo"),
        }),
        _ => ProviderSettings::Apns(ApnsSettings {
            endpoint: simulator.endpoint(provider),
            topic: "dev.tidegate.demo".to_owned(),
            credential: simulator.apns_credential(),
        }),
    };
    let routes = || [Provider::Apns, Provider::Fcm].map(|provider| (provider, route(provider), limits())).to_vec();
    Settings {
        http: HttpSettings { listen: ([127, 0, 0, 1], 0).into(), tokens: Vec::new(), rate: None },
        limits: LimitSettings { memory: 256 << 20, drain_timeout: DRAIN },
        amqp: place.amqp(),
        spool: place.spool(),
        outcomes: OutcomeSettings {
            publish: vec![OutcomeKind::Unregistered, OutcomeKind::Rejected, OutcomeKind::Expired, OutcomeKind::Failed],
            amqp: place.amqp().is_some(),
            file: None,
            webhook: None,
        },
        lanes: [16, 4, 1].map(LaneSettings::weighing),
        apps: APPS.map(|name| AppSettings { name: name.to_owned(), routes: routes() }).to_vec(),
    }
}

fn limits() -> RouteSettings {
    RouteSettings {
        rate: None,
        burst: 1,
        min_concurrency: 1,
        max_concurrency: 8_000,
        connections: 8,
        // Not the 20 s of real life: who waits for a connection that has fallen silent is seen to be helped.
        request_timeout: Duration::from_secs(5),
        max_attempts: 5,
        max_dead_percent: 50,
        default_ttl: Duration::from_secs(3600),
        ordered: false,
    }
}
