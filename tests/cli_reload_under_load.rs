//! SPEC.md, section 7: a reload applies limits, apps and credentials without dropping a connection that need not change; a
//! bad file is refused, reported, and the old configuration stays. Under load nothing is lost and nothing doubled.

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use support::broker::text;
use support::until;
use support::world::{Served, World, jobs};
use tidegate::job::Lane;
use tidegate::provider::apns::ApnsCredential;
use tidegate::simulator::{Faults, Latency, LedgerSnapshot, SimulatorSettings};

const MINUTE: Duration = Duration::from_secs(60);
const JOBS: usize = 20_000;
const RELOADS: usize = 100;
const ONE: &str = "one-project";
const ANOTHER: &str = "another-project";
/// Jobs of an app that comes, goes and comes back.
const SHOP_JOBS: usize = 300;

/// What the configuration says.
#[derive(Clone)]
struct Wanted {
    /// Of both routes of `chat`.
    rate: String,
    /// Which of the simulator's keys `chat` has.
    key: usize,
    /// Which project's account `chat` has.
    project: &'static str,
    /// Further keys of `[apps.chat.apns]`.
    more: &'static str,
    /// The rate of the app `shop`, if there is one.
    shop: Option<&'static str>,
    /// Whether there is an app `mail`, of FCM.
    mail: bool,
}

struct Stage {
    world: World,
    served: Served,
    config: PathBuf,
}

impl Stage {
    async fn set(wanted: &Wanted) -> Self {
        let mut settings = SimulatorSettings::default();
        settings.apns.faults =
            Faults { latency: Latency::Fixed { value: Duration::from_millis(100) }, ..Faults::default() };
        settings.fcm.faults = settings.apns.faults.clone();
        let world = World::start(settings).await;
        world.publish(Lane::Normal, jobs(JOBS)).await;
        let config = configure(&world, wanted);
        let served = Served::start(&config).await;
        Self { world, served, config }
    }

    async fn ledger(&self) -> LedgerSnapshot {
        self.world.simulator.ledger().await
    }

    /// How many reloads were answered, one way or the other.
    fn answered(&self) -> usize {
        let lines = self.served.log();
        let answers = ["the configuration was reloaded", "the configuration was not reloaded"];
        lines.iter().filter(|line| answers.iter().any(|answer| line.contains(answer))).count()
    }

    /// Signals, and waits until that has been answered. Says by a line of the log how.
    async fn hang_up(&self) -> String {
        let before = self.answered();
        self.served.hang_up();
        until("the reload is answered", MINUTE, || async { (self.answered() > before).then_some(()) }).await;
        let lines = self.served.log();
        lines.into_iter().rev().find(|line| line.contains("the configuration was")).expect("it was just there")
    }

    async fn reload(&self, wanted: &Wanted) {
        configure(&self.world, wanted);
        let line = self.hang_up().await;
        assert!(line.contains("was reloaded"), "{line}");
    }

    async fn route(&self, app: &str, provider: &str) -> Option<Value> {
        let status = self.served.status().await;
        let routes = status["routes"].as_array().expect("routes are shown").clone();
        routes.into_iter().find(|route| route["app"] == app && route["provider"] == provider)
    }

    /// The gauges that name an app.
    async fn gauges(&self, app: &str) -> Vec<String> {
        let label = format!("app=\"{app}\"");
        let text = self.served.get("/metrics").await.1;
        let lines = text.lines().filter(|line| line.contains(&label) && !line.starts_with("tidegate_pushes_total"));
        lines.map(str::to_owned).collect()
    }

    /// Watches for a while that no more arrives than a rate allows to one route, its burst and what was on its way included.
    async fn is_kept(&self, rate: f64, span: Duration) {
        let (begun, before) = (Instant::now(), self.ledger().await.apns.received);
        while begun.elapsed() < span {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let arrived = self.ledger().await.apns.received - before;
            let allowed = rate * (begun.elapsed().as_secs_f64() + 0.1) + 20.0;
            assert!(arrived as f64 <= allowed, "{arrived} in {:?} at {rate}/s", begun.elapsed());
        }
    }
}

