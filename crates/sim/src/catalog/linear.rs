//! A judge of histories: is there an order of the calls on one key, each between its call and its return, in which a
//! plain register gives every answer that was given?
//!
//! Wing and Gong's search with Lowe's memory of states that led nowhere. A call without a return may take effect at
//! any time after it was made, or never.

use std::collections::HashSet;

/// What stands under the key: the value and its version.
pub type State = Option<(u64, u64)>;

/// What a client wants of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Reads it.
    Get,
    /// Sets a value, if the version is this one (0 for none) or nothing is expected.
    Put {
        /// The value.
        value: u64,
        /// The version it must have; nothing if any will do.
        expect: Option<u64>,
    },
    /// Removes it.
    Delete {
        /// The version it must have.
        expect: Option<u64>,
    },
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What stands there.
    Got(State),
    /// The version afterwards.
    Done(u64),
    /// There was nothing to remove.
    Absent,
    /// It has this version, not the one expected.
    Mismatch(u64),
}

/// A deed with its time and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// What was wanted.
    pub deed: Deed,
    /// When it was asked.
    pub begun: u64,
    /// When it returned, and what.
    pub ended: Option<(u64, Outcome)>,
}

/// What a plain register does.
fn run(state: State, deed: Deed) -> (State, Outcome) {
    let version = state.map_or(0, |(_, version)| version);
    let is_met = |expect: Option<u64>| expect.is_none_or(|wanted| wanted == version);
    match deed {
        Deed::Get => (state, Outcome::Got(state)),
        Deed::Put { value, expect } if is_met(expect) => {
            (Some((value, version + 1)), Outcome::Done(version + 1))
        }
        Deed::Delete { expect } if is_met(expect) => match state {
            Some(_) => (None, Outcome::Done(0)),
            None => (None, Outcome::Absent),
        },
        Deed::Put { .. } | Deed::Delete { .. } => (state, Outcome::Mismatch(version)),
    }
}

/// Whether the history is one of a register that begins empty.
pub fn is_linearizable(calls: &[Call]) -> bool {
    // Calls and returns by time; those without a return come back at the end of time.
    let mut events: Vec<(u64, usize, bool)> = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        events.push((call.begun, number, true));
        events.push((call.ended.map_or(u64::MAX, |(at, _)| at), number, false));
    }
    events.sort_by_key(|(at, number, begins)| (*at, !begins, *number));
    Search::new(calls, &events).run()
}

struct Search<'a> {
    calls: &'a [Call],
    events: Vec<(usize, bool)>,
    /// The events not yet ordered, as a list with a head at the end.
    next: Vec<usize>,
    previous: Vec<usize>,
    return_of: Vec<usize>,
    ordered: Vec<u64>,
    seen: HashSet<(Vec<u64>, State)>,
}

impl<'a> Search<'a> {
    fn new(calls: &'a [Call], events: &[(u64, usize, bool)]) -> Self {
        let count = events.len();
        let mut return_of = vec![0; calls.len()];
        for (place, (_, call, begins)) in events.iter().enumerate() {
            if !begins {
                return_of[*call] = place;
            }
        }
        Self {
            calls,
            events: events
                .iter()
                .map(|(_, call, begins)| (*call, *begins))
                .collect(),
            next: (0..=count).map(|place| (place + 1) % (count + 1)).collect(),
            previous: (0..=count)
                .map(|place| (place + count) % (count + 1))
                .collect(),
            return_of,
            ordered: vec![0; calls.len().div_ceil(64)],
            seen: HashSet::new(),
        }
    }

    fn run(&mut self) -> bool {
        let head = self.events.len();
        let mut state: State = None;
        let mut taken: Vec<(usize, State)> = Vec::new();
        let mut at = self.next[head];
        loop {
            if at == head {
                return true;
            }
            let (call, begins) = self.events[at];
            if begins {
                let (after, outcome) = run(state, self.calls[call].deed);
                let fits = self.calls[call]
                    .ended
                    .is_none_or(|(_, wanted)| wanted == outcome);
                self.ordered[call / 64] ^= 1 << (call % 64);
                if fits && self.seen.insert((self.ordered.clone(), after)) {
                    taken.push((at, state));
                    state = after;
                    self.unlink(at);
                    self.unlink(self.return_of[call]);
                    at = self.next[head];
                    continue;
                }
                self.ordered[call / 64] ^= 1 << (call % 64);
                at = self.next[at];
                continue;
            }
            if self.calls[call].ended.is_none() {
                // Only calls that may never have happened are left.
                return true;
            }
            // A return before its call was ordered: the last choice was wrong.
            let Some((place, before)) = taken.pop() else {
                return false;
            };
            let (call, _) = self.events[place];
            state = before;
            self.ordered[call / 64] ^= 1 << (call % 64);
            self.link(self.return_of[call]);
            self.link(place);
            at = self.next[place];
        }
    }

    fn unlink(&mut self, at: usize) {
        let (previous, next) = (self.previous[at], self.next[at]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn link(&mut self, at: usize) {
        let (previous, next) = (self.previous[at], self.next[at]);
        self.next[previous] = at;
        self.previous[next] = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(deed: Deed, begun: u64, ended: u64, outcome: Outcome) -> Call {
        let ended = Some((ended, outcome));
        Call { deed, begun, ended }
    }

    const PUT_7: Deed = Deed::Put {
        value: 7,
        expect: None,
    };

    #[test]
    fn calls_one_after_the_other_must_see_each_other() {
        let put = call(PUT_7, 1, 2, Outcome::Done(1));
        let seen = call(Deed::Get, 3, 4, Outcome::Got(Some((7, 1))));
        let missed = call(Deed::Get, 3, 4, Outcome::Got(None));
        assert!(is_linearizable(&[put, seen]));
        assert!(
            !is_linearizable(&[put, missed]),
            "a read after the write must see it"
        );
    }

    #[test]
    fn calls_at_the_same_time_may_stand_in_any_order_but_in_one() {
        let put = call(PUT_7, 1, 10, Outcome::Done(1));
        let early = call(Deed::Get, 2, 3, Outcome::Got(Some((7, 1))));
        let late = call(Deed::Get, 4, 5, Outcome::Got(None));
        assert!(is_linearizable(&[put, late]));
        assert!(is_linearizable(&[put, early]));
        assert!(
            !is_linearizable(&[put, early, late]),
            "what was seen is not unseen"
        );
    }

    #[test]
    fn a_call_without_a_return_may_have_happened_or_not() {
        let put = Call {
            deed: PUT_7,
            begun: 1,
            ended: None,
        };
        for got in [None, Some((7, 1))] {
            assert!(is_linearizable(&[
                put,
                call(Deed::Get, 5, 6, Outcome::Got(got))
            ]));
        }
        let before = call(Deed::Get, 5, 6, Outcome::Got(Some((7, 1))));
        let after = call(Deed::Get, 7, 8, Outcome::Got(None));
        assert!(!is_linearizable(&[put, before, after]));
    }

    #[test]
    fn a_command_that_was_applied_twice_shows() {
        let put = call(PUT_7, 1, 2, Outcome::Done(1));
        let twice = call(Deed::Get, 3, 4, Outcome::Got(Some((7, 2))));
        assert!(!is_linearizable(&[put, twice]));
        let swap = Deed::Put {
            value: 8,
            expect: Some(1),
        };
        let lost = call(swap, 3, 4, Outcome::Mismatch(1));
        assert!(!is_linearizable(&[put, lost]));
    }
}
