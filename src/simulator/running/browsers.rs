//! A simulator's push services and the browsers behind them.

use std::net::SocketAddr;

use super::{Simulator, origin, script};
use crate::job::Subscription;
use crate::provider::webpush::{Padding, Services, WebpushSettings};
use crate::simulator::{Faults, PushService, webpush};

impl Simulator {
    /// Where a push service listens.
    #[must_use]
    pub fn webpush_address(&self, service: PushService) -> SocketAddr {
        self.webpush_addresses[service.index()]
    }

    /// A push service's origin, as endpoints begin.
    #[must_use]
    pub fn webpush_origin(&self, service: PushService) -> String {
        origin(self.webpush_address(service))
    }

    /// What subscriptions' keys are made of.
    pub(in crate::simulator) fn seed(&self) -> u64 {
        self.settings.seed
    }

    /// The subscription of the browser with this id at a push service. There are as many browsers as there are ids; some
    /// ids say how they fare: `dead-…`, `other-key-…`, `redirect-…`, `verbose-…`, `endless-…`.
    #[must_use]
    pub fn subscription(&self, service: PushService, id: &str) -> Subscription {
        webpush::subscription(self.settings.seed, service, &origin(self.webpush_address(service)), id)
    }

    /// A VAPID credential that the subscriptions are made for, and a guard that lets the push services' addresses through.
    #[must_use]
    pub fn webpush_credential(&self) -> WebpushSettings {
        let hosts: Vec<String> = self.webpush_addresses.iter().map(ToString::to_string).collect();
        let network = format!("{}/{}", self.settings.listen, if self.settings.listen.is_ipv4() { 32 } else { 128 });
        WebpushSettings {
            key: self.credentials.vapid.pem.clone(),
            subject: "mailto:simulator@example.com".to_owned(),
            extra_roots: Some(self.ca_pem().to_owned()),
            services: Services::new(hosts.iter().map(String::as_str)).expect("addresses with ports are hosts"),
            private_networks: vec![network.parse().expect("an address is a network of one")],
            padding: Padding::None,
        }
    }

    /// Replaces the faults of one push service; their times count from now.
    pub fn set_service_faults(&self, service: PushService, faults: Faults) {
        self.webpush_scripts[service.index()].send_replace(script(faults));
    }
}
