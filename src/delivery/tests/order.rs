//! FLOW.md 2.7, in a route's task.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::delivery::order::{Arrival, Order};
use crate::job::{Push, UnixMillis};

/// The `nth` push to a device, of a job of its own.
fn push(nth: u64, device: u64) -> Push {
    let mut draft = draft(nth, 1);
    draft.job.to[0] = target(&format!("{device:02x}"));
    draft.origin.accepted_at = UnixMillis(draft.origin.accepted_at.0 + nth);
    draft.seal().push(0)
}

fn nth(push: &Push) -> u64 {
    push.envelope.origin.receipt.tag
}

fn leads(arrival: Arrival) -> Push {
    let Arrival::Leads(push) = arrival else { panic!("it may go") };
    push
}

#[test]
fn flow_2_7_one_device_waits_and_another_does_not() {
    let (mut order, now) = (Order::default(), Instant::now());
    let first = leads(order.comes(push(1, 7), now));
    assert!(matches!(order.comes(push(2, 7), now), Arrival::Follows));
    assert!(matches!(order.comes(push(3, 7), now), Arrival::Follows));
    let other = leads(order.comes(push(4, 8), now));
    assert!(order.leaves(&other).is_none());
    let second = order.leaves(&first).expect("it was behind");
    assert_eq!(nth(&second), 2);
    assert!(order.leaves(&first).is_none(), "what was not known to lead changes nothing");
    assert_eq!(order.leaves(&second).map(|push| nth(&push)), Some(3));
}

/// Who is put off durably takes those behind it along, and they come back as they like.
#[test]
fn flow_2_7_who_goes_away_is_not_overtaken() {
    let (mut order, now) = (Order::default(), Instant::now());
    let first = leads(order.comes(push(1, 7), now));
    assert!(matches!(order.comes(push(2, 7), now), Arrival::Follows));
    let behind: Vec<u64> = order.goes_away(&first, 10 * SEC, now).iter().map(nth).collect();
    assert_eq!(behind, [2]);
    let Arrival::Away(_, delay) = order.comes(push(3, 7), now + SEC) else { panic!("it must wait") };
    assert!(delay >= 9 * SEC, "{delay:?}");
    assert!(matches!(order.comes(push(2, 7), now + 10 * SEC), Arrival::Away(..)));
    leads(order.comes(push(1, 7), now + 11 * SEC));
    assert!(matches!(order.comes(push(3, 7), now + 12 * SEC), Arrival::Away(..)));
    assert!(matches!(order.comes(push(2, 7), now + 13 * SEC), Arrival::Follows));
    assert!(matches!(order.comes(push(3, 7), now + 14 * SEC), Arrival::Follows));
}

/// A flood to one device takes so much memory and no more.
#[test]
fn flow_2_7_what_waits_behind_one_device_is_bounded() {
    let (mut order, now) = (Order::default(), Instant::now());
    leads(order.comes(push(0, 7), now));
    let arrivals: Vec<Arrival> = (1..=5_000).map(|nth| order.comes(push(nth, 7), now)).collect();
    let followed = arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Follows)).count();
    assert_eq!(followed, 4_000);
    assert!(arrivals[4_000..].iter().all(|arrival| matches!(arrival, Arrival::Away(_, delay) if *delay >= 2 * SEC)));
    assert_eq!(order.clear().count(), 4_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever becomes of attempts, whoever is put off for however long and comes back in whatever order: no push is
    /// sent while an older one to its device has no outcome, and none is lost.
    #[test]
    fn flow_2_7_no_push_is_sent_before_an_older_one_has_its_outcome(
        steps in prop::collection::vec((0_u8..8, 0_u64..4, any::<prop::sample::Index>()), 1..300),
    ) {
        let (mut order, mut now) = (Order::default(), Instant::now());
        // Pushes that may go (in flight, on the shelf), that wait durably, and by device those without an outcome.
        let (mut here, mut away) = (Vec::<(u64, Push)>::new(), Vec::<(u64, Push)>::new());
        let mut open: [VecDeque<u64>; 4] = Default::default();
        let mut next = 0;
        let arrives = |order: &mut Order, device: u64, push, here: &mut Vec<_>, away: &mut Vec<_>, now| match order.comes(push, now) {
            Arrival::Leads(push) => here.push((device, push)),
            Arrival::Follows => {}
            Arrival::Away(push, _) => away.push((device, push)),
        };
        for (act, device, which) in steps.into_iter().map(|(act, device, which)| (act, device, Some(which))).chain((0..20_000).map(|_| (9, 0, None))) {
            now += 10 * MS;
            match act {
                0..=2 => {
                    open[device as usize].push_back(next);
                    arrives(&mut order, device, push(next, device), &mut here, &mut away, now);
                    next += 1;
                }
                // An outcome.
                3 | 4 | 9 if !here.is_empty() => {
                    let (device, push) = here.swap_remove(which.map_or(0, |which| which.index(here.len())));
                    prop_assert_eq!(open[device as usize].pop_front(), Some(nth(&push)), "the oldest is sent");
                    here.extend(order.leaves(&push).map(|next| (device, next)));
                }
                // A durable retry.
                5 if !here.is_empty() => {
                    let (device, push) = here.swap_remove(which.map_or(0, |which| which.index(here.len())));
                    let behind = order.goes_away(&push, 5 * SEC, now);
                    away.extend([push].into_iter().chain(behind).map(|push| (device, push)));
                }
                6 | 7 | 9 if !away.is_empty() => {
                    let (device, old) = away.remove(which.map_or(0, |which| which.index(away.len())));
                    arrives(&mut order, device, push(nth(&old), device), &mut here, &mut away, now);
                }
                _ => {}
            }
        }
        prop_assert!(open.iter().all(VecDeque::is_empty), "every push had its outcome: {:?}", open);
        prop_assert_eq!(order.clear().count(), 0);
    }
}
