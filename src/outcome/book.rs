//! The book of jobs in hand: which pushes of each still have to end, and what must be durable before the job may be
//! settled. Pure; owned by the settlement task.
//!
//! ```text
//!            ended, event wanted ──▶ events ──durable──┐
//! push ──┬── ended, no event ──────────────────────────┤
//!        ├── failed ──▶ dead letter ─┐                 ├─▶ all pushes of the job ──▶ settle the receipt
//!        ├── later ──▶ durable retry ┼──kept, durable──┤
//!        └── returned ──▶ (see below)┘                 ┘
//! ```
//!
//! What a job leaves behind (retries, dead letters, returned pushes) is gathered until its last push has ended, so that
//! a fan-out job makes one retry message, not a thousand. A job of which every push is returned was not touched: its
//! receipt goes back as it is. Of one that is partly done, the rest comes again as a retry with no delay. A job that its
//! source has taken back meanwhile (the connection was lost) comes again by itself, so no retry is kept of it; the source
//! is told which of its pushes have not ended, and hands only those down again. Its dead letters are kept all the same:
//! those pushes have ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::job::{Envelope, Push};
use crate::source::{Dead, Keep, Later};
use crate::verdict::Reason;

/// What became of one push, as far as its job's settlement is concerned.
pub enum Step {
    /// It ended, and nobody needs to be told.
    Done(Push),
    /// It ended, and its event must be durable first; [`Book::told`] follows.
    Told(Push),
    /// It ended as a dead letter; with an event to be told first if `told`.
    Dead {
        /// The push.
        push: Push,
        /// Why, for machines.
        reason: Reason,
        /// Whether [`Book::told`] will follow.
        told: bool,
    },
    /// It shall come again after a delay that is too long for memory.
    Later {
        /// The push, its attempts counted.
        push: Push,
        /// Not before.
        delay: Duration,
    },
    /// It was not sent and goes back to where it came from.
    Returned(Push),
}

/// What the book asks for.
#[derive(Default)]
pub struct Due {
    /// Jobs that are settled.
    pub settled: Vec<Arc<Envelope>>,
    /// Jobs that their source has taken back, and their targets that have not ended.
    pub partly: Vec<(Arc<Envelope>, Vec<u16>)>,
    /// Jobs that go back untouched.
    pub untouched: Vec<Arc<Envelope>>,
    /// What a job leaves behind; [`Book::kept`] must follow when all of it is durable.
    pub keeps: Vec<(Arc<Envelope>, Vec<Keep>)>,
}

#[derive(Default)]
struct Entry {
    /// Events on their way to the sinks.
    untold: u32,
    ended: bool,
    later: Vec<(u16, u8, Duration)>,
    dead: Vec<(u16, u8, Reason)>,
    returned: Vec<(u16, u8)>,
    keeping: bool,
    /// Targets that have not ended, of a job that comes again by itself.
    rest: Vec<u16>,
}

/// Jobs in hand that are not plain: those with events to tell or things to keep. A job whose pushes all end silently
/// never gets an entry.
#[derive(Default)]
pub struct Book {
    entries: HashMap<usize, Entry>,
}

/// An envelope's address, used as a name only. The envelope is alive as long as it has an entry: that exists only while
/// pushes, events or keeps of it are on their way, and those hold it.
fn key(envelope: &Arc<Envelope>) -> usize {
    Arc::as_ptr(envelope).addr()
}

impl Book {
    /// Notes a step, and says what is due because of it.
    pub fn note(&mut self, step: Step, due: &mut Due) {
        let push = match step {
            Step::Done(push) => push,
            Step::Told(push) => {
                self.entry(&push).untold += 1;
                push
            }
            Step::Dead { push, reason, told } => {
                let entry = self.entry(&push);
                entry.untold += u32::from(told);
                entry.dead.push((push.index, push.attempts, reason));
                push
            }
            Step::Later { push, delay } => {
                self.entry(&push).later.push((push.index, push.attempts, delay));
                push
            }
            Step::Returned(push) => {
                self.entry(&push).returned.push((push.index, push.attempts));
                push
            }
        };
        if push.envelope.settle(1) {
            self.last_ended(push.envelope, due);
        }
    }

