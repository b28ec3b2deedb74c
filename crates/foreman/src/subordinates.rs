//! The links downwards: offers, inventories, departures, and settling after a start.

use std::collections::BTreeSet;

use muster_proto::limits::SETTLE;
use muster_proto::machine::Deadline;
use muster_proto::outcome::Loss;
use muster_proto::wire::{Inventory, Offer};
use muster_proto::{Attempt, LinkId, Peer, TaskKey, Time};
use muster_sched::ChildId;

use crate::leases::Stage;
use crate::spool::Spool;
use crate::{Effect, Event, Foreman};

/// After a start on an old spool: who may still run something.
#[derive(Debug)]
pub(crate) struct Settling {
    awaited: BTreeSet<Peer>,
    until: Time,
}

impl Settling {
    /// What a start on `spool` has to wait for, if anything.
    pub fn of(now: Time, spool: &Spool) -> Option<Settling> {
        let awaited = spool.lessees.clone();
        (!awaited.is_empty()).then_some(Settling {
            awaited,
            until: now + SETTLE,
        })
    }

    /// What it waits for, for people.
    pub fn note(&self) -> String {
        format!(
            "restarted: waits for {} subordinate(s) that may still run tasks",
            self.awaited.len()
        )
    }

    pub fn deadline(&self) -> Deadline {
        let at = if self.awaited.is_empty() {
            Time(0)
        } else {
            self.until
        };
        Deadline {
            at,
            why: "the inventory after a start is complete",
        }
    }
}

impl Foreman {
    pub(crate) fn offered(&mut self, link: LinkId, offer: Offer) {
        if let Some(child) = self.crew.child_at(link) {
            self.crew.offer(link, &offer, &mut self.sched);
            self.offers.told(child, offer.shapes);
        }
    }

    /// Reconciles what a subordinate holds with what it should hold.
    pub(crate) fn inventory(&mut self, now: Time, link: LinkId, inventory: &Inventory) {
        let Some(child) = self.crew.child_at(link) else {
            return;
        };
        for held in &inventory.held {
            match self
                .leases
                .get(&held.attempt.key)
                .map(|lease| (lease.round, &lease.stage))
            {
                Some((round, Stage::Leased { child: c }))
                    if round == held.attempt.round && *c == child =>
                {
                    self.crew.list(child, held.attempt.key);
                }
                None if self.settling.is_some() && !self.is_known(held.attempt) => {
                    self.crew.list(child, held.attempt.key);
                    self.adopt(now, child, held.attempt, held.resources);
                }
                Some(_) | None => self.outbox.cancel(link, held.attempt),
            }
        }
        if !inventory.last {
            return;
        }
        for key in self.crew.stocked(child, inventory.settled, &mut self.sched) {
            self.vanished(key, child, Loss::Forgotten);
        }
        if inventory.settled
            && let (Some(settling), Some(peer)) = (self.settling.as_mut(), self.crew.peer_of(child))
        {
            settling.awaited.remove(peer);
        }
    }

    /// A child turns out not to hold what it was thought to hold: a lease, or a result on its way.
    fn vanished(&mut self, key: TaskKey, child: ChildId, loss: Loss) {
        let link = self.crew.link_of(child);
        let of_child = self
            .arriving
            .iter()
            .filter(|(attempt, arriving)| attempt.key == key && arriving.is_of(child));
        let (here, gone): (Vec<_>, Vec<_>) = of_child
            .map(|(attempt, arriving)| (*attempt, arriving.link()))
            .partition(|(_, from)| Some(*from) == link);
        for (attempt, _) in gone {
            if let Some(arriving) = self.arriving.remove(&attempt) {
                self.unpin_arrived(&arriving);
            }
        }
        // Of another round it may have told on its present link.
        if !here.is_empty() {
            self.crew.arriving(child, key);
        }
        let held = match self
            .leases
            .get(&key)
            .map(|lease| (&lease.stage, lease.round))
        {
            Some((Stage::Leased { child: c }, _)) => *c == child,
            Some((Stage::Arriving, round)) => !self.arriving.contains_key(&Attempt { key, round }),
            Some((Stage::Parked | Stage::Staging { .. } | Stage::Ready, _)) | None => false,
        };
        if held {
            self.lose(key, loss);
        }
    }

    fn is_known(&self, attempt: Attempt) -> bool {
        self.arriving.contains_key(&attempt) || self.spool.results.contains_key(&attempt)
    }

    /// Leases of subordinates that stayed away too long are lost.
    pub(crate) fn expire(&mut self, now: Time, out: &mut Vec<Effect>) {
        for departed in self.crew.expire(now, &mut self.sched) {
            self.offers.forget(departed.child);
            for key in departed.held {
                self.vanished(key, departed.child, Loss::LinkLost);
            }
            if self.spool.lessees.contains(&departed.peer) {
                self.record(Event::Cleared(departed.peer), out);
            }
        }
    }

    /// When everyone who may run something has said so, or is too late, superiors get the complete inventory.
    pub(crate) fn settle(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(settling) = &self.settling else {
            return;
        };
        if !settling.awaited.is_empty() && now < settling.until {
            return;
        }
        for peer in settling.awaited.clone() {
            self.record(Event::Cleared(peer), out);
        }
        self.settling = None;
        let above: Vec<_> = self
            .superiors
            .iter()
            .filter_map(|(peer, above)| Some((above.link?, peer.clone())))
            .collect();
        for (link, peer) in above {
            self.take_stock(link, &peer, out);
        }
    }
}
