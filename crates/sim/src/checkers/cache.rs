//! Files stay where something needs them, and beyond that only as many as the cache may hold.
//!
//! That a file is fetched once, however many tasks wait for it, the world sees for itself when a fetch begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_foreman::Event;
use muster_proto::machine::{FetchEnd, Record};
use muster_proto::outcome::{End, Ran};
use muster_proto::task::Template;
use muster_proto::wire::{Assign, Frame};
use muster_proto::{Attempt, Digest, Epoch, MasterId, TaskId, TaskKey, TemplateId, Try};

use crate::brain::{ActorId, Sight};
use crate::checkers::{Findings, Roll};

/// What foremen and workers need, by what they were told.
#[derive(Debug)]
pub struct Cache {
    foremen: BTreeSet<ActorId>,
    workers: BTreeSet<ActorId>,
    templates: BTreeMap<(ActorId, MasterId, TemplateId), Arc<Template>>,
    epochs: BTreeMap<(ActorId, MasterId), Epoch>,
    leases: BTreeMap<(ActorId, TaskKey), Lease>,
    /// Those whose disk has been full: they give up what has come for leases that wait for room, and fetch it again.
    full: BTreeSet<ActorId>,
    /// Files of results that nobody above has taken.
    results: BTreeMap<(ActorId, Attempt), Vec<Digest>>,
}

#[derive(Debug)]
struct Lease {
    round: Try,
    inputs: BTreeSet<Digest>,
    hold: Hold,
}

/// Whether a lease is known to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// It cannot have ended without a sign.
    Sure,
    /// It may have ended.
    Doubtful,
}

impl Cache {
    pub(super) fn new(roll: &Roll) -> Self {
        Self {
            foremen: roll.foremen.iter().copied().collect(),
            workers: roll.workers.iter().map(|(worker, _)| *worker).collect(),
            templates: BTreeMap::new(),
            epochs: BTreeMap::new(),
            leases: BTreeMap::new(),
            full: BTreeSet::new(),
            results: BTreeMap::new(),
        }
    }

