//! One route's way to its provider: the protocol with its credential, and what its connections are made of.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;

use super::http2::{Pool, PoolOptions};
use super::webpush::{Dialler, Webpush};
use super::{Endpoint, Protocol, ProviderSettings, apns, fcm};

/// What a route needs to send by. Cheap to clone; all clones share the credential.
#[derive(Clone)]
pub struct Client {
    protocol: Arc<dyn Protocol>,
    reach: Reach,
}

/// How a provider is reached.
#[derive(Clone)]
pub enum Reach {
    /// By connections to one endpoint.
    One(Door),
    /// By connections to as many origins as its targets name.
    Origins(Dialler),
}

/// One endpoint, and how connections to it are made.
#[derive(Clone)]
pub struct Door {
    endpoint: Arc<Endpoint>,
    tls: Arc<ClientConfig>,
    options: fn(usize, Duration) -> PoolOptions,
}

impl Client {
    /// Reads the credential, and starts what keeps it fresh: until `shutdown`, or until nobody has the client any more.
    /// No connection is opened. Must be called within a runtime.
    ///
    /// # Errors
    /// What of the settings can't be used, in words that hold nothing secret.
    pub fn start(settings: &ProviderSettings, shutdown: &CancellationToken) -> Result<Self, String> {
        let (protocol, reach): (Arc<dyn Protocol>, _) = match settings {
            ProviderSettings::Apns(settings) => {
                let protocol = apns::Apns::new(settings).map_err(|error| error.to_string())?;
                let door = Door::new(&settings.endpoint, protocol.tls(), PoolOptions::apns)?;
                (Arc::new(protocol), Reach::One(door))
            }
            ProviderSettings::Fcm(settings) => {
                let protocol = fcm::Fcm::start(settings, shutdown.clone()).map_err(|error| error.to_string())?;
                let door = Door::new(&settings.endpoint, protocol.tls(), PoolOptions::fcm)?;
                (Arc::new(protocol), Reach::One(door))
            }
            ProviderSettings::Webpush(settings) => {
                let protocol = Webpush::new(settings).map_err(|error| error.to_string())?;
                let dialler = Dialler::new(settings).map_err(|error| error.to_string())?;
                (Arc::new(protocol), Reach::Origins(dialler))
            }
        };
        Ok(Self { protocol, reach })
    }

    /// How attempts are put and answers read.
    #[must_use]
    pub fn protocol(&self) -> Arc<dyn Protocol> {
        Arc::clone(&self.protocol)
    }

    /// How connections are made.
    #[must_use]
    pub const fn reach(&self) -> &Reach {
        &self.reach
    }
}

impl Door {
    fn new(
        endpoint: &Endpoint,
        tls: Arc<ClientConfig>,
        options: fn(usize, Duration) -> PoolOptions,
    ) -> Result<Self, String> {
        let door = Self { endpoint: Arc::new(endpoint.clone()), tls, options };
        door.try_pool(1, Duration::from_secs(1)).map_err(|error| error.to_string())?;
        Ok(door)
    }

    /// A pool without connections, for up to so many, that waits so long for an answer.
    #[must_use]
    pub fn pool(&self, connections: u32, request_timeout: Duration) -> Pool {
        self.try_pool(connections, request_timeout).expect("one was made of the same endpoint when the client started")
    }

    fn try_pool(&self, connections: u32, request_timeout: Duration) -> Result<Pool, super::http2::PoolError> {
        let options = (self.options)(connections as usize, request_timeout);
        Pool::new(&self.endpoint, Arc::clone(&self.tls), options)
    }
}
