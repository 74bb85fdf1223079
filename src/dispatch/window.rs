//! Room in pushes, spoken as demand in jobs.
//!
//! A source counts jobs, a lane holds pushes, and a job is 1 to 1,000 pushes, as the source will find out only when it
//! has it. So demand is cut by the fan-out seen lately: the larger of the recent mean and the last job's size halved
//! away over time, so that a turn from single pushes to wide jobs is felt with the first of them. The bound that
//! follows: at most `max_waiting` pushes, and what the jobs that were already asked for can add.

/// Jobs asked for before any was seen: enough to learn the fan-out from, few enough to hold if each has 1,000 targets.
const FIRST_DEMAND: usize = 32;
/// The weight of one job in the running mean.
const SMOOTHING: f64 = 0.05;

/// One lane's window.
#[derive(Debug, Clone)]
pub struct Window {
    max_waiting: usize,
    /// Pushes a job, smoothed; falls slowly, rises at once.
    fan_out: Option<f64>,
}

impl Window {
    /// A window of `max_waiting` pushes.
    #[must_use]
    pub const fn new(max_waiting: usize) -> Self {
        Self { max_waiting, fan_out: None }
    }

    /// Changes its size; what waits beyond it stays, and nothing is asked for until there is room.
    pub const fn resize(&mut self, max_waiting: usize) {
        self.max_waiting = max_waiting;
    }

    /// Notes that a job of so many pushes came.
    pub fn note(&mut self, pushes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "at most 1,000")]
        let pushes = pushes as f64;
        let mean = self.fan_out.map_or(pushes, |mean| mean + (pushes - mean) * SMOOTHING);
        self.fan_out = Some(mean.max(pushes / 2.0).max(1.0));
    }

    /// How many more jobs may come while so many pushes wait.
    #[must_use]
    pub fn demand(&self, waiting: usize) -> usize {
        let room = self.max_waiting.saturating_sub(waiting);
        match self.fan_out {
            None => room.min(FIRST_DEMAND),
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "room is a count of pushes in memory, far below 2^52"
            )]
            Some(fan_out) => (room as f64 / fan_out) as usize,
        }
    }
}
