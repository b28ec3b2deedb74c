//! The subordinates of a master or foreman: who they are, whether they are here, and what they may still hold.
//!
//! A subordinate keeps its [`ChildId`] while its links come and go. When its link is lost its leases stay for a
//! grace; when it is back it sends an inventory, and what the inventory does not list is lost. Nothing is placed on
//! it in between. The scheduler knows the leases; this knows the links.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::limits::{FOREMAN_GRACE, WORKER_GRACE};
use muster_proto::machine::Deadline;
use muster_proto::wire::Offer;
use muster_proto::{LinkId, MasterId, Peer, Role, TaskKey, TemplateId, Time};

use crate::{ChildId, ChildKind, Sched, SeqMap};

/// The subordinates.
#[derive(Debug, Default)]
pub struct Crew {
    children: SeqMap<ChildId, Child>,
    by_peer: BTreeMap<Peer, ChildId>,
    by_link: SeqMap<LinkId, ChildId>,
    /// Who is away, by the end of its grace.
    away: BTreeSet<(Time, ChildId)>,
    children_made: u32,
}

#[derive(Debug)]
struct Child {
    peer: Peer,
    presence: Presence,
    /// Results being fetched from it; they are not leases any more and not safe yet.
    arriving: BTreeSet<TaskKey>,
}

#[derive(Debug)]
enum Presence {
    Away {
        until: Time,
    },
    Here {
        link: LinkId,
        inventory: Stock,
        templates: BTreeSet<(MasterId, TemplateId)>,
    },
}

/// How far the inventory of a child has come on its present link.
#[derive(Debug)]
enum Stock {
    /// It has not come; what has been listed or reported since the link stands.
    Awaited { listed: BTreeSet<TaskKey> },
    /// It has come from a child that may still find more; what has been listed, reported or handed to it.
    Partial { listed: BTreeSet<TaskKey> },
    /// It is complete.
    Settled,
}

/// A subordinate whose grace is over.
#[derive(Debug)]
pub struct Departed {
    /// Its number, not used again.
    pub child: ChildId,
    /// Who it was.
    pub peer: Peer,
    /// What it held: leases and arriving results.
    pub held: Vec<TaskKey>,
}

impl Crew {
    /// A subordinate's link stands. Nothing is placed on it before its inventory.
    pub fn link_up(&mut self, link: LinkId, peer: Peer, sched: &mut Sched) -> ChildId {
        let child = match self.by_peer.get(&peer) {
            Some(child) => *child,
            None => {
                self.children_made += 1;
                let child = ChildId(self.children_made);
                let kind = if peer.role == Role::Foreman {
                    ChildKind::Foreman
                } else {
                    ChildKind::Worker
                };
                sched.join(child, kind, &peer.site, &peer.name);
                self.by_peer.insert(peer.clone(), child);
                child
            }
        };
        sched.pause(child);
        if let Some(Child {
            presence: Presence::Away { until },
            ..
        }) = self.children.get(&child)
        {
            self.away.remove(&(*until, child));
        }
        let inventory = Stock::Awaited {
            listed: BTreeSet::new(),
        };
        let presence = Presence::Here {
            link,
            inventory,
            templates: BTreeSet::new(),
        };
        let arriving = self
            .children
            .remove(&child)
            .map(|known| known.arriving)
            .unwrap_or_default();
        self.children.insert(
            child,
            Child {
                peer,
                presence,
                arriving,
            },
        );
        self.by_link.insert(link, child);
        child
    }

    /// A link is gone; if it was a subordinate's, its grace begins.
    pub fn link_down(&mut self, now: Time, link: LinkId, sched: &mut Sched) -> Option<ChildId> {
        let child = self.by_link.remove(&link)?;
        let known = self.children.get_mut(&child)?;
        let grace = if known.peer.role == Role::Foreman {
            FOREMAN_GRACE
        } else {
            WORKER_GRACE
        };
        let idle = sched.leased_of(child) == 0 && known.arriving.is_empty();
        let until = if idle { now } else { now + grace };
        known.presence = Presence::Away { until };
        self.away.insert((until, child));
        sched.pause(child);
        Some(child)
    }

    /// A subordinate says what it can run.
    pub fn offer(&mut self, link: LinkId, offer: &Offer, sched: &mut Sched) {
        if let Some(child) = self.by_link.get(&link) {
            let Some(peer) = self.children.get(child).map(|known| &known.peer) else {
                return;
            };
            let kind = if peer.role == Role::Foreman {
                ChildKind::Foreman
            } else {
                ChildKind::Worker
            };
            sched.join(*child, kind, &peer.site, &offer.host);
            if self.is_awaited(*child) {
                sched.pause(*child);
            } else {
                sched.resume(*child);
            }
            sched.offer(*child, &offer.shapes);
        }
    }

    /// Notes that `key` is held at `child`: its inventory lists it, its report came, or it was handed down.
    pub fn list(&mut self, child: ChildId, key: TaskKey) {
        let Some(Child {
            presence: Presence::Here { inventory, .. },
            ..
        }) = self.children.get_mut(&child)
        else {
            return;
        };
        match inventory {
            Stock::Awaited { listed } | Stock::Partial { listed } => {
                listed.insert(key);
            }
            Stock::Settled => {}
        }
    }

