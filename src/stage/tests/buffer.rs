use super::super::{Buffer, Keep, Marker};
use super::NONE;

/// FLOW.md 1.5: keep first.
#[test]
fn flow_1_5_keep_first_hands_the_newest_over() {
    let mut buffer = Buffer::new(3, Keep::First);
    let depth = buffer.depth();
    assert_eq!(buffer.push(vec![1, 2]), NONE);
    assert_eq!(depth.get(), 2);
    assert_eq!(buffer.push(vec![3, 4, 5]), [4, 5]);
    assert_eq!((depth.get(), buffer.take(9)), (3, vec![1, 2, 3]));
    assert_eq!(depth.get(), 0);
}

/// FLOW.md 1.5: keep last.
#[test]
fn flow_1_5_keep_last_hands_the_oldest_over() {
    let mut buffer = Buffer::new(3, Keep::Last);
    let depth = buffer.depth();
    assert_eq!(buffer.push(vec![1, 2]), NONE);
    assert_eq!(buffer.push(vec![3, 4]), [1]);
    assert_eq!(buffer.push(vec![5, 6, 7, 8]), [2, 3, 4, 5], "also those that never had a place");
    assert_eq!((depth.get(), buffer.take(9)), (3, vec![6, 7, 8]));
}

#[test]
fn flow_1_5_a_buffer_without_places_hands_everything_over() {
    for keep in [Keep::First, Keep::Last] {
        let mut buffer = Buffer::new(0, keep);
        assert_eq!(buffer.push(vec![1, 2]), [1, 2]);
        assert!(buffer.is_idle());
    }
}

/// What comes back had its place: nobody loses one to it, and it is not lost itself.
#[test]
fn what_is_put_back_stands_in_front_and_displaces_nobody() {
    let mut buffer = Buffer::new(3, Keep::First);
    assert_eq!(buffer.push(vec![1, 2, 3]), NONE);
    let taken = buffer.take(2);
    assert_eq!(buffer.push(vec![4, 5]), NONE);
    buffer.put_back(taken);
    assert_eq!((buffer.len(), buffer.depth().get()), (5, 5));
    assert_eq!(buffer.push(vec![6]), [6], "above its capacity, it takes nothing new");
    assert_eq!(buffer.clear(), [1, 2, 3, 4, 5]);
}

/// FLOW.md 1.11: a marker stands behind all events before it, whatever becomes of them.
#[test]
fn flow_1_11_overflow_does_not_reach_markers() {
    let mut buffer = Buffer::new(2, Keep::Last);
    assert_eq!(buffer.push(vec![1, 2]), NONE);
    buffer.mark(Marker::Flush);
    assert_eq!(buffer.push(vec![3]), [1]);
    assert_eq!((buffer.take_marker(), buffer.take(9)), (None, vec![2]));
    assert_eq!((buffer.take_marker(), buffer.take(9)), (Some(Marker::Flush), vec![3]));
    assert_eq!(buffer.push(vec![4]), NONE);
    buffer.mark(Marker::Drain);
    assert_eq!(buffer.push(vec![5, 6, 7]), [4, 5]);
    assert_eq!((buffer.take_marker(), buffer.take(9)), (Some(Marker::Drain), vec![6, 7]));
}

/// Markers are bounded by events, also while these lose their places one after the other.
#[test]
fn markers_that_fall_together_are_one() {
    let mut buffer = Buffer::new(1, Keep::Last);
    for event in 0..100 {
        let _ = buffer.push(vec![event]);
        buffer.mark(Marker::Flush);
        buffer.mark(Marker::Drain);
    }
    let mut markers = 0;
    while buffer.take_marker().is_some() {
        markers += 1;
    }
    assert_eq!((markers, buffer.take(9)), (2, vec![99]));
    assert_eq!(buffer.take_marker(), Some(Marker::Flush));
    assert_eq!(buffer.take_marker(), Some(Marker::Drain));
    assert!(buffer.is_idle());
}

/// What is put back stands before the markers it stood before.
#[test]
fn flow_1_11_a_marker_is_not_overtaken_by_what_is_put_back() {
    let mut buffer = Buffer::new(4, Keep::First);
    assert_eq!(buffer.push(vec![1, 2]), NONE);
    buffer.mark(Marker::Flush);
    let taken = buffer.take(2);
    buffer.put_back(taken);
    assert_eq!((buffer.take_marker(), buffer.take(9), buffer.take_marker()), (None, vec![1, 2], Some(Marker::Flush)));
}
