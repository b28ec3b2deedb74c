//! What a failing seed tells: the last happenings, and those of the tasks concerned.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

use muster_proto::wire::Frame;
use muster_proto::{MasterId, TaskId, TaskKey, Time, Try};

use crate::brain::{ActorId, Observer, Sight};

/// Writes down what happens to some tasks, and who comes and goes.
#[derive(Debug, Default)]
pub struct Story {
    tasks: BTreeSet<TaskKey>,
    /// Who has had to do with them so far.
    actors: BTreeSet<ActorId>,
    lines: VecDeque<String>,
}

impl Story {
    /// A story of `tasks`; of everything, if there are none.
    pub fn of(tasks: impl IntoIterator<Item = TaskKey>) -> Self {
        Self {
            tasks: tasks.into_iter().collect(),
            actors: BTreeSet::new(),
            lines: VecDeque::new(),
        }
    }

    /// The lines, oldest first.
    pub fn lines(self) -> Vec<String> {
        self.lines.into()
    }

    fn tell(&mut self, now: Time, line: &str) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        let mut told = String::new();
        if write!(told, "{:>12.6} {line}", now.0 as f64 / 1e6).is_ok() {
            self.lines.push_back(told);
        }
    }

    /// What a frame between two actors says of the tasks, if anything.
    fn gist(&mut self, frame: &Frame, between: [ActorId; 2]) -> Option<String> {
        let kind = frame.kind();
        if matches!(frame, Frame::Status(_) | Frame::StatusReply(_)) {
            return None;
        }
        if self.tasks.is_empty() {
            return Some(format!("{kind:?}"));
        }
        let found = self.found(frame);
        if !found.is_empty() {
            self.actors.extend(between);
            return Some(format!("{kind:?} {}", found.join(", ")));
        }
        let Frame::Inventory(inventory) = frame else {
            return None;
        };
        if !self.knows(&between) {
            return None;
        }
        let (last, settled) = (inventory.last, inventory.settled);
        Some(format!(
            "{kind:?} without it, last={last} settled={settled}"
        ))
    }

    fn knows(&self, actors: &[ActorId]) -> bool {
        self.tasks.is_empty() || actors.iter().all(|actor| self.actors.contains(actor))
    }

    fn found(&self, frame: &Frame) -> Vec<String> {
        let key = |master: MasterId, task: TaskId| self.tasks.contains(&TaskKey { master, task });
        let tries = |master, attempts: &[(TaskId, Try)]| -> Vec<String> {
            let mine = attempts.iter().filter(|(task, _)| key(master, *task));
            mine.map(|(task, round)| format!("{task}#{round}"))
                .collect()
        };
        let bare = |task: TaskId| self.tasks.iter().any(|key| key.task == task);
        match frame {
            Frame::Assign(assign) => {
                let mine = assign
                    .tasks
                    .iter()
                    .filter(|task| key(assign.master, task.task));
                mine.map(|task| format!("{}#{} as {}", task.task, task.round, assign.epoch))
                    .collect()
            }
            Frame::Reports(reports) => {
                let mine = reports
                    .reports
                    .iter()
                    .filter(|report| key(reports.master, report.task));
                let end = |end: &muster_proto::outcome::End| match end {
                    muster_proto::outcome::End::Ran(ran) => format!("{:?}", ran.result),
                    muster_proto::outcome::End::Lost(loss) => format!("lost {loss:?}"),
                };
                mine.map(|report| format!("{}#{} {}", report.task, report.round, end(&report.end)))
                    .collect()
            }
            Frame::Ack(ack) => tries(ack.master, &ack.attempts),
            Frame::Cancel(cancel) => tries(cancel.master, &cancel.attempts),
            Frame::Started(started) => tries(started.master, &started.attempts),
            Frame::Inventory(inventory) => {
                let mine = inventory
                    .held
                    .iter()
                    .filter(|held| self.tasks.contains(&held.attempt.key));
                mine.map(|held| held.attempt.to_string()).collect()
            }
            Frame::Outcomes(outcomes) => {
                let mine = outcomes
                    .outcomes
                    .iter()
                    .filter(|outcome| bare(outcome.task));
                mine.map(|outcome| outcome.task.to_string()).collect()
            }
            Frame::Delivered(delivered) => delivered
                .tasks
                .iter()
                .filter(|task| bare(**task))
                .map(ToString::to_string)
                .collect(),
            Frame::Submitted(_)
            | Frame::Offer(_)
            | Frame::Retire(_)
            | Frame::Inquire(_)
            | Frame::Desist(_)
            | Frame::Answered(_)
            | Frame::Replica(_)
            | Frame::Raft(_)
            | Frame::Hello(_)
            | Frame::Submit(_)
            | Frame::Watch(_)
            | Frame::CancelTasks(_)
            | Frame::Cancelled(_)
            | Frame::Status(_)
            | Frame::StatusReply(_)
            | Frame::Explain(_)
            | Frame::Explained(_) => Vec::new(),
        }
    }

    fn concerns(&self, key: TaskKey) -> bool {
        self.tasks.is_empty() || self.tasks.contains(&key)
    }
}

impl Observer for Story {
    fn saw(&mut self, now: Time, sight: &Sight<'_>) {
        let line = match sight {
            Sight::Up { actor, life } => self
                .knows(&[*actor])
                .then(|| format!("{} starts, life {life}", actor.0)),
            Sight::Killed { actor } => self
                .knows(&[*actor])
                .then(|| format!("{} is killed", actor.0)),
            Sight::Wiped { actor } => self
                .knows(&[*actor])
                .then(|| format!("{} loses its disk", actor.0)),
            Sight::LinkUp { actor, peer } => self
                .knows(&[*actor, *peer])
                .then(|| format!("{} has a link to {}", actor.0, peer.0)),
            Sight::LinkDown { actor, peer } => self
                .knows(&[*actor, *peer])
                .then(|| format!("{} lost its link to {}", actor.0, peer.0)),
            Sight::Left {
                from, to, frame, ..
            } => self
                .gist(frame, [*from, *to])
                .map(|gist| format!("{} sends {} {gist}", from.0, to.0)),
            Sight::Came {
                from, to, frame, ..
            } => self
                .gist(frame, [*from, *to])
                .map(|gist| format!("{} hears {} {gist}", to.0, from.0)),
            Sight::Started { actor, launch } => {
                let attempt = launch.attempt;
                self.concerns(attempt.key)
                    .then(|| format!("{} starts {attempt}", actor.0))
            }
            Sight::Ended {
                actor,
                attempt,
                ran,
            } => self
                .concerns(attempt.key)
                .then(|| format!("{} ends {attempt}: {:?}", actor.0, ran.result)),
            Sight::Cut { actor, attempt } => self
                .concerns(attempt.key)
                .then(|| format!("{} cuts {attempt} short", actor.0)),
            Sight::Fetched {
                actor, digest, end, ..
            } => self
                .tasks
                .is_empty()
                .then(|| format!("{} fetched {digest:?}: {end:?}", actor.0)),
            Sight::Forgot { actor, digest } => self
                .tasks
                .is_empty()
                .then(|| format!("{} forgot {digest:?}", actor.0)),
            Sight::Durable { .. } => None,
            Sight::Wrong { checker, what } => Some(format!("{checker}: {what}")),
        };
        if let Some(line) = line {
            self.tell(now, &line);
        }
    }
}

/// Lines kept: the last of a story matter.
const LINES_MAX: usize = 400;
