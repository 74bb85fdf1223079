//! What is known of a job, put together for machines and in words. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::dispatch::JobInHand;
use crate::job::{Lane, Provider, UnixMillis};
use crate::outcome::{OutcomeKind, Past, PushLeft};
use crate::spool::{Lies, OnDisk, Search};
use crate::verdict::Reason;

/// What the owners of the parts know.
#[derive(Default)]
pub(super) struct Known {
    pub(super) in_hand: Option<JobInHand>,
    pub(super) pasts: Vec<Past>,
    pub(super) disk: Search,
}

/// What became of a job, as far as it is known.
#[derive(Debug, Serialize)]
pub struct JobReport {
    id: String,
    state: State,
    /// The same, for people.
    says: String,
    app: String,
    lane: &'static str,
    accepted_at: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<Box<str>>,
    /// Of the part of the job that is in hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pushes: Option<Pushes>,
    /// Outcomes of late.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended: Vec<Ended>,
    /// What comes again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    put_off: Vec<PutOff>,
    /// What lies in the spool.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    on_disk: Vec<Part>,
    /// The spool was not looked through to its end: there may be more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut_short: bool,
}

/// Where a job stands: the first of these that is true of any of its pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Waits in a lane.
    Waiting,
    /// With its route: being sent, or tried again within seconds.
    InFlight,
    /// In the spool, not read yet.
    Queued,
    /// Comes again later.
    PutOff,
    /// A dead letter.
    Dead,
    /// All that is known has ended.
    Ended,
}

#[derive(Debug, Serialize)]
struct Pushes {
    total: usize,
    waiting: usize,
    in_flight: usize,
}

#[derive(Debug, Serialize)]
struct Ended {
    /// The target's place in `to`.
    target: u16,
    provider: Provider,
    outcome: OutcomeKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    attempts: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<UnixMillis>,
    at: UnixMillis,
}

#[derive(Debug, Serialize)]
struct PutOff {
    target: u16,
    provider: Provider,
    attempts: u8,
    not_before: UnixMillis,
}

#[derive(Debug, Serialize)]
struct Part {
    #[serde(flatten)]
    lies: WrittenLies,
    pushes: u16,
    attempts: u8,
}

#[derive(Debug, Serialize)]
#[serde(tag = "lies", rename_all = "snake_case")]
enum WrittenLies {
    Queued,
    Later { not_before: UnixMillis },
    Dead { reason: String, detail: String, at: UnixMillis },
}

impl JobReport {
    /// Puts it together; `None`: nothing is known.
    pub(super) fn of(id: &str, known: Known) -> Option<Self> {
        let Known { in_hand, pasts, disk } = known;
        let (app, lane, accepted_at) = head(in_hand.as_ref(), &pasts, &disk.found)?;
        let pushes = in_hand.as_ref().map(|JobInHand { job, waiting }| Pushes {
            total: job.push_count(),
            waiting: *waiting,
            in_flight: job.open_pushes().saturating_sub(*waiting),
        });
        let put_off = if in_hand.is_some() { Vec::new() } else { put_off(&pasts) };
        let mut report = Self {
            id: id.to_owned(),
            state: State::Ended,
            says: String::new(),
            app,
            lane: lane.as_str(),
            accepted_at,
            traceparent: in_hand.and_then(|hand| hand.job.job.traceparent.clone()),
            pushes,
            ended: pasts.into_iter().filter_map(ended).collect(),
            put_off,
            on_disk: disk.found.into_iter().map(part).collect(),
            cut_short: disk.cut_short,
        };
        report.state = report.stands();
        report.says = report.words();
        Some(report)
    }

    fn stands(&self) -> State {
        let lies = |is: fn(&WrittenLies) -> bool| self.on_disk.iter().any(|part| is(&part.lies));
        match &self.pushes {
            Some(pushes) if pushes.waiting > 0 => State::Waiting,
            Some(pushes) if pushes.in_flight > 0 => State::InFlight,
            _ if lies(|lies| matches!(lies, WrittenLies::Queued)) => State::Queued,
            _ if !self.put_off.is_empty() || lies(|lies| matches!(lies, WrittenLies::Later { .. })) => State::PutOff,
            _ if lies(|lies| matches!(lies, WrittenLies::Dead { .. })) => State::Dead,
            _ => State::Ended,
        }
    }

