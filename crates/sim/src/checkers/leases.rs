//! What a subordinate still holds, or may, is not leased to another (M7, F3): not while its link stands, not within
//! its grace, not before a master that has started again has heard of it.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::limits::{FOREMAN_GRACE, WORKER_GRACE};
use muster_proto::outcome::{End, Report};
use muster_proto::wire::{Assign, Cancel, Frame, Inventory};
use muster_proto::{Attempt, MasterId, Span, TaskKey, TemplateId, Time, Try};

use crate::brain::{ActorId, Sight};
use crate::checkers::{Findings, Roll};

/// Who holds what, as each superior was told.
#[derive(Debug)]
pub struct Leases {
    masters: BTreeSet<ActorId>,
    foremen: BTreeSet<ActorId>,
    held: BTreeMap<(ActorId, TaskKey), Holding>,
    /// What an inventory that is coming in has listed so far, by superior and subordinate.
    listing: BTreeMap<(ActorId, ActorId), BTreeSet<TaskKey>>,
    /// Since when a superior's link to a subordinate stands.
    linked: BTreeMap<(ActorId, ActorId), Time>,
    doubts: Vec<Doubt>,
    /// Templates whose tasks may be given up at any time, as too slow.
    hasty: BTreeSet<(MasterId, TemplateId)>,
}

/// An attempt at a subordinate.
#[derive(Debug)]
struct Holding {
    child: ActorId,
    round: Try,
    at: Time,
    /// Until when it is not to be leased again, once the link is gone.
    until: Option<Time>,
}

/// A task was leased again; it may be that a cancellation of the earlier attempt is about to leave.
#[derive(Debug)]
struct Doubt {
    superior: ActorId,
    child: ActorId,
    earlier: Attempt,
    later: Try,
    at: Time,
}

/// When a cancellation has left that was sent with the lease: longer than any fsync.
const CANCEL_LEAVES: Span = Span::secs(30);

impl Leases {
    pub(super) fn new(roll: &Roll) -> Self {
        Self {
            masters: roll.masters.iter().map(|(master, _)| *master).collect(),
            foremen: roll.foremen.iter().copied().collect(),
            held: BTreeMap::new(),
            listing: BTreeMap::new(),
            linked: BTreeMap::new(),
            doubts: Vec::new(),
            hasty: BTreeSet::new(),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a watcher looks at a few of all sights"
    )]
    pub(super) fn saw(&mut self, sight: &Sight<'_>, findings: &mut Findings<'_>) {
        let now = findings.now;
        match sight {
            Sight::Left {
                from,
                to,
                frame: Frame::Assign(assign),
                sent,
                ..
            } => self.assigned((*from, *to), assign, *sent, now),
            Sight::Left {
                from,
                frame: Frame::Cancel(cancel),
                ..
            } => self.cancelled(*from, cancel),
            Sight::Came {
                from,
                to,
                frame: Frame::Inventory(inventory),
                ..
            } => self.inventory(*to, *from, inventory, now),
            Sight::Came {
                to,
                frame: Frame::Cancel(cancel),
                ..
            } => self.cancelled(*to, cancel),
            Sight::Came {
                to,
                frame: Frame::Assign(assign),
                ..
            } => self.replaced(*to, assign),
            Sight::Came {
                to,
                frame: Frame::Reports(reports),
                ..
            } => {
                for report in &reports.reports {
                    self.reported(*to, reports.master, report);
                }
            }
            Sight::LinkUp { actor, peer } => {
                self.linked.insert((*actor, *peer), now);
                self.listing.remove(&(*actor, *peer));
            }
            Sight::LinkDown { actor, peer } => self.parted(*actor, *peer, now),
            Sight::Killed { actor } => self.died(*actor, now),
            _ => {}
        }
        self.judge(findings);
    }

    fn assigned(
        &mut self,
        (superior, child): (ActorId, ActorId),
        assign: &Assign,
        sent: Time,
        now: Time,
    ) {
        let master = assign.master;
        for (id, template) in &assign.templates {
            if template.policy.fast_abort_percent.is_some() {
                self.hasty.insert((master, *id));
            }
        }
        for assigned in &assign.tasks {
            let key = TaskKey {
                master,
                task: assigned.task,
            };
            if self.hasty.contains(&(master, assigned.template)) {
                continue;
            }
            let before = self.held.get(&(superior, key)).filter(|before| {
                let is_bound = before.until.is_none_or(|until| sent < until);
                before.round != assigned.round && before.at <= sent && is_bound
            });
            if let Some(before) = before {
                self.doubts.push(Doubt {
                    superior,
                    child: before.child,
                    earlier: Attempt {
                        key,
                        round: before.round,
                    },
                    later: assigned.round,
                    at: now,
                });
            }
            let holding = Holding {
                child,
                round: assigned.round,
                at: sent,
                until: None,
            };
            self.held.insert((superior, key), holding);
        }
    }