fn key(world: &World, nth: usize) -> (String, String, String) {
    match world.simulator.apns_credentials().swap_remove(nth) {
        ApnsCredential::Token { key_pem, key_id, team_id } => (key_pem.expose_secret().to_owned(), key_id, team_id),
        ApnsCredential::Certificate { .. } => unreachable!("they are tokens"),
    }
}

/// Writes the key's file, always the same, and the configuration.
fn configure(world: &World, wanted: &Wanted) -> PathBuf {
    let Wanted { rate, key: nth, project, more, shop, mail } = wanted;
    let (pem, key_id, team_id) = key(world, *nth);
    std::fs::write(world.folder.path().join("chat.p8"), pem).expect("the key is written");
    let account = world.simulator.service_account(project);
    let account = json!({
        "type": "service_account",
        "project_id": account.project_id,
        "client_email": account.client_email,
        "private_key_id": account.private_key_id,
        "private_key": account.private_key.expose_secret(),
        "token_uri": account.token_uri,
    });
    std::fs::write(world.folder.path().join("account.json"), account.to_string()).expect("the account is written");
    let (uri, apns, fcm) =
        (world.broker.uri(), world.simulator.apns_address().port(), world.simulator.fcm_address().port());
    let mut text = format!(
        r#"
[http]
listen = "127.0.0.1:0"
[source.amqp]
uri = "{uri}"
[providers.apns]
endpoint = "https://localhost:{apns}"
ca_file = "ca.pem"
[providers.fcm]
endpoint = "https://localhost:{fcm}"
ca_file = "ca.pem"
[apps.chat.apns]
key_file = "chat.p8"
key_id = "{key_id}"
team_id = "{team_id}"
topic = "com.example.chat"
rate = "{rate}"
{more}
[apps.chat.fcm]
service_account_file = "account.json"
rate = "{rate}"
"#
    );
    if let Some(rate) = shop {
        let (pem, key_id, team_id) = key(world, 2);
        std::fs::write(world.folder.path().join("shop.p8"), pem).expect("the key is written");
        text += &format!(
            "[apps.shop.apns]\nkey_file = \"shop.p8\"\nkey_id = \"{key_id}\"\nteam_id = \"{team_id}\"\n\
             topic = \"com.example.shop\"\nrate = \"{rate}\"\n"
        );
    }
    if *mail {
        text += "[apps.mail.fcm]\nservice_account_file = \"service-account.json\"\nrate = \"600000/min\"\n";
    }
    let path = world.folder.path().join("tidegate.toml");
    std::fs::write(&path, text).expect("the configuration is written");
    path
}

