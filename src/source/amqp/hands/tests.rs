use std::sync::Arc;

use super::*;
use crate::job::fixture::draft;
use crate::job::{Acknowledger, Receipt};
use crate::source::amqp::message;

fn delivery(tag: u64, body: &str, redelivered: bool) -> Delivery {
    Delivery::mock(tag, "jobs".into(), "high".into(), redelivered, body.into())
}

/// A feed's part, made by hand.
struct Desk {
    hands: Hands,
    receipts: Arc<Receipts>,
    now: Instant,
}

impl Desk {
    fn new(max_prefetch: u16) -> Self {
        let hands = Hands::new(max_prefetch);
        Self { receipts: hands.receipts(), hands, now: Instant::now() }
    }

    /// Takes a delivery: the tags handed down, acked.
    fn take(&mut self, tag: u64, body: &str, redelivered: bool) -> (Vec<u64>, Vec<u64>) {
        shown(&[self.hands.arrived(delivery(tag, body, redelivered))])
    }

    fn look(&mut self) -> (Vec<u64>, Vec<u64>) {
        shown(&self.verdicts())
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        self.now += SCAN_EVERY;
        self.hands.look(self.now)
    }

    /// The pipeline gets the job.
    fn decode(&mut self, tag: u64, targets: usize) -> Arc<Envelope> {
        let mut draft = draft(tag, targets);
        let acknowledger = Arc::clone(&self.receipts) as Arc<dyn Acknowledger>;
        draft.origin.receipt = Receipt { acknowledger, tag };
        let envelope = draft.seal();
        self.hands.decoded(tag, &envelope);
        envelope
    }

    fn lose(&mut self) {
        self.receipts.lose();
        let fresh = self.hands.receipts();
        self.hands.lose(std::mem::replace(&mut self.receipts, fresh));
    }
}

fn shown(verdicts: &[Verdict]) -> (Vec<u64>, Vec<u64>) {
    let (mut sent, mut duplicates) = (Vec::new(), Vec::new());
    for verdict in verdicts {
        match verdict {
            Verdict::Send(delivery) => sent.push(delivery.delivery_tag),
            Verdict::Duplicate(tag) => duplicates.push(*tag),
            Verdict::Wait => {}
        }
    }
    (sent, duplicates)
}

/// Which targets a message that is handed down says it means.
fn targets(verdict: &Verdict) -> Option<String> {
    let Verdict::Send(delivery) = verdict else { panic!("it is handed down") };
    message::text(delivery.properties.headers().as_ref(), names::TARGETS)
}

fn settle(job: &Envelope) {
    job.origin.receipt.acknowledger.settle(vec![job.origin.receipt.tag]);
}

#[test]
fn what_was_settled_before_the_loss_or_after_it_is_not_sent_again() {
    let mut desk = Desk::new(10);
    for (tag, body) in [(1, "acked"), (2, "late"), (3, "waits")] {
        assert_eq!(desk.take(tag, body, false), (vec![tag], vec![]));
    }
    let late = desk.decode(2, 1);
    desk.hands.settled(1);
    desk.lose();
    assert_eq!(desk.look(), (vec![], vec![]));
    settle(&late);
    desk.look();
    assert_eq!(desk.take(1, "waits", true), (vec![1], vec![]), "it was never handed down");
    assert_eq!(desk.take(2, "acked", true), (vec![], vec![2]));
    assert_eq!(desk.take(3, "late", true), (vec![], vec![3]));
    assert_eq!(desk.take(4, "late", false), (vec![4], vec![]), "a new job, word for word the same");
    assert!(desk.hands.lost.is_empty());
    // The acks of what came again can be lost as well.
    desk.lose();
    assert_eq!(desk.take(1, "acked", true), (vec![], vec![1]));
}

#[test]
fn what_is_under_way_when_it_comes_again_waits_for_its_fate() {
    let mut desk = Desk::new(10);
    let bodies = ["settled", "returned", "dropped", "partly"];
    let jobs: Vec<_> = (1..)
        .zip(bodies)
        .map(|(tag, body)| {
            desk.take(tag, body, false);
            desk.decode(tag, 4)
        })
        .collect();
    desk.lose();
    for (tag, body) in (1..).zip(bodies) {
        assert_eq!(desk.take(tag, body, true), (vec![], vec![]), "{body}");
    }
    settle(&jobs[0]);
    assert_eq!(desk.look(), (vec![], vec![1]));
    jobs[1].origin.receipt.acknowledger.give_back(vec![2]);
    assert_eq!(desk.look(), (vec![2], vec![]));
    jobs[3].origin.receipt.acknowledger.settle_except(4, vec![1, 3]);
    drop(jobs);
    let verdicts = desk.verdicts();
    assert_eq!(shown(&verdicts), (vec![3, 4], vec![]));
    assert_eq!(
        (targets(&verdicts[0]), targets(&verdicts[1]).as_deref()),
        (None, Some("1,3")),
        "only what has not ended"
    );

    // Lost anew, untouched this time: what ended in the first round stays so.
    desk.lose();
    desk.look();
    let verdict = desk.hands.arrived(delivery(1, "partly", true));
    assert_eq!(targets(&verdict).as_deref(), Some("1,3"));
}

#[test]
fn a_delivery_that_waits_when_its_own_channel_is_lost_waits_on() {
    let mut desk = Desk::new(10);
    desk.take(1, "job", false);
    let job = desk.decode(1, 1);
    for _ in 0..5 {
        desk.lose();
        desk.look();
        assert_eq!(desk.take(1, "job", true), (vec![], vec![]));
    }
    settle(&job);
    assert_eq!(desk.look(), (vec![], vec![1]));
}

#[test]
fn it_holds_no_more_than_its_bound_however_often_channels_are_lost() {
    let mut desk = Desk::new(4);
    for round in 0..1_000u64 {
        for nth in 1..=12 {
            desk.take(nth, &format!("{round} {nth}"), false);
            desk.hands.settled(nth);
        }
        assert!(desk.hands.recent.len() <= 8);
        desk.lose();
        desk.look();
        assert!(desk.hands.lost.is_empty() && desk.hands.held.is_empty());
    }
    // Sixteen windows: the last eight jobs of the last eight rounds.
    assert_eq!(desk.take(1, "992 5", true), (vec![], vec![1]));
    assert_eq!(desk.take(2, "991 12", true), (vec![2], vec![]), "forgotten, and sent");
}
