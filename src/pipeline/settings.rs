//! A whole configuration, parsed into meaning: every file read, every default filled in.

use std::time::Duration;

use super::HttpSettings;
use crate::delivery::RouteSettings;
use crate::dispatch::LaneSettings;
use crate::job::Provider;
use crate::outcome::OutcomeSettings;
use crate::provider::ProviderSettings;
use crate::source::amqp::AmqpSettings;
use crate::spool::SpoolSettings;

/// All that a pipeline is built from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The operator's door.
    pub http: HttpSettings,
    /// Bounds of the whole process.
    pub limits: LimitSettings,
    /// The broker; `None`: not used.
    pub amqp: Option<AmqpSettings>,
    /// The embedded queue; `None`: not used.
    pub spool: Option<SpoolSettings>,
    /// Which outcomes are told to whom.
    pub outcomes: OutcomeSettings,
    /// By [`Lane::index`](crate::job::Lane::index).
    pub lanes: [LaneSettings; 3],
    /// In the order of their names.
    pub apps: Vec<AppSettings>,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Bytes of jobs held; windows are cut to fit. Default 256 MiB.
    pub memory: u64,
    /// How long SIGTERM lets what is in flight finish. Default 30 s.
    pub drain_timeout: Duration,
}

/// One app and its routes.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// The app's name, as jobs spell it.
    pub name: String,
    /// Its routes, at most one per provider.
    pub routes: Vec<(Provider, ProviderSettings, RouteSettings)>,
}
