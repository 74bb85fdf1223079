//! The laws of conservation: those that hold at every moment, and those that are read from the ledger at the end.

use std::time::Duration;

use tidegate::job::{Envelope, Lane};

use super::ledger::{Attempt, Ledger, Record};
use super::provider::Answer;
use super::route::Route;
use super::run::{FIRST_DEMAND, World};

impl World<'_> {
    /// The laws that hold at every moment: whatever came has left, waits, or is in a route's hands; what waits and what
    /// is held is bounded.
    pub(super) fn check(&mut self) {
        let Some(process) = &self.process else { return };
        let by_lane = Lane::ALL.map(|lane| process.lanes.waiting_from(lane));
        let waiting: usize = by_lane.iter().sum();
        let second = usize::try_from(self.at.as_secs()).expect("far fewer");
        if self.ledger.waiting.len() <= second {
            self.ledger.waiting.resize(second + 1, 0);
        }
        self.ledger.waiting[second] = self.ledger.waiting[second].max(waiting);
        let held: usize = process.routes.iter().map(Route::has).sum();
        let (handed, gone) = (process.handed, process.gone);
        if handed != gone + waiting + held {
            self.ledger.broken(|| format!("{handed} came, {gone} left, {waiting} wait, routes have {held}"));
        }
        // What was asked for before its size was known.
        let slack = self.chunk().max(FIRST_DEMAND) * self.widest;
        for (lane, waiting) in Lane::ALL.into_iter().zip(by_lane) {
            let most = self.lanes[lane.index()].max_waiting as usize;
            if waiting > most + slack {
                self.ledger.broken(|| format!("{waiting} wait in lane {lane}, {most} may"));
            }
        }
        let bytes = process.memory.bytes();
        let most = process.memory.limit() + 3 * self.chunk().max(FIRST_DEMAND) * Envelope::estimate(300, self.widest);
        if bytes > most {
            self.ledger.broken(|| format!("{bytes} bytes are held, {most} may be"));
        }
    }

    /// The laws that hold at the end: nothing lost, nothing late, nothing doubled without an excuse, nothing stuck, no
    /// rate and no retry budget passed in any window.
    pub(super) fn close(&mut self) {
        if !self.ledger.broken.is_empty() {
            return;
        }
        let messages = self.broker.messages();
        let nowhere = |record: &&Record| record.outcome.is_none() && !messages.contains(&record.home);
        let lost = self.ledger.records.iter().filter(nowhere).count();
        self.ledger.lost += lost as u64;
        if lost > 0 {
            self.ledger.broken(|| format!("{lost} pushes have no outcome, and the broker has no message of them"));
        }
        if self.ledger.late > 0 {
            let late = self.ledger.late;
            self.ledger.broken(|| format!("{late} pushes were sent at or after their deadline"));
        }
        if let Some(process) = &self.process {
            let idle = process.handed == process.gone && process.untold.is_empty() && process.book.is_empty();
            let out = self.broker.unsettled();
            if idle && out > 0 {
                self.ledger.broken(|| format!("{out} jobs are unsettled though nothing is in hand"));
            }
            self.ledger.held += process.routes.iter().map(|route| route.held).sum::<u64>();
        }
        let unknown = self.ledger.attempts.iter().filter(|attempt| attempt.answer == Answer::Timeout).count();
        let excused = unknown as u64 + self.ledger.cut_off + self.ledger.in_hand;
        if self.ledger.doubled > excused {
            let doubled = self.ledger.doubled;
            self.ledger.broken(|| format!("{doubled} pushes doubled, {excused} may be"));
        }
        // A process that was killed forgets what it sent: its successor starts with a full bucket.
        if self.life > 1 {
            return;
        }
        for (nth, route) in self.scenario.route.iter().enumerate() {
            let burst = super::route::settings(route).burst;
            if let Some(at) = route.rate.and_then(|rate| self.ledger.passes_rate(nth, rate, burst)) {
                self.ledger.broken(|| format!("route {nth} passed its rate up to {at:?}"));
            }
            if let Some(at) = self.ledger.passes_budget(nth) {
                self.ledger.broken(|| format!("route {nth} passed its retry budget up to {at:?}"));
            }
        }
    }
}