    /// Bytes among `held` that nothing at `actor` can need.
    pub fn unneeded(&self, actor: ActorId, held: &BTreeMap<Digest, u64>) -> u64 {
        let first_task = TaskKey {
            master: MasterId(0),
            task: TaskId(0),
        };
        let leases = self.leases.range((actor, first_task)..);
        let inputs = leases
            .take_while(|((holder, _), _)| *holder == actor)
            .flat_map(|(_, lease)| &lease.inputs);
        let first = Attempt {
            key: first_task,
            round: Try {
                epoch: Epoch(0),
                n: 0,
            },
        };
        let results = self.results.range((actor, first)..);
        let outputs = results
            .take_while(|((holder, _), _)| *holder == actor)
            .flat_map(|(_, files)| files);
        let needed: BTreeSet<&Digest> = inputs.chain(outputs).collect();
        held.iter()
            .filter(|(digest, _)| !needed.contains(digest))
            .map(|(_, bytes)| bytes)
            .sum()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a watcher looks at a few of all sights"
    )]
    pub(super) fn saw(&mut self, sight: &Sight<'_>, findings: &mut Findings<'_>) {
        match sight {
            Sight::Came { to, frame, .. } => self.came(*to, frame),
            Sight::Left {
                from,
                frame: Frame::Reports(reports),
                ..
            } => {
                for report in &reports.reports {
                    let key = TaskKey {
                        master: reports.master,
                        task: report.task,
                    };
                    self.end((*from, key), report.round);
                }
            }
            Sight::Ended {
                actor,
                attempt,
                ran,
            } => {
                self.end((*actor, attempt.key), attempt.round);
                self.keep(*actor, *attempt, ran);
            }
            Sight::Cut { actor, attempt } => self.end((*actor, attempt.key), attempt.round),
            Sight::Fetched {
                actor,
                end: FetchEnd::Unkept,
                ..
            } => {
                self.full.insert(*actor);
            }
            Sight::Fetched {
                actor, digest, end, ..
            } if *end != FetchEnd::Held => {
                self.doubt(*actor, |lease| lease.inputs.contains(digest));
            }
            Sight::LinkDown { actor, .. } if self.foremen.contains(actor) => {
                self.doubt(*actor, |_| true);
            }
            Sight::Killed { actor } => {
                self.full.remove(actor);
                self.leases.retain(|(holder, _), _| holder != actor);
                self.epochs.retain(|(holder, _), _| holder != actor);
                if self.workers.contains(actor) {
                    self.results.retain(|(holder, _), _| holder != actor);
                }
            }
            Sight::Durable { actor, record } if self.foremen.contains(actor) => {
                if let Ok(Event::Released(attempts)) = Event::decode(record) {
                    for attempt in attempts {
                        self.results.remove(&(*actor, attempt));
                    }
                }
            }
            Sight::Wiped { actor } => self.results.retain(|(holder, _), _| holder != actor),
            Sight::Forgot { actor, digest } => self.forgot(*actor, *digest, findings),
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a watcher looks at a few of all frames"
    )]
    fn came(&mut self, to: ActorId, frame: &Frame) {
        if !self.foremen.contains(&to) && !self.workers.contains(&to) {
            return;
        }
        match frame {
            Frame::Assign(assign) => self.assigned(to, assign),
            Frame::Cancel(cancel) => {
                for (task, round) in &cancel.attempts {
                    let key = TaskKey {
                        master: cancel.master,
                        task: *task,
                    };
                    self.end((to, key), *round);
                    self.taken(to, Attempt { key, round: *round });
                }
            }
            Frame::Ack(ack) => {
                for (task, round) in &ack.attempts {
                    let key = TaskKey {
                        master: ack.master,
                        task: *task,
                    };
                    self.taken(to, Attempt { key, round: *round });
                }
            }
            Frame::Reports(reports) => {
                for report in &reports.reports {
                    let key = TaskKey {
                        master: reports.master,
                        task: report.task,
                    };
                    if let End::Ran(ran) = &report.end {
                        let round = report.round;
                        self.keep(to, Attempt { key, round }, ran);
                    }
                }
            }
            _ => {}
        }
    }

    fn assigned(&mut self, to: ActorId, assign: &Assign) {
        let epoch = self.epochs.entry((to, assign.master)).or_default();
        if assign.epoch < *epoch {
            return;
        }
        *epoch = assign.epoch;
        for (id, template) in &assign.templates {
            self.templates
                .insert((to, assign.master, *id), template.clone());
        }
        for task in &assign.tasks {
            let key = TaskKey {
                master: assign.master,
                task: task.task,
            };
            let known = self.leases.get(&(to, key));
            if known.is_some_and(|known| known.round >= task.round) {
                continue;
            }
            let Some(template) = self.templates.get(&(to, assign.master, task.template)) else {
                continue;
            };
            let inputs = template.inputs.iter().chain(&task.body.inputs);
            let lease = Lease {
                round: task.round,
                inputs: inputs.map(|input| input.file.digest).collect(),
                hold: Hold::Sure,
            };
            self.leases.insert((to, key), lease);
        }
    }

    /// A result is safe above, or not wanted. A foreman that dies before it has written so has it still.
    fn taken(&mut self, holder: ActorId, attempt: Attempt) {
        if self.workers.contains(&holder) {
            self.results.remove(&(holder, attempt));
        }
    }

    fn keep(&mut self, actor: ActorId, attempt: Attempt, ran: &Ran) {
        let files: Vec<Digest> = ran.files().map(|file| file.digest).collect();
        if !files.is_empty() {
            self.results.insert((actor, attempt), files);
        }
    }

    fn end(&mut self, place: (ActorId, TaskKey), round: Try) {
        let lease = self.leases.get(&place);
        if lease.is_some_and(|lease| lease.round == round) {
            self.leases.remove(&place);
        }
    }

    fn doubt(&mut self, actor: ActorId, whether: impl Fn(&Lease) -> bool) {
        for ((holder, _), lease) in &mut self.leases {
            if *holder == actor && whether(lease) {
                lease.hold = Hold::Doubtful;
            }
        }
    }

    fn forgot(&self, actor: ActorId, digest: Digest, findings: &mut Findings<'_>) {
        let needing = self.leases.iter().find(|((holder, _), lease)| {
            let waits = self.full.contains(&actor);
            *holder == actor && !waits && lease.hold == Hold::Sure && lease.inputs.contains(&digest)
        });
        if let Some(((_, key), _)) = needing {
            let what = format!("actor {} gives {digest:?} up, which {key} needs", actor.0);
            findings.add("cache", what, vec![*key]);
        }
    }
}
