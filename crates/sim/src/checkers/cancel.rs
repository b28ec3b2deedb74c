//! What a worker was told to end ends: it neither starts later nor runs to its natural end (W2).

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::wire::Frame;
use muster_proto::{Attempt, Span, TaskKey, Time};

use crate::brain::{ActorId, Sight};
use crate::checkers::{Findings, Roll};

/// What was cancelled where, and since when it had run.
#[derive(Debug)]
pub struct Cancel {
    workers: BTreeSet<ActorId>,
    cancelled: BTreeMap<(ActorId, Attempt), Time>,
    started: BTreeMap<(ActorId, Attempt), Time>,
}

/// When nothing of a cancelled attempt lives any more.
const VACATED: Span = Span::secs(2);

impl Cancel {
    pub(super) fn new(roll: &Roll) -> Self {
        Self {
            workers: roll.workers.iter().map(|(worker, _)| *worker).collect(),
            cancelled: BTreeMap::new(),
            started: BTreeMap::new(),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a watcher looks at a few of all sights"
    )]
    pub(super) fn saw(&mut self, sight: &Sight<'_>, findings: &mut Findings<'_>) {
        let now = findings.now;
        match sight {
            Sight::Came {
                to,
                frame: Frame::Cancel(cancel),
                ..
            } if self.workers.contains(to) => {
                for (task, round) in &cancel.attempts {
                    let key = TaskKey {
                        master: cancel.master,
                        task: *task,
                    };
                    let attempt = Attempt { key, round: *round };
                    self.cancelled.entry((*to, attempt)).or_insert(now);
                }
            }
            Sight::Started { actor, launch } => {
                self.started.insert((*actor, launch.attempt), now);
                self.judge(*actor, launch.attempt, now, findings);
            }
            Sight::Ended {
                actor,
                attempt,
                ran,
            } => {
                // A worker that stood still meanwhile ends late what ended in time.
                let since = self.started.remove(&(*actor, *attempt));
                let end = since.map_or(now, |since| since + ran.measured.wall);
                self.judge(*actor, *attempt, end, findings);
            }
            Sight::Cut { actor, attempt } => {
                self.started.remove(&(*actor, *attempt));
            }
            Sight::Killed { actor } => self.cancelled.retain(|(worker, _), _| worker != actor),
            _ => {}
        }
    }

    fn judge(&self, worker: ActorId, attempt: Attempt, at: Time, findings: &mut Findings<'_>) {
        let told = self.cancelled.get(&(worker, attempt));
        if told.is_some_and(|told| at > *told + VACATED) {
            let what = format!(
                "{attempt} runs on at worker {} after it was cancelled",
                worker.0
            );
            findings.add("cancel", what, vec![attempt.key]);
        }
    }
}
