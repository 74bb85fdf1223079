//! Browsers to push to: the simulators, and `tidegate serve` with one app `web` whose only route leads to them.

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate::simulator::{PushService, SimulatorSettings};

use super::MINUTE;
use super::support::eventually;
use super::support::world::{Served, Station};

pub(crate) struct Browsers {
    pub(crate) station: Station,
    pub(crate) served: Served,
}

impl Browsers {
    /// Starts it all; `more` are further keys of the route.
    pub(crate) async fn start(simulator: SimulatorSettings, more: &str) -> Self {
        let station = Station::start(simulator);
        let hosts = PushService::ALL.map(|service| format!("\"{}\"", station.simulator.webpush_address(service)));
        let config = format!(
            r#"
[http]
listen = "127.0.0.1:0"
rate = "unlimited"
[source.spool]
min_free = "1MiB"
[outcomes]
publish = ["delivered", "unregistered", "rejected", "expired", "collapsed", "shed", "failed"]
file = "outcomes.ndjson"
[apps.web.webpush]
key_file = "vapid.pem"
subject = "mailto:ops@example.com"
ca_file = "ca.pem"
hosts = [{}]
private_networks = ["127.0.0.1/32"]
{more}
"#,
            hosts.join(", ")
        );
        // A key that `more` names takes the place of the one above.
        let config = without_replaced(&config, more);
        let path = station.folder.path().join("tidegate.toml");
        std::fs::write(&path, config).expect("the configuration is written");
        let served = Served::start(&path).await;
        Self { station, served }
    }

    /// The subscription of a browser, as it stands in `to`.
    pub(crate) fn target(&self, service: PushService, id: &str) -> Value {
        json!({ "webpush": self.station.simulator.subscription(service, id) })
    }

    pub(crate) async fn post(&self, job: &Value) {
        self.post_all(std::iter::once(job.clone())).await;
    }

    pub(crate) async fn post_all(&self, jobs: impl IntoIterator<Item = Value>) {
        let jobs = jobs.into_iter().map(|job| (String::new(), Bytes::from(job.to_string())));
        let (status, answer) = self.served.post(jobs).await;
        assert_eq!(status, 202, "{answer}");
    }

    /// The outcomes, once there are so many.
    pub(crate) async fn outcomes(&self, count: usize) -> Vec<Value> {
        let path = self.station.folder.path().join("outcomes.ndjson");
        let read = || async {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let outcomes: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            (outcomes.len() >= count).then_some(outcomes)
        };
        eventually("every push has its outcome", read).await
    }

    pub(crate) async fn end(mut self) {
        self.served.terminate();
        assert_eq!(self.served.ended(MINUTE).await, 0);
    }
}

fn without_replaced(config: &str, more: &str) -> String {
    let name = |line: &str| line.split_once(" = ").map(|(name, _)| name.trim().to_owned());
    let replaced: Vec<String> = more.lines().filter_map(name).collect();
    let (base, tail) = config.split_at(config.len() - more.len() - 1);
    let kept = base.lines().filter(|line| name(line).is_none_or(|name| !replaced.contains(&name)));
    format!("{}\n{tail}", kept.collect::<Vec<_>>().join("\n"))
}
