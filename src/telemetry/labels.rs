//! The labels that metrics have. Each takes its values from a set that is bounded: what is open (apps, reasons) has its
//! bounds in `bounds`.

use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::job::{Lane, Provider, SourceName};

/// What became of a job at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobResult {
    /// Taken in.
    Accepted,
    /// A dead letter at once: it can't be read, or was delivered too often.
    Dead,
    /// Came again: from RabbitMQ, though all of it had ended, as its connection was lost before the ack arrived; at the door,
    /// with an id that was seen within the dedupe window. Acked or accepted, not sent.
    Duplicate,
}

impl JobResult {
    const fn as_str(self) -> &'static str {
        match self {
            JobResult::Accepted => "accepted",
            JobResult::Dead => "dead",
            JobResult::Duplicate => "duplicate",
        }
    }
}

/// A route's labels. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteLabel {
    /// The app.
    pub app: Arc<str>,
    /// The provider.
    pub provider: Provider,
}

impl std::fmt::Display for RouteLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.app, self.provider)
    }
}

macro_rules! label_value {
    ($($type:ty),*) => {$(
        impl EncodeLabelValue for $type {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
                EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }
    )*};
}

label_value!(Lane, Provider, SourceName, JobResult);

macro_rules! label_sets {
    ($($name:ident { $($field:ident: $type:ty),* })*) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(super) struct $name {
            $(pub(super) $field: $type,)*
        }
    )*};
}

label_sets! {
    JobLabels { source: SourceName, lane: Lane, result: JobResult }
    SourceLabels { source: SourceName, lane: Lane }
    PushLabels { app: Arc<str>, provider: Provider, lane: Lane, outcome: &'static str, reason: String }
    RouteLabels { app: Arc<str>, provider: Provider }
    WaitingLabels { app: Arc<str>, provider: Provider, lane: Lane }
    ProviderLabels { provider: Provider }
    LatencyLabels { provider: Provider, lane: Lane }
    RetryLabels { provider: Provider, reason: String }
    SinkLabels { sink: &'static str }
    ReloadLabels { result: &'static str }
    BuildLabels { version: &'static str }
    TraceLabels { trace_id: String }
}
