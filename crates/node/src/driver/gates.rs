//! What waits for the journal.

use std::collections::VecDeque;

use muster_proto::{Digest, LinkId, Lsn};

/// Effects in the order in which they may happen: by record, then by arrival.
#[derive(Debug)]
pub(crate) struct Gates<E> {
    waiting: VecDeque<(Lsn, E)>,
}

impl<E> Default for Gates<E> {
    fn default() -> Gates<E> {
        let waiting = VecDeque::new();
        Gates { waiting }
    }
}

/// An effect that must not precede a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gated {
    /// A frame, encoded.
    Frame {
        /// For which link.
        link: LinkId,
        /// Header and payload.
        bytes: Vec<u8>,
    },
    /// Contents that need not be kept.
    Forget(Digest),
}

impl Gates<Gated> {
    /// Contents are wanted anew: what was to give them up, and has not, does not happen. Costs O(what waits).
    pub(super) fn keep(&mut self, digest: Digest) {
        self.waiting
            .retain(|(_, effect)| !matches!(effect, Gated::Forget(old) if *old == digest));
    }
}

impl<E> Gates<E> {
    /// Holds `effect` until `lsn` is durable.
    ///
    /// O(1) for records that come in order, which is how brains make them.
    pub(crate) fn hold(&mut self, lsn: Lsn, effect: E) {
        let at = match self.waiting.back() {
            Some((last, _)) if *last > lsn => {
                self.waiting.partition_point(|(held, _)| *held <= lsn)
            }
            Some(_) | None => self.waiting.len(),
        };
        self.waiting.insert(at, (lsn, effect));
    }

    /// The next effect that may happen when the journal is durable up to `durable`.
    pub(crate) fn release(&mut self, durable: Lsn) -> Option<E> {
        let open = self
            .waiting
            .front()
            .is_some_and(|(first, _)| *first <= durable);
        let first = if open { self.waiting.pop_front() } else { None };
        first.map(|(_, effect)| effect)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_happen_by_record_and_then_by_arrival() {
        let frame = |link: u32| Gated::Frame {
            link: LinkId(link),
            bytes: Vec::new(),
        };
        let mut gates = Gates::<Gated>::default();
        for (lsn, link) in [(3, 1), (5, 2), (3, 3), (4, 4), (5, 5)] {
            gates.hold(Lsn(lsn), frame(link));
        }
        assert_eq!(
            gates.release(Lsn(2)),
            None,
            "nothing behind a record that is not durable"
        );
        for link in [1, 3, 4] {
            assert_eq!(gates.release(Lsn(4)), Some(frame(link)));
        }
        assert_eq!(gates.release(Lsn(4)), None);
        assert!(!gates.is_empty());
        for link in [2, 5] {
            assert_eq!(gates.release(Lsn(5)), Some(frame(link)));
        }
        assert!(gates.is_empty());
    }

    #[test]
    fn what_is_wanted_anew_is_not_given_up() {
        let forget = |n: u8| Gated::Forget(Digest([n; 32]));
        let mut gates = Gates::<Gated>::default();
        for (lsn, n) in [(3, 1), (3, 2), (4, 1)] {
            gates.hold(Lsn(lsn), forget(n));
        }
        gates.keep(Digest([1; 32]));
        assert_eq!(gates.release(Lsn(4)), Some(forget(2)));
        assert!(gates.is_empty());
    }
}
