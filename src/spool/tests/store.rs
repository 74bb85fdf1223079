//! Each promise of the store by itself.

use rusqlite::Connection;

use super::record::COLUMNS;
use super::*;

fn sqlite(directory: &TempDir) -> Connection {
    Connection::open(directory.path().join("spool/spool.db")).expect("the store is a SQLite store")
}

#[tokio::test]
async fn a_job_comes_back_as_it_was_put() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    let new = NewJob { deadline: Some(UnixMillis(5_000)), ..job("chat", "a") };
    spool.writer.put(vec![new.clone()]).await.expect("there is room");
    let [stored] = &read_all(&mut spool.reader)[..] else { panic!("one job") };
    assert_eq!((&stored.id, stored.pushes, &stored.body), (&new.id, 3, &new.body));
    assert_eq!((stored.accepted_at, stored.deadline), (new.accepted_at, new.deadline));
    assert_eq!((stored.attempts, &stored.selected, stored.crashes), (0, &None, 0));
    assert!(read_all(&mut spool.reader).is_empty(), "each once");
}

#[tokio::test]
async fn what_comes_again_is_read_before_the_backlog_and_not_before_it_is_due() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    spool.writer.put(["a", "b", "c"].map(|id| job("chat", id)).into()).await.expect("there is room");
    let strand = spool.reader.strands().expect("readable")[0].id;
    let first = spool.reader.next(strand, 1, usize::MAX).expect("readable").remove(0);
    let soon = UnixMillis(UnixMillis::now().0 + 150);
    spool
        .writer
        .again(Again { of: first.key, targets: vec![0, 2], providers: Providers(1), attempts: 1, due: soon })
        .await;
    spool.writer.settle(vec![first.key]);
    let second = spool.reader.next(strand, 1, usize::MAX).expect("readable");
    assert_eq!(ids(&second), ["b"]);
    let read = async {
        loop {
            spool.reader.strands().expect("readable");
            let jobs = spool.reader.next(strand, 1, usize::MAX).expect("readable");
            if ids(&jobs) == ["a"] {
                return jobs.into_iter().next().expect("one");
            }
            assert!(jobs.is_empty() || UnixMillis::now() >= soon || ids(&jobs) == ["c"], "{jobs:?}");
            tokio::task::yield_now().await;
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(10), read).await.expect("it comes again");
    assert!(UnixMillis::now() >= soon);
    assert_eq!((again.pushes, again.attempts, again.selected.as_deref()), (2, 1, Some(&[0, 2][..])));
}

#[tokio::test]
async fn a_known_id_is_queued_once_also_after_a_restart_and_within_one_put() {
    let directory = TempDir::new().expect("a directory");
    let spool = open(&directory);
    let put = spool.writer.put(vec![job("chat", "a"), job("chat", "a"), job("shop", "a")]).await.expect("room");
    assert_eq!((put.queued, put.duplicate), (2, vec![false, true, false]));
    drop(spool);
    let spool = open(&directory);
    let unnamed = NewJob { named: false, ..job("chat", "a") };
    let put = spool.writer.put(vec![job("chat", "a"), unnamed]).await.expect("room");
    assert_eq!((put.queued, put.duplicate), (1, vec![true, false]));
}

#[tokio::test]
async fn a_job_in_hand_at_a_crash_is_a_suspect_and_after_a_clean_end_it_is_not() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    spool.writer.put(["a", "b", "c"].map(|id| job("chat", id)).into()).await.expect("there is room");
    let strand = spool.reader.strands().expect("readable")[0].id;
    let hand = spool.reader.next(strand, 2, usize::MAX).expect("readable");
    spool.writer.settle(vec![hand[0].key]);
    spool.writer.put(Vec::new()).await.expect("a commit");
    drop(spool);
    let crashes = |jobs: &[Stored]| jobs.iter().map(|job| (job.id.to_string(), job.crashes)).collect::<Vec<_>>();
    let mut spool = open(&directory);
    assert_eq!(crashes(&read_all(&mut spool.reader)), [("b".to_owned(), 1), ("c".to_owned(), 0)]);
    let Spool { writer, reader } = spool;
    drop(reader);
    writer.close().await.expect("all is written");
    let mut spool = open(&directory);
    assert_eq!(crashes(&read_all(&mut spool.reader)), [("b".to_owned(), 1), ("c".to_owned(), 0)]);
}

