//! Who of one target's waiting pushes goes first: the one that was accepted first, by whichever of their places comes up
//! first (FLOW.md, 2.7); and who is parked first: the one that was accepted last. Pure.
//!
//! A wide job and a narrow one stand in different queues of a line, so that the later of two pushes to one target may
//! come up first. Then the earlier one goes in its stead, and the later one takes over the place that is left. So the
//! order is kept, and nobody else notices: not one place moves.
//!
//! ```text
//!   target t:  oldest ─▶ 17 ─▶ 3 ─▶ 40 ─▶ youngest        place 40 comes up: what stands in 17 goes,
//!                        └────────────── 17               17 is the youngest's now
//! ```
//!
//! Places are those of [`Slots`](super::slots); a chain of them, by a target's key, is all that is kept here.

use std::collections::HashMap;

/// Chains of places.
#[derive(Default)]
pub(super) struct Order {
    /// By key: the oldest and the youngest.
    ends: HashMap<u64, (u32, u32)>,
    /// By place.
    links: Vec<Option<Link>>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    key: u64,
    older: Option<u32>,
    younger: Option<u32>,
}

impl Order {
    /// The oldest place of a key.
    pub(super) fn oldest(&self, key: u64) -> Option<u32> {
        self.ends.get(&key).map(|(oldest, _)| *oldest)
    }

    /// What stands in a place, which is in no chain, is the youngest of its key.
    pub(super) fn joins(&mut self, place: u32, key: u64) {
        let index = place as usize;
        if self.links.len() <= index {
            self.links.resize(index + 1, None);
        }
        debug_assert!(self.links[index].is_none(), "a place is free when it is given out");
        let ends = self.ends.entry(key).or_insert((place, place));
        let older = Some(ends.1).filter(|last| *last != place);
        ends.1 = place;
        self.links[index] = Some(Link { key, older, younger: None });
        if let Some(older) = older {
            self.link(older).younger = Some(place);
        }
    }

    /// What stood in a place has left it.
    pub(super) fn leaves(&mut self, place: u32) {
        let Some(link) = self.links.get_mut(place as usize).and_then(Option::take) else { return };
        match (link.older, link.younger) {
            (None, None) => drop(self.ends.remove(&link.key)),
            (older, younger) => {
                let ends = self.ends.get_mut(&link.key).expect("a chain has ends");
                ends.0 = if older.is_none() { younger.unwrap_or(ends.0) } else { ends.0 };
                ends.1 = if younger.is_none() { older.unwrap_or(ends.1) } else { ends.1 };
                if let Some(older) = older {
                    self.link(older).younger = younger;
                }
                if let Some(younger) = younger {
                    self.link(younger).older = older;
                }
            }
        }
    }

    /// The oldest and the youngest of those that a place is chained to; itself, if it is in no chain.
    pub(super) fn ends(&self, place: u32) -> (u32, u32) {
        let link = self.links.get(place as usize).copied().flatten();
        link.and_then(|link| self.ends.get(&link.key).copied()).unwrap_or((place, place))
    }

    /// What stood in `place` stands in `first`, of the same chain, and the other way about.
    pub(super) fn exchange(&mut self, first: u32, place: u32) {
        let (Some(one), Some(other)) = (self.links[first as usize], self.links[place as usize]) else { return };
        // Renamed, not relinked: each keeps the neighbours of what it holds now.
        let renamed = |at: Option<u32>| match at {
            Some(at) if at == first => Some(place),
            Some(at) if at == place => Some(first),
            at => at,
        };
        let rename = |link: Link| Link { older: renamed(link.older), younger: renamed(link.younger), ..link };
        self.links[first as usize] = Some(rename(other));
        self.links[place as usize] = Some(rename(one));
        let ends = self.ends.get_mut(&one.key).expect("a chain has ends");
        *ends = (renamed(Some(ends.0)).unwrap_or(ends.0), renamed(Some(ends.1)).unwrap_or(ends.1));
        for at in [first, place] {
            let link = self.links[at as usize].expect("it was put there");
            if let Some(older) = link.older {
                self.link(older).younger = Some(at);
            }
            if let Some(younger) = link.younger {
                self.link(younger).older = Some(at);
            }
        }
    }

    fn link(&mut self, place: u32) -> &mut Link {
        self.links[place as usize].as_mut().expect("neighbours are in the chain")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// FLOW.md 2.7, the chains alone: whatever comes and goes, a key's oldest and youngest are known of what is
        /// there, wherever they stand by now.
        #[test]
        fn flow_2_7_whatever_place_comes_up_the_oldest_goes_and_the_youngest_is_parked(steps in prop::collection::vec((0_u8..5, 0_u64..3, any::<prop::sample::Index>()), 1..200)) {
            let mut order = Order::default();
            // By place: key and age. By key: ages in order.
            let mut places: Vec<Option<(u64, usize)>> = Vec::new();
            let mut ages: [VecDeque<usize>; 3] = Default::default();
            for (age, (act, key, which)) in steps.into_iter().enumerate() {
                let taken: Vec<usize> = (0..places.len()).filter(|at| places[*at].is_some()).collect();
                if act < 2 || taken.is_empty() {
                    let place = (0..places.len()).find(|at| places[*at].is_none()).unwrap_or(places.len());
                    places.resize(places.len().max(place + 1), None);
                    places[place] = Some((key, age));
                    ages[key as usize].push_back(age);
                    order.joins(place as u32, key);
                    continue;
                }
                let place = *which.get(&taken);
                let (key, here) = places[place].expect("it is taken");
                if act < 4 {
                    let (oldest, youngest) = order.ends(place as u32);
                    let first = if act == 2 { oldest } else { youngest } as usize;
                    order.exchange(first as u32, place as u32);
                    places.swap(first, place);
                    order.leaves(place as u32);
                    let (_, gone) = places[place].take().expect("it is taken");
                    let ages = &mut ages[key as usize];
                    let due = if act == 2 { ages.pop_front() } else { ages.pop_back() };
                    prop_assert_eq!(due, Some(gone));
                } else {
                    order.leaves(place as u32);
                    places[place] = None;
                    ages[key as usize].retain(|age| *age != here);
                }
            }
            prop_assert_eq!(order.ends.len(), ages.iter().filter(|ages| !ages.is_empty()).count());
        }
    }
}
