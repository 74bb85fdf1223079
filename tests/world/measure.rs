//! What is measured of a run, each as one number.

use std::time::Duration;

use serde::Deserialize;
use tidegate::job::Lane;
use tidegate::outcome::OutcomeKind;

use super::ledger::{Attempt, Ledger, Record, Second};
use super::provider::Answer;
use super::scenario::{Scenario, SpanModel};

/// A figure of a run, or of the part of it that a span names. Those of pushes that end or are sent in the span, unless it
/// is said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Pushes of which no outcome and no message was left; the whole run's.
    Lost,
    /// Pushes that reached a device twice, or had a second outcome; the whole run's.
    Doubled,
    /// The same, as a part of what was in hand at the incidents.
    DoubledOfHand,
    /// Pushes sent at or after their deadline; the whole run's.
    LateSends,
    /// Dead-token verdicts that were held; the whole run's.
    Held,
    /// Times a push was put off durably; the whole run's.
    PutOff,
    /// Pushes accepted in the span that have no outcome at the end.
    Open,
    /// Pushes that ended so.
    Delivered,
    Unregistered,
    Rejected,
    Expired,
    Collapsed,
    Shed,
    Failed,
    /// Delivered, a second.
    Goodput,
    /// Delivered of those accepted in the span, whenever.
    DeliveredShare,
    /// Goodput as a part of what the routes can do: the lesser of rate and capacity, summed up.
    GoodputOfPeak,
    /// Goodput as a part of that in the reference.
    GoodputOfReference,
    /// Delivered in the span as a part of what was accepted in it: without the noise of two spans' traffic.
    GoodputOfOffered,
    /// Sent, as a part of what the rate passes.
    RateUsed,
    /// Attempts.
    Sends,
    /// Attempts for each first attempt.
    RetryAmplification,
    /// The part of the attempts that was answered 429 or 503.
    RefusedShare,
    /// From acceptance to the first attempt, of pushes accepted in the span; those that were never sent are left out.
    WaitP50Ms,
    WaitP99Ms,
    WaitMaxMs,
    /// How long a successful attempt took.
    AnswerP50Ms,
    AnswerP99Ms,
    /// Jain's index of the apps' goodput.
    Jain,
    /// The goodput of the app that has least, as a part of the mean.
    LeastOfMean,
    /// The part of all that was sent in the span by the same routes that is of the span's lane.
    ShareOfSent,
    /// The standard deviation of each second's shed ratio, in points of a hundred.
    ShedRatioSdPoints,
    /// Shed of all that ended.
    ShedRatio,
    /// The most pushes that waited in the lanes.
    MaxWaiting,
    /// How much the bytes held grew from the span's first third to its last, as a part of the first.
    MemoryGrowth,
    /// The most in flight at a second's end.
    MaxInFlight,
    /// The mean of that.
    MeanInFlight,
    /// Seconds after the span's beginning until goodput, over three seconds, is 95% of the reference.
    RecoveryS,
    /// The most that a second's attempts rise above those of the second before, in the five seconds from the first that
    /// is accepted on, as a part of the reference's.
    SteepestRise,
    /// Seconds at whose end a route was halted.
    HaltedS,
}

/// A part of a run.
pub struct Part<'a> {
    scenario: &'a Scenario,
    ledger: &'a Ledger,
    span: Option<&'a SpanModel>,
    from: Duration,
    to: Duration,
    apps: Vec<u16>,
}

impl<'a> Part<'a> {
    /// The part of a run that a span names; without one, all of it.
    pub fn new(scenario: &'a Scenario, ledger: &'a Ledger, span: Option<&'a SpanModel>) -> Self {
        let end = scenario.duration.0 + scenario.tail.0;
        let from = span.map_or(Duration::ZERO, |span| span.from.0);
        let to = span.and_then(|span| span.to).map_or(end, |to| to.0);
        let mut names: Vec<&str> = Vec::new();
        for route in &scenario.route {
            if !names.contains(&route.app.as_str()) {
                names.push(&route.app);
            }
        }
        let wanted = |name: &&str| {
            span.and_then(|span| span.apps.as_ref()).is_none_or(|apps| apps.iter().any(|app| app == name))
        };
        let apps = (0..).zip(&names).filter(|(_, name)| wanted(name)).map(|(nth, _)| nth).collect();
        Self { scenario, ledger, span, from, to, apps }
    }

