//! The one file that knows metric names (SPEC.md, section 8).
//!
//! Code says what happened by calling a method; what it is called, and which labels it has, is decided here.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::job::{Lane, Provider, SourceName};

/// What became of a job at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobResult {
    /// Taken in.
    Accepted,
    /// A dead letter at once: it can't be read, or was delivered too often.
    Dead,
}

macro_rules! label_value {
    ($type:ty, $value:ident => $text:expr) => {
        impl EncodeLabelValue for $type {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
                let $value = *self;
                EncodeLabelValue::encode(&$text, encoder)
            }
        }
    };
}

label_value!(Lane, lane => lane.as_str());
label_value!(Provider, provider => provider.as_str());
label_value!(SourceName, source => source.as_str());
label_value!(JobResult, result => match result { JobResult::Accepted => "accepted", JobResult::Dead => "dead" });

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    source: SourceName,
    lane: Lane,
    result: JobResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: SourceName,
    lane: Lane,
}

/// Every metric there is.
#[derive(Debug, Default)]
pub struct Metrics {
    jobs: Family<JobLabels, Counter>,
    demand: Family<SourceLabels, Gauge>,
    unsettled: Family<SourceLabels, Gauge>,
}

impl Metrics {
    /// Jobs came in.
    pub fn jobs(&self, source: SourceName, lane: Lane, result: JobResult, count: u64) {
        self.jobs.get_or_create(&JobLabels { source, lane, result }).inc_by(count);
    }

    /// Jobs the pipeline would take from a source now.
    pub fn demand(&self, source: SourceName, lane: Lane, jobs: usize) {
        self.demand.get_or_create(&SourceLabels { source, lane }).set(gauge(jobs));
    }

    /// Jobs taken from a source and not settled there.
    pub fn unsettled(&self, source: SourceName, lane: Lane, jobs: usize) {
        self.unsettled.get_or_create(&SourceLabels { source, lane }).set(gauge(jobs));
    }
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
