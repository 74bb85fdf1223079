//! FLOW.md 2.6.

use super::*;
use crate::job::Push;

fn taken(lanes: &mut Lanes, count: usize, now: Instant) -> Vec<Push> {
    lanes.take(APNS, count, now, &mut Vec::new())
}

/// A job of 1,000 targets does not delay a single-target job of the same lane by its whole length.
#[test]
fn flow_2_6_a_single_push_waits_for_a_quantum_not_for_the_wide_jobs_before_it() {
    let (mut lanes, now) = (lanes(), Instant::now());
    for tag in 0..20 {
        admit(&mut lanes, &draft(tag, 1_000).seal(), now);
    }
    assert_eq!(taken(&mut lanes, 5, now).len(), 5);
    admit(&mut lanes, &draft(99, 1).seal(), now);
    let next = taken(&mut lanes, 17, now);
    assert!(next.iter().any(|push| push.envelope.origin.receipt.tag == 99), "16 may go before it, no more");
}

/// A flood of single pushes leaves a wide job half of the lane.
#[test]
fn flow_2_6_single_pushes_do_not_starve_a_wide_job() {
    let (mut lanes, now) = (lanes(), Instant::now());
    admit(&mut lanes, &draft(0, 1_000).seal(), now);
    fill(&mut lanes, Lane::Normal, 5_000, now);
    let wide = taken(&mut lanes, 1_000, now).iter().filter(|push| push.envelope.job.to.len() > 1).count();
    assert!(wide.abs_diff(500) <= 16, "{wide}");
}

/// Wide jobs share the lane evenly, and each goes out in the order of its targets, whichever of them a retry selected.
#[test]
fn flow_2_6_wide_jobs_take_turns_and_keep_their_order() {
    let (mut lanes, now) = (lanes(), Instant::now());
    let mut selected = draft(0, 1_000);
    selected.origin.selected = Some((0..1_000).step_by(2).collect());
    admit(&mut lanes, &selected.seal(), now);
    let mut mixed = draft(1, 1_000);
    for target in mixed.job.to.iter_mut().skip(1).step_by(2) {
        *target = Target::Fcm(crate::job::FcmTarget::Token("token".into()));
    }
    admit(&mut lanes, &mixed.seal(), now);
    let first = taken(&mut lanes, 400, now);
    let of = |tag: u64, pushes: &[Push]| -> Vec<u16> {
        pushes.iter().filter(|push| push.envelope.origin.receipt.tag == tag).map(|push| push.index).collect()
    };
    assert!(of(0, &first).len().abs_diff(200) <= 16);
    let mut all = first;
    all.extend(taken(&mut lanes, 10_000, now));
    let even: Vec<u16> = (0..1_000).step_by(2).collect();
    assert_eq!((of(0, &all), of(1, &all)), (even.clone(), even));
    let odd: Vec<u16> = (1..1_000).step_by(2).collect();
    assert_eq!(of(1, &lanes.take(FCM, 10_000, now, &mut Vec::new())), odd);
    assert_eq!(lanes.waiting_from(Lane::Normal), 0);
}
