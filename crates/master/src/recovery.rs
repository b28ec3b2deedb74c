//! After a start on an old journal: who may still hold work, and which tasks wait for their word.

use std::collections::BTreeSet;
use std::ops::Bound;

use muster_proto::limits::{FOREMAN_GRACE, PLACEMENTS_PER_CALL_MAX};
use muster_proto::machine::Deadline;
use muster_proto::{Peer, TaskId, Time};
use muster_sched::Where;

use crate::book::Book;
use crate::{Effect, Event, Master};

/// Tasks of an earlier epoch that are not leased until everyone who may hold them has said so, or is too late.
#[derive(Debug)]
pub(crate) struct Recovery {
    awaited: BTreeSet<Peer>,
    until: Time,
    /// The last task that went back to the queue; those after it up to `last` wait.
    cursor: TaskId,
    last: TaskId,
}

impl Recovery {
    /// What a start on `book` has to recover, if anything.
    pub fn of(now: Time, book: &Book) -> Option<Recovery> {
        let last = book.open.keys().next_back()?;
        Some(Recovery {
            awaited: book.lessees.clone(),
            until: now + FOREMAN_GRACE,
            cursor: TaskId(0),
            last,
        })
    }

    /// A subordinate has said all it holds.
    pub fn heard(&mut self, peer: &Peer) {
        self.awaited.remove(peer);
    }

    /// Whether `task` waits here, unless it was adopted.
    pub fn holds(&self, task: TaskId) -> bool {
        self.cursor < task && task <= self.last
    }

    /// What it waits for, for people.
    pub fn note(&self) -> String {
        format!(
            "earlier tasks wait for word from {} subordinate(s) that may still run them",
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
            why: "tasks of an earlier epoch go back to the queue",
        }
    }
}

impl Master {
    /// Gives a bounded number of recovered tasks back to the queue, when nobody can still claim them.
    pub(crate) fn release_recovered(&mut self, now: Time, out: &mut Vec<Effect>) {
        let Some(recovery) = self.recovery.as_mut() else {
            return;
        };
        if !recovery.awaited.is_empty() && now < recovery.until {
            return;
        }
        let rest = (
            Bound::Excluded(recovery.cursor),
            Bound::Included(recovery.last),
        );
        let waiting = self.book.open.range(rest);
        let released: Vec<_> = waiting
            .take(PLACEMENTS_PER_CALL_MAX)
            .map(|(task, open)| (task, open.template))
            .collect();
        match released.last() {
            Some((task, _)) => recovery.cursor = *task,
            None => {
                let absent = std::mem::take(&mut recovery.awaited);
                self.recovery = None;
                self.clear_absent(absent, out);
            }
        }
        for (task, template) in released {
            if !self.live.contains_key(&task)
                && let Some(class) = self.class(template)
            {
                self.sched
                    .ready(now, self.key(task), class, Where::Back, None);
            }
        }
        self.stirred = true;
    }

    /// Forgets subordinates of an earlier epoch that never came: their tasks are leased again, and the next start
    /// need not wait for them.
    fn clear_absent(&mut self, absent: BTreeSet<Peer>, out: &mut Vec<Effect>) {
        let known: BTreeSet<_> = self
            .crew
            .all()
            .filter_map(|child| self.crew.peer_of(child).cloned())
            .collect();
        for peer in absent.difference(&known) {
            self.record(Event::Cleared(peer.clone()), out);
        }
    }
}
