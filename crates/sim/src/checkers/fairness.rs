//! What each master gets of the workers that several share, while all of them could use more (Q1).
//!
//! A master *waits* while it has told users of tasks of which no attempt has started. While two or more wait, each of
//! these is due an even part of the cores that run tasks of theirs, and no master waits for a start longer than a
//! bound. The bound follows from the scheduler's design: leases are served in the order of their arrival, so that a
//! lease waits for those that others had in hand before it, at most as long as one turn of everyone's longest run.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::limits::HOARD;
use muster_proto::wire::Frame;
use muster_proto::{Attempt, Span, TaskKey, Time};

use crate::brain::{ActorId, Sight};
use crate::checkers::{Findings, Roll};

/// The book of one world.
#[derive(Debug)]
pub struct Fairness {
    masters: BTreeMap<ActorId, Master>,
    roll: Roll,
    running: BTreeMap<Attempt, u64>,
    counted: Time,
    /// When a master that waits must have seen a task of its start.
    start_max: Span,
    /// The longest wait for a start while others ran tasks.
    wait: Span,
}

#[derive(Debug, Default)]
struct Master {
    told: u64,
    started: BTreeSet<TaskKey>,
    cores_milli: u64,
    /// Core time that it had, and was due, while it and others waited; in thousandths of a core and microseconds.
    had: u128,
    due: u128,
    contended: Span,
    /// Since when it waits without a start.
    since: Option<Time>,
}

/// What the master that fared worst got.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Of an even share, over all the time in which it and others waited.
    pub least: f64,
    /// The longest wait for a start while it had tasks waiting.
    pub wait: Span,
    /// How long the longest contention lasted.
    pub contended: Span,
}

impl Share {
    /// What the worse off of two got.
    pub fn worse(self, other: Share) -> Share {
        Share {
            least: self.least.min(other.least),
            wait: self.wait.max(other.wait),
            contended: self.contended.max(other.contended),
        }
    }
}

impl Fairness {
    /// Watches masters whose runs take at most `longest` each.
    pub fn new(roll: &Roll, longest: Span) -> Self {
        let masters = roll.masters.iter();
        let turn = longest.0 + HOARD.0;
        Self {
            masters: masters
                .map(|(actor, _)| (*actor, Master::default()))
                .collect(),
            roll: roll.clone(),
            running: BTreeMap::new(),
            counted: Time(0),
            start_max: Span(turn * roll.masters.len() as u64) + SLACK,
            wait: Span(0),
        }
    }

    /// What the worst off got, if masters ever contended long enough to say so.
    pub fn share(&self) -> Option<Share> {
        let judged = self
            .masters
            .values()
            .filter(|one| one.contended >= JUDGED_FROM);
        let least = judged
            .clone()
            .map(|one| one.had as f64 / one.due.max(1) as f64);
        let contended = judged.map(|one| one.contended).max()?;
        Some(Share {
            least: least.fold(f64::INFINITY, f64::min),
            wait: self.wait,
            contended,
        })
    }

    /// Sees what happens.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a watcher looks at a few of all sights"
    )]
    pub fn saw(&mut self, now: Time, sight: &Sight<'_>, findings: &mut Findings<'_>) {
        match sight {
            Sight::Came {
                from,
                frame: Frame::Submitted(answer),
                ..
            } => {
                self.count(now);
                if let (Ok((_, count)), Some(one)) = (answer.result, self.masters.get_mut(from)) {
                    one.told += u64::from(count);
                    one.since.get_or_insert(now);
                }
            }
            Sight::Started { launch, .. } => {
                self.count(now);
                let cores_milli = u64::from(launch.resources.cores_milli);
                self.running.insert(launch.attempt, cores_milli);
                self.started(now, launch.attempt.key, cores_milli, findings);
            }
            Sight::Ended { attempt, .. } | Sight::Cut { attempt, .. } => {
                self.count(now);
                if let Some(cores_milli) = self.running.remove(attempt)
                    && let Some(one) = self.of(attempt.key)
                {
                    one.cores_milli -= cores_milli;
                }
            }
            _ => {}
        }
    }

    fn of(&mut self, key: TaskKey) -> Option<&mut Master> {
        let mut masters = self.roll.masters.iter();
        let (actor, _) = masters.find(|(_, queue)| *queue == key.master)?;
        self.masters.get_mut(actor)
    }

    fn started(&mut self, now: Time, key: TaskKey, cores_milli: u64, findings: &mut Findings<'_>) {
        let (start_max, wait_before) = (self.start_max, self.wait);
        let Some(one) = self.of(key) else { return };
        one.cores_milli += cores_milli;
        one.started.insert(key);
        let wait = one.since.map_or(Span(0), |since| now.since(since));
        one.since = one.is_waiting().then_some(now);
        self.wait = wait_before.max(wait);
        if wait > start_max {
            let what = format!(
                "master {} waited {wait} for a start; {start_max} is the bound",
                key.master
            );
            findings.add("fairness", what, vec![key]);
        }
    }

    /// Adds what has been had and was due since the last change.
    fn count(&mut self, now: Time) {
        let past = now.since(std::mem::replace(&mut self.counted, now));
        let waiting = self.masters.values().filter(|one| one.is_waiting());
        let (count, used) = waiting.fold((0, 0), |(count, used), one| {
            (count + 1, used + u128::from(one.cores_milli))
        });
        if count < 2 || used == 0 {
            return;
        }
        for one in self.masters.values_mut().filter(|one| one.is_waiting()) {
            one.had += u128::from(one.cores_milli) * u128::from(past.0);
            one.due += used * u128::from(past.0) / count;
            one.contended += past;
        }
    }
}

impl Master {
    fn is_waiting(&self) -> bool {
        self.told > self.started.len() as u64
    }
}

/// Contention that is too short to judge shares by: the runs in hand decide then.
const JUDGED_FROM: Span = Span::secs(60);
/// What links, disks and turns may add to a wait.
const SLACK: Span = Span::secs(5);
