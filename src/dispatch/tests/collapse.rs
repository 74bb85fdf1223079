//! FLOW.md 2.4.

use super::*;
use crate::job::UnixMillis;
use crate::job::fixture::Draft;

/// A job to the device `device` with a collapse key; `tag` says which.
fn keyed(tag: u64, device: &str, key: &str) -> Draft {
    let mut draft = draft(tag, 1);
    draft.job.to[0] = Target::Apns(device.into());
    draft.job.collapse_key = Some(key.into());
    draft
}

fn tags(pushes: &[crate::job::Push]) -> Vec<u64> {
    pushes.iter().map(|push| push.envelope.origin.receipt.tag).collect()
}

fn drain(lanes: &mut Lanes, now: Instant) -> Vec<u64> {
    tags(&lanes.take(APNS, 1_000, now, &mut Vec::new()))
}

#[test]
fn flow_2_4_a_newer_push_takes_the_place_of_the_waiting_one() {
    let (mut lanes, now) = (lanes(), Instant::now());
    let mut exits = Vec::new();
    for (tag, device, key) in [(1, "aa", "x"), (2, "bb", "x"), (3, "aa", "y"), (4, "aa", "x"), (5, "aa", "x")] {
        lanes.admit(&keyed(tag, device, key).seal(), now, &mut exits);
    }
    assert_eq!(whys(&exits), [Why::Collapsed; 2]);
    assert_eq!(exits.iter().map(|exit| exit.push.envelope.origin.receipt.tag).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(lanes.waiting_from(Lane::Normal), 3);
    assert_eq!(drain(&mut lanes, now), [5, 2, 3], "in its place, in front");
    admit(&mut lanes, &keyed(6, "aa", "x").seal(), now);
    assert_eq!(drain(&mut lanes, now), [6], "what has left can't be replaced");
}

/// A job's 1,000 pushes can each be replaced; the rest stays what it was.
#[test]
fn flow_2_4_a_push_of_a_wide_job_is_replaced_alone() {
    let (mut lanes, now) = (lanes(), Instant::now());
    let mut wide = draft(1, 1_000);
    wide.job.collapse_key = Some("x".into());
    let Target::Apns(third) = wide.job.to[3].clone() else { panic!("the fixture's targets are Apple's") };
    admit(&mut lanes, &wide.seal(), now);
    let mut exits = Vec::new();
    lanes.admit(&keyed(2, &third, "x").lane(Lane::Low).seal(), now, &mut exits);
    assert_eq!((exits.len(), exits[0].push.index), (1, 3));
    assert_eq!((lanes.waiting_from(Lane::Normal), lanes.waiting_from(Lane::Low)), (999, 1));
    let sent = drain(&mut lanes, now);
    assert_eq!((sent.len(), sent[3]), (1_000, 2));
    assert_eq!((lanes.waiting_from(Lane::Normal), lanes.waiting_from(Lane::Low)), (0, 0));
}

/// A more important newer push waits in its own lane, not in the older one's place.
#[test]
fn flow_2_4_a_more_important_push_overtakes_the_one_it_replaces() {
    let (mut lanes, now) = (lanes(), Instant::now());
    fill(&mut lanes, Lane::Low, 50, now);
    admit(&mut lanes, &keyed(7_001, "aa", "x").lane(Lane::Low).seal(), now);
    let mut exits = Vec::new();
    lanes.admit(&keyed(7_002, "aa", "x").lane(Lane::High).seal(), now, &mut exits);
    assert_eq!(whys(&exits), [Why::Collapsed]);
    let sent = drain(&mut lanes, now);
    assert_eq!((sent[0], sent.len()), (7_002, 51));
    assert!(active(&lanes).is_empty());
}

/// One that comes again from a retry queue does not replace what is newer than it.
#[test]
fn flow_2_4_an_older_one_that_comes_again_is_the_one_collapsed() {
    let (mut lanes, now) = (lanes(), Instant::now());
    admit(&mut lanes, &keyed(2, "aa", "x").seal(), now);
    let mut older = keyed(1, "aa", "x");
    older.origin.accepted_at = UnixMillis(older.origin.accepted_at.0 - 1);
    let mut exits = Vec::new();
    lanes.admit(&older.seal(), now, &mut exits);
    assert_eq!((whys(&exits), exits[0].push.envelope.origin.receipt.tag), (vec![Why::Collapsed], 1));
    assert_eq!(drain(&mut lanes, now), [2]);
}
