//! Lanes: the class in which a push waits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The class in which a push waits. Lanes are weighted, not strict: a higher lane goes first, a lower one never starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// What a person waits for: messages, calls, one-time codes.
    High,
    /// Everything that is neither urgent nor bulk.
    Normal,
    /// Bulk: digests, marketing.
    Low,
}

impl Lane {
    /// All lanes, the most important first.
    pub const ALL: [Lane; 3] = [Lane::High, Lane::Normal, Lane::Low];

    /// The lane's place in an array of three, the most important first.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The lane's name, as jobs, queues and metrics spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Lane::High => "high",
            Lane::Normal => "normal",
            Lane::Low => "low",
        }
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