#[tokio::test]
async fn a_record_that_is_not_what_was_written_is_a_dead_letter() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    spool.writer.put(["a", "b"].map(|id| job("chat", id)).into()).await.expect("there is room");
    sqlite(&directory).execute("UPDATE jobs SET pushes = 9 WHERE id = 'a'", []).expect("tampered with");
    assert_eq!(ids(&read_all(&mut spool.reader)), ["b"]);
    let mut status = spool.writer.status();
    let buried = status.wait_for(|status| status.dead == 1 && status.queued == 1);
    tokio::time::timeout(Duration::from_secs(10), buried).await.expect("in time").expect("the writer lives");
    let reason: String =
        sqlite(&directory).query_row("SELECT reason FROM dead WHERE id = 'a'", [], |row| row.get(0)).expect("a letter");
    assert_eq!(reason, "corrupt_record");
}

#[tokio::test]
async fn a_value_that_no_record_has_is_as_corrupt_as_a_wrong_checksum() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    spool.writer.put(["a", "b", "c", "d"].map(|id| job("chat", id)).into()).await.expect("there is room");
    let hand = spool.reader.strands().expect("readable");
    let first = spool.reader.next(hand[0].id, 1, usize::MAX).expect("readable").remove(0);
    let damage = "UPDATE jobs SET pushes = 70000 WHERE id = 'a'; UPDATE jobs SET body = 'text' WHERE id = 'b';
                  UPDATE jobs SET crashes = 'x' WHERE id = 'c'; UPDATE jobs SET id = x'ff' WHERE id = 'd'";
    sqlite(&directory).execute_batch(damage).expect("tampered with");
    // What was in hand and is damaged meanwhile can't come again; the writer goes on.
    spool
        .writer
        .again(Again { of: first.key, targets: vec![1], providers: Providers(1), attempts: 1, due: UnixMillis(0) })
        .await;
    spool.writer.settle(vec![first.key]);
    let found = read_all(&mut spool.reader);
    assert_eq!(ids(&found), ["c"]);
    assert_eq!(found[0].crashes, 0);
    let mut status = spool.writer.status();
    let buried = status.wait_for(|status| (status.dead, status.queued) == (3, 1) && status.failing.is_none());
    tokio::time::timeout(Duration::from_secs(10), buried).await.expect("in time").expect("the writer lives");
}

