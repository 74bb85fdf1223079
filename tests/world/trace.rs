//! A run, a line a second, for whoever has to find out why it failed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::ledger::Ledger;
use super::provider::Answer;
use super::scenario::Scenario;

fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Accepted => "accepted",
        Answer::Dead => "dead",
        Answer::Misaddressed => "misaddressed",
        Answer::Unavailable => "503",
        Answer::Quota(_) => "429",
        Answer::DeviceThrottled => "429 device",
        Answer::Unprocessed => "unprocessed",
        Answer::Forbidden => "403",
        Answer::Timeout => "timeout",
        Answer::Lost => "lost",
    }
}

/// Writes it and says where.
pub fn write(name: &str, seed: u64, scenario: &Scenario, ledger: &Ledger) -> PathBuf {
    let mut sent: BTreeMap<(usize, usize), BTreeMap<&str, u32>> = BTreeMap::new();
    for attempt in &ledger.attempts {
        let route = usize::from(ledger.records[attempt.push as usize].route);
        let second = usize::try_from(attempt.at.as_secs()).expect("far fewer");
        *sent.entry((second, route)).or_default().entry(word(attempt.answer)).or_default() += 1;
    }
    let mut ended: BTreeMap<usize, BTreeMap<&str, u32>> = BTreeMap::new();
    for (kind, at) in ledger.records.iter().filter_map(|record| record.outcome) {
        let second = usize::try_from(at.as_secs()).expect("far fewer");
        *ended.entry(second).or_default().entry(kind.as_str()).or_default() += 1;
    }
    let mut text = String::new();
    for second in 0..ledger.memory.len() {
        let waiting = ledger.waiting.get(second).copied().unwrap_or_default();
        let ended = ended.remove(&second).unwrap_or_default();
        let _ = write!(text, "{second:>4} s  waiting {waiting}  bytes {}  ended {ended:?}", ledger.memory[second]);
        for (nth, route) in scenario.route.iter().enumerate() {
            let state = ledger.routes[nth][second];
            let sent = sent.remove(&(second, nth)).unwrap_or_default();
            let halted = if state.halted { " HALTED" } else { "" };
            let _ = write!(
                text,
                "  | {}/{}: {} of {} in flight, {} on the shelf{halted}, sent {sent:?}",
                route.app, route.provider, state.in_flight, state.limit, state.shelf
            );
        }
        text.push('\n');
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("world");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    let path = folder.join(format!("{name}-{seed}.txt"));
    std::fs::write(&path, text).expect("the target folder can be written");
    path
}
