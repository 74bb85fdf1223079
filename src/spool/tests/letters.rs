//! Dead letters, looked after from outside while the spool serves.

use super::*;
use crate::job::Provider;

/// A spool with so many dead letters of `chat`, called `d0` and so on; every second a part of its job.
async fn with_letters(directory: &TempDir, count: usize) -> Spool {
    let mut spool = open(directory);
    let jobs =
        (0..count).map(|nth| NewJob { deadline: Some(UnixMillis(u64::MAX >> 1)), ..job("chat", &format!("d{nth}")) });
    spool.writer.put(jobs.collect()).await.expect("there is room");
    for (nth, job) in read_all(&mut spool.reader).into_iter().enumerate() {
        let targets = if nth % 2 == 0 { Vec::new() } else { vec![0, 2] };
        let reason = if nth % 3 == 0 { "attempts" } else { "refused" };
        let dead = Dead {
            of: job.key,
            targets,
            attempts: 0,
            reason: reason.into(),
            detail: format!("no. {nth}"),
            at: UnixMillis(5),
        };
        spool.writer.dead(dead).await;
        spool.writer.settle(vec![job.key]);
    }
    spool
}

fn letters(directory: &TempDir) -> DeadLetters {
    DeadLetters::open(&settings(directory).path).expect("there is a spool")
}

#[tokio::test]
async fn letters_are_listed_by_what_is_asked_and_shown_with_their_body() {
    let directory = TempDir::new().expect("a directory");
    let _spool = with_letters(&directory, 6).await;
    let letters = letters(&directory);
    let ids = |filter: Filter| -> Vec<String> {
        letters.list(&filter).expect("readable").into_iter().map(|letter| letter.id.into()).collect()
    };
    assert_eq!(ids(Filter::default()), ["d0", "d1", "d2", "d3", "d4", "d5"]);
    assert_eq!(ids(Filter { reason: Some("attempts".into()), ..Filter::default() }), ["d0", "d3"]);
    assert_eq!(ids(Filter { id: Some("d4".into()), app: Some("chat".into()), ..Filter::default() }), ["d4"]);
    assert_eq!(ids(Filter { limit: Some(2), ..Filter::default() }), ["d0", "d1"]);
    assert!(ids(Filter { app: Some("shop".into()), ..Filter::default() }).is_empty());

    let part = letters.list(&Filter { id: Some("d1".into()), ..Filter::default() }).expect("readable").remove(0);
    assert_eq!((&*part.app, part.lane, &part.providers[..]), ("chat", Lane::Normal, &[Provider::Apns][..]));
    assert_eq!((part.pushes, part.targets.as_deref(), part.at), (2, Some(&[0, 2][..]), UnixMillis(5)));
    assert_eq!((&*part.reason, &*part.detail), ("refused", "no. 1"));
    let shown = letters.show(part.n).expect("readable").expect("it is there");
    assert!(shown.intact && shown.letter == part, "{part:?}");
    assert_eq!(&shown.body[..], br#"{"id":"d1","app":"chat"}"#);
    assert_eq!(part.bytes, shown.body.len() as u64);
    assert!(letters.show(999).expect("readable").is_none());
}

#[tokio::test]
async fn a_replayed_letter_is_read_again_by_the_process_that_serves_as_if_accepted_now() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = with_letters(&directory, 6).await;
    let letters = letters(&directory);
    let before = UnixMillis::now();
    let attempts = Which::Matching(Filter { reason: Some("attempts".into()), ..Filter::default() });
    assert_eq!(letters.replay(&attempts, None), Ok(2));
    let mut found = read_next(&mut spool).await;
    if found.len() < 2 {
        found.extend(read_next(&mut spool).await);
    }
    assert_eq!(ids(&found), ["d0", "d3"]);
    assert!(found.iter().all(|job| job.attempts == 0 && job.accepted_at >= before && job.deadline.is_some()));
    assert_eq!(found[0].selected, None);
    assert_eq!((found[1].selected.as_deref(), found[1].pushes), (Some(&[0, 2][..]), 2));
    assert_eq!(letters.replay(&attempts, None), Ok(0), "they are no letters any more");
    let mut status = spool.writer.status();
    let counted = status.wait_for(|status| (status.dead, status.queued, status.later) == (4, 2, 0));
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("in time").expect("the writer lives");
}

