//! Each task that was acknowledged gets exactly one outcome, from a run that took place, and is not run again after.

use std::collections::{BTreeMap, BTreeSet};

use muster_master::Event;
use muster_proto::machine::{FetchEnd, Record};
use muster_proto::outcome::{Outcome, Ran, Verdict};
use muster_proto::wire::{Ack, Assign, Frame, Submit, Submitted};
use muster_proto::{Attempt, Digest, TaskId, TaskKey, Time};

use crate::brain::{ActorId, Sight};
use crate::checkers::{Findings, Roll};
use crate::play::Play;

/// The book of all tasks of all masters.
#[derive(Debug)]
pub struct Ledger {
    roll: Roll,
    /// What each submit asked for.
    submits: BTreeMap<(ActorId, u64), Asked>,
    tasks: BTreeMap<TaskKey, Entry>,
    /// Runs that ended by themselves.
    ended: BTreeMap<Attempt, Ran>,
    /// Runs whose report somebody took responsibility for.
    acknowledged: BTreeMap<Attempt, Time>,
    /// The same, as the worker heard.
    heard: BTreeSet<(ActorId, Attempt)>,
    starts: u64,
}

#[derive(Debug)]
struct Asked {
    uids: Vec<u64>,
    retries: u16,
    answer: Option<TaskId>,
}

#[derive(Debug, Default)]
struct Entry {
    uid: Option<u64>,
    retries: u16,
    cancelled: bool,
    /// An outcome that is durable at the master.
    accounted: Option<Time>,
    shown: Option<Outcome>,
    delivered: bool,
}

impl Ledger {
    pub(super) fn new(roll: Roll) -> Self {
        Self {
            roll,
            submits: BTreeMap::new(),
            tasks: BTreeMap::new(),
            ended: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            heard: BTreeSet::new(),
            starts: 0,
        }
    }

    /// How many tasks of a master were acknowledged to users.
    pub fn acknowledged(&self, master: ActorId) -> Option<u64> {
        let queue = self.roll.queue(master)?;
        let known = self
            .tasks
            .iter()
            .filter(|(key, entry)| key.master == queue && entry.uid.is_some());
        Some(known.count() as u64)
    }

    /// Tasks that were acknowledged and of which their user has no outcome.
    pub fn open(&self) -> Vec<TaskKey> {
        let open = self
            .tasks
            .iter()
            .filter(|(_, entry)| entry.uid.is_some() && !entry.delivered);
        open.map(|(key, _)| *key).collect()
    }

    /// Every file that a run has written.
    pub fn files(&self) -> BTreeSet<Digest> {
        let files = self.ended.values().flat_map(Ran::files);
        files.map(|file| file.digest).collect()
    }

    /// Tasks acknowledged and runs started.
    pub fn size(&self) -> (u64, u64) {
        (self.tasks.len() as u64, self.starts)
    }

    pub(super) fn saw(&mut self, sight: &Sight<'_>, findings: &mut Findings<'_>) {
        match sight {
            Sight::Left {
                from,
                frame: Frame::Assign(assign),
                sent,
                ..
            } => self.assign((*from, *sent), assign, findings),
            Sight::Left {
                from, to, frame, ..
            } => self.left(*from, *to, frame, findings),
            Sight::Came {
                from, to, frame, ..
            } => self.came(*from, *to, frame, findings),
            Sight::Durable { actor, record } => self.durable(*actor, record, findings),
            Sight::Started { actor, launch } => {
                self.starts += 1;
                let attempt = launch.attempt;
                if self.heard.contains(&(*actor, attempt)) {
                    let what = format!(
                        "{attempt} was acknowledged to worker {} and runs there again",
                        actor.0
                    );
                    findings.add("ledger", what, vec![attempt.key]);
                }
                let uid = Play::of(&launch.words).uid;
                let entry = self.tasks.get(&attempt.key);
                if let Some(wanted) = entry
                    .and_then(|entry| entry.uid)
                    .filter(|wanted| *wanted != uid)
                {
                    let what = format!("{} is u{wanted} and runs as u{uid}", attempt.key);
                    findings.add("ledger", what, vec![attempt.key]);
                }
            }
            Sight::Ended { attempt, ran, .. } => {
                self.ended.insert(*attempt, (*ran).clone());
            }
            Sight::Fetched {
                actor,
                end: FetchEnd::Absent,
                digest,
                ..
            } if self.is_user(*actor) => {
                let what =
                    format!("the master does not hold {digest:?} of an outcome it gave its user");
                findings.add("ledger", what, Vec::new());
            }
            Sight::Up { .. }
            | Sight::Killed { .. }
            | Sight::Wiped { .. }
            | Sight::LinkUp { .. }
            | Sight::LinkDown { .. }
            | Sight::Fetched { .. }
            | Sight::Forgot { .. }
            | Sight::Cut { .. }
            | Sight::Wrong { .. } => {}
        }
    }

