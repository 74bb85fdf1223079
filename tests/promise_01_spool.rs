//! SPEC.md, promises 1, 3, 5 and 11 for the spool: what was answered 202 is delivered whatever happens to the process, few
//! pushes are sent twice by a crash and none without one, and a blocked route holds back nobody.

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use support::until;
use support::world::{Served, Station, job, jobs};
use tidegate::job::Provider;
use tidegate::simulator::{CredentialState, Faults, Latency, PushQuery, SimulatorSettings, Window};
use tokio_util::sync::CancellationToken;

const MINUTE: Duration = Duration::from_secs(60);

fn simulator() -> SimulatorSettings {
    let latency = Latency::Uniform { min: Duration::from_millis(5), max: Duration::from_millis(60) };
    let faults = Faults { latency, ..Faults::default() };
    let mut settings = SimulatorSettings::default();
    settings.apns.faults = faults.clone();
    settings.fcm.faults = faults;
    settings
}

async fn emptied(served: &Served) {
    until("the spool is empty", 3 * MINUTE, || async {
        let source = served.status().await["sources"][0].clone();
        (source["queued"] == 0 && source["later"] == 0).then_some(())
    })
    .await;
}

/// Which jobs the providers accepted, by the number in their addresses.
async fn delivered(station: &Station) -> BTreeSet<usize> {
    let once = PushQuery { accepted_at_least: Some(1), limit: Some(200_000), ..PushQuery::default() };
    let number =
        |target: &str| usize::from_str_radix(target.trim_start_matches("token-"), 16).expect("an address of ours");
    station.simulator.pushes(once).await.pushes.iter().map(|push| number(&push.target)).collect()
}

type Shared<T> = Arc<Mutex<T>>;

fn lock<T>(shared: &Shared<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().expect("nobody panics with it")
}

/// A backend that posts jobs, ten a request, to wherever the door is, and again until it has an answer.
async fn stream(door: Shared<Option<String>>, accepted: Shared<BTreeSet<usize>>, stop: CancellationToken) {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().expect("a client");
    for first in (0..).step_by(10) {
        let lines: Vec<u8> =
            (first..first + 10).flat_map(|nth| [&job(nth, nth % 2 == 0).1[..], b"\n"].concat()).collect();
        loop {
            if stop.is_cancelled() {
                return;
            }
            let address = lock(&door).clone();
            let Some(address) = address else {
                tokio::time::sleep(Duration::from_millis(2)).await;
                continue;
            };
            let request = client.post(format!("http://{address}/v1/jobs")).body(Bytes::from(lines.clone()));
            let answer = request.header("content-type", "application/x-ndjson").send().await;
            if answer.is_ok_and(|answer| answer.status() == 202) {
                lock(&accepted).extend(first..first + 10);
                break;
            }
        }
    }
}