    /// The inventory of a child is complete as far as it goes: it may be given work. When it is `settled`, returns
    /// what it was thought to hold and does not list.
    pub fn stocked(&mut self, child: ChildId, settled: bool, sched: &mut Sched) -> Vec<TaskKey> {
        let Some(Child {
            presence: Presence::Here { inventory, .. },
            arriving,
            ..
        }) = self.children.get_mut(&child)
        else {
            return Vec::new();
        };
        sched.resume(child);
        let listed = match std::mem::replace(inventory, Stock::Settled) {
            Stock::Awaited { listed } | Stock::Partial { listed } => listed,
            Stock::Settled => return Vec::new(),
        };
        if !settled {
            *inventory = Stock::Partial { listed };
            return Vec::new();
        }
        let held = sched.leases(child).chain(arriving.iter().copied());
        let missing: Vec<TaskKey> = held.filter(|key| !listed.contains(key)).collect();
        for key in &missing {
            arriving.remove(key);
        }
        missing
    }

    /// A result of `child` is being fetched.
    pub fn arriving(&mut self, child: ChildId, key: TaskKey) {
        if let Some(known) = self.children.get_mut(&child) {
            known.arriving.insert(key);
        }
    }

    /// It is safe, or not wanted any more.
    pub fn arrived(&mut self, child: ChildId, key: TaskKey) {
        if let Some(known) = self.children.get_mut(&child) {
            known.arriving.remove(&key);
        }
    }

    /// The subordinates whose grace is over by `now`; they are forgotten here and in the scheduler.
    pub fn expire(&mut self, now: Time, sched: &mut Sched) -> Vec<Departed> {
        let mut departed = Vec::new();
        while let Some((until, child)) = self
            .away
            .first()
            .copied()
            .filter(|(until, _)| *until <= now)
        {
            self.away.remove(&(until, child));
            let mut held = sched.leave(child);
            if let Some(known) = self.children.remove(&child) {
                self.by_peer.remove(&known.peer);
                held.extend(known.arriving);
                departed.push(Departed {
                    child,
                    peer: known.peer,
                    held,
                });
            }
        }
        departed
    }

    /// When the first grace ends.
    pub fn deadline(&self) -> Option<Deadline> {
        self.away.first().map(|(at, _)| Deadline {
            at: *at,
            why: "a lost subordinate's grace ends",
        })
    }

    /// The link of a child that is here.
    pub fn link_of(&self, child: ChildId) -> Option<LinkId> {
        match &self.children.get(&child)?.presence {
            Presence::Here { link, .. } => Some(*link),
            Presence::Away { .. } => None,
        }
    }

    /// The child at the other end of a link.
    pub fn child_at(&self, link: LinkId) -> Option<ChildId> {
        self.by_link.get(&link).copied()
    }

    /// Who a child is.
    pub fn peer_of(&self, child: ChildId) -> Option<&Peer> {
        self.children.get(&child).map(|known| &known.peer)
    }

    /// Whether a template has to be sent to `child` before a task that refers to it; says so once per link.
    pub fn introduce(&mut self, child: ChildId, template: (MasterId, TemplateId)) -> bool {
        match self
            .children
            .get_mut(&child)
            .map(|known| &mut known.presence)
        {
            Some(Presence::Here { templates, .. }) => templates.insert(template),
            Some(Presence::Away { .. }) | None => false,
        }
    }

    /// Whether a task has been sent to `child` on its present link, and its template is still known there.
    pub fn has_work(&self, child: ChildId) -> bool {
        match self.children.get(&child).map(|known| &known.presence) {
            Some(Presence::Here { templates, .. }) => !templates.is_empty(),
            Some(Presence::Away { .. }) | None => false,
        }
    }

    /// The links that know a template, which they may now forget.
    pub fn retire(&mut self, template: (MasterId, TemplateId)) -> Vec<LinkId> {
        let here = self
            .children
            .values_mut()
            .filter_map(|known| match &mut known.presence {
                Presence::Here {
                    link, templates, ..
                } => templates.remove(&template).then_some(*link),
                Presence::Away { .. } => None,
            });
        here.collect()
    }

    /// Every child that is here, with its link, in order.
    pub fn here(&self) -> impl Iterator<Item = (ChildId, LinkId, &Peer)> {
        self.children
            .iter()
            .filter_map(|(child, known)| match known.presence {
                Presence::Here { link, .. } => Some((child, link, &known.peer)),
                Presence::Away { .. } => None,
            })
    }

    /// The links of the foremen that are here.
    pub fn foremen(&self) -> BTreeSet<LinkId> {
        let foremen = self
            .here()
            .filter(|(_, _, peer)| peer.role == Role::Foreman);
        foremen.map(|(_, link, _)| link).collect()
    }

    /// Every child that is here or in its grace, in order.
    pub fn all(&self) -> impl Iterator<Item = ChildId> {
        self.children.keys()
    }

    /// Whether a child is here and its inventory has not come.
    fn is_awaited(&self, child: ChildId) -> bool {
        matches!(
            self.children.get(&child),
            Some(Child {
                presence: Presence::Here {
                    inventory: Stock::Awaited { .. },
                    ..
                },
                ..
            })
        )
    }
}
