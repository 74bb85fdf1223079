//! A disk that fills up while the spool is in use, and has room again later. See `tests/data/disk_full.c`.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tidegate::job::UnixMillis;
use tidegate::spool::{Again, Dead, DeadLetters, Filter, Key, NewJob, Reader, Refused, Spool, Writer};

use crate::life::{job, settings};

/// The file that makes the disk full; said to the process, and to the shim in it.
pub(crate) const FULL: &str = "DISK_FULL";
const IN_TIME: Duration = Duration::from_secs(10);

/// Runs in the process whose disk it is.
pub(crate) fn live(path: &Path, full: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill_and_empty(path, full));
}

async fn fill_and_empty(path: &Path, full: &Path) {
    let Spool { writer, mut reader } = Spool::open(&settings(path)).unwrap();
    writer.put(jobs("a", 60)).await.unwrap();
    let hand = read(&mut reader, 3);
    assert!(hand.len() >= 20, "{}", hand.len());

    std::fs::write(full, "").unwrap();
    for _ in 0..3 {
        let refused = writer.put(jobs("refused", 1)).await.unwrap_err();
        assert!(matches!(refused, Refused::DiskFull { .. }), "{refused:?}");
    }
    assert!(writer.status().borrow().failing.is_some());
    let [settled, again, dead] = [0, 1, 2].map(|nth| hand[nth].0);
    writer.settle(vec![settled]);
    let part = Again {
        of: again,
        targets: vec![1],
        providers: tidegate::spool::Providers(1),
        attempts: 1,
        due: UnixMillis(0),
    };
    let letter = Dead {
        of: dead,
        targets: vec![],
        attempts: 0,
        reason: "test".into(),
        detail: String::new(),
        at: UnixMillis(1),
    };
    let mut owed = std::pin::pin!(futures::future::join(writer.again(part), writer.dead(letter)));
    let early = tokio::time::timeout(Duration::from_millis(200), owed.as_mut()).await;
    assert!(early.is_err(), "it can't be on disk");
    let more = read(&mut reader, 5);
    assert!(!more.is_empty(), "reading goes on");

    std::fs::remove_file(full).unwrap();
    in_time(owed).await;
    writer.settle(vec![again, dead]);
    writer.put(jobs("b", 3)).await.unwrap();
    in_time(mended(&writer)).await;

    // Nothing is owed this time, and nobody tries: it is seen all the same.
    std::fs::write(full, "").unwrap();
    while writer.put(jobs("refused", 50)).await.is_ok() {}
    std::fs::remove_file(full).unwrap();
    in_time(mended(&writer)).await;
    writer.put(jobs("c", 3)).await.unwrap();
    drop(reader);
    writer.close().await.expect("all is written");
    compare(path, &hand[0].1, &hand[1].1, &hand[2].1);
}

/// What is there in the end: all but what was settled and buried, and nothing twice.
fn compare(path: &Path, settled: &String, again: &String, dead: &String) {
    let Spool { writer, mut reader } = Spool::open(&settings(path)).unwrap();
    let found: Vec<String> = read(&mut reader, usize::MAX).into_iter().map(|(_, id)| id).collect();
    let there: BTreeSet<&String> = found.iter().collect();
    assert_eq!(there.len(), found.len(), "nothing twice");
    assert!(!there.contains(settled) && !there.contains(dead));
    assert!(there.contains(again));
    let of = |batch: &str| there.iter().filter(|id| id.starts_with(batch)).count();
    assert_eq!((of("a"), of("b"), of("c")), (58, 3, 3));
    let letters = DeadLetters::open(path).unwrap().list(&Filter::default()).unwrap();
    assert_eq!(letters.iter().map(|letter| &*letter.id).collect::<Vec<_>>(), [dead]);
    drop(writer);
}

fn jobs(batch: &str, count: usize) -> Vec<NewJob> {
    // Where ids repeat (a put that was refused, said again), none is a duplicate.
    (0..count).map(|nth| NewJob { named: batch != "refused", ..job(&format!("{batch}{nth}"), 300 + nth) }).collect()
}

fn read(reader: &mut Reader, jobs: usize) -> Vec<(Key, String)> {
    let strands = reader.strands().unwrap().into_iter();
    let each = strands.flat_map(|strand| reader.next(strand.id, jobs, usize::MAX).unwrap());
    each.map(|job| (job.key, job.id.into())).collect()
}

async fn mended(writer: &Writer) {
    let mut status = writer.status();
    drop(status.wait_for(|status| status.failing.is_none()).await.unwrap());
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(IN_TIME, what).await.expect("within seconds of there being room")
}
