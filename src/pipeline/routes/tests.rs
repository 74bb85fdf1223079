use std::time::Duration;

use super::*;
use crate::delivery::{RoutePatch, RouteSettings};
use crate::dispatch::LaneSettings;
use crate::job::Provider;
use crate::outcome::OutcomeSettings;
use crate::pipeline::{AppSettings, HttpSettings, LimitSettings, Steering};
use crate::provider::apns::{ApnsCredential, ApnsSettings};
use crate::provider::{Endpoint, ProviderSettings};

/// Routes, and in the dispatch's stead who hears of them.
struct Bench {
    routes: Routes,
    open: BTreeMap<u32, RouteDoor>,
    doors: mpsc::Receiver<Vec<DoorChange>>,
    key: String,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn start() -> Self {
        let (resolutions, _) = mpsc::channel(1);
        let (doors_in, doors) = mpsc::channel(2);
        let metrics = Arc::new(Metrics::default());
        let surroundings = Surroundings {
            doorbell: Arc::new(Notify::new()),
            resolutions,
            metrics: Arc::clone(&metrics),
            abandon: CancellationToken::new(),
            credentials: CancellationToken::new(),
        };
        let threads = Threads::start(1).expect("a thread starts");
        let key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        Self { routes: Routes::new(surroundings, threads, doors_in), open: BTreeMap::new(), doors, key, metrics }
    }

    /// Apps of one APNs route each.
    fn settings(&self, apps: &[&str]) -> Settings {
        let app = |name: &&str| {
            let endpoint = Endpoint { host: "localhost".into(), port: 1, extra_roots: None };
            let (key_pem, key_id, team_id) = (self.key.as_str().into(), "KEYKEYKEYA".into(), "TEAMTEAM01".into());
            let credential = ApnsCredential::Token { key_pem, key_id, team_id };
            let client = ProviderSettings::Apns(ApnsSettings { endpoint, topic: (*name).into(), credential });
            AppSettings { name: (*name).into(), routes: vec![(Provider::Apns, client, limits())] }
        };
        Settings {
            http: HttpSettings { listen: ([127, 0, 0, 1], 0).into(), tokens: Vec::new(), rate: None },
            limits: LimitSettings { memory: 1 << 20, drain_timeout: Duration::from_secs(1) },
            amqp: None,
            spool: None,
            outcomes: OutcomeSettings { publish: Vec::new(), amqp: false, file: None, webhook: None },
            lanes: [16, 4, 1].map(LaneSettings::weighing),
            apps: apps.iter().map(app).collect(),
        }
    }

    /// What the dispatch hears of reloads: it keeps doors, and drops those that are closed.
    fn heard(&mut self) -> Vec<(&'static str, u32)> {
        let mut heard = Vec::new();
        while let Ok(changes) = self.doors.try_recv() {
            heard.extend(changes.into_iter().map(|change| match change {
                DoorChange::Open(id, door) => {
                    assert!(self.open.insert(id.0, door).is_none(), "a number is one route's");
                    ("open", id.0)
                }
                DoorChange::DefaultTtl(id, _) => ("ttl", id.0),
                DoorChange::Ordered(id, _) => ("order", id.0),
                DoorChange::Close(id) => {
                    drop(self.open.remove(&id.0).expect("it was open"));
                    ("close", id.0)
                }
            }));
        }
        heard
    }

    fn number_of(&self, app: &str) -> Option<Option<u32>> {
        let routes = self.routes.table().borrow().of(app)?;
        Some(routes[Provider::Apns.index()].map(|id| id.0))
    }
}

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

fn limits_of(settings: &mut Settings, app: usize) -> &mut RouteSettings {
    &mut settings.apps[app].routes[0].2
}

fn client_of(settings: &mut Settings, app: usize) -> &mut ApnsSettings {
    match &mut settings.apps[app].routes[0].1 {
        ProviderSettings::Apns(client) => client,
        ProviderSettings::Fcm(_) | ProviderSettings::Webpush(_) => unreachable!("all are Apple's"),
    }
}

