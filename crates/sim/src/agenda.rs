//! What is still to happen, in order: the next-event heart of the world.
//!
//! Most events of a large world are of two kinds: packets, fsyncs and wakes within milliseconds, and ends of runs in
//! an hour. A heap of all of them makes the many near ones pay for the many far ones. So only the present second is
//! in a heap; what comes later lies in a heap-less pile for its second and is sorted when that begins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use muster_proto::Time;

/// Events by time; those of one instant in the order they were entered.
#[derive(Debug)]
pub struct Agenda<E> {
    /// What is due in the present second or before. Not empty, unless nothing is to happen at all.
    near: BinaryHeap<Reverse<Entry<E>>>,
    /// The present second.
    second: u64,
    /// What is due later, by its second.
    far: BTreeMap<u64, Vec<Reverse<Entry<E>>>>,
    entered: u64,
}

/// A second of the agenda is 2^20 microseconds.
const SECOND_BITS: u32 = 20;

impl<E> Agenda<E> {
    /// Nothing is to happen.
    pub fn new() -> Self {
        Self {
            near: BinaryHeap::new(),
            second: 0,
            far: BTreeMap::new(),
            entered: 0,
        }
    }

    /// Enters `event` for `at`.
    pub fn enter(&mut self, at: Time, event: E) {
        self.entered += 1;
        let entry = Reverse(Entry {
            key: (at, self.entered),
            event,
        });
        let second = at.0 >> SECOND_BITS;
        if self.near.is_empty() {
            self.second = second;
        }
        if second <= self.second {
            self.near.push(entry);
        } else {
            self.far.entry(second).or_default().push(entry);
        }
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Time> {
        self.near.peek().map(|Reverse(entry)| entry.key.0)
    }

    /// Takes the next event.
    pub fn take(&mut self) -> Option<(Time, E)> {
        let Reverse(entry) = self.near.pop()?;
        if self.near.is_empty()
            && let Some((second, pile)) = self.far.pop_first()
        {
            self.second = second;
            self.near = BinaryHeap::from(pile);
        }
        Some((entry.key.0, entry.event))
    }
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Entry<E> {
    key: (Time, u64),
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_order_of_entry() {
        let mut agenda = Agenda::new();
        for (at, name) in [(5, "late"), (1, "first"), (5, "later"), (1, "second")] {
            agenda.enter(Time(at), name);
        }
        assert_eq!(agenda.next_at(), Some(Time(1)));
        let order: Vec<_> = std::iter::from_fn(|| agenda.take())
            .map(|(_, name)| name)
            .collect();
        assert_eq!(order, ["first", "second", "late", "later"]);
    }

    #[test]
    fn what_is_near_and_what_is_far_come_in_one_order() {
        let mut rng = crate::rng::Rng::new(5);
        let mut agenda = Agenda::new();
        let mut wanted = Vec::new();
        let mut got = Vec::new();
        let mut now = 0;
        for n in 0..5_000_u64 {
            let ahead = *rng.pick(&[0, 300, 900_000, 40_000_000, 4_000_000_000]);
            let at = now + rng.below(ahead + 1);
            agenda.enter(Time(at), n);
            wanted.push((at, n));
            if rng.permille(600)
                && let Some((at, n)) = agenda.take()
            {
                now = at.0;
                got.push((at.0, n));
            }
        }
        got.extend(std::iter::from_fn(|| agenda.take()).map(|(at, n)| (at.0, n)));
        wanted.sort_unstable();
        got.sort_unstable_by_key(|(at, n)| (*at, *n));
        assert_eq!(got, wanted, "nothing is lost");
    }

    #[test]
    fn time_never_runs_backwards() {
        let mut rng = crate::rng::Rng::new(6);
        let mut agenda = Agenda::new();
        agenda.enter(Time(0), 0_u64);
        let mut last = (Time(0), 0);
        for n in 1..20_000 {
            let Some((at, entered)) = agenda.take() else {
                break;
            };
            assert!((at, entered) >= last, "{at:?} comes after {last:?}");
            last = (at, entered);
            for step in 0..rng.between(1, 2) {
                let ahead = *rng.pick(&[0, 500, 2_000_000, 90_000_000]);
                agenda.enter(Time(at.0 + rng.below(ahead + 1)), 2 * n + step);
            }
        }
    }
}