    fn is_within(&self, at: Duration) -> bool {
        self.from <= at && at < self.to
    }

    fn is_of(&self, record: &Record, lane: Option<Lane>) -> bool {
        let provider = self.span.and_then(|span| span.provider);
        self.apps.contains(&record.app)
            && lane.is_none_or(|lane| lane == record.lane)
            && provider.is_none_or(|provider| self.scenario.route[usize::from(record.route)].provider == provider)
            && self.span.and_then(|span| span.traffic).is_none_or(|traffic| traffic == record.traffic)
    }

    fn lane(&self) -> Option<Lane> {
        self.span.and_then(|span| span.lane)
    }

    fn records(&self) -> impl Iterator<Item = &'a Record> {
        self.ledger.records.iter().filter(|record| self.is_of(record, self.lane()))
    }

    fn attempts(&self, lane: Option<Lane>) -> impl Iterator<Item = &'a Attempt> {
        let within = |attempt: &&Attempt| self.is_within(attempt.at);
        let of = move |attempt: &&Attempt| self.is_of(&self.ledger.records[attempt.push as usize], lane);
        self.ledger.attempts.iter().filter(within).filter(of)
    }

    fn sent(&self) -> impl Iterator<Item = &'a Attempt> {
        self.attempts(self.lane())
    }

    /// Routes of the span.
    fn routes(&self) -> Vec<usize> {
        let provider = self.span.and_then(|span| span.provider);
        let mut names: Vec<&str> = Vec::new();
        let mut routes = Vec::new();
        for (nth, route) in self.scenario.route.iter().enumerate() {
            if !names.contains(&route.app.as_str()) {
                names.push(&route.app);
            }
            let app = names.iter().position(|name| *name == route.app).expect("it was put there");
            let is_of = self.apps.iter().any(|wanted| usize::from(*wanted) == app);
            if is_of && provider.is_none_or(|provider| provider == route.provider) {
                routes.push(nth);
            }
        }
        routes
    }

    fn ended(&self, kind: OutcomeKind) -> f64 {
        let so = |record: &&Record| record.outcome.is_some_and(|(ended, at)| ended == kind && self.is_within(at));
        count(self.records().filter(so).count())
    }

    fn seconds(&self) -> f64 {
        (self.to - self.from).as_secs_f64()
    }

    fn peak(&self) -> f64 {
        let of = |nth: usize| {
            let route = &self.scenario.route[nth];
            route.rate.map_or(f64::INFINITY, f64::from).min(route.capacity.unwrap_or(f64::INFINITY))
        };
        self.routes().into_iter().map(of).sum()
    }

    /// Delivered in each second from `from` on.
    fn by_second(&self, from: Duration, to: Duration) -> Vec<f64> {
        let mut seconds = vec![0.0; whole((to - from).as_secs_f64().ceil())];
        for record in self.records() {
            if let Some((OutcomeKind::Delivered, at)) = record.outcome
                && from <= at
                && at < to
            {
                seconds[whole((at - from).as_secs_f64())] += 1.0;
            }
        }
        seconds
    }

    fn reference(&self) -> f64 {
        let [from, to] = self.span.and_then(|span| span.reference).expect("this measure needs a reference");
        self.by_second(from.0, to.0).iter().sum::<f64>() / (to.0 - from.0).as_secs_f64()
    }

    fn waits(&self) -> Vec<f64> {
        let wait = |record: &Record| record.first_sent.map(|sent| (sent - record.accepted).as_secs_f64() * 1e3);
        self.records().filter(|record| self.is_within(record.accepted)).filter_map(wait).collect()
    }

    fn answers(&self) -> Vec<f64> {
        let good = |attempt: &&Attempt| attempt.answer == Answer::Accepted;
        self.sent().filter(good).map(|attempt| attempt.takes.as_secs_f64() * 1e3).collect()
    }

    fn goodput_by_app(&self) -> Vec<f64> {
        let mut by_app = vec![0.0; self.apps.len()];
        for record in self.records() {
            if let Some((OutcomeKind::Delivered, at)) = record.outcome
                && self.is_within(at)
            {
                let app = self.apps.iter().position(|app| *app == record.app).expect("it is of the part");
                by_app[app] += 1.0;
            }
        }
        by_app
    }

    fn shed_ratios(&self) -> Vec<f64> {
        let mut seconds = vec![(0.0, 0.0); whole(self.seconds().ceil())];
        for record in self.records() {
            let Some((kind, at)) = record.outcome.filter(|(_, at)| self.is_within(*at)) else { continue };
            let second = &mut seconds[whole((at - self.from).as_secs_f64())];
            second.1 += 1.0;
            second.0 += f64::from(u8::from(kind == OutcomeKind::Shed));
        }
        seconds.into_iter().filter(|(_, all)| *all > 0.0).map(|(shed, all)| 100.0 * shed / all).collect()
    }

    fn of_routes<T>(&self, of: impl Fn(&Second) -> T) -> Vec<T> {
        let (from, to) = (whole(self.from.as_secs_f64()), whole(self.to.as_secs_f64()));
        let seconds = |route: usize| self.ledger.routes[route].iter().take(to).skip(from);
        self.routes().into_iter().flat_map(|route| seconds(route).map(&of)).collect()
    }

    fn memory_growth(&self) -> f64 {
        let (from, to) = (whole(self.from.as_secs_f64()), whole(self.to.as_secs_f64()));
        let memory: Vec<f64> = self.ledger.memory.iter().take(to).skip(from).map(|bytes| count(*bytes)).collect();
        let third = memory.len() / 3;
        let (first, last) = (mean(&memory[..third]), mean(&memory[memory.len() - third..]));
        last / first.max(1.0) - 1.0
    }

    fn recovery(&self) -> f64 {
        let reference = self.reference();
        let seconds = self.by_second(self.from, self.to);
        let good = |window: &[f64]| mean(window) >= 0.95 * reference;
        seconds.windows(3).position(good).map_or(f64::INFINITY, count)
    }

    fn steepest_rise(&self) -> f64 {
        let reference = self.reference();
        let good = self.sent().filter(|attempt| attempt.answer == Answer::Accepted).map(|attempt| attempt.at).min();
        let Some(first) = good else { return f64::NAN };
        let mut seconds = [0.0; 6];
        for attempt in self.sent().filter(|attempt| attempt.at >= first) {
            if let Some(second) = seconds.get_mut(1 + whole((attempt.at - first).as_secs_f64())) {
                *second += 1.0;
            }
        }
        seconds.windows(2).map(|pair| (pair[1] - pair[0]) / reference).fold(0.0, f64::max)
    }

    /// The figure.
    pub fn figure(&self, measure: Measure) -> f64 {
        let ledger = self.ledger;
        match measure {
            Measure::Lost => ledger.lost as f64,
            Measure::Doubled => ledger.doubled as f64,
            Measure::DoubledOfHand => ledger.doubled as f64 / (ledger.in_hand as f64).max(1.0),
            Measure::LateSends => ledger.late as f64,
            Measure::Held => ledger.held as f64,
            Measure::PutOff => ledger.put_off as f64,
            Measure::Open => {
                let open = |record: &&Record| record.outcome.is_none() && self.is_within(record.accepted);
                count(self.records().filter(open).count())
            }
            Measure::Delivered => self.ended(OutcomeKind::Delivered),
            Measure::Unregistered => self.ended(OutcomeKind::Unregistered),
            Measure::Rejected => self.ended(OutcomeKind::Rejected),
            Measure::Expired => self.ended(OutcomeKind::Expired),
            Measure::Collapsed => self.ended(OutcomeKind::Collapsed),
            Measure::Shed => self.ended(OutcomeKind::Shed),
            Measure::Failed => self.ended(OutcomeKind::Failed),
            Measure::Goodput => self.ended(OutcomeKind::Delivered) / self.seconds(),
            Measure::DeliveredShare => {
                let accepted: Vec<_> = self.records().filter(|record| self.is_within(record.accepted)).collect();
                let good = |record: &&&Record| matches!(record.outcome, Some((OutcomeKind::Delivered, _)));
                count(accepted.iter().filter(good).count()) / count(accepted.len())
            }
            Measure::GoodputOfPeak => self.ended(OutcomeKind::Delivered) / self.seconds() / self.peak(),
            Measure::GoodputOfReference => self.ended(OutcomeKind::Delivered) / self.seconds() / self.reference(),
            Measure::GoodputOfOffered => {
                let offered = self.records().filter(|record| self.is_within(record.accepted)).count();
                self.ended(OutcomeKind::Delivered) / count(offered)
            }
            Measure::RateUsed => count(self.sent().count()) / self.seconds() / self.peak(),
            Measure::Sends => count(self.sent().count()),
            Measure::RetryAmplification => {
                let firsts = self.sent().filter(|attempt| attempt.first).count();
                count(self.sent().count()) / count(firsts)
            }
            Measure::RefusedShare => {
                let refused = |attempt: &&Attempt| matches!(attempt.answer, Answer::Unavailable | Answer::Quota(_));
                count(self.sent().filter(refused).count()) / count(self.sent().count())
            }
            Measure::WaitP50Ms => percentile(self.waits(), 0.5),
            Measure::WaitP99Ms => percentile(self.waits(), 0.99),
            Measure::WaitMaxMs => percentile(self.waits(), 1.0),
            Measure::AnswerP50Ms => percentile(self.answers(), 0.5),
            Measure::AnswerP99Ms => percentile(self.answers(), 0.99),
            Measure::Jain => {
                let shares = self.goodput_by_app();
                let sum: f64 = shares.iter().sum();
                sum * sum / (count(shares.len()) * shares.iter().map(|share| share * share).sum::<f64>())
            }
            Measure::LeastOfMean => {
                let shares = self.goodput_by_app();
                shares.iter().copied().fold(f64::INFINITY, f64::min) / mean(&shares)
            }
            Measure::ShareOfSent => count(self.sent().count()) / count(self.attempts(None).count()),
            Measure::ShedRatio => {
                let shed = self.ended(OutcomeKind::Shed);
                shed / OutcomeKind::ALL.iter().map(|kind| self.ended(*kind)).sum::<f64>()
            }
            Measure::ShedRatioSdPoints => deviation(&self.shed_ratios()),
            Measure::MaxWaiting => {
                let (from, to) = (whole(self.from.as_secs_f64()), whole(self.to.as_secs_f64()));
                count(self.ledger.waiting.iter().take(to).skip(from).copied().max().unwrap_or(0))
            }
            Measure::MemoryGrowth => self.memory_growth(),
            Measure::MaxInFlight => {
                self.of_routes(|second| f64::from(second.in_flight)).into_iter().fold(0.0, f64::max)
            }
            Measure::MeanInFlight => mean(&self.of_routes(|second| f64::from(second.in_flight))),
            Measure::RecoveryS => self.recovery(),
            Measure::SteepestRise => self.steepest_rise(),
            Measure::HaltedS => {
                count(self.of_routes(|second| second.halted).into_iter().filter(|halted| *halted).count())
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of seconds or of samples")]
fn whole(number: f64) -> usize {
    number as usize
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / count(numbers.len())
}

fn deviation(numbers: &[f64]) -> f64 {
    let mean = mean(numbers);
    (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count(numbers.len())).sqrt()
}

/// NaN, which is in no interval, where there is nothing.
fn percentile(mut numbers: Vec<f64>, part: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let nth = whole((count(numbers.len()) * part).ceil()).max(1) - 1;
    numbers.get(nth).copied().unwrap_or(f64::NAN)
}
