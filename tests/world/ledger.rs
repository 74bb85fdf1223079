//! What happened to every push, written down outside of the machines: the checker of the conservation laws reads it, and
//! so do the measures.

use std::time::Duration;

use tidegate::job::Lane;
use tidegate::outcome::OutcomeKind;

use super::provider::Answer;

/// One push.
#[derive(Debug, Clone)]
pub struct Record {
    pub app: u16,
    pub traffic: u16,
    pub route: u16,
    pub lane: Lane,
    pub accepted: Duration,
    /// It is sent before this moment or not at all.
    pub deadline: Duration,
    pub first_sent: Option<Duration>,
    pub sends: u32,
    /// How often it reached its device.
    pub reached: u32,
    pub outcome: Option<(OutcomeKind, Duration)>,
    /// The number of the message that is responsible for it.
    pub home: u64,
}

/// One attempt.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    pub push: u32,
    pub at: Duration,
    pub takes: Duration,
    pub answer: Answer,
    /// The push's first.
    pub first: bool,
    /// Paid by the budget.
    pub retry: bool,
}

/// One second of one route.
#[derive(Debug, Clone, Copy, Default)]
pub struct Second {
    pub in_flight: u32,
    pub limit: u32,
    pub halted: bool,
    pub shelf: u32,
}

/// All of it.
#[derive(Default)]
pub struct Ledger {
    pub records: Vec<Record>,
    pub attempts: Vec<Attempt>,
    /// By second: the most pushes that waited in the lanes, and the bytes held at its end.
    pub waiting: Vec<usize>,
    pub memory: Vec<usize>,
    /// By route, by second.
    pub routes: Vec<Vec<Second>>,
    /// Pushes sent at or after their deadline.
    pub late: u64,
    /// Pushes of which no message and no outcome was left.
    pub lost: u64,
    /// Pushes that reached a device twice or got a second outcome.
    pub doubled: u64,
    /// Attempts under way when a connection was lost: what became of them nobody knows.
    pub cut_off: u64,
    /// Pushes in hand at the incidents, which may be doubled.
    pub in_hand: u64,
    /// Times a push was put off durably.
    pub put_off: u64,
    /// Dead-token verdicts that were not believed.
    pub held: u64,
    /// Broken laws, in words; the first few.
    pub broken: Vec<String>,
}

/// Broken laws that are told; more would tell the same.
const TOLD: usize = 5;

impl Ledger {
    pub fn broken(&mut self, law: impl FnOnce() -> String) {
        if self.broken.len() < TOLD {
            self.broken.push(law());
        }
    }

    /// A push is sent; whether it reaches its device.
    pub fn sent(&mut self, attempt: Attempt, reaches: bool) {
        let record = &mut self.records[attempt.push as usize];
        record.first_sent.get_or_insert(attempt.at);
        record.sends += 1;
        if reaches {
            record.reached += 1;
            self.doubled += u64::from(record.reached == 2);
        }
        if attempt.at >= record.deadline {
            self.late += 1;
        }
        self.attempts.push(attempt);
    }

    /// A push ends.
    pub fn ended(&mut self, push: u32, kind: OutcomeKind, at: Duration, may_double: bool) {
        let record = &mut self.records[push as usize];
        let Some((before, _)) = record.outcome else {
            record.outcome = Some((kind, at));
            return;
        };
        if may_double {
            self.doubled += u64::from(record.reached < 2);
        } else {
            self.broken(|| format!("push {push} ended twice: {before:?}, then {kind:?}"));
        }
    }
}