impl Ledger {
    fn attempts_of(&self, route: usize) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |attempt| usize::from(self.records[attempt.push as usize].route) == route)
    }

    /// Whether in any window of length T, however short or long, more than `rate × T + burst` went, and when. What surely
    /// was not processed does not count.
    ///
    /// Exact, in integers, and in one pass: a window from the i-th to the j-th is too full if
    /// `(j − i + 1) − rate × (tj − ti) > burst`, so it is enough to compare each `j − rate × tj` with the least
    /// `i − rate × ti` before it.
    fn passes_rate(&self, route: usize, rate: u32, burst: u32) -> Option<Duration> {
        const SECOND: i128 = 1_000_000_000;
        let mut least = i128::MAX;
        let seen = self.attempts_of(route).filter(|attempt| attempt.answer != Answer::Unprocessed);
        for (nth, attempt) in (0_i128..).zip(seen) {
            let here = nth * SECOND - i128::from(rate) * nanos(attempt.at);
            least = least.min(here);
            if here - least + SECOND > i128::from(burst) * SECOND {
                return Some(attempt.at);
            }
        }
        None
    }

    /// Whether in any window more retries went than a tenth of its sends, five a second, and 200 (`flow/budget.rs`), and
    /// when; in the same manner, in thousandths of a retry. Retries that surely were not processed are paid back.
    fn passes_budget(&self, route: usize) -> Option<Duration> {
        let (mut spent, mut least) = (0_i128, i128::MAX);
        for attempt in self.attempts_of(route) {
            let income = nanos(attempt.at) * 5 / 1_000_000;
            least = least.min(spent - income);
            spent += match attempt {
                attempt if !attempt.retry => -100,
                attempt if matches!(attempt.answer, Answer::Unprocessed | Answer::Forbidden) => 0,
                _ => 1_000,
            };
            if spent - income - least > 200_000 {
                return Some(attempt.at);
            }
        }
        None
    }
}

fn nanos(at: Duration) -> i128 {
    i128::try_from(at.as_nanos()).expect("far less")
}

/// The checkers can fail.
mod tests {
    use tidegate::outcome::OutcomeKind;

    use super::*;

    fn ledger(attempts: &[(u64, bool)]) -> Ledger {
        let record = Record {
            app: 0,
            traffic: 0,
            route: 0,
            lane: Lane::Normal,
            accepted: Duration::ZERO,
            deadline: Duration::from_secs(3_600),
            first_sent: None,
            sends: 0,
            reached: 0,
            outcome: None,
            home: 0,
        };
        let mut ledger = Ledger { records: vec![record; attempts.len()], ..Ledger::default() };
        for (push, (millis, retry)) in (0..).zip(attempts) {
            let at = Duration::from_millis(*millis);
            let (takes, answer) = (Duration::ZERO, Answer::Accepted);
            ledger.sent(Attempt { push, at, takes, answer, first: true, retry: *retry }, true);
        }
        ledger
    }

    #[test]
    fn one_too_many_in_a_window_is_seen() {
        let even: Vec<_> = (0..100).map(|nth| (nth * 10, false)).collect();
        assert_eq!(ledger(&even).passes_rate(0, 100, 1), None, "100 a second, evenly");
        let burst: Vec<_> = even.iter().copied().chain([(995, false), (995, false)]).collect();
        assert_eq!(ledger(&burst).passes_rate(0, 100, 3), None);
        assert_eq!(ledger(&burst).passes_rate(0, 100, 2), Some(Duration::from_millis(995)));
        assert_eq!(ledger(&burst).passes_rate(1, 100, 2), None, "another route's");
    }

    #[test]
    fn one_retry_too_many_is_seen() {
        let retries = |count: u64| (0..count).map(|_| (0, true)).collect::<Vec<_>>();
        assert_eq!(ledger(&retries(200)).passes_budget(0), None);
        assert_eq!(ledger(&retries(201)).passes_budget(0), Some(Duration::ZERO));
        let mut paid: Vec<_> = retries(200);
        paid.extend((0..10).map(|_| (0, false)));
        paid.extend([(0, true), (200, true), (201, true)]);
        assert_eq!(ledger(&paid).passes_budget(0), Some(Duration::from_millis(201)));
    }

    #[test]
    fn what_is_late_or_ends_twice_is_seen() {
        let mut ledger = ledger(&[(3_600_000, false), (3_599_999, false)]);
        assert_eq!(ledger.late, 1);
        ledger.ended(0, OutcomeKind::Delivered, Duration::ZERO, false);
        assert!(ledger.broken.is_empty());
        ledger.ended(0, OutcomeKind::Expired, Duration::ZERO, false);
        assert_eq!(ledger.broken.len(), 1);
    }
}
