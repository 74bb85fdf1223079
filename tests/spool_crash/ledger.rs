//! What was promised, and whether it is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use tidegate::spool::{DeadLetters, Filter, Key, Spool, Stored};

use crate::life;

/// Jobs in the spool beyond which all are settled, so that no round takes long.
const MANY: usize = 400;

/// What was heard of all lives so far, by [letter](life).
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accepted: BTreeSet<String>,
    /// Of the last life only.
    in_hand: BTreeSet<String>,
    perhaps_settled: BTreeSet<String>,
    surely_settled: BTreeSet<String>,
    twice: BTreeSet<String>,
    dead: BTreeSet<String>,
    /// Jobs that came again.
    came: usize,
}

impl Ledger {
    /// Takes what a life has said. A line that has no end was not said.
    pub(crate) fn hear(&mut self, said: &str) {
        self.in_hand.clear();
        let complete = said.rsplit_once('\n').map_or("", |(complete, _)| complete);
        for line in complete.lines().filter_map(|line| line.strip_prefix('|')) {
            let (what, ids) = line.split_at(1);
            let set = match what {
                // What is in hand at a clean end is no suspect.
                "O" | "C" => {
                    self.in_hand.clear();
                    continue;
                }
                "A" => &mut self.accepted,
                "H" => &mut self.in_hand,
                "T" => &mut self.perhaps_settled,
                "S" => &mut self.surely_settled,
                "X" => &mut self.twice,
                "D" => &mut self.dead,
                other => panic!("what is {other:?}?"),
            };
            set.extend(ids.split_whitespace().map(str::to_owned));
        }
    }

    /// How much was promised.
    pub(crate) fn promises(&self) -> usize {
        self.accepted.len() + self.surely_settled.len() + self.dead.len()
    }

    /// Opens the spool, compares, and closes it. What was in hand must be suspected, if `suspects`.
    pub(crate) fn check(&mut self, path: &Path, suspects: bool) -> Result<(), String> {
        let Spool { writer, mut reader } = Spool::open(&life::settings(path)).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // What was put off comes within some milliseconds.
        let give_up = Instant::now() + Duration::from_secs(2);
        let mut settled = Vec::new();
        let mut found: BTreeMap<String, Vec<Stored>> = BTreeMap::new();
        let lost = loop {
            for strand in reader.strands()? {
                for job in reader.next(strand.id, usize::MAX, usize::MAX)? {
                    found.entry(job.id.to_string()).or_default().push(job);
                }
            }
            let lost = self.accepted.difference(&self.perhaps_settled).find(|id| !found.contains_key(*id));
            let owed = runtime.block_on(async {
                writer.put(Vec::new()).await.unwrap();
                writer.status().borrow().later
            });
            if (lost.is_none() && owed == 0) || Instant::now() > give_up {
                break lost.cloned();
            }
            std::thread::yield_now();
        };
        if found.len() > MANY {
            let done = found.iter().filter(|(id, jobs)| jobs.len() == 1 && !self.twice.contains(*id));
            let (ids, keys): (Vec<String>, Vec<Key>) = done.map(|(id, jobs)| (id.clone(), jobs[0].key)).unzip();
            writer.settle(keys);
            self.perhaps_settled.extend(ids.iter().cloned());
            settled = ids;
        }
        runtime.block_on(writer.close()).expect("all is written");
        self.came += found.values().map(Vec::len).sum::<usize>();
        if let Some(lost) = lost {
            return Err(format!("{lost} was acknowledged, never settled, and is lost"));
        }
        for (id, jobs) in &found {
            self.look_at(id, jobs, suspects)?;
        }
        // Closing has written it.
        self.surely_settled.extend(settled);
        self.look_at_letters(path)?;
        whole(path)
    }

    fn look_at(&self, id: &String, jobs: &[Stored], suspects: bool) -> Result<(), String> {
        if self.twice.contains(id) {
            return Ok(());
        }
        if self.surely_settled.contains(id) {
            return Err(format!("{id} was settled, and comes again"));
        }
        let [job] = jobs else { return Err(format!("{id} comes {} times", jobs.len())) };
        if suspects && self.in_hand.contains(id) && job.crashes == 0 {
            return Err(format!("{id} was in hand at the crash, and it is not noted"));
        }
        Ok(())
    }

    fn look_at_letters(&self, path: &Path) -> Result<(), String> {
        let letters = DeadLetters::open(path).map_err(|error| error.to_string())?.list(&Filter::default())?;
        let there: BTreeSet<&str> = letters.iter().map(|letter| &*letter.id).collect();
        match self.dead.iter().find(|id| !there.contains(id.as_str())) {
            Some(id) => Err(format!("the dead letter {id} is lost")),
            None => Ok(()),
        }
    }
}

fn whole(path: &Path) -> Result<(), String> {
    let store = rusqlite::Connection::open(path.join("spool.db")).unwrap();
    let check = |pragma: &str| store.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, String>(0));
    match check("integrity_check").map_err(|error| error.to_string())?.as_str() {
        "ok" => Ok(()),
        broken => Err(broken.to_owned()),
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, surely_settled, dead, came, .. } = self;
        let (accepted, settled, dead) = (accepted.len(), surely_settled.len(), dead.len());
        write!(f, "{accepted} accepted, {settled} settled for sure, {dead} dead; lost 0; {came} came again")
    }
}
