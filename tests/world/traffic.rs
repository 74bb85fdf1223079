//! When jobs come: one stream of moments for each traffic model, a Poisson process thinned to the model's rate.

use std::time::Duration;

use super::scenario::{Model, TrafficModel};

/// The moments of one traffic model, in order.
pub struct Arrivals {
    rng: fastrand::Rng,
    model: Model,
    from: Duration,
    to: Duration,
    at: Duration,
    left: u32,
}

impl Arrivals {
    pub fn new(traffic: &TrafficModel, duration: Duration, rng: fastrand::Rng) -> Self {
        let from = traffic.from.0;
        let to = traffic.to.map_or(duration, |to| to.0.min(duration));
        let left = if let Model::Burst(count) = traffic.model { count } else { u32::MAX };
        Self { rng, model: traffic.model, from, to, at: from, left }
    }

    /// Jobs a second at `at`, and the most there ever are.
    fn rate(&self, at: Duration) -> (f64, f64) {
        match self.model {
            Model::Burst(_) => (0.0, 0.0),
            Model::Steady(rate) => (rate, rate),
            Model::FlashCrowd { usual, peak, at: jump, decay } => {
                let rate = match at.checked_sub(jump.0) {
                    None => usual,
                    Some(since) => usual + (peak - usual) * (-since.as_secs_f64() / decay.0.as_secs_f64()).exp(),
                };
                (rate, usual.max(peak))
            }
            Model::Diurnal { least, most, day } => {
                let turn = at.saturating_sub(self.from).as_secs_f64() / day.0.as_secs_f64();
                (least + (most - least) * (1.0 - (turn * std::f64::consts::TAU).cos()) / 2.0, most)
            }
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        if matches!(self.model, Model::Burst(_)) {
            return Some(self.from);
        }
        loop {
            let (_, most) = self.rate(self.at);
            self.at += Duration::from_secs_f64(-(1.0 - self.rng.f64()).ln() / most);
            if self.at >= self.to {
                self.left = 0;
                return None;
            }
            let (rate, _) = self.rate(self.at);
            if self.rng.f64() * most < rate {
                return Some(self.at);
            }
        }
    }
}