#[tokio::test]
async fn a_route_gets_its_number_again_and_a_loop_of_reloads_leaves_nothing_behind() {
    let mut bench = Bench::start();
    let (both, one) = (bench.settings(&["chat", "shop"]), bench.settings(&["chat"]));
    bench.routes.reload(&both).expect("good settings");
    assert_eq!(bench.heard(), [("open", 0), ("open", 1)]);
    for _ in 0..100 {
        let (reloaded, _) = bench.routes.reload(&one).expect("good settings");
        assert_eq!((reloaded.removed.len(), bench.number_of("shop")), (1, None));
        let (reloaded, tasks) = bench.routes.reload(&both).expect("good settings");
        assert_eq!((reloaded.added.len(), bench.number_of("shop")), (1, Some(Some(1))));
        assert_eq!(bench.heard(), [("close", 1), ("open", 1)]);
        bench.routes.reload(&one).expect("good settings");
        bench.heard();
        for task in tasks {
            let ended = tokio::time::timeout(Duration::from_secs(30), task).await;
            assert_eq!(ended.expect("it ends with its link").expect("it does not panic"), End::Removed);
        }
        bench.routes.reload(&both).expect("good settings");
        bench.heard();
    }
    assert_eq!(bench.routes.labels().borrow().len(), 2);
    // An app without a route is known all the same: its jobs have no route, they are no dead letters.
    let mut bare = bench.settings(&["chat"]);
    bare.apps[0].routes.clear();
    bench.routes.reload(&bare).expect("good settings");
    assert_eq!((bench.number_of("chat"), bench.number_of("shop")), (Some(None), None));
    let text = bench.metrics.render();
    assert!(text.lines().filter(|line| line.contains("app=\"shop\"")).count() <= 6, "{text}");
}

#[tokio::test]
async fn what_cannot_be_used_refuses_all_of_it() {
    let mut bench = Bench::start();
    let good = bench.settings(&["chat", "shop"]);
    bench.routes.reload(&good).expect("good settings");
    bench.heard();
    let before = Arc::clone(&bench.routes.open().borrow());

    let mut bad = bench.settings(&["chat", "mail", "news"]);
    limits_of(&mut bad, 0).max_attempts = 1;
    client_of(&mut bad, 2).credential = ApnsCredential::Token {
        key_pem: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".into(),
        key_id: "KEYKEYKEYA".into(),
        team_id: "TEAMTEAM01".into(),
    };
    let refused = bench.routes.reload(&bad).expect_err("a bad key");
    assert!(matches!(&refused, NotReloaded::Route(label, _) if &*label.app == "news"), "{refused}");
    assert!(refused.to_string().starts_with("apps.news.apns: "), "{refused}");
    // Too many wait for the dispatch: not this one.
    bench.routes.reload(&bench.settings(&["chat"])).expect("there is room");
    bench.routes.reload(&good).expect("there is room");
    let full = bench.routes.reload(&bench.settings(&["mail"]));
    assert_eq!(full.expect_err("the dispatch is behind"), NotReloaded::Busy);
    assert_eq!(bench.heard(), [("close", 1), ("open", 1)]);

    assert_eq!((bench.number_of("chat"), bench.number_of("shop")), (Some(Some(0)), Some(Some(1))));
    assert_eq!((bench.number_of("mail"), bench.number_of("news")), (None, None));
    assert_eq!(before[0].orders.borrow().settings.max_attempts, 5, "not even its limits are taken on");
    bench.routes.reload(&bad).expect_err("and again");
}

#[tokio::test]
async fn limits_a_client_and_a_patch_are_changed_each_by_its_own_way() {
    let mut bench = Bench::start();
    let mut settings = bench.settings(&["chat", "shop"]);
    bench.routes.reload(&settings).expect("good settings");
    bench.heard();
    let steering = Steering::new(bench.routes.open());
    let paused = RoutePatch { paused: Some(true), ..RoutePatch::default() };
    assert!(steering.patch("chat", "apns", &paused).is_ok_and(|orders| orders.paused));

    limits_of(&mut settings, 0).default_ttl = Duration::from_secs(60);
    client_of(&mut settings, 1).topic = "another".into();
    let (reloaded, tasks) = bench.routes.reload(&settings).expect("good settings");
    let shop = RouteLabel { app: "shop".into(), provider: Provider::Apns };
    assert_eq!(reloaded, Reloaded { renewed: vec![shop], ..Reloaded::default() });
    assert!(tasks.is_empty());
    assert_eq!(bench.heard(), [("ttl", 0)]);
    let open = Arc::clone(&bench.routes.open().borrow());
    let orders = open[0].orders.borrow().clone();
    assert!(!orders.paused && orders.settings.default_ttl == Duration::from_secs(60), "the patch is over");

    let (reloaded, _) = bench.routes.reload(&settings).expect("the same again");
    assert_eq!((reloaded, bench.heard()), (Reloaded::default(), Vec::new()));
}
