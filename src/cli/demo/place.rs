//! Where the demo's jobs wait: a spool or a broker of its own, or somebody's broker. However the demo ends, nothing of it is
//! left there.

use std::sync::Arc;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::load::Way;
use super::{Demo, Source};
use crate::cli::{Signals, tell};
use crate::source::amqp::{AmqpSettings, BrokerError, Names, PrivateBroker, Publisher, declare, delete};
use crate::spool::SpoolSettings;

/// What interrupted means.
pub(super) const INTERRUPTED: &str = "interrupted";

/// The place.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(super) enum Place {
    /// A spool in a directory that goes with this.
    Spool(TempDir),
    /// A broker; ours, if it is there.
    Broker(AmqpSettings, Option<PrivateBroker>),
}

impl Place {
    /// Makes it.
    pub(super) async fn open(demo: &Demo, signals: &mut Signals) -> Result<Self, String> {
        if demo.source() == Source::Spool {
            let directory = tempfile::Builder::new().prefix("tidegate-demo-").tempdir();
            return directory.map(Self::Spool).map_err(|error| format!("no directory for the spool: {error}"));
        }
        if let Some(uri) = &demo.amqp_uri {
            // On somebody else's broker the demo must not meet anybody's queues, nor another demo's: a process's number
            // would not do, in containers they are all alike.
            let prefix = format!("tidegate-demo-{:08x}", fastrand::u32(..));
            tell(format_args!("its exchanges and queues are called {prefix}.* and are deleted at the end"));
            let settings = AmqpSettings { uri: uri.as_str().into(), prefix, ..AmqpSettings::default() };
            return Ok(Self::Broker(settings, None));
        }
        tell("starting a private RabbitMQ (some seconds)");
        let broker = tokio::select! {
            broker = PrivateBroker::start() => broker.map_err(|error| without_broker(&error))?,
            () = signals.any() => return Err(INTERRUPTED.to_owned()),
        };
        let settings = AmqpSettings { uri: broker.uri().into(), ..AmqpSettings::default() };
        Ok(Self::Broker(settings, Some(broker)))
    }

    /// Waits until it takes what will be put there.
    pub(super) async fn prepare(&self) -> Result<(), String> {
        match self {
            Self::Spool(_) => Ok(()),
            Self::Broker(settings, _) => declare(settings).await.map_err(|error| error.to_string()),
        }
    }

    pub(super) fn amqp(&self) -> Option<AmqpSettings> {
        match self {
            Self::Spool(_) => None,
            Self::Broker(settings, _) => Some(settings.clone()),
        }
    }

    pub(super) fn spool(&self) -> Option<SpoolSettings> {
        match self {
            Self::Spool(directory) => {
                Some(SpoolSettings { path: directory.path().join("spool"), ..SpoolSettings::default() })
            }
            Self::Broker(..) => None,
        }
    }

    /// The way in, as a backend would take it; open until `close`.
    pub(super) async fn way_in(&self, door: std::net::SocketAddr, close: CancellationToken) -> Result<Way, String> {
        match self {
            Self::Spool(_) => Way::door(door),
            Self::Broker(settings, _) => {
                let publisher = Publisher::start(Arc::new(settings.clone()), close);
                publisher.connected().await.map_err(|error| error.to_string())?;
                Ok(Way::Broker(publisher, Names::new(settings.prefix.as_str())))
            }
        }
    }

    /// Clears it away. The pipeline must be gone: it would make its queues again.
    pub(super) async fn clear(self) -> Result<(), String> {
        match self {
            Self::Spool(directory) => {
                directory.close().map_err(|error| format!("the spool's directory is left behind: {error}"))
            }
            Self::Broker(_, Some(_)) => Ok(()),
            Self::Broker(settings, None) => delete(&settings).await.map_err(|error| {
                format!("exchanges and queues called {}.* are left at the broker: {error}", settings.prefix)
            }),
        }
    }
}

/// Why there is no broker, and the way without one.
fn without_broker(error: &BrokerError) -> String {
    match error {
        BrokerError::Missing => {
            format!("{error}; or name a broker of yours: --amqp-uri; or take the spool: --source spool")
        }
        BrokerError::Io(_) | BrokerError::NotReady(_) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rabbitmq_the_remedies_are_named() {
        let text = without_broker(&BrokerError::Missing);
        for part in
            ["rabbitmq-server is not installed", "apt-get install rabbitmq-server", "--amqp-uri", "--source spool"]
        {
            assert!(text.contains(part), "{text}");
        }
    }
}
