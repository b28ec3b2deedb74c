//! Nothing is told before it is durable: tasks to users (M1), outcomes to users (M3), results to who ran them (F1).

use std::collections::{BTreeMap, BTreeSet};

use muster_foreman::Event as Spooling;
use muster_master::Event as Accounting;
use muster_proto::machine::Record;
use muster_proto::wire::{Ack, Frame};
use muster_proto::{Attempt, MasterId, TaskKey};

use crate::brain::{ActorId, Sight};
use crate::checkers::{Findings, Roll};

/// The book of what masters and foremen have made durable.
#[derive(Debug)]
pub struct Durable {
    masters: BTreeMap<ActorId, MasterId>,
    foremen: BTreeSet<ActorId>,
    submitted: BTreeMap<ActorId, u64>,
    accounted: BTreeSet<TaskKey>,
    spooled: BTreeSet<(ActorId, Attempt)>,
}

impl Durable {
    pub(super) fn new(roll: &Roll) -> Self {
        Self {
            masters: roll.masters.iter().copied().collect(),
            foremen: roll.foremen.iter().copied().collect(),
            submitted: BTreeMap::new(),
            accounted: BTreeSet::new(),
            spooled: BTreeSet::new(),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a watcher looks at a few of all sights"
    )]
    pub(super) fn saw(&mut self, sight: &Sight<'_>, findings: &mut Findings<'_>) {
        match sight {
            Sight::Durable { actor, record } if self.foremen.contains(actor) => {
                if let Ok(Spooling::Spooled(results)) = Spooling::decode(record) {
                    let attempts = results.iter().map(|result| (*actor, result.attempt));
                    self.spooled.extend(attempts);
                }
            }
            Sight::Durable { actor, record } => {
                if let Some(master) = self.masters.get(actor) {
                    self.accounts(*actor, *master, record);
                }
            }
            Sight::Wiped { actor } => self.spooled.retain(|(foreman, _)| foreman != actor),
            Sight::Left { from, frame, .. } => self.left(*from, frame, findings),
            _ => {}
        }
    }

    fn accounts(&mut self, actor: ActorId, master: MasterId, record: &[u8]) {
        match Accounting::decode(record) {
            Ok(Accounting::Submitted(submitted)) => {
                *self.submitted.entry(actor).or_default() += submitted.tasks.len() as u64;
            }
            Ok(Accounting::Accounted(outcomes)) => {
                let tasks = outcomes.iter().map(|outcome| outcome.task);
                let keys = tasks.map(|task| TaskKey { master, task });
                self.accounted.extend(keys);
            }
            Ok(
                Accounting::Opened(_)
                | Accounting::Delivered(_)
                | Accounting::Leased(_)
                | Accounting::Cleared(_),
            )
            | Err(_) => {}
        }
    }

    fn left(&self, from: ActorId, frame: &Frame, findings: &mut Findings<'_>) {
        match (frame, self.masters.get(&from)) {
            (Frame::Ack(ack), None) if self.foremen.contains(&from) => {
                self.acknowledged(from, ack, findings);
            }
            (Frame::Submitted(answer), Some(_)) => {
                let durable = self.submitted.get(&from).copied().unwrap_or(0);
                if let Ok((first, count)) = answer.result
                    && first.0 + u64::from(count) > durable + 1
                {
                    let what = format!("{first}+{count} are told and {durable} tasks are durable");
                    findings.add("durable", what, Vec::new());
                }
            }
            (Frame::Outcomes(outcomes), Some(master)) => {
                let tasks = outcomes.outcomes.iter().map(|outcome| outcome.task);
                let mut keys = tasks.map(|task| TaskKey {
                    master: *master,
                    task,
                });
                if let Some(key) = keys.find(|key| !self.accounted.contains(key)) {
                    let what = format!("the outcome of {key} is told and not durable");
                    findings.add("durable", what, vec![key]);
                }
            }
            _ => {}
        }
    }

    fn acknowledged(&self, foreman: ActorId, ack: &Ack, findings: &mut Findings<'_>) {
        for (task, round) in &ack.attempts {
            let key = TaskKey {
                master: ack.master,
                task: *task,
            };
            let attempt = Attempt { key, round: *round };
            if !self.spooled.contains(&(foreman, attempt)) {
                let what = format!(
                    "foreman {} acknowledges {attempt}, which is not durable",
                    foreman.0
                );
                findings.add("durable", what, vec![key]);
            }
        }
    }
}