    /// The event of one push of this job is durable.
    pub fn told(&mut self, envelope: &Arc<Envelope>, due: &mut Due) {
        let entry = self.entries.get_mut(&key(envelope)).expect("an untold event keeps its job's entry");
        entry.untold -= 1;
        self.close(envelope, due);
    }

    /// All that this job left behind is durable.
    pub fn kept(&mut self, envelope: &Arc<Envelope>, due: &mut Due) {
        let entry = self.entries.get_mut(&key(envelope)).expect("a keep on its way keeps its job's entry");
        entry.keeping = false;
        self.close(envelope, due);
    }

    /// Jobs that have an entry.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no job has an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&mut self, push: &Push) -> &mut Entry {
        self.entries.entry(key(&push.envelope)).or_default()
    }

    fn last_ended(&mut self, envelope: Arc<Envelope>, due: &mut Due) {
        let Some(entry) = self.entries.get_mut(&key(&envelope)) else {
            due.settled.push(envelope);
            return;
        };
        let untouched = entry.returned.len() == envelope.push_count()
            && entry.returned.iter().all(|&(_, attempts)| attempts == envelope.origin.attempts);
        if untouched {
            self.entries.remove(&key(&envelope));
            due.untouched.push(envelope);
            return;
        }
        entry.ended = true;
        if !envelope.is_live() {
            let later = entry.later.drain(..).map(|(index, ..)| index);
            entry.rest = later.chain(entry.returned.drain(..).map(|(index, _)| index)).collect();
            entry.rest.sort_unstable();
        }
        let keeps = keeps(&envelope, entry);
        if !keeps.is_empty() {
            entry.keeping = true;
            due.keeps.push((Arc::clone(&envelope), keeps));
        }
        self.close(&envelope, due);
    }

    fn close(&mut self, envelope: &Arc<Envelope>, due: &mut Due) {
        let entry = &self.entries[&key(envelope)];
        if entry.ended && !entry.keeping && entry.untold == 0 {
            let rest = self.entries.remove(&key(envelope)).map(|entry| entry.rest).unwrap_or_default();
            if rest.is_empty() {
                due.settled.push(Arc::clone(envelope));
            } else {
                due.partly.push((Arc::clone(envelope), rest));
            }
        }
    }
}

/// What an ended job leaves behind, as few messages as say the same: retries by attempts and delay, dead letters by reason.
fn keeps(envelope: &Arc<Envelope>, entry: &mut Entry) -> Vec<Keep> {
    entry.later.extend(entry.returned.drain(..).map(|(index, attempts)| (index, attempts, Duration::ZERO)));
    entry.later.sort_unstable();
    let mut keeps: Vec<Keep> = Vec::new();
    let mut retries: Vec<Later> = Vec::new();
    for (index, attempts, delay) in entry.later.drain(..) {
        let delay = coarse(delay);
        match retries.iter_mut().find(|later| later.attempts == attempts && later.delay == delay) {
            Some(later) => later.targets.push(index),
            None => retries.push(Later { envelope: Arc::clone(envelope), targets: vec![index], attempts, delay }),
        }
    }
    keeps.extend(retries.into_iter().map(Keep::Later));
    entry.dead.sort_unstable();
    let mut dead: Vec<Dead> = Vec::new();
    for (index, attempts, reason) in entry.dead.drain(..) {
        match dead.iter_mut().find(|dead| dead.reason == reason) {
            Some(dead) => {
                dead.targets.push(index);
                dead.attempts = dead.attempts.max(attempts);
            }
            None => {
                let (envelope, targets, detail) = (Arc::clone(envelope), vec![index], String::new());
                dead.push(Dead { envelope, targets, attempts, reason, detail });
            }
        }
    }
    let told = |dead: Dead| Dead { detail: format!("given up after {}", times(dead.attempts)), ..dead };
    keeps.extend(dead.into_iter().map(told).map(Keep::Dead));
    keeps
}

fn times(attempts: u8) -> String {
    if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") }
}

/// Delays within one of these steps share a message; rounded up, so that none comes early.
fn coarse(delay: Duration) -> Duration {
    const STEP: Duration = Duration::from_secs(5);
    let steps = delay.as_millis().div_ceil(STEP.as_millis());
    STEP * u32::try_from(steps).unwrap_or(u32::MAX)
}
