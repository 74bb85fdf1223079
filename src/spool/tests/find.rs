//! A job is found by its id wherever it lies, and a look takes no longer than it may.

use super::*;

#[tokio::test]
async fn a_job_is_found_queued_put_off_and_dead() {
    let directory = tempfile::tempdir().expect("a folder");
    let mut spool = open(&directory);
    let path = settings(&directory).path;
    spool.writer.put(vec![job("chat", "a"), job("shop", "b")]).await.expect("there is room");
    let search = |id: &str| find(&path, id, A_LONG_TIME).expect("the store can be read");
    let found = search("a").found;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].lies, &*found[0].app, found[0].pushes), (&Lies::Queued, "chat", 3));
    assert_eq!(search("c"), Search::default());

    let read = read_next(&mut spool).await;
    let of = |id: &str| read.iter().find(|job| &*job.id == id).expect("it was read").key;
    let due = UnixMillis(UnixMillis::now().0 + 3_600_000);
    spool
        .writer
        .again(Again {
            of: of("a"),
            targets: vec![1],
            attempts: 2,
            providers: Providers::default().with(Provider::Apns),
            due,
        })
        .await;
    let at = UnixMillis(1_000);
    let (reason, detail) = ("timeout".into(), "given up".to_owned());
    spool.writer.dead(Dead { of: of("a"), targets: vec![0, 2], attempts: 2, reason, detail, at }).await;
    spool.writer.settle(vec![of("a")]);
    let give_up = std::time::Instant::now() + Duration::from_secs(10);
    let found = loop {
        let found = search("a").found;
        if found.len() == 2 {
            break found;
        }
        assert!(std::time::Instant::now() < give_up, "{found:?}");
        tokio::task::yield_now().await;
    };
    assert_eq!((&found[0].lies, found[0].pushes, found[0].attempts), (&Lies::Later { due }, 1, 2));
    let dead = Lies::Dead { reason: "timeout".to_owned(), detail: "given up".to_owned(), at };
    assert_eq!((&found[1].lies, found[1].pushes), (&dead, 2));
}

#[tokio::test]
async fn a_look_goes_through_all_or_says_that_it_did_not() {
    let directory = tempfile::tempdir().expect("a folder");
    let spool = open(&directory);
    for begin in 0..3 {
        let jobs = (0..900).map(|nth| job("chat", &format!("{begin}-{nth}"))).collect();
        spool.writer.put(jobs).await.expect("there is room");
    }
    let path = settings(&directory).path;
    let search = |id: &str, patience| find(&path, id, patience).expect("the store can be read");
    for id in ["0-0", "1-99", "1-100", "2-899"] {
        assert_eq!(search(id, A_LONG_TIME).found.len(), 1, "{id}");
    }
    assert_eq!(search("nobody", A_LONG_TIME), Search::default());
    assert_eq!(search("0-0", Duration::ZERO), Search { found: Vec::new(), cut_short: true });
}
