//! What the script does to a request, drawn with the connection's own generator.

use std::time::{Duration, Instant};

use super::Script;
use super::driver::Driver;
use crate::http2::ErrorCode;
use crate::simulator::ledger::Entry;
use crate::simulator::{Injected, ResetCode, Window};

impl Driver {
    /// Whether the script lets the request get lost.
    pub(super) fn is_lost(&mut self, stream: u32) -> bool {
        let faults = &self.script.faults;
        if faults.never_answer > 0.0 && self.random.f64() < faults.never_answer {
            self.entries.push(Entry::Unanswered);
            return true;
        }
        let Some(reset) = faults.reset.filter(|reset| self.random.f64() < reset.share) else { return false };
        self.session.reset(stream, error_code(reset.code));
        self.entries.push(Entry::Reset);
        true
    }

    pub(super) fn draw_injected(&mut self, now: Instant) -> Option<Injected> {
        let elapsed = self.script.elapsed(now);
        let faults = &self.script.faults;
        let is_now = |during: Option<Window>| during.is_none_or(|window| window.end_if_within(elapsed).is_some());
        let throttle = faults.throttle.filter(|throttle| is_now(throttle.during));
        let throttle = throttle.filter(|throttle| self.random.f64() < throttle.share);
        let error = faults.server_error.filter(|error| self.random.f64() < error.share);
        throttle.map(Injected::Throttle).or(error.map(Injected::ServerError))
    }

    pub(super) fn draw_latency(&mut self) -> Duration {
        let faults = &self.script.faults;
        let latency = faults.latency.draw(&mut self.random);
        match faults.slow {
            Some(slow) if self.random.f64() < slow.share => latency.max(slow.latency),
            _ => latency,
        }
    }
}

/// The stream limit that the script has now: its latest step that is past.
pub(super) fn scripted_limit(script: &Script, now: Instant) -> Option<u32> {
    let elapsed = script.elapsed(now);
    let past = script.faults.stream_limits.iter().filter(|step| step.at <= elapsed);
    past.max_by_key(|step| step.at).map(|step| step.limit)
}

const fn error_code(code: ResetCode) -> ErrorCode {
    match code {
        ResetCode::RefusedStream => ErrorCode::REFUSED_STREAM,
        ResetCode::InternalError => ErrorCode::INTERNAL_ERROR,
        ResetCode::Cancel => ErrorCode::CANCEL,
        ResetCode::EnhanceYourCalm => ErrorCode::ENHANCE_YOUR_CALM,
    }
}