#[tokio::test]
async fn a_full_spool_refuses_all_of_a_put_and_takes_it_when_there_is_room() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open_with(&SpoolSettings { max_bytes: 400 << 10, ..settings(&directory) });
    let big = |id: String| NewJob { body: vec![b'x'; 20_000].into(), ..job("chat", &id) };
    let mut taken = 0;
    let refused = loop {
        match spool.writer.put(vec![big(format!("{taken}a")), big(format!("{taken}b"))]).await {
            Ok(_) => taken += 2,
            Err(refused) => break refused,
        }
        assert!(taken < 100, "a bound must hold");
    };
    assert!(matches!(refused, Refused::Full { max: 409_600, .. }), "{refused:?}");
    assert!(taken >= 6, "{taken}");
    let mut status = spool.writer.status();
    let told = status.wait_for(|status| status.refusing.as_deref().is_some_and(|why| why.contains("full")));
    drop(tokio::time::timeout(Duration::from_secs(4), told).await.expect("in time").expect("the writer lives"));
    let hand = read_all(&mut spool.reader);
    assert_eq!(hand.len(), taken, "nothing of the refused put is there");
    spool.writer.settle(hand.iter().map(|job| job.key).collect());
    let again = async {
        while spool.writer.put(vec![big("later".to_owned())]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("there is room again");
}

#[tokio::test]
async fn dead_letters_that_fill_the_spool_are_named() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open_with(&SpoolSettings { max_bytes: 400 << 10, ..settings(&directory) });
    let big = |id: String| NewJob { body: vec![b'x'; 20_000].into(), ..job("chat", &id) };
    let refused = loop {
        if let Err(refused) = spool.writer.put(vec![big(UnixMillis::now().0.to_string())]).await {
            break refused;
        }
        for job in read_all(&mut spool.reader) {
            let (reason, detail) = ("r".into(), String::new());
            let dead = Dead { of: job.key, targets: vec![], attempts: 0, reason, detail, at: UnixMillis(1) };
            spool.writer.dead(dead).await;
            spool.writer.settle(vec![job.key]);
        }
    };
    assert!(
        matches!(refused, Refused::Full { dead: 5.., .. }) && refused.to_string().contains("tidegate dead"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_small_spool_takes_many_times_its_size_as_long_as_it_is_emptied() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open_with(&SpoolSettings { max_bytes: 1 << 20, ..settings(&directory) });
    let give_up = std::time::Instant::now() + Duration::from_secs(60);
    for round in 0..60 {
        let big = |nth| NewJob { body: vec![b'x'; 20_000].into(), ..job("chat", &format!("{round}-{nth}")) };
        let jobs: Vec<NewJob> = (0..20).map(big).collect();
        while let Err(refused) = spool.writer.put(jobs.clone()).await {
            assert!(std::time::Instant::now() < give_up, "round {round}: {refused} for ever");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let hand = read_all(&mut spool.reader);
        assert_eq!(hand.len(), 20);
        spool.writer.settle(hand.iter().map(|job| job.key).collect());
    }
}

#[tokio::test]
async fn ids_beyond_the_window_are_forgotten_on_disk_too() {
    let directory = TempDir::new().expect("a directory");
    let spool = open_with(&SpoolSettings { dedupe: Duration::from_millis(1), ..settings(&directory) });
    spool.writer.put(vec![job("chat", "a")]).await.expect("there is room");
    let old = "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 300)
               INSERT INTO seen (at, hashes) SELECT 1000, randomblob(32) FROM many; UPDATE seen SET at = 1000";
    sqlite(&directory).execute_batch(old).expect("written");
    let rows =
        || sqlite(&directory).query_row("SELECT count(*) FROM seen", [], |row| row.get::<_, i64>(0)).expect("read");
    assert_eq!(rows(), 301);
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    for nth in 0.. {
        spool.writer.put(vec![job("chat", &format!("b{nth}"))]).await.expect("there is room");
        if rows() < 20 {
            return;
        }
        assert!(std::time::Instant::now() < give_up, "{} rows", rows());
    }
}

#[tokio::test]
async fn the_oldest_dead_letters_go_when_there_are_too_many() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    spool.writer.put(["a", "b", "c", "d"].map(|id| job("chat", id)).into()).await.expect("there is room");
    let bury = |job: &Stored| Dead {
        of: job.key,
        targets: vec![],
        attempts: 0,
        reason: "r".into(),
        detail: String::new(),
        at: UnixMillis(1),
    };
    let hand = read_all(&mut spool.reader);
    for job in &hand[..3] {
        spool.writer.dead(bury(job)).await;
    }
    // As if there were a million besides.
    sqlite(&directory).execute("UPDATE counts SET rows = 1000001 WHERE name = 'dead'", []).expect("written");
    spool.writer.dead(bury(&hand[3])).await;
    let letters = DeadLetters::open(&settings(&directory).path).expect("a spool").list(&Filter::default());
    let left: Vec<_> = letters.expect("readable").into_iter().map(|letter| letter.id).collect();
    assert_eq!(left, ["c".into(), "d".into()]);
    let mut status = spool.writer.status();
    let told = status.wait_for(|status| status.dropped_dead == 2);
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("in time").expect("the writer lives");
}

#[tokio::test]
async fn a_disk_below_the_floor_refuses_and_goes_on_settling() {
    let directory = TempDir::new().expect("a directory");
    let spool = open(&directory);
    spool.writer.put(vec![job("chat", "a")]).await.expect("there is room");
    drop(spool);
    let mut spool = open_with(&SpoolSettings { min_free: u64::MAX, ..settings(&directory) });
    let refused = spool.writer.put(vec![job("chat", "b")]).await.expect_err("the disk is never so large");
    assert!(matches!(refused, Refused::DiskFull { floor: u64::MAX, .. }), "{refused}");
    let hand = read_all(&mut spool.reader);
    spool
        .writer
        .dead(Dead {
            of: hand[0].key,
            targets: vec![],
            attempts: 0,
            reason: "r".into(),
            detail: String::new(),
            at: UnixMillis(1),
        })
        .await;
    spool.writer.settle(vec![hand[0].key]);
    let mut status = spool.writer.status();
    let settled = status.wait_for(|status| status.queued == 0 && status.dead == 1 && status.refusing.is_some());
    tokio::time::timeout(Duration::from_secs(10), settled).await.expect("in time").expect("the writer lives");
}

#[tokio::test]
async fn room_that_is_settled_is_given_back_to_the_disk() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    for batch in 0..8 {
        let big = |nth| NewJob { body: vec![7; 60_000].into(), ..job("chat", &format!("{batch}-{nth}")) };
        spool.writer.put((0..100).map(big).collect()).await.expect("there is room");
    }
    let size = || std::fs::metadata(directory.path().join("spool/spool.db")).expect("it is there").len();
    let hand = read_all(&mut spool.reader);
    spool.writer.settle(hand.iter().map(|job| job.key).collect());
    let give_up = std::time::Instant::now() + Duration::from_secs(30);
    let full = size();
    while size() > 24 << 20 {
        assert!(std::time::Instant::now() < give_up, "it had {full} bytes and has {}", size());
        // A commit from time to time lets the log be carried over, as it does in life.
        let one = vec![NewJob { named: false, ..job("chat", "x") }];
        spool.writer.put(one).await.expect("there is room");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_process_at_a_time_and_only_a_spool() {
    let directory = TempDir::new().expect("a directory");
    let spool = open(&directory);
    let second = Spool::open(&settings(&directory)).err().expect("it is in use");
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    let Spool { writer, reader } = spool;
    drop(reader);
    writer.close().await.expect("all is written");

    sqlite(&directory).execute_batch("PRAGMA user_version = 2").expect("written");
    let later = Spool::open(&settings(&directory)).err().expect("a later version");
    assert!(later.to_string().contains("spool.db has format 2, this version knows 1"), "{later}");
    sqlite(&directory).execute_batch("PRAGMA user_version = 1; PRAGMA application_id = 7").expect("written");
    let foreign = Spool::open(&settings(&directory)).err().expect("somebody else's");
    assert!(foreign.to_string().contains("no spool of Tidegate's"), "{foreign}");

    let garbage = TempDir::new().expect("a directory");
    std::fs::create_dir(garbage.path().join("spool")).expect("made");
    std::fs::write(garbage.path().join("spool/spool.db"), vec![b'x'; 9_000]).expect("written");
    let garbage = Spool::open(&settings(&garbage)).err().expect("garbage");
    assert!(matches!(garbage, OpenError::Format(..)), "{garbage}");

    // Nobody, root neither, makes a file there.
    let closed = Spool::open(&SpoolSettings { path: "/proc/self".into(), ..settings(&directory) });
    let closed = closed.err().expect("nothing can be written");
    assert!(closed.to_string().contains("can't be written to"), "{closed}");

    let file = TempDir::new().expect("a directory");
    std::fs::write(file.path().join("spool"), "a file").expect("written");
    let file = Spool::open(&settings(&file)).err().expect("no directory");
    assert!(matches!(file, OpenError::Store(..)), "{file}");
}

#[tokio::test]
async fn closing_writes_what_was_said_and_refuses_what_comes() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    spool.writer.put(["a", "b"].map(|id| job("chat", id)).into()).await.expect("there is room");
    let hand = read_all(&mut spool.reader);
    spool.writer.settle(vec![hand[0].key]);
    let other = spool.writer.clone();
    spool.writer.close().await.expect("all is written");
    drop(spool.reader);
    assert_eq!(other.put(vec![job("chat", "c")]).await, Err(Refused::Closed));
    drop(other);
    assert_eq!(ids(&read_all(&mut open(&directory).reader)), ["b"]);
}

#[tokio::test]
async fn a_job_that_arrives_is_told() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    let writer = spool.writer.clone();
    let put = tokio::spawn(async move { writer.put(vec![job("chat", "a")]).await });
    assert_eq!(ids(&read_next(&mut spool).await), ["a"]);
    put.await.expect("no panic").expect("there is room");
}

/// A spool with one job, `a`, in hand and a retry of it that is due in an hour.
async fn with_a_retry(directory: &TempDir) -> Spool {
    let mut spool = open(directory);
    spool.writer.put(vec![job("chat", "a")]).await.expect("there is room");
    let a = read_all(&mut spool.reader).remove(0).key;
    let far = UnixMillis(UnixMillis::now().0 + 3_600_000);
    spool.writer.again(Again { of: a, targets: vec![1], providers: Providers(1), attempts: 2, due: far }).await;
    spool
}

#[tokio::test]
async fn a_retry_of_no_strand_is_a_dead_letter_and_holds_up_nobody() {
    for strand in ["77", "'x'", "-1"] {
        let directory = TempDir::new().expect("a directory");
        let spool = with_a_retry(&directory).await;
        sqlite(&directory).execute(&format!("UPDATE later SET strand = {strand}, due = 0"), []).expect("damaged");
        let mut status = spool.writer.status();
        let buried = status.wait_for(|status| status.later == 0 && status.dead == 1);
        tokio::time::timeout(Duration::from_secs(10), buried).await.expect("in time").expect("the writer lives");
        spool.writer.put(vec![job("chat", "b")]).await.expect("puts go on");
        let letters = DeadLetters::open(&settings(&directory).path).expect("they open");
        let letters = letters.list(&Filter::default()).expect("they can be read");
        assert_eq!((&*letters[0].reason, &*letters[0].id), ("corrupt_record", "a"), "{strand}");
    }
}

#[tokio::test]
async fn a_put_does_not_wait_for_all_retries_that_are_due() {
    let directory = TempDir::new().expect("a directory");
    let spool = with_a_retry(&directory).await;
    // As a replay without a rate does it.
    let many = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
         INSERT INTO later (due, strand, {COLUMNS}) SELECT 0, strand, {COLUMNS} FROM later, n WHERE due > 0"
    );
    sqlite(&directory).execute(&many, []).expect("they are put there");
    let later = || sqlite(&directory).query_row("SELECT count(*) FROM later", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut meanwhile = 0;
    for nth in 0.. {
        spool.writer.put(vec![job("chat", &format!("put-{nth}"))]).await.expect("there is room");
        match later() {
            1 => break,
            40_001 => {}
            _ => meanwhile += 1,
        }
    }
    assert!(meanwhile > 3, "puts were answered while retries were moved: {meanwhile}");
}

#[tokio::test]
async fn what_could_never_fit_is_told_so() {
    let directory = TempDir::new().expect("a directory");
    let spool = open_with(&SpoolSettings { max_bytes: 300_000, ..settings(&directory) });
    let large = NewJob { body: vec![b'x'; 300_000].into(), ..job("chat", "large") };
    let refused = spool.writer.put(vec![large]).await.expect_err("it can't fit");
    assert!(matches!(refused, Refused::TooLarge { max: 300_000, .. }), "{refused:?}");
}

#[tokio::test]
async fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().expect("a directory");
    let path = settings(&directory).path;
    std::fs::create_dir(&path).expect("it was there before");
    let spool = open(&directory);
    spool.writer.put(vec![job("chat", "a")]).await.expect("there is room");
    for file in std::fs::read_dir(&path).expect("it can be listed") {
        let file = file.expect("an entry");
        let mode = file.metadata().expect("its mode").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_part_waits_with_what_goes_where_it_goes() {
    let directory = TempDir::new().expect("a directory");
    let mut spool = open(&directory);
    let both = Providers::default().with(Provider::Apns).with(Provider::Fcm);
    let mixed = |id: &str| NewJob { providers: both, ..job("chat", id) };
    spool.writer.put(vec![mixed("a"), mixed("b")]).await.expect("there is room");
    let a = read_all(&mut spool.reader).remove(0).key;
    let providers = Providers::default().with(Provider::Fcm);
    spool.writer.again(Again { of: a, targets: vec![1], providers, attempts: 1, due: UnixMillis(0) }).await;
    spool.writer.settle(vec![a]);
    let part = read_next(&mut spool).await.remove(0);
    assert_ne!(part.key.strand(), a.strand());
    let strand = spool.reader.known(part.key.strand()).expect("it was read from");
    assert_eq!((strand.providers, &*strand.app, strand.lane), (providers, "chat", Lane::Normal));
    // Also after a restart.
    spool.writer.close().await.expect("all is written");
    let mut spool = open(&directory);
    assert_eq!(ids(&read_all(&mut spool.reader)), ["b", "a"]);
}
