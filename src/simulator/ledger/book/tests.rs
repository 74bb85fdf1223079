//! The books, entry by entry.

use std::time::{Duration, Instant};

use super::{Book, Entry, PushEntry};
use crate::job::{Provider, UnixMillis};

fn entry(push: &str, accepted: bool, retry_after: Option<u64>, at: Instant) -> Entry {
    Entry::Push(Box::new(PushEntry {
        push: Some(push.to_owned()),
        target: Some("t".to_owned()),
        accepted,
        status: if accepted { 200 } else { 429 },
        reason: (!accepted).then(|| "TooManyRequests".to_owned()),
        retry_after: retry_after.map(Duration::from_secs),
        message: None,
        at,
        wall: UnixMillis(1),
    }))
}

#[test]
fn who_comes_back_too_early_is_seen() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut book = Book::default();
    book.enter(Provider::Fcm, entry("a", false, Some(10), at(0)));
    // On its way when the answer was given: nobody's fault.
    book.enter(Provider::Fcm, entry("b", true, None, at(500)));
    assert_eq!(book.snapshot().fcm.requests_in_retry_after, 0);
    // Another push in the closure, and the same one before its time.
    book.enter(Provider::Fcm, entry("c", true, None, at(5000)));
    book.enter(Provider::Fcm, entry("a", true, None, at(9999)));
    let figures = book.snapshot().fcm;
    assert_eq!((figures.requests_in_retry_after, figures.retry_after_violations), (2, 1));
    book.enter(Provider::Fcm, entry("c", true, None, at(10_000)));
    let figures = book.snapshot().fcm;
    assert_eq!((figures.requests_in_retry_after, figures.retry_after_violations, figures.duplicates), (2, 1, 1));
}

#[test]
fn doors_are_apart() {
    let now = Instant::now();
    let mut book = Book::default();
    book.enter(Provider::Fcm, entry("a", true, None, now));
    book.enter(Provider::Apns, entry("a", true, None, now));
    book.enter(Provider::Apns, entry("b", false, None, now));
    let snapshot = book.snapshot();
    assert_eq!((snapshot.apns.duplicates, snapshot.fcm.duplicates, snapshot.pushes_kept), (0, 0, 3));
    assert_eq!(snapshot.apns.rejected["TooManyRequests"], 1);
}

#[test]
fn connections_open_and_close() {
    let mut book = Book::default();
    for entry in [Entry::Connected, Entry::Handshake, Entry::InFlight(7), Entry::InFlight(3), Entry::Disconnected] {
        book.enter(Provider::Apns, entry);
    }
    let figures = book.snapshot().apns;
    assert_eq!((figures.connections, figures.open_connections, figures.max_in_flight), (1, 0, 7));
}
