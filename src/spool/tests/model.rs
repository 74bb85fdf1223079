//! Random histories, compared with a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Puts jobs with these ids to one of the strands.
    Put(Vec<u8>, bool),
    Read(usize),
    /// Settles the nth of those in hand.
    Settle(usize),
    /// Has the nth in hand come again at once, and settles it.
    Again(usize),
    /// Has the nth in hand come again in an hour, and settles it.
    Later(usize),
    /// Makes the nth in hand a dead letter, and settles it.
    Dead(usize),
    Crash,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::collection::vec(0u8..60, 1..6), any::<bool>()).prop_map(|(ids, shop)| Step::Put(ids, shop)),
        4 => (1usize..10).prop_map(Step::Read),
        5 => (0usize..20).prop_map(Step::Settle),
        2 => (0usize..20).prop_map(Step::Again),
        1 => (0usize..20).prop_map(Step::Later),
        1 => (0usize..20).prop_map(Step::Dead),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
    ]
}

/// What should be there.
#[derive(Default)]
struct Model {
    /// Ids that were put, for ever: the window is long.
    seen: BTreeSet<String>,
    /// Queued, by app, in order: retries before the backlog.
    front: BTreeMap<&'static str, Vec<String>>,
    back: BTreeMap<&'static str, Vec<String>>,
    in_hand: Vec<(Key, String)>,
    dead: usize,
    later: usize,
}

impl Model {
    /// What may be read next of an app, in order.
    fn queue(&self, app: &'static str) -> Vec<String> {
        let region = |map: &BTreeMap<&'static str, Vec<String>>| map.get(app).cloned().unwrap_or_default();
        let held: BTreeSet<&String> = self.in_hand.iter().map(|(_, id)| id).collect();
        let all = region(&self.front).into_iter().chain(region(&self.back));
        all.filter(|id| !held.contains(id)).collect()
    }

    fn remove(&mut self, id: &str) {
        for region in [&mut self.front, &mut self.back] {
            region.values_mut().for_each(|ids| ids.retain(|known| known != id));
        }
    }
}

const APPS: [&str; 2] = ["chat", "shop"];

async fn play(steps: Vec<Step>) {
    let directory = TempDir::new().expect("a directory");
    let settings = SpoolSettings { dedupe: A_LONG_TIME, ..settings(&directory) };
    let mut spool = open_with(&settings);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Put(numbers, shop) => put(&mut model, &spool, &numbers, APPS[usize::from(shop)]).await,
            Step::Read(count) => read(&mut model, &mut spool, count),
            Step::Settle(nth) => settle(&mut model, &spool, nth),
            Step::Again(nth) => again(&mut model, &mut spool, nth).await,
            Step::Later(nth) => put_off(&mut model, &spool, nth).await,
            Step::Dead(nth) => bury(&mut model, &spool, nth).await,
            Step::Crash => {
                // What was settled is settled: a commit follows of itself, but a crash may come before it.
                flush(&spool).await;
                drop(spool);
                spool = open_with(&settings);
                model.in_hand.clear();
            }
            Step::Close => {
                let Spool { writer, reader } = spool;
                drop(reader);
                writer.close().await.expect("all is written");
                spool = open_with(&settings);
                model.in_hand.clear();
            }
        }
    }
    flush(&spool).await;
    drop(spool);
    let mut spool = open_with(&settings);
    model.in_hand.clear();
    read(&mut model, &mut spool, usize::MAX);
    assert!(APPS.iter().all(|app| model.queue(app).is_empty()), "everything is read in the end");
    let counts = (model.in_hand.len() as u64, model.dead as u64, model.later as u64);
    let mut status = spool.writer.status();
    let status = status.wait_for(|status| (status.queued, status.dead, status.later) == counts);
    let found = tokio::time::timeout(Duration::from_secs(10), status).await;
    assert!(found.is_ok(), "{counts:?}; {:?}", spool.writer.status().borrow());
}

/// Waits for a commit that follows everything said so far.
async fn flush(spool: &Spool) {
    spool.writer.put(Vec::new()).await.expect("nothing can be put");
}

async fn put(model: &mut Model, spool: &Spool, numbers: &[u8], app: &'static str) {
    let names: Vec<String> = numbers.iter().map(|number| format!("{app}-{number}")).collect();
    let put = spool.writer.put(names.iter().map(|id| job(app, id)).collect()).await.expect("there is room");
    let expected: Vec<bool> = names.iter().map(|id| !model.seen.insert(id.clone())).collect();
    assert_eq!(put.duplicate, expected);
    let new = names.into_iter().zip(expected).filter(|(_, duplicate)| !duplicate).map(|(id, _)| id);
    model.back.entry(app).or_default().extend(new);
}

fn read(model: &mut Model, spool: &mut Spool, count: usize) {
    for strand in spool.reader.strands().expect("the store can be read") {
        let app = APPS.into_iter().find(|app| **app == *strand.app).expect("an app of ours");
        let expected: Vec<String> = model.queue(app).into_iter().take(count).collect();
        let found = spool.reader.next(strand.id, count, usize::MAX).expect("the store can be read");
        assert_eq!(ids(&found), expected);
        model.in_hand.extend(found.into_iter().map(|job| (job.key, job.id.into())));
    }
}

fn settle(model: &mut Model, spool: &Spool, nth: usize) {
    if nth < model.in_hand.len() {
        let (key, id) = model.in_hand.remove(nth);
        model.remove(&id);
        spool.writer.settle(vec![key]);
    }
}

async fn again(model: &mut Model, spool: &mut Spool, nth: usize) {
    if nth >= model.in_hand.len() {
        return;
    }
    let (key, id) = model.in_hand.remove(nth);
    let mut arrivals = spool.writer.arrivals();
    spool
        .writer
        .again(Again { of: key, targets: vec![1], providers: Providers(1), attempts: 2, due: UnixMillis(0) })
        .await;
    spool.writer.settle(vec![key]);
    model.remove(&id);
    let app = APPS.into_iter().find(|app| id.starts_with(app)).expect("an app of ours");
    model.front.entry(app).or_default().push(id);
    arrivals.changed().await.expect("the retry arrives");
}

async fn put_off(model: &mut Model, spool: &Spool, nth: usize) {
    if nth < model.in_hand.len() {
        let (key, id) = model.in_hand.remove(nth);
        let due = UnixMillis(UnixMillis::now().0 + 3_600_000);
        spool.writer.again(Again { of: key, targets: vec![1], providers: Providers(1), attempts: 2, due }).await;
        spool.writer.settle(vec![key]);
        model.remove(&id);
        model.later += 1;
    }
}

async fn bury(model: &mut Model, spool: &Spool, nth: usize) {
    if nth < model.in_hand.len() {
        let (key, id) = model.in_hand.remove(nth);
        let dead = Dead {
            of: key,
            targets: vec![0],
            attempts: 0,
            reason: "test".into(),
            detail: String::new(),
            at: UnixMillis(1),
        };
        spool.writer.dead(dead).await;
        spool.writer.settle(vec![key]);
        model.remove(&id);
        model.dead += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(play(steps));
    }
}