    fn words(&self) -> String {
        let mut parts = Vec::new();
        if let Some(Pushes { waiting, in_flight, .. }) = self.pushes {
            if waiting > 0 {
                parts.push(format!("{} in the lane {}", count(waiting, "waits", "wait"), self.lane));
            }
            if in_flight > 0 {
                let are = count(in_flight, "is", "are");
                parts.push(format!("{are} with the provider's route: being sent, or tried again within seconds"));
            }
        }
        parts.extend(self.outcomes());
        let on_disk = self.on_disk.iter().any(|part| matches!(part.lies, WrittenLies::Later { .. }));
        if let Some(first) = self.put_off.iter().map(|put_off| put_off.not_before).min().filter(|_| !on_disk) {
            let again = count(self.put_off.len(), "comes", "come");
            parts.push(format!("{again} again, not before {first}"));
        }
        parts.extend(self.on_disk.iter().map(|part| part.words(self.lane)));
        parts.join("; ")
    }

    /// The outcomes, counted: "2 pushes rejected (BadDeviceToken)".
    fn outcomes(&self) -> impl Iterator<Item = String> {
        let mut counts: BTreeMap<(OutcomeKind, Option<&str>), usize> = BTreeMap::new();
        for ended in &self.ended {
            *counts.entry((ended.outcome, ended.reason.as_deref())).or_default() += 1;
        }
        let told = counts.into_iter().map(|((kind, reason), pushes)| {
            let mut text = count(pushes, kind.as_str(), kind.as_str());
            if let Some(reason) = reason {
                write!(text, " ({reason})").expect("writing to a String does not fail");
            }
            text
        });
        told.collect::<Vec<_>>().into_iter()
    }
}

impl Part {
    fn words(&self, lane: &str) -> String {
        let pushes = usize::from(self.pushes);
        match &self.lies {
            WrittenLies::Queued => {
                format!("{} on disk for {} turn in the lane {lane}", count(pushes, "waits", "wait"), its(pushes))
            }
            WrittenLies::Later { not_before } => {
                format!("{} again, not before {not_before}", count(pushes, "comes", "come"))
            }
            WrittenLies::Dead { reason, detail, at } => {
                format!("{} a dead letter since {at}: {reason}: {detail}", count(pushes, "is", "are"))
            }
        }
    }
}

const fn its(pushes: usize) -> &'static str {
    if pushes == 1 { "its" } else { "their" }
}

fn count(pushes: usize, one: &str, more: &str) -> String {
    if pushes == 1 { format!("1 push {one}") } else { format!("{pushes} pushes {more}") }
}

/// App, lane and acceptance, from whoever knows.
fn head(in_hand: Option<&JobInHand>, pasts: &[Past], disk: &[OnDisk]) -> Option<(String, Lane, UnixMillis)> {
    let hand = in_hand.map(|hand| &hand.job).map(|job| (job.job.app.to_string(), job.lane, job.origin.accepted_at));
    let past = || pasts.last().map(|past| (past.app.to_string(), past.lane, past.accepted_at));
    let lying = || disk.first().map(|part| (part.app.clone(), part.lane, part.accepted_at));
    hand.or_else(past).or_else(lying)
}

fn ended(past: Past) -> Option<Ended> {
    let PushLeft::Ended(outcome) = past.left else { return None };
    Some(Ended {
        target: past.index,
        provider: past.provider,
        outcome: outcome.kind,
        reason: outcome.reason,
        status: outcome.status,
        attempts: outcome.attempts,
        provider_id: outcome.provider_id,
        since: outcome.since,
        at: outcome.at,
    })
}

/// The targets whose last word was "later".
fn put_off(pasts: &[Past]) -> Vec<PutOff> {
    let last: BTreeMap<u16, &Past> = pasts.iter().map(|past| (past.index, past)).collect();
    let later = last.into_iter().filter_map(|(target, past)| match past.left {
        PushLeft::Ended(_) => None,
        PushLeft::Later { at, delay, attempts } => {
            let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            let not_before = UnixMillis(at.0.saturating_add(millis));
            Some(PutOff { target, provider: past.provider, attempts, not_before })
        }
    });
    later.collect()
}

fn part(part: OnDisk) -> Part {
    let lies = match part.lies {
        Lies::Queued => WrittenLies::Queued,
        Lies::Later { due } => WrittenLies::Later { not_before: due },
        Lies::Dead { reason, detail, at } => WrittenLies::Dead { reason, detail, at },
    };
    Part { lies, pushes: part.pushes, attempts: part.attempts }
}
