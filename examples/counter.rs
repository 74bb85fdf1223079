//! A counter and a printer: the smallest pipeline.
//!
//! The printer takes half a second per call, and the counter counts no faster: it is asked for 10 numbers, then for 5
//! whenever 5 are printed. `cargo run --example counter`

use std::time::Duration;

use tidegate::stage::{Demand, End, Greatest, Intake, Keep, Produce, Produced, Producer, Work};

/// Counts up for ever, as far as it is asked to.
struct Counter {
    next: u64,
}

impl Produce for Counter {
    type Event = u64;

    async fn produce(&mut self, wanted: usize) -> Produced<u64> {
        println!("          the counter is asked for {wanted}");
        let first = self.next;
        self.next += wanted as u64;
        Produced::Events((first..self.next).collect())
    }
}

#[tokio::main]
async fn main() {
    // Who gets the numbers. A counter gives what it is asked for and no more, so nothing ever waits here: no places.
    let mut dispatcher = Greatest::new(0, Keep::First);
    let mut printer = Intake::of(dispatcher.consumer(), Demand::up_to(10));
    let (producer, handle) = Producer::new(Counter { next: 0 }, dispatcher, drop);
    let producer = tokio::spawn(producer.run());

    for _ in 0..6 {
        let Some(Work::Events(numbers)) = printer.next().await else { break };
        println!("printer: {numbers:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    // The printer has had enough. What it asked for and did not print goes back; the producer hands it over.
    drop(printer);
    drop(handle);
    let ended = producer.await.expect("the producer catches panics");
    assert!(matches!(ended.end, End::Deserted));
    println!("not printed: {:?}", ended.left);
}
