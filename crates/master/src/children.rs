//! Links to subordinates: inventories, departures.

use muster_proto::outcome::Loss;
use muster_proto::wire::Inventory;
use muster_proto::{LinkId, TaskId, Time, Try};
use muster_sched::ChildId;

use crate::leases::{Live, Stage};
use crate::{Effect, Event, Master};

impl Master {
    pub(crate) fn link_down(&mut self, now: Time, link: LinkId) {
        self.crew.link_down(now, link, &mut self.sched);
        self.fetches.retain(|(from, _), _| *from != link);
        self.watchers.remove(&link);
        self.views.link_down(link);
        self.outbox.drop_link(link);
    }

    /// Reconciles what a subordinate holds with what it should hold.
    pub(crate) fn inventory(
        &mut self,
        now: Time,
        link: LinkId,
        inventory: &Inventory,
        out: &mut Vec<Effect>,
    ) {
        let Some(child) = self.crew.child_at(link) else {
            return;
        };
        for held in &inventory.held {
            if held.attempt.key.master == self.book.master {
                self.reconcile(
                    now,
                    (link, child),
                    held.attempt.key.task,
                    held.attempt.round,
                );
            }
        }
        if !inventory.last {
            return;
        }
        for key in self.crew.stocked(child, inventory.settled, &mut self.sched) {
            self.lose(now, key.task, Loss::Forgotten, out);
        }
        if inventory.settled
            && let (Some(recovery), Some(peer)) = (self.recovery.as_mut(), self.crew.peer_of(child))
        {
            recovery.heard(peer);
        }
    }

    /// Decides about one attempt that a child says it holds: it goes on, is adopted, or is not wanted.
    fn reconcile(&mut self, now: Time, (link, child): (LinkId, ChildId), task: TaskId, round: Try) {
        if !self.book.open.contains_key(&task) || !self.was_made(task, round) {
            return self.outbox.cancel(link, self.attempt(task, round));
        }
        match self.live.get(&task) {
            None => self.adopt(now, child, task, round),
            Some(Live {
                given_up: Some(slow),
                ..
            }) if *slow == round => self.outbox.cancel(link, self.attempt(task, round)),
            Some(Live {
                stage: Stage::Ready,
                ..
            }) => {
                let key = self.key(task);
                self.sched.forget(key);
                self.adopt(now, child, task, round);
            }
            Some(Live {
                stage: Stage::Leased { round: r, child: c },
                ..
            }) => {
                if (*r, *c) == (round, child) {
                    // Only what goes on is listed: late news of another attempt says nothing of the one leased.
                    self.crew.list(child, self.key(task));
                } else {
                    self.outbox.cancel(link, self.attempt(task, round));
                }
            }
            Some(Live {
                stage: Stage::Arriving(_),
                ..
            }) => self.outbox.cancel(link, self.attempt(task, round)),
        }
    }

    /// Leases of subordinates that stayed away too long are lost.
    pub(crate) fn expire(&mut self, now: Time, out: &mut Vec<Effect>) {
        for departed in self.crew.expire(now, &mut self.sched) {
            for key in departed.held {
                self.lose(now, key.task, Loss::LinkLost, out);
            }
            if self.book.lessees.contains(&departed.peer) {
                self.record(Event::Cleared(departed.peer), out);
            }
        }
    }

    /// Tells subordinates which templates they may forget.
    pub(crate) fn retire_templates(&mut self) {
        for template in self.book.take_retired() {
            if let Some(class) = self.classes.remove(&template) {
                self.sched.retire(class);
            }
            for link in self.crew.retire((self.book.master, template)) {
                self.outbox.retire(link, self.book.master, template);
            }
        }
    }
}
