//! What is still to happen, in order: the next-event heart of the world.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use muster_proto::Time;

/// Events by time; those of one instant in the order they were entered.
#[derive(Debug)]
pub struct Agenda<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    entered: u64,
}

impl<E> Agenda<E> {
    /// Nothing is to happen.
    pub fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            entered: 0,
        }
    }

    /// Enters `event` for `at`.
    pub fn enter(&mut self, at: Time, event: E) {
        self.entered += 1;
        self.heap.push(Reverse(Entry {
            key: (at, self.entered),
            event,
        }));
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.key.0)
    }

    /// Takes the next event.
    pub fn take(&mut self) -> Option<(Time, E)> {
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.key.0, entry.event))
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
}