    fn is_user(&self, actor: ActorId) -> bool {
        self.submits
            .range((actor, 0)..=(actor, u64::MAX))
            .next()
            .is_some()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a watcher looks at a few of all frames"
    )]
    fn left(&mut self, from: ActorId, to: ActorId, frame: &Frame, findings: &mut Findings<'_>) {
        match frame {
            Frame::Submit(submit) => self.submit(from, submit),
            Frame::CancelTasks(cancel) => {
                for task in cancel
                    .ranges
                    .iter()
                    .flat_map(|(first, last)| first.0..=last.0)
                {
                    if let Some(key) = self.roll.key(to, TaskId(task)) {
                        self.tasks.entry(key).or_default().cancelled = true;
                    }
                }
            }
            Frame::Delivered(delivered) => {
                for task in &delivered.tasks {
                    if let Some(key) = self.roll.key(to, *task) {
                        self.tasks.entry(key).or_default().delivered = true;
                    }
                }
            }
            Frame::Ack(ack) => self.ended_ones(ack).for_each(|attempt| {
                self.acknowledged.entry(attempt).or_insert(findings.now);
            }),
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a watcher looks at a few of all frames"
    )]
    fn came(&mut self, from: ActorId, to: ActorId, frame: &Frame, findings: &mut Findings<'_>) {
        match frame {
            Frame::Submitted(answer) => self.submitted(from, to, answer, findings),
            Frame::Outcomes(outcomes) => {
                for outcome in &outcomes.outcomes {
                    self.outcome(from, outcome, findings);
                }
            }
            Frame::Ack(ack) => {
                let acknowledged = self.ended_ones(ack);
                self.heard.extend(acknowledged.map(|attempt| (to, attempt)));
            }
            _ => {}
        }
    }

    fn submit(&mut self, user: ActorId, submit: &Submit) {
        let uid = |body: &muster_proto::task::TaskBody| Play::of(&body.words).uid;
        self.submits
            .entry((user, submit.sequence))
            .or_insert_with(|| Asked {
                uids: submit.tasks.iter().map(uid).collect(),
                retries: submit.template.policy.retries,
                answer: None,
            });
    }

    fn submitted(
        &mut self,
        master: ActorId,
        user: ActorId,
        answer: &Submitted,
        findings: &mut Findings<'_>,
    ) {
        let (Ok((first, count)), Some(asked)) = (
            answer.result,
            self.submits.get_mut(&(user, answer.sequence)),
        ) else {
            return;
        };
        if asked.uids.len() != count as usize || asked.answer.is_some_and(|before| before != first)
        {
            let what = format!(
                "submit {} was answered {:?}, now {first}+{count}",
                answer.sequence, asked.answer
            );
            return findings.add("ledger", what, Vec::new());
        }
        if asked.answer.replace(first).is_some() {
            return;
        }
        for (task, uid) in (first.0..).map(TaskId).zip(&asked.uids) {
            let Some(key) = self.roll.key(master, task) else {
                return;
            };
            let entry = self.tasks.entry(key).or_default();
            entry.retries = asked.retries;
            if let Some(other) = entry.uid.replace(*uid) {
                let what = format!("{key} was acknowledged twice: as u{other} and as u{uid}");
                findings.add("ledger", what, vec![key]);
            }
        }
    }

    /// What left was decided when it was sent: it may have waited for the record that makes it moot.
    fn assign(
        &mut self,
        (from, sent): (ActorId, Time),
        assign: &Assign,
        findings: &mut Findings<'_>,
    ) {
        for assigned in &assign.tasks {
            let key = TaskKey {
                master: assign.master,
                task: assigned.task,
            };
            let attempt = Attempt {
                key,
                round: assigned.round,
            };
            let from_master = self.roll.queue(from).is_some();
            let accounted = self.tasks.get(&key).and_then(|entry| entry.accounted);
            if from_master && accounted.is_some_and(|at| at < sent) {
                findings.add(
                    "ledger",
                    format!("{attempt} is handed down after its task's outcome"),
                    vec![key],
                );
            }
            if self.acknowledged.get(&attempt).is_some_and(|at| *at < sent) {
                findings.add(
                    "ledger",
                    format!("{attempt} was acknowledged and is handed down again"),
                    vec![key],
                );
            }
        }
    }

    fn ended_ones(&self, ack: &Ack) -> impl Iterator<Item = Attempt> + use<> {
        let attempt = |(task, round): &(TaskId, _)| Attempt {
            key: TaskKey {
                master: ack.master,
                task: *task,
            },
            round: *round,
        };
        let ended: Vec<Attempt> = ack
            .attempts
            .iter()
            .map(attempt)
            .filter(|a| self.ended.contains_key(a))
            .collect();
        ended.into_iter()
    }

    fn durable(&mut self, actor: ActorId, record: &[u8], findings: &mut Findings<'_>) {
        if self.roll.queue(actor).is_none() {
            return;
        }
        let event = match Event::decode(record) {
            Ok(event) => event,
            Err(bad) => {
                return findings.add(
                    "journal",
                    format!("a master wrote a record that is none: {bad}"),
                    Vec::new(),
                );
            }
        };
        let Event::Accounted(outcomes) = event else {
            return;
        };
        for outcome in outcomes {
            if let Some(key) = self.roll.key(actor, outcome.task) {
                let entry = self.tasks.entry(key).or_default();
                if entry.accounted.replace(findings.now).is_some() {
                    findings.add("ledger", format!("{key} is accounted twice"), vec![key]);
                }
            }
        }
    }

    fn outcome(&mut self, master: ActorId, outcome: &Outcome, findings: &mut Findings<'_>) {
        let Some(key) = self.roll.key(master, outcome.task) else {
            return;
        };
        let failed = self
            .ended
            .range(first_of(key)..)
            .take_while(|(attempt, _)| attempt.key == key);
        let failed = failed.filter(|(_, ran)| ran.result.is_err()).count();
        let entry = self.tasks.entry(key).or_default();
        let mut complain = |what: String| findings.add("ledger", what, vec![key]);
        if entry.uid.is_none() {
            complain(format!("{key} has an outcome and was never acknowledged"));
        }
        if entry
            .shown
            .as_ref()
            .is_some_and(|before| before.verdict != outcome.verdict)
        {
            complain(format!("{key} has two outcomes"));
        }
        match &outcome.verdict {
            Verdict::Ran { round, ran } => match self.ended.get(&Attempt { key, round: *round }) {
                None => complain(format!("{key}#{round} counts and never ended")),
                Some(seen) if seen != &**ran => {
                    complain(format!("{key}#{round} brought something else"))
                }
                Some(seen) if seen.result.is_err() && failed <= usize::from(entry.retries) => {
                    complain(format!(
                        "{key} failed {failed} times and has {} retries",
                        entry.retries
                    ));
                }
                Some(_) => {}
            },
            Verdict::GivenUp(failure) => complain(format!("{key} was given up: {failure:?}")),
            Verdict::Cancelled if !entry.cancelled => {
                complain(format!("{key} was cancelled by nobody"))
            }
            Verdict::Cancelled => {}
        }
        entry.shown = Some(outcome.clone());
    }
}

fn first_of(key: TaskKey) -> Attempt {
    let round = muster_proto::Try {
        epoch: muster_proto::Epoch(0),
        n: 0,
    };
    Attempt { key, round }
}
