//! What a foreman must never forget: results it has acknowledged, and whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_proto::outcome::Ran;
use muster_proto::{Attempt, MasterId, Peer};

use crate::event::Event;

/// The durable state of a foreman: the fold of its journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Spool {
    /// Results that no superior has acknowledged.
    pub results: BTreeMap<Attempt, Arc<Ran>>,
    /// Which superior brings which master's tasks.
    pub masters: BTreeMap<MasterId, Peer>,
    /// Subordinates that may hold leases.
    pub lessees: BTreeSet<Peer>,
}

impl Spool {
    /// Takes a fact in. The same facts give the same spool.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Met(master, superior) => {
                self.masters.insert(*master, superior.clone());
            }
            Event::Spooled(results) => {
                for result in results {
                    self.results.insert(result.attempt, result.ran.clone());
                }
            }
            Event::Released(attempts) => {
                for attempt in attempts {
                    self.results.remove(attempt);
                }
            }
            Event::Leased(peer) => {
                self.lessees.insert(peer.clone());
            }
            Event::Cleared(peer) => {
                self.lessees.remove(peer);
            }
        }
    }
}