fn job_of(app: &str, nth: usize) -> (String, Bytes) {
    let id = format!("{app}-{nth}");
    let token = nth + 0xABCD_0000;
    let target = if app == "mail" { format!(r#"{{"fcm":"m{nth}"}}"#) } else { format!(r#"{{"apns":"{token:064x}"}}"#) };
    let body = format!(
        r#"{{"id":"{id}","app":"{app}","to":[{target}],"ttl":3600,"notification":{{"body":"hi"}},"data":{{"tidegate-id":"{id}"}}}}"#
    );
    (id, body.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_under_load_lose_and_double_nothing() {
    let mut wanted = Wanted { rate: "400/s".into(), key: 0, project: ONE, more: "", shop: None, mail: false };
    let stage = Stage::set(&wanted).await;
    until("both routes are under load", MINUTE, || async {
        let ledger = stage.ledger().await;
        (ledger.apns.accepted > 200 && ledger.fcm.accepted > 200).then_some(())
    })
    .await;

    // Limits alone, and an app beside it that has nothing to send: no connection of chat's is touched.
    let before = stage.ledger().await;
    for nth in 0..10 {
        wanted.rate = format!("{}/s", 410 + nth);
        wanted.more = ["connections = 20", "request_timeout = \"15s\"", "default_ttl = \"1h\""][nth % 3];
        wanted.shop = (nth % 2 == 0).then_some("50/s");
        stage.reload(&wanted).await;
    }
    let after = stage.ledger().await;
    assert!(after.apns.accepted > before.apns.accepted, "it goes on meanwhile");
    assert_eq!(after.apns.connections, before.apns.connections, "limits need no other connections");
    assert_eq!(after.fcm.connections, before.fcm.connections);

    // Another credential for one route: its connections alone are others.
    wanted.key = 1;
    stage.reload(&wanted).await;
    until("it sends by a new connection", MINUTE, || async {
        (stage.ledger().await.apns.connections > after.apns.connections).then_some(())
    })
    .await;
    assert_eq!(stage.ledger().await.fcm.connections, after.fcm.connections, "the other route's stay");

    // All of it at once, half of it bad; and another app, with jobs, comes and goes.
    wanted.shop = Some("50/s");
    stage.reload(&wanted).await;
    stage.world.publish(Lane::High, (0..SHOP_JOBS).map(|nth| job_of("shop", nth))).await;
    for nth in 0..RELOADS {
        let good = nth % 2 == 0;
        wanted.rate = format!("{}/s", 300 + nth);
        wanted.key = nth / 4 % 2;
        wanted.project = if nth % 20 < 10 { ONE } else { ANOTHER };
        wanted.mail = nth % 4 == 0;
        wanted.shop = (nth % 8 < 4).then_some("50/s");
        configure(&stage.world, &wanted);
        let bad = match nth % 4 {
            1 => Some(("chat.p8", "no key at all".to_owned(), "chat.p8 holds no PKCS #8 private key")),
            3 => Some(("tidegate.toml", std::fs::read_to_string(&stage.config).expect("it is there") + "x = 1\n", "x")),
            _ => None,
        };
        if let Some((file, text, _)) = &bad {
            std::fs::write(stage.world.folder.path().join(file), text).expect("it is written");
        }
        let shown = stage.route("chat", "fcm").await.expect("it is there")["rate"].clone();
        let line = stage.hang_up().await;
        assert_eq!(line.contains("was reloaded"), good, "{line}");
        if let Some((.., why)) = bad {
            assert!(line.contains("the old one stays") && line.contains(why), "{line}");
            assert_eq!(stage.route("chat", "fcm").await.expect("it is there")["rate"], shown);
        }
    }
    let ledger = stage.ledger().await;
    assert!(ledger.apns.accepted + ledger.fcm.accepted < JOBS as u64, "it was under load to the end");

    // Within a second a new rate is in force.
    wanted = Wanted { rate: "150/s".into(), key: 0, project: ONE, more: "", shop: Some("1/s"), mail: false };
    configure(&stage.world, &wanted);
    stage.served.hang_up();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.is_kept(151.0, Duration::from_secs(2)).await;

    (wanted.rate, wanted.shop) = ("unlimited".into(), Some("unlimited"));
    stage.reload(&wanted).await;
    all_ended(stage, JOBS + SHOP_JOBS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_comes_and_goes_and_a_broken_key_is_mended() {
    let mut wanted = Wanted { rate: "100/s".into(), key: 0, project: ONE, more: "", shop: Some("5/s"), mail: false };
    let stage = Stage::set(&wanted).await;
    stage.world.publish(Lane::High, (0..SHOP_JOBS).map(|nth| job_of("shop", nth))).await;
    until("shop's jobs wait in memory", MINUTE, || async {
        let waits = stage.gauges("shop").await;
        let waits = waits.iter().find(|line| line.starts_with("tidegate_waiting{") && line.contains("high"))?;
        let waiting: usize = waits.rsplit(' ').next()?.parse().expect("a number");
        (waiting > 20).then_some(())
    })
    .await;

    // Removed: it is shown no more, its gauges are gone, and what comes for it is a dead letter.
    wanted.shop = None;
    stage.reload(&wanted).await;
    assert_eq!(stage.route("shop", "apns").await, None);
    until("its gauges are gone", MINUTE, || async { stage.gauges("shop").await.is_empty().then_some(()) }).await;
    stage.world.publish(Lane::High, [job_of("shop", SHOP_JOBS)]).await;
    until("what had not been taken in yet is a dead letter", MINUTE, || async {
        let left = stage.world.depth("tidegate.jobs.high").await;
        (left == 0 && stage.world.depth("tidegate.dead").await > 0).then_some(())
    })
    .await;
    assert_eq!(stage.served.get("/readyz").await.0, 200, "nothing is amiss");

    // Back again before a minute has passed: what had waited is sent.
    wanted.shop = Some("unlimited");
    stage.reload(&wanted).await;
    stage.world.publish(Lane::High, [job_of("shop", SHOP_JOBS + 1)]).await;

    // Another app, whose jobs are delivered at once.
    wanted.mail = true;
    stage.reload(&wanted).await;
    let rate = stage.route("mail", "fcm").await.expect("it is there")["rate"].as_f64().expect("it has one");
    assert!((1_000.0..9_999.0).contains(&rate), "Google asks that it rise: {rate}");
    stage.world.publish(Lane::High, (0..10).map(|nth| job_of("mail", nth))).await;
    until("the new app's jobs are delivered", MINUTE, || async {
        let route = stage.route("mail", "fcm").await?;
        (route["outcomes"]["delivered"] == 10).then_some(())
    })
    .await;

    // The text in chat's key file is another team's key: Apple refuses what it signs. FCM goes on.
    let file = stage.world.folder.path().join("chat.p8");
    let good = std::fs::read(&file).expect("it is there");
    std::fs::write(&file, key(&stage.world, 2).0).expect("it is written");
    let line = stage.hang_up().await;
    assert!(line.contains(r#""renewed":"chat/apns""#), "{line}");
    until("the route is parked", MINUTE, || async {
        (stage.route("chat", "apns").await?["state"] == "parked").then_some(())
    })
    .await;
    let before = stage.ledger().await.fcm.accepted;
    until("the other route goes on", MINUTE, || async { (stage.ledger().await.fcm.accepted > before).then_some(()) })
        .await;
    // Mended under the same name, and seen without a signal; it is in use at once.
    let answered = stage.answered();
    std::fs::write(&file, good).expect("it is written");
    until("it is seen", MINUTE, || async { (stage.answered() > answered).then_some(()) }).await;
    let (mended, accepted) = (Instant::now(), stage.ledger().await.apns.accepted);
    until("it sends again", MINUTE, || async { (stage.ledger().await.apns.accepted > accepted).then_some(()) }).await;
    assert!(mended.elapsed() < Duration::from_secs(5), "not by a probe, which comes after 15 s and more");

    wanted.rate = "unlimited".into();
    stage.reload(&wanted).await;
    all_ended(stage, JOBS + 10 + SHOP_JOBS + 2).await;
}

/// Waits until so many have ended, and sees that each ended once: as delivered, or, of `shop`, as a dead letter of a time
/// when it was not there; those that waited here then came again.
async fn all_ended(mut stage: Stage, count: usize) {
    until("all have ended", 4 * MINUTE, || async {
        let (ledger, dead) = (stage.ledger().await, stage.world.depth("tidegate.dead").await);
        (ledger.apns.accepted + ledger.fcm.accepted + u64::from(dead) >= count as u64).then_some(())
    })
    .await;
    let outcomes = stage.served.status().await["outcomes"].clone();
    for (outcome, pushes) in outcomes.as_object().expect("outcomes are counted") {
        assert!(pushes == 0 || outcome == "delivered", "{outcomes}");
    }
    stage.served.terminate();
    assert_eq!(stage.served.ended(MINUTE).await, 0);
    let dead = stage.world.take("tidegate.dead").await;
    for (body, properties) in &dead {
        assert_eq!(text(properties, "x-tidegate-reason").as_deref(), Some("unknown_app"));
        assert!(String::from_utf8_lossy(body).contains(r#""app":"shop""#));
    }
    assert!(dead.len() < SHOP_JOBS, "some had waited here, and were sent");
    let ledger = stage.ledger().await;
    assert_eq!(ledger.apns.accepted + ledger.fcm.accepted + dead.len() as u64, count as u64);
    assert_eq!((ledger.apns.duplicates, ledger.fcm.duplicates), (0, 0));
    assert_eq!((ledger.apns.protocol_violations, ledger.fcm.protocol_violations), (0, 0));
    for queue in ["tidegate.jobs.high", "tidegate.jobs.normal"] {
        assert_eq!(stage.world.depth(queue).await, 0, "{queue}");
    }
}
