//! A rate-limited consumer: it asks for what its pace lets pass, so the rate is felt all the way up to the source.
//!
//! This is manual asking: no intake, just the inlet of a link and [`want`](tidegate::stage::Inlet::want).
//! 20 a second with a burst of 5, for two seconds. `cargo run --example rate_limited`

use std::num::NonZeroU32;
use std::time::Duration;

use tidegate::flow::{Pace, Rate};
use tidegate::stage::{Greatest, Keep, Producer, from_iter};
use tokio::time::{Instant, sleep_until};

#[tokio::main]
async fn main() {
    let rate = Rate { cells: NonZeroU32::new(20).expect("not 0"), per: Duration::from_secs(1) };
    let mut dispatcher = Greatest::new(0, Keep::First);
    let mut inlet = dispatcher.consumer();
    // A source that could give millions a second.
    let (producer, _handle) = Producer::new(from_iter(0_u64..), dispatcher, drop);
    let producer = tokio::spawn(producer.run());

    let start = Instant::now();
    let mut pace = Pace::new(Some(rate), 5, start.into_std());
    let mut passed = 0;
    while start.elapsed() < Duration::from_secs(2) {
        let now = Instant::now().into_std();
        let free = pace.available(now);
        if free == 0 {
            // Nothing is asked for meanwhile: the source rests.
            sleep_until(pace.next_at(now).into()).await;
            continue;
        }
        inlet.want(free as usize);
        let Some(events) = inlet.recv().await else { break };
        let count = u32::try_from(events.len()).expect("no more than was asked for");
        pace.take_up_to(count, now);
        passed += count;
        println!("{:>5} ms: {events:?}", start.elapsed().as_millis());
    }
    producer.abort();
    println!("{passed} in {:?}: the burst of 5 and 20 a second", start.elapsed());
    assert!(passed <= 5 + 41, "never above the rate");
}
