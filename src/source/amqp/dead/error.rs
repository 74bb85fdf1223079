//! Why a walk can't begin, or go on.

use super::super::ConnectError;
use super::super::names::Names;

/// Why dead letters can't be walked through, or no further. What was not confirmed is in the queue still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadError {
    /// There is no connection.
    Connect(ConnectError),
    /// There is no such queue, or the user may not read it.
    Queue(String),
    /// The connection was lost on the way.
    Lost(String),
}

impl std::fmt::Display for DeadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Queue(text) => f.write_str(text),
            Self::Lost(text) => write!(f, "the connection was lost: {text}"),
        }
    }
}

impl std::error::Error for DeadError {}

impl From<lapin::Error> for DeadError {
    fn from(error: lapin::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// The queue can't be looked at.
pub(super) fn no_queue(names: &Names, error: &lapin::Error) -> DeadError {
    let (queue, said) = (names.dead(), error.to_string());
    DeadError::Queue(if said.contains("NOT_FOUND") {
        format!("there is no queue {queue:?} at this broker; `tidegate serve` declares it. Is the prefix right?")
    } else {
        format!("queue {queue:?} can't be read: {said}")
    })
}