    /// A foreman is given another attempt in place of one that it has handed down.
    fn replaced(&mut self, foreman: ActorId, assign: &Assign) {
        for assigned in &assign.tasks {
            let key = TaskKey {
                master: assign.master,
                task: assigned.task,
            };
            let held = self.held.get(&(foreman, key));
            if held.is_some_and(|held| held.round != assigned.round) {
                self.held.remove(&(foreman, key));
            }
        }
    }

    /// A cancellation leaves, or comes to a foreman, which may have lost the link over which to hand it on.
    fn cancelled(&mut self, superior: ActorId, cancel: &Cancel) {
        for (task, round) in &cancel.attempts {
            let key = TaskKey {
                master: cancel.master,
                task: *task,
            };
            let earlier = Attempt { key, round: *round };
            self.doubts
                .retain(|doubt| (doubt.superior, doubt.earlier) != (superior, earlier));
            self.end(superior, earlier);
        }
    }

    fn end(&mut self, superior: ActorId, attempt: Attempt) {
        let place = (superior, attempt.key);
        if self
            .held
            .get(&place)
            .is_some_and(|held| held.round == attempt.round)
        {
            self.held.remove(&place);
        }
    }

    fn reported(&mut self, superior: ActorId, master: MasterId, report: &Report) {
        let key = TaskKey {
            master,
            task: report.task,
        };
        match report.end {
            // The result of any attempt ends the others, where they can be told.
            End::Ran(_) => {
                self.held.remove(&(superior, key));
            }
            End::Lost(_) => self.end(
                superior,
                Attempt {
                    key,
                    round: report.round,
                },
            ),
        }
    }

    fn inventory(&mut self, superior: ActorId, child: ActorId, told: &Inventory, now: Time) {
        let listing = self.listing.entry((superior, child)).or_default();
        for held in &told.held {
            let Attempt { key, round } = held.attempt;
            listing.insert(key);
            let holding = self.held.entry((superior, key)).or_insert(Holding {
                child,
                round,
                at: now,
                until: None,
            });
            if (holding.child, holding.round) == (child, round) {
                holding.until = None;
            }
        }
        if !told.last {
            return;
        }
        let listed = self.listing.remove(&(superior, child)).unwrap_or_default();
        let Some(since) = self.linked.get(&(superior, child)).copied() else {
            return;
        };
        if told.settled {
            self.held.retain(|(above, key), holding| {
                let is_gone = *above == superior && holding.child == child && holding.at < since;
                !is_gone || listed.contains(key)
            });
        }
    }

    fn parted(&mut self, superior: ActorId, child: ActorId, now: Time) {
        self.listing.remove(&(superior, child));
        self.linked.remove(&(superior, child));
        self.doubts
            .retain(|doubt| (doubt.superior, doubt.child) != (superior, child));
        let grace = if self.foremen.contains(&child) {
            FOREMAN_GRACE
        } else {
            WORKER_GRACE
        };
        for ((above, _), holding) in &mut self.held {
            if *above == superior && holding.child == child {
                holding.until.get_or_insert(now + shortest(grace));
            }
        }
    }

    /// A foreman starts with no leases; a master waits for word from everyone who may hold some.
    fn died(&mut self, superior: ActorId, now: Time) {
        self.doubts.retain(|doubt| doubt.superior != superior);
        self.listing.retain(|(above, _), _| *above != superior);
        self.linked.retain(|(above, _), _| *above != superior);
        if !self.masters.contains(&superior) {
            self.held.retain(|(above, _), _| *above != superior);
        }
        for ((above, _), holding) in &mut self.held {
            if *above == superior {
                holding.until.get_or_insert(now + shortest(FOREMAN_GRACE));
            }
        }
    }

    fn judge(&mut self, findings: &mut Findings<'_>) {
        let now = findings.now;
        let is_sure = |doubt: &&Doubt| now > doubt.at + CANCEL_LEAVES;
        let Some(doubt) = self.doubts.first().filter(is_sure) else {
            return;
        };
        let (child, superior) = (doubt.child.0, doubt.superior.0);
        let what = format!(
            "{} is leased as {} while {child} holds it of {superior}",
            doubt.earlier, doubt.later
        );
        findings.add("leases", what, vec![doubt.earlier.key]);
        self.doubts.clear();
    }
}

/// The least that a grace may last by a clock that is a tenth fast.
fn shortest(grace: Span) -> Span {
    Span(grace.0 * 10 / 11)
}
