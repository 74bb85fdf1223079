//! A spool of format 1 as the first version wrote it: every later one must read it.

use std::path::Path;

use rusqlite::Connection;

use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/spool_v1.db");

/// The ids that were seen when it was written are known for ever.
fn for_ever(directory: &TempDir) -> SpoolSettings {
    SpoolSettings { dedupe: A_LONG_TIME * 24 * 365 * 100, ..settings(directory) }
}

#[tokio::test]
async fn a_spool_of_format_1_is_read() {
    let directory = TempDir::new().expect("a directory");
    let path = settings(&directory).path;
    std::fs::create_dir(&path).expect("made");
    std::fs::copy(GOLDEN, path.join("spool.db")).expect("the golden file is there");
    let mut spool = open_with(&for_ever(&directory));

    let names: Vec<_> =
        spool.reader.strands().expect("readable").into_iter().map(|s| (s.lane, s.app, s.providers)).collect();
    let (apns, fcm) = (Providers::default().with(Provider::Apns), Providers::default().with(Provider::Fcm));
    assert_eq!(names, [(Lane::Normal, "chat".into(), apns), (Lane::High, "shop".into(), fcm)]);
    let mut found = read_all(&mut spool.reader);
    if found.len() < 4 {
        // What was put off is due long since.
        found.extend(read_next(&mut spool).await);
    }
    found.sort_by(|one, other| (&one.id, one.attempts).cmp(&(&other.id, other.attempts)));
    assert_eq!(ids(&found), ["b", "c", "r", "s"]);
    let [b, c, r, s] = &found[..] else { panic!("four jobs") };
    assert_eq!((b.crashes, c.crashes), (2, 0), "it was in hand at two crashes");
    assert_eq!((b.pushes, b.accepted_at, b.deadline, b.attempts), (3, UnixMillis(1_000), None, 0));
    assert_eq!(&b.body[..], br#"{"id":"b","app":"chat"}"#);
    assert_eq!(s.deadline, Some(UnixMillis(1_900_000_000_000)));
    assert_eq!((r.attempts, r.selected.as_deref(), r.pushes), (2, Some(&[0, 2][..]), 2));

    let letters = DeadLetters::open(&path).expect("a spool").list(&Filter::default()).expect("readable");
    let [letter] = &letters[..] else { panic!("one letter") };
    assert_eq!((&*letter.id, &*letter.reason, &*letter.detail), ("d", "attempts", "no luck"));
    assert_eq!((letter.at, letter.targets.as_deref()), (UnixMillis(7_000), Some(&[1][..])));

    let put = spool.writer.put(vec![job("chat", "a"), job("chat", "new")]).await.expect("there is room");
    assert_eq!(put.duplicate, [true, false], "ids that were seen are known");
}

/// Run by hand, for a new format: `cargo test --lib write_the_golden -- --ignored`.
#[tokio::test]
#[ignore = "writes tests/data/spool_v1.db"]
async fn write_the_golden_file() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    let old = |app, id| NewJob { accepted_at: UnixMillis(1_000), ..job(app, id) };
    spool.writer.put(["a", "b", "d", "r", "c"].map(|id| old("chat", id)).into()).await.expect("there is room");
    let fcm = Providers::default().with(Provider::Fcm);
    let shop =
        NewJob { lane: Lane::High, providers: fcm, deadline: Some(UnixMillis(1_900_000_000_000)), ..old("shop", "s") };
    spool.writer.put(vec![shop]).await.expect("there is room");
    let chat = spool.reader.strands().expect("readable")[0].id;
    let hand = spool.reader.next(chat, 4, usize::MAX).expect("readable");
    let [a, _, d, r] = &hand[..] else { panic!("four jobs") };
    let (detail, at) = ("no luck".to_owned(), UnixMillis(7_000));
    spool.writer.dead(Dead { of: d.key, targets: vec![1], attempts: 0, reason: "attempts".into(), detail, at }).await;
    let due = UnixMillis(UnixMillis::now().0 + 3_600_000);
    spool.writer.again(Again { of: r.key, targets: vec![0, 2], providers: Providers(1), attempts: 2, due }).await;
    spool.writer.settle([a, d, r].map(|job| job.key).into());
    spool.writer.put(Vec::new()).await.expect("a commit");
    drop(spool);
    let mut spool = open(&directory);
    spool.reader.strands().expect("readable");
    spool.reader.next(chat, 1, usize::MAX).expect("readable");
    drop(spool);
    let Spool { writer, reader } = open(&directory);
    drop(reader);
    writer.close().await.expect("all is written");
    let store = settings(&directory).path.join("spool.db");
    // In the past when it is read.
    Connection::open(&store).expect("a store").execute("UPDATE later SET due = 9000", []).expect("written");
    assert!(!Path::new(&store).with_extension("db-wal").exists());
    std::fs::copy(store, GOLDEN).expect("written");
}
