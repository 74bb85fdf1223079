//! Of the gate and the shelf, what holds whatever happens.

use proptest::prelude::*;

use super::*;

/// A verdict, by a number from 0 to 9.
fn verdict(kind: u8) -> Verdict {
    let again = |sent| Verdict::of(Fate::Retry { after: SEC, sent });
    match kind {
        0 => unavailable(),
        1 => again(Sent::Refused).on_route(RouteEffect::Slow { pause: Some(5 * SEC) }),
        2 => again(Sent::Unknown),
        3 => again(Sent::No),
        4 => Verdict::of(Fate::Keep).on_route(RouteEffect::Park),
        5 => Verdict::of(Fate::Unregistered { since: None }),
        6 => again(Sent::Refused).on_route(RouteEffect::SlowDevice),
        _ => accepted(),
    }
}

proptest! {
    /// FLOW.md 3, all of it in one place: whatever is answered when, never more may go than the limit, the pace and the
    /// circuits allow together; and nothing is wanted that could not go.
    #[test]
    fn flow_3_5_the_gate_never_lets_go_more_than_any_machine_allows(
        rate in prop::option::of(1_u32..5_000),
        steps in prop::collection::vec((0_u8..10, 0_u64..2_000, 0_u32..20, 0.0..1.0), 1..200),
    ) {
        let start = Instant::now() + 1_000 * SEC;
        let mut gate = gate(rate, start);
        let (mut now, mut under_way) = (start, 0_u32);
        for (kind, millis, count, sample) in steps {
            now += Duration::from_millis(millis);
            gate.step(now);
            let room = gate.room(under_way, now);
            prop_assert!(room <= gate.concurrency_limit().saturating_sub(under_way));
            prop_assert!(gate.concurrency_limit() <= 100);
            if gate.circuit(now) == CircuitState::Open {
                prop_assert_eq!((room, gate.wanted(under_way, 100, now)), (0, 0));
                prop_assert!(gate.next_at(now).is_some_and(|at| at > now), "it says when it is worth asking again");
            }
            if gate.circuit(now) == CircuitState::HalfOpen {
                prop_assert!(room + under_way <= 1 || room == 0);
            }
            if gate.paused_until(now).is_some() {
                prop_assert_eq!((room, gate.wanted(under_way, 100, now)), (0, 0));
            }
            let taken = count.min(room);
            take(&mut gate, taken, now);
            under_way += taken;
            if under_way > 0 {
                let _ = note(&mut gate, &verdict(kind), under_way, sample, now);
                under_way -= 1;
            }
        }
        gate.pause(true);
        prop_assert_eq!((gate.room(0, now), gate.wanted(0, 100, now)), (0, 0));
    }

    /// FLOW.md 3.7: what is put on the shelf comes off once, in the order of its moments, and never before its own.
    #[test]
    fn flow_3_7_the_shelf_gives_everything_back_once_and_never_early(steps in prop::collection::vec((0_u32..2_000, 0_u32..500), 1..100)) {
        let (job, mut now) = (draft(1, 1_000).seal(), Instant::now());
        let mut shelf = Shelf::default();
        let (mut put, mut off) = (Vec::new(), Vec::new());
        for (delay, wait) in steps {
            let due = now + delay * MS;
            prop_assert!(shelf.put(job.push(put.len()), due).is_ok());
            put.push(due);
            now += wait * MS;
            let mut before = None;
            prop_assert_eq!(shelf.has_due(now), put.iter().enumerate().any(|(nth, due)| *due <= now && !off.contains(&nth)));
            while let Some(push) = shelf.take(now) {
                let nth = usize::from(push.index);
                prop_assert!(put[nth] <= now && before.is_none_or(|before| before <= put[nth]));
                before = Some(put[nth]);
                off.push(nth);
            }
        }
        off.extend(shelf.clear().map(|push| usize::from(push.index)));
        off.sort_unstable();
        prop_assert_eq!(off, (0..put.len()).collect::<Vec<_>>());
    }
}
