//! A partitioned pipeline: orders of three customers, each customer's in order, one customer's clerk falling ill.
//!
//! Clerk 1 panics at its third order. Its orders wait, the others' go on; a new clerk takes the desk and goes on with
//! exactly the order at which the first one fell. `cargo run --example partitions`

use std::time::Duration;

use tidegate::stage::{Demand, Intake, Keep, Partition, Producer, Work, from_iter};

#[derive(Debug, Clone, Copy)]
struct Order {
    customer: usize,
    number: usize,
}

/// Works orders off one by one; taken out is done. Falls ill before `ill_at`.
async fn clerk(name: &'static str, mut desk: Intake<Order>, ill_at: Option<usize>) {
    while let Some(Work::Events(orders)) = desk.next().await {
        while let Some(order) = orders.first().copied() {
            assert_ne!(Some(order.number), ill_at, "{name} falls ill");
            println!("{name}: customer {}, order {}", order.customer, order.number);
            tokio::time::sleep(Duration::from_millis(30)).await;
            orders.remove(0);
        }
    }
}

#[tokio::main]
async fn main() {
    let orders = (0..24).map(|nth| Order { customer: nth % 3, number: nth / 3 });
    // Up to 100 orders may wait for each customer's clerk; what would not fit is printed.
    let mut desks = Partition::new(3, 100, Keep::First, |order: &Order| order.customer);
    let clerks = [("Ada", None), ("Bob", Some(2)), ("Cyd", None)];
    let clerks: Vec<_> = (0..)
        .zip(clerks)
        .map(|(desk, (name, ill_at))| {
            let desk = Intake::of(desks.consumer(desk), Demand::up_to(2));
            tokio::spawn(clerk(name, desk, ill_at))
        })
        .collect();
    let (producer, handle) = Producer::new(from_iter(orders), desks, |lost| println!("no place for {lost:?}"));
    let producer = tokio::spawn(producer.run());

    // Whoever falls ill is replaced; the others go on meanwhile.
    let desks = clerks.into_iter().enumerate().map(async |(desk, first)| {
        if first.await.is_err() {
            let inlet = handle.with(move |desks| desks.consumer(desk)).await.expect("orders still wait");
            clerk("Dan", Intake::of(inlet, Demand::up_to(2)), None).await;
        }
    });
    futures::future::join_all(desks).await;
    let ended = producer.await.expect("the producer catches panics");
    assert!(ended.left.is_empty(), "every order was worked off");
    println!("all done: {:?}", ended.end);
}
