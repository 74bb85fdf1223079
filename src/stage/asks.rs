//! What a source is asked for, and when.
//!
//! Demand is a number that rises and falls; a source is asked in portions. This notes each rise as an ask of its own. As
//! long as nothing is held back there is at most one. While demand is accumulated, asks queue up, and once released each
//! is served for itself. A fall (withdrawn demand, a consumer that left) takes from the youngest.

use std::collections::VecDeque;

/// Asks that a source was not told yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Asks {
    waiting: VecDeque<usize>,
    held: bool,
}

impl Asks {
    /// Notes how much is wanted beyond what the source is working on.
    pub(super) fn note(&mut self, wanted: usize) {
        let mut known: usize = self.waiting.iter().sum();
        if wanted > known {
            self.waiting.push_back(wanted - known);
        }
        while known > wanted {
            let youngest = self.waiting.back_mut().expect("what is known is the sum of what waits");
            let less = (known - wanted).min(*youngest);
            *youngest -= less;
            known -= less;
            if *youngest == 0 {
                self.waiting.pop_back();
            }
        }
    }

    /// The next ask for the source.
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.held { None } else { self.waiting.pop_front() }
    }

    /// Holds asks back, or releases them.
    pub(super) fn hold(&mut self, held: bool) {
        self.held = held;
    }
}
