//! The process that dies: it uses the spool in every way, and says what it does.
//!
//! A line is `|` and a letter, then ids: `O` open, `C` about to be closed; `A` these puts are acknowledged; `H` these are in hand; `T` these will be
//! settled now; `S` a put that came after they were settled is acknowledged, so they are settled on disk; `X` these may
//! come twice, as a part of them is put off; `D` these are dead letters.

use std::io::Write;
use std::path::Path;

use futures::future::join_all;
use tidegate::job::{Lane, Provider, UnixMillis};
use tidegate::spool::{Again, Dead, Key, NewJob, Providers, Reader, Spool, SpoolSettings, Writer};

/// Where the spool is.
pub(crate) const SPOOL: &str = "TIDEGATE_TEST_SPOOL";
/// What it makes its choices by.
pub(crate) const SEED: &str = "TIDEGATE_TEST_SEED";

const APPS: [&str; 3] = ["chat", "shop", "news"];

pub(crate) fn settings(path: &Path) -> SpoolSettings {
    SpoolSettings { path: path.to_owned(), min_free: 0, ..SpoolSettings::default() }
}

/// Each line at once, and not by way of the test harness.
pub(crate) fn to_stdout() -> impl FnMut(&str) {
    println!();
    |line| {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(line.as_bytes()).unwrap();
        stdout.flush().unwrap();
    }
}

/// Lives for so many steps, then closes the spool.
pub(crate) fn live(path: &Path, seed: u64, steps: usize, say: &mut dyn FnMut(&str)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let spool = Spool::open(&settings(path)).unwrap();
    say("|O\n");
    let Spool { writer, reader } = spool;
    let life =
        Life { seed, put: 0, hand: Vec::new(), settled: Vec::new(), writer: writer.clone(), reader, say: &mut *say };
    let settled = runtime.block_on(life.run(&mut random, steps));
    say("|C\n");
    runtime.block_on(writer.close()).expect("all is written");
    say(&format!("|S {}\n", settled.join(" ")));
}

struct Life<'a> {
    seed: u64,
    put: usize,
    hand: Vec<(Key, String)>,
    /// Settled, and not said to be on disk so far.
    settled: Vec<String>,
    writer: Writer,
    reader: Reader,
    say: &'a mut dyn FnMut(&str),
}

impl Life<'_> {
    async fn run(mut self, random: &mut fastrand::Rng, steps: usize) -> Vec<String> {
        for _ in 0..steps {
            match random.u8(..10) {
                0..=3 => self.put(random).await,
                4..=5 => self.read(random),
                6..=7 => self.settle(random),
                8 => self.again(random).await,
                _ => self.bury(random).await,
            }
        }
        self.settled
    }

    fn say<'a>(&mut self, what: char, ids: impl IntoIterator<Item = &'a String>) {
        let ids: Vec<&str> = ids.into_iter().map(String::as_str).collect();
        (self.say)(&format!("|{what} {}\n", ids.join(" ")));
    }

    /// Some puts at once, of some jobs each.
    async fn put(&mut self, random: &mut fastrand::Rng) {
        let settled = std::mem::take(&mut self.settled);
        let batches: Vec<Vec<String>> = (0..random.usize(1..5))
            .map(|_| {
                let count = random.usize(1..30);
                self.put += count;
                (self.put - count..self.put).map(|nth| format!("{}-{nth}", self.seed)).collect()
            })
            .collect();
        let puts = batches.iter().map(|ids| {
            let jobs = ids.iter().map(|id| job(id, random.usize(..3_000))).collect();
            let writer = self.writer.clone();
            async move { writer.put(jobs).await.unwrap() }
        });
        let puts: Vec<_> = puts.collect();
        for put in join_all(puts).await {
            assert_eq!(put.duplicate.iter().filter(|duplicate| **duplicate).count(), 0);
        }
        self.say('A', batches.iter().flatten());
        self.say('S', &settled);
    }

    fn read(&mut self, random: &mut fastrand::Rng) {
        for strand in self.reader.strands().unwrap() {
            let found = self.reader.next(strand.id, random.usize(1..60), usize::MAX).unwrap();
            self.hand.extend(found.into_iter().map(|job| (job.key, job.id.into())));
        }
        let hand: Vec<String> = self.hand.iter().map(|(_, id)| id.clone()).collect();
        self.say('H', &hand);
    }

    fn settle(&mut self, random: &mut fastrand::Rng) {
        random.shuffle(&mut self.hand);
        let gone = self.hand.split_off(self.hand.len() / 4);
        let ids: Vec<String> = gone.iter().map(|(_, id)| id.clone()).collect();
        self.say('T', &ids);
        self.writer.settle(gone.into_iter().map(|(key, _)| key).collect());
        self.settled.extend(ids);
    }

    /// The job goes, a part of it comes again: both are one id.
    async fn again(&mut self, random: &mut fastrand::Rng) {
        let Some((key, id)) = self.hand.pop() else { return };
        self.say('X', [&id]);
        let due = if random.bool() { UnixMillis(0) } else { UnixMillis(UnixMillis::now().0 + 5) };
        self.writer
            .again(Again { of: key, targets: vec![1], providers: tidegate::spool::Providers(1), attempts: 1, due })
            .await;
        self.writer.settle(vec![key]);
    }

    async fn bury(&mut self, random: &mut fastrand::Rng) {
        let Some((key, id)) = self.hand.pop() else { return };
        self.say('T', [&id]);
        let targets = if random.bool() { Vec::new() } else { vec![0] };
        let dead =
            Dead { of: key, targets, attempts: 0, reason: "test".into(), detail: String::new(), at: UnixMillis::now() };
        self.writer.dead(dead).await;
        self.say('D', [&id]);
        self.writer.settle(vec![key]);
    }
}

pub(crate) fn job(id: &str, body: usize) -> NewJob {
    NewJob {
        id: id.into(),
        named: true,
        app: APPS[body % APPS.len()].into(),
        lane: Lane::ALL[body / APPS.len() % Lane::ALL.len()],
        providers: Providers::default().with(Provider::Apns),
        pushes: 2,
        accepted_at: UnixMillis::now(),
        deadline: None,
        body: vec![b'x'; body].into(),
    }
}