#[tokio::test]
async fn a_rate_spreads_what_is_replayed() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = with_letters(&directory, 5).await;
    let start = UnixMillis::now();
    // One a minute: the first now, the others not while this test runs.
    assert_eq!(letters(&directory).replay(&Which::Matching(Filter::default()), Some(1.0 / 60.0)), Ok(5));
    assert_eq!(ids(&read_next(&mut spool).await), ["d0"]);
    let store = rusqlite::Connection::open(directory.path().join("spool/spool.db")).expect("a store");
    let mut due = store.prepare("SELECT due FROM later ORDER BY due").expect("a table");
    let due =
        due.query_map([], |row| row.get::<_, i64>(0)).expect("rows").map(|due| due.expect("a number").unsigned_abs());
    let mut ages = store.prepare("SELECT due - accepted_at FROM later").expect("a table");
    let ages: Vec<i64> =
        ages.query_map([], |row| row.get(0)).expect("rows").map(|age| age.expect("a number")).collect();
    assert_eq!(ages, [0; 4], "the ttl of one that waits for its turn does not run yet");
    let minutes: Vec<u64> = due.map(|due| (due - start.0) / 60_000).collect();
    assert_eq!(minutes, [1, 2, 3, 4]);
    assert!(letters(&directory).replay(&Which::Matching(Filter::default()), Some(0.0)).is_err());
}

#[tokio::test]
async fn many_letters_are_dropped_in_steps_and_only_those_that_are_meant() {
    let directory = TempDir::new().expect("a directory");
    let spool = with_letters(&directory, 450).await;
    let letters = letters(&directory);
    let all = letters.list(&Filter::default()).expect("readable");
    assert_eq!(letters.drop(&Which::Numbered(vec![all[1].n, all[2].n, all[2].n, 9_999])), Ok(2));
    let rest = Filter { reason: Some("refused".into()), ..Filter::default() };
    assert_eq!(letters.drop(&Which::Matching(rest)), Ok(298));
    let mut status = spool.writer.status();
    let counted = status.wait_for(|status| status.dead == 150);
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("in time").expect("the writer lives");
    assert!(letters.list(&Filter::default()).expect("readable").iter().all(|letter| &*letter.reason == "attempts"));
}

#[tokio::test]
async fn a_damaged_letter_is_shown_as_such_and_is_not_replayed() {
    let directory = TempDir::new().expect("a directory");
    let _spool = with_letters(&directory, 2).await;
    let store = rusqlite::Connection::open(directory.path().join("spool/spool.db")).expect("a store");
    store.execute("UPDATE dead SET pushes = 70000, id = x'ff' WHERE id = 'd0'", []).expect("tampered with");
    let letters = letters(&directory);
    let damaged = letters.list(&Filter::default()).expect("readable").remove(0);
    let shown = letters.show(damaged.n).expect("readable").expect("it is there");
    assert!(!shown.intact);
    assert_eq!(letters.replay(&Which::Matching(Filter::default()), None), Ok(1));
    assert_eq!(letters.drop(&Which::Numbered(vec![damaged.n])), Ok(1));
}

#[test]
fn where_no_spool_is_it_is_said() {
    let directory = TempDir::new().expect("a directory");
    let error = DeadLetters::open(directory.path()).err().expect("there is none");
    assert!(error.to_string().contains("there is no spool in it"), "{error}");
    assert!(!directory.path().join("spool.db").exists(), "none was made");
}
