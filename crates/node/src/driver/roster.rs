//! The links that stand, and what the driver keeps for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_proto::machine::Side;
use muster_proto::wire::{CloseCode, Frame};
use muster_proto::{LinkId, Peer};

use super::outbox::{Outbox, Overflow};
use crate::endpoint::Link;

/// A control connection that has been greeted and waits to be told to the machine.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) id: LinkId,
    pub(super) link: Link,
    pub(super) side: Side,
    pub(super) outbox: Arc<Outbox>,
}

/// Every link of which the machine has heard `LinkUp` and not yet `LinkDown`.
#[derive(Debug, Default)]
pub(super) struct Roster {
    ports: BTreeMap<LinkId, Port>,
    by_peer: BTreeMap<Peer, LinkId>,
    /// Links that got frames in this turn.
    touched: Vec<LinkId>,
    /// Links that were told to close; they go on until they have sent what waits.
    leaving: Vec<Arc<Outbox>>,
}

#[derive(Debug)]
struct Port {
    link: Link,
    outbox: Arc<Outbox>,
    touched: bool,
}

impl Roster {
    /// Enters a link. `Some` is the older link of the same peer, which must leave first.
    ///
    /// Several commands of one user may talk to a master at once, so users' links never supersede each other.
    pub(super) fn older(&self, arrival: &Arrival) -> Option<LinkId> {
        match arrival.side {
            Side::Superior | Side::Subordinate => self.by_peer.get(arrival.link.peer()).copied(),
            Side::User => None,
        }
    }

    /// Enters a link; [`Roster::older`] has been dealt with.
    pub(super) fn enter(&mut self, arrival: Arrival) {
        match arrival.side {
            Side::Superior | Side::Subordinate => {
                self.by_peer.insert(arrival.link.peer().clone(), arrival.id);
            }
            Side::User => {}
        }
        let port = Port {
            link: arrival.link,
            outbox: arrival.outbox,
            touched: false,
        };
        self.ports.insert(arrival.id, port);
    }

    /// Strikes out a link; `false` if it was gone already.
    pub(super) fn leave(&mut self, id: LinkId) -> bool {
        let Some(port) = self.ports.remove(&id) else {
            return false;
        };
        if self.by_peer.get(port.link.peer()) == Some(&id) {
            self.by_peer.remove(port.link.peer());
        }
        true
    }

    /// Closes a link at once; what waits is lost. It must be struck out too.
    pub(super) fn cut(&self, id: LinkId, code: CloseCode) {
        if let Some(port) = self.ports.get(&id) {
            port.link.close(code);
        }
    }

    /// Closes a link when it has sent what waits. It must be struck out too.
    pub(super) fn dismiss(&mut self, id: LinkId, code: CloseCode) {
        if let Some(port) = self.ports.get(&id) {
            port.outbox.close(code);
            self.leaving.retain(|outbox| !outbox.is_empty());
            self.leaving.push(Arc::clone(&port.outbox));
        }
    }

    /// Queues `frame` on a link; one that is gone takes nothing.
    pub(super) fn send(&mut self, id: LinkId, frame: &Frame) -> Result<(), Overflow> {
        self.queue(id, |outbox| outbox.push(frame))
    }

    /// Queues an encoded frame on a link; one that is gone takes nothing.
    pub(super) fn send_encoded(&mut self, id: LinkId, bytes: &[u8]) -> Result<(), Overflow> {
        self.queue(id, |outbox| outbox.push_encoded(bytes))
    }

    fn queue(
        &mut self,
        id: LinkId,
        push: impl FnOnce(&Outbox) -> Result<(), Overflow>,
    ) -> Result<(), Overflow> {
        let Some(port) = self.ports.get_mut(&id) else {
            return Ok(());
        };
        if !port.touched {
            port.touched = true;
            self.touched.push(id);
        }
        push(&port.outbox)
    }

    /// Wakes the writer of every link that got frames since the last flush.
    pub(super) fn flush(&mut self) {
        for id in self.touched.drain(..) {
            if let Some(port) = self.ports.get_mut(&id) {
                port.touched = false;
                port.outbox.flush();
            }
        }
    }

    /// Whether a link stands.
    pub(super) fn has(&self, id: LinkId) -> bool {
        self.ports.contains_key(&id)
    }

    /// How many links stand.
    pub(super) fn len(&self) -> usize {
        self.ports.len()
    }

    /// The links that stand, in order of their numbers.
    pub(super) fn ids(&self) -> Vec<LinkId> {
        self.ports.keys().copied().collect()
    }

    /// Who is at the other end of a link.
    pub(super) fn peer(&self, id: LinkId) -> Option<&Peer> {
        self.ports.get(&id).map(|port| port.link.peer())
    }

    /// The connection of the link with `peer`.
    pub(super) fn link_to(&self, peer: &Peer) -> Option<&Link> {
        let id = self.by_peer.get(peer)?;
        self.ports.get(id).map(|port| &port.link)
    }

    /// Whether every link has sent what it was given.
    pub(super) fn is_flushed(&self) -> bool {
        let standing = self.ports.values().map(|port| &port.outbox);
        standing
            .chain(&self.leaving)
            .all(|outbox| outbox.is_empty())
    }
}
