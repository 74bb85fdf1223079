use std::time::Duration;

use super::*;
use crate::dispatch::LaneSettings;
use crate::outcome::OutcomeSettings;
use crate::pipeline::{AppSettings, HttpSettings, LimitSettings};
use crate::provider::apns::{ApnsCredential, ApnsSettings};
use crate::provider::fcm::{FcmSettings, ServiceAccount};
use crate::provider::{Endpoint, ProviderSettings};

type Route = (Provider, ProviderSettings, RouteSettings);

fn limits() -> RouteSettings {
    RouteSettings {
        rate: None,
        burst: 1,
        min_concurrency: 1,
        max_concurrency: 100,
        connections: 4,
        request_timeout: Duration::from_secs(20),
        max_attempts: 5,
        max_dead_percent: 50,
        default_ttl: Duration::from_secs(3_600),
        ordered: false,
    }
}

fn endpoint() -> Endpoint {
    Endpoint { host: "localhost".into(), port: 443, extra_roots: None }
}

fn apns(key: &str) -> Route {
    let credential = ApnsCredential::Token { key_pem: key.into(), key_id: "K".into(), team_id: "T".into() };
    let settings = ApnsSettings { endpoint: endpoint(), topic: "a.topic".into(), credential };
    (Provider::Apns, ProviderSettings::Apns(settings), limits())
}

fn fcm() -> Route {
    let account = ServiceAccount {
        project_id: "p".into(),
        client_email: "e".into(),
        private_key_id: None,
        private_key: "k".into(),
        token_uri: "https://localhost/token".into(),
    };
    (Provider::Fcm, ProviderSettings::Fcm(FcmSettings { endpoint: endpoint(), account }), limits())
}

fn of(apps: Vec<(&str, Vec<Route>)>) -> Plans {
    let apps = apps.into_iter().map(|(name, routes)| AppSettings { name: name.into(), routes });
    plans(&Settings {
        http: HttpSettings { listen: ([127, 0, 0, 1], 0).into(), tokens: Vec::new(), rate: None },
        limits: LimitSettings { memory: 1 << 20, drain_timeout: Duration::from_secs(1) },
        amqp: None,
        spool: None,
        outcomes: OutcomeSettings { publish: Vec::new(), amqp: false, file: None, webhook: None },
        lanes: [16, 4, 1].map(LaneSettings::weighing),
        apps: apps.collect(),
    })
}

fn named(changes: &BTreeMap<Name, Change>) -> Vec<(&str, usize, Change)> {
    changes.iter().map(|((app, provider), change)| (&**app, *provider, *change)).collect()
}

const APNS: usize = Provider::Apns.index();
const FCM: usize = Provider::Fcm.index();

#[test]
fn the_first_configuration_adds_all_and_the_same_again_changes_nothing() {
    let one = of(vec![("chat", vec![apns("k"), fcm()]), ("shop", vec![apns("k")])]);
    let all = |change| vec![("chat", APNS, change), ("chat", FCM, change), ("shop", APNS, change)];
    assert_eq!(named(&changes(&Plans::new(), &one)), all(Change::Added));
    let again = of(vec![("shop", vec![apns("k")]), ("chat", vec![fcm(), apns("k")])]);
    assert_eq!(named(&changes(&one, &again)), all(Change::Same), "whatever the order");
    assert_eq!(named(&changes(&one, &Plans::new())), all(Change::Removed));
}

#[test]
fn each_route_changes_by_itself() {
    let before = of(vec![("chat", vec![apns("k"), fcm()]), ("shop", vec![apns("k"), fcm()])]);
    let mut slower = fcm();
    slower.2.request_timeout = Duration::from_secs(5);
    let after = of(vec![("chat", vec![apns("another"), slower]), ("mail", vec![fcm()]), ("shop", vec![apns("k")])]);
    assert_eq!(
        named(&changes(&before, &after)),
        [
            ("chat", APNS, Change::Rebuild),
            ("chat", FCM, Change::LimitsOnly),
            ("mail", FCM, Change::Added),
            ("shop", APNS, Change::Same),
            ("shop", FCM, Change::Removed),
        ]
    );
}

#[test]
fn another_client_counts_for_more_than_other_limits() {
    let mut both = apns("another");
    both.2.connections = 9;
    let change = changes(&of(vec![("chat", vec![apns("k")])]), &of(vec![("chat", vec![both])]));
    assert_eq!(named(&change), [("chat", APNS, Change::Rebuild)]);
}
