//! SPEC.md, promise 6: under a flood of `low`, `high` keeps its latency; each lane keeps its share.

mod support;

use std::time::Duration;

use support::until;
use support::world::{Served, World, job};
use tidegate::job::Lane;
use tidegate::simulator::{PushQuery, SimulatorSettings};

const MINUTE: Duration = Duration::from_secs(60);
/// Ten seconds of the route's rate wait in `low`, when `high` comes with five.
const LOW: usize = 3_000;
const HIGH: usize = 1_600;

#[tokio::test(flavor = "multi_thread")]
async fn promise_06_high_overtakes_a_flood_of_low_which_keeps_its_share() {
    let world = World::start(SimulatorSettings::default()).await;
    let config = world.config_with("", "", "rate = \"300/s\"\nburst = 1");
    world.publish(Lane::Low, (0..LOW).map(|nth| job(nth, false))).await;
    let mut served = Served::start(&config).await;
    let accepted = || async { world.simulator.ledger().await.fcm.accepted as usize };
    until("the flood flows", MINUTE, || async { (accepted().await > 200).then_some(()) }).await;
    world.publish(Lane::High, (LOW..LOW + HIGH).map(|nth| job(nth, false))).await;
    until("all are delivered", 2 * MINUTE, || async { (accepted().await == LOW + HIGH).then_some(()) }).await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let all = PushQuery { limit: Some(LOW + HIGH), ..PushQuery::default() };
    let mut pushes = world.simulator.pushes(all).await.pushes;
    pushes.sort_by_key(|push| push.first_at);
    let is_high: Vec<bool> = pushes
        .iter()
        .map(|push| push.push.trim_start_matches("job-").parse::<usize>().expect("our own ids") >= LOW)
        .collect();
    let first = is_high.iter().position(|high| *high).expect("high was sent");
    let last = is_high.iter().rposition(|high| *high).expect("high was sent");
    let (before, between, after) = (first, last + 1 - first - HIGH, is_high.len() - 1 - last);
    println!("of low went before high {before}, meanwhile {between}, afterwards {after}");
    assert!(before < LOW / 2, "high did not wait for the flood's end: {before}");
    assert!(after > LOW / 4, "the flood lasted longer than high: {after}");
    // 16 to 1: a sixteenth of high's number, were all of it there at once.
    assert!((HIGH / 32..=HIGH / 8).contains(&between), "low has its share and no more: {between}");
}