/// `KILLS=200` for the whole of it.
#[tokio::test(flavor = "multi_thread")]
async fn promise_01_what_was_answered_202_is_delivered_though_tidegate_is_killed_again_and_again() {
    let kills: u32 = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(40);
    // So young a process has at most 64 jobs in hand; and what was settled in the last 20 ms is not written.
    const UNSETTLED: u64 = 128;
    let station = Station::start(simulator());
    let config = station.config("", "", "rate = \"1000/s\"");
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (door, accepted, stop) = (Shared::default(), Shared::default(), CancellationToken::new());
    let backend = tokio::spawn(stream(Arc::clone(&door), Arc::clone(&accepted), stop.clone()));
    for _ in 0..kills {
        let served = Served::start(&config).await;
        *lock(&door) = Some(served.address().to_owned());
        // Not to wait for anything: the moment is what is random.
        tokio::time::sleep(Duration::from_millis(random.u64(5..250))).await;
        served.kill_9();
        *lock(&door) = None;
    }
    stop.cancel();
    backend.await.expect("the backend does not panic");
    let mut served = Served::start(&config).await;
    emptied(&served).await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let accepted = lock(&accepted).clone();
    assert!(accepted.len() > 100, "only {} jobs were accepted", accepted.len());
    let lost: Vec<usize> = accepted.difference(&delivered(&station).await).copied().collect();
    let ledger = station.simulator.ledger().await;
    let doubled = ledger.apns.duplicates + ledger.fcm.duplicates;
    println!("{} jobs accepted, {kills} kills: lost {}, doubled {doubled}", accepted.len(), lost.len());
    assert!(lost.is_empty(), "{lost:?}");
    assert!(doubled <= u64::from(kills) * UNSETTLED, "{doubled} doubled: more than can have been unsettled");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_a_drain_leaves_the_rest_on_disk_and_doubles_nothing() {
    const JOBS: usize = 3_000;
    let station = Station::start(simulator());
    let config = station.config("", "", "rate = \"400/s\"");
    let mut served = Served::start(&config).await;
    assert_eq!(served.post(jobs(JOBS)).await.0, 202);
    until("some are delivered", MINUTE, || async {
        (station.simulator.ledger().await.apns.accepted > 50).then_some(())
    })
    .await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);
    let before = station.simulator.ledger().await;
    assert!(before.apns.accepted + before.fcm.accepted < JOBS as u64, "the drain left nothing to do");

    let mut served = Served::start(&config).await;
    emptied(&served).await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);
    let ledger = station.simulator.ledger().await;
    assert_eq!(ledger.apns.accepted + ledger.fcm.accepted, JOBS as u64);
    assert_eq!(ledger.apns.duplicates + ledger.fcm.duplicates, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_05_a_blocked_route_stays_on_disk_and_holds_back_nobody() {
    let station = Station::start(simulator());
    let stalled = Window { from: Duration::ZERO, length: Duration::from_secs(3600) };
    station.simulator.set_faults(Provider::Fcm, Faults { stalls: vec![stalled], ..Faults::default() });
    let config = station.config("[lanes.normal]\nmax_waiting = 2000\n", "", "");
    let served = Served::start(&config).await;
    for chunk in (0..20_000).collect::<Vec<_>>().chunks(5_000) {
        assert_eq!(served.post(chunk.iter().map(|nth| job(*nth, false))).await.0, 202);
    }
    until("Google's route has all that it may hold", MINUTE, || async {
        (served.status().await["sources"][0]["lanes"][1]["unsettled"].as_u64()? > 10).then_some(())
    })
    .await;
    assert_eq!(served.post((20_000..25_000).map(|nth| job(nth, true))).await.0, 202);
    until("Apple's are delivered", MINUTE, || async {
        (station.simulator.ledger().await.apns.accepted == 5_000).then_some(())
    })
    .await;
    let status = served.status().await;
    assert_eq!(station.simulator.ledger().await.fcm.accepted, 0);
    assert!(status["sources"][0]["queued"].as_u64().expect("a number") >= 20_000, "{status}");
    let in_hand = status["sources"][0]["lanes"][1]["unsettled"].as_u64().expect("a number");
    assert!(in_hand < 1_000, "{in_hand} of the blocked route's jobs are in hand");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_05_a_blocked_provider_does_not_hold_back_the_other_of_the_same_jobs() {
    const JOBS: usize = 3_000;
    let station = Station::start(simulator());
    let stalled = Window { from: Duration::ZERO, length: Duration::from_secs(3600) };
    station.simulator.set_faults(Provider::Fcm, Faults { stalls: vec![stalled], ..Faults::default() });
    let config = station.config("[lanes.normal]\nmax_waiting = 2000\n", "", "");
    let served = Served::start(&config).await;
    assert_eq!(served.post((0..JOBS).map(mixed)).await.0, 202);
    until("all of Apple's are delivered", MINUTE, || async {
        (station.simulator.ledger().await.apns.accepted == JOBS as u64).then_some(())
    })
    .await;
    let (status, ledger) = (served.status().await, station.simulator.ledger().await);
    assert_eq!((ledger.fcm.accepted, ledger.apns.duplicates), (0, 0));
    let kept = |what: &str| status["sources"][0][what].as_u64().expect("a number");
    assert!(kept("queued") + kept("later") >= JOBS as u64, "Google's wait: {status}");
}

/// A job for a phone of each kind.
fn mixed(nth: usize) -> (String, Bytes) {
    let body = format!(
        r#"{{"id":"mixed-{nth}","app":"chat","to":[{{"apns":"{nth:064x}"}},{{"fcm":"token-{nth:x}"}}],"notification":{{"title":"hi"}}}}"#
    );
    (format!("mixed-{nth}"), body.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_who_drains_takes_no_job_and_says_so() {
    let station = Station::start(simulator());
    let slow = Latency::Uniform { min: Duration::from_secs(5), max: Duration::from_secs(6) };
    station.simulator.set_faults(Provider::Apns, Faults { latency: slow, ..Faults::default() });
    let mut served = Served::start(&station.config("", "", "")).await;
    assert_eq!(served.post((0..10).map(|nth| job(nth, true))).await.0, 202);
    until("they are on their way", MINUTE, || async {
        (served.status().await["sources"][0]["lanes"][1]["unsettled"] == 10).then_some(())
    })
    .await;
    served.terminate();
    until("it says that it drains", MINUTE, || async { (served.get("/readyz").await.0 == 503).then_some(()) }).await;
    let (status, answer) = served.post([job(10, true)]).await;
    assert_eq!(status, 503, "{answer}");
    assert_eq!(served.ended(MINUTE).await, 0);
    let delivered = delivered(&station).await;
    assert!(!delivered.is_empty() && !delivered.contains(&10), "what was in flight has ended: {delivered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_queues_nothing_twice_also_after_a_crash() {
    let station = Station::start(simulator());
    let config = station.config("", "", "");
    let served = Served::start(&config).await;
    let (status, answer) = served.post(jobs(100)).await;
    assert_eq!((status, &answer["accepted"], &answer["duplicates"]), (202, &100.into(), &serde_json::Value::Null));
    served.kill_9();
    let served = Served::start(&config).await;
    let (status, answer) = served.post(jobs(120)).await;
    assert_eq!((status, &answer["accepted"], &answer["duplicates"]), (202, &120.into(), &100.into()));
    emptied(&served).await;
    assert_eq!(delivered(&station).await, (0..120).collect());
    let (_, metrics) = served.get("/metrics").await;
    let duplicates = "tidegate_jobs_total{source=\"spool\",lane=\"normal\",result=\"duplicate\"} 100";
    assert!(metrics.contains(duplicates), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_01_a_route_whose_young_token_is_refused_asks_for_another_and_comes_back() {
    let station = Station::start(simulator());
    let refused = Faults { credentials: CredentialState::Expired, ..Faults::default() };
    station.simulator.set_faults(Provider::Fcm, refused);
    let served = Served::start(&station.config("", "", "")).await;
    assert_eq!(served.post((0..20).map(|nth| job(nth, false))).await.0, 202);
    until("the route is parked", MINUTE, || async {
        served.get("/readyz").await.1.contains("UNAUTHENTICATED").then_some(())
    })
    .await;
    let fetched = station.simulator.ledger().await.tokens.fetches;
    until("a probe has asked for another token", MINUTE, || async {
        (station.simulator.ledger().await.tokens.fetches > fetched).then_some(())
    })
    .await;
    station.simulator.set_faults(Provider::Fcm, Faults::default());
    until("all are delivered", MINUTE, || async {
        (station.simulator.ledger().await.fcm.accepted == 20).then_some(())
    })
    .await;
}
