//! SPEC.md, promise 9: an expired push is never sent, and has the outcome `expired`.

mod support;

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::until;
use support::world::{Served, World, job};
use tidegate::job::Lane;
use tidegate::simulator::{PushQuery, SimulatorSettings};

const MINUTE: Duration = Duration::from_secs(60);
const JOBS: usize = 400;
const TTL: u64 = 3_000;
/// From the pipeline's look at its clock to the simulator's, through two busy processes.
const ON_ITS_WAY: u64 = 1_000;

fn millis(text: &Value) -> u64 {
    let time: SystemTime = humantime::parse_rfc3339(text.as_str().expect("a time")).expect("RFC 3339");
    time.duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

/// More jobs than the rate can serve within their ttl, and one that had been over before it came.
#[tokio::test(flavor = "multi_thread")]
async fn promise_09_an_expired_push_is_never_sent() {
    let world = World::start(SimulatorSettings::default()).await;
    let outcomes = "[outcomes]\npublish = [\"delivered\", \"expired\"]\nfile = \"outcomes.ndjson\"\namqp = false";
    let config = world.config_with(outcomes, "", "rate = \"40/s\"\nburst = 1");
    let mut served = Served::start(&config).await;
    let (_, old) = job(JOBS, false);
    world.publish_aged(Lane::High, "old", old, Duration::from_secs(7_200)).await;
    let short = |nth| {
        let (id, body) = job(nth, false);
        let body = String::from_utf8(body.to_vec()).expect("it is text");
        (id, body.replace("\"ttl\":3600", &format!("\"ttl\":{}", TTL / 1_000)).into())
    };
    world.publish(Lane::Normal, (0..JOBS).map(short)).await;

    let file = world.folder.path().join("outcomes.ndjson");
    let told = || async {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        (text.lines().count() > JOBS).then_some(text)
    };
    let told = until("every push has its outcome", MINUTE, told).await;
    served.terminate();
    assert_eq!(served.ended(MINUTE).await, 0);

    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("an outcome")).collect();
    let told: HashMap<&str, &Value> = told.iter().map(|event| (event["job"].as_str().expect("an id"), event)).collect();
    assert_eq!(told.len(), JOBS + 1, "one for each");
    let of = |outcome: &str| told.values().filter(|event| event["outcome"] == outcome).count();
    let (delivered, expired) = (of("delivered"), of("expired"));
    println!("{delivered} delivered, {expired} expired");
    assert_eq!(delivered + expired, JOBS + 1);
    assert!(delivered > 20 && expired > JOBS / 4, "some were in time, and many could not be");

    let all = PushQuery { limit: Some(JOBS + 1), ..PushQuery::default() };
    let sent = world.simulator.pushes(all).await.pushes;
    assert_eq!(sent.len(), delivered, "what expired was never sent");
    for push in sent {
        let event = told[push.push.as_str()];
        assert_eq!(event["outcome"], "delivered", "{event}");
        let age = push.last_at.saturating_sub(millis(&event["accepted_at"]));
        assert!(age <= TTL + ON_ITS_WAY, "sent {age} ms after its acceptance: {event}");
    }
    let (id, _) = job(JOBS, false);
    assert_eq!(told[id.as_str()]["outcome"], "expired", "the one that was over before it came");
}
