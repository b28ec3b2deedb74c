//! Attempts, from the lease to the outcome or the next attempt.

use std::collections::{BTreeMap, HashMap};

use muster_proto::outcome::{End, Loss, Outcome, Ran, Verdict};
use muster_proto::wire::{Cancel, Outcomes, Reports};
use muster_proto::{Attempt, MasterId, TaskKey, Time, Try};
use rustc_hash::FxBuildHasher;

use crate::brain::ActorId;
use crate::run::quantiles::Quantiles;
use crate::run::tally::{Hops, core_us};

/// What an attempt was lost to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::run) enum Cause {
    /// The batch system took its worker away.
    Evicted,
    /// Its worker's time was up.
    Walltime,
    /// Its worker was taken away by the scenario.
    Removed,
    /// A process died by the scenario.
    Crash,
    /// Its run failed of itself.
    Application,
    /// It was called back: a straggler, or overtaken by another attempt.
    Recalled,
    /// A brain said so.
    Told(Loss),
    /// Nothing was seen to happen to it: its link was given up.
    Unseen,
}

impl Cause {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Evicted | Cause::Told(Loss::Evicted) => "evicted",
            Cause::Walltime => "walltime",
            Cause::Removed => "removed",
            Cause::Crash => "crash",
            Cause::Application => "application",
            Cause::Recalled | Cause::Told(Loss::FastAbort) => "fast_abort",
            Cause::Told(loss) => loss.as_str(),
            Cause::Unseen => "link",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum RunEnd {
    /// By itself, well or not.
    Ended { is_ok: bool },
    /// It was killed, or its worker was.
    Cut,
}

/// An attempt whose task has no outcome and that no other attempt has followed.
#[derive(Clone, Copy, Debug)]
struct Open {
    round: Try,
    leased: Time,
    /// When it reached a worker.
    reached: Time,
    /// The worker that has it, and how often that had died before.
    worker: Option<(u32, u32)>,
    started: Option<Time>,
    ended: Option<Time>,
    cores_milli: u32,
    cause: Option<Cause>,
    /// Which the attempt before was, and what it was counted as lost to.
    before: Option<(Try, Cause)>,
}

/// Every attempt that is open, and what became of the others.
#[derive(Debug)]
pub(super) struct Attempts {
    open: HashMap<TaskKey, Open, FxBuildHasher>,
    /// How often each worker has died, and of what last.
    deaths: Vec<(u32, Cause)>,
    pub assigned: u64,
    pub received: u64,
    pub failed: u64,
    pub losses: BTreeMap<Cause, u64>,
    pub busy_core_us: u128,
    pub run_core_us: u128,
    /// Sum, and sum of squares, of the run times of received results, in seconds.
    pub moments: (f64, f64),
    pub walls: Quantiles,
    pub hops: Hops,
    pub latest: Time,
    pub first: Option<Time>,
}

impl Default for Attempts {
    fn default() -> Self {
        let hop = |name| (name, Quantiles::new());
        Self {
            open: HashMap::default(),
            deaths: Vec::new(),
            assigned: 0,
            received: 0,
            failed: 0,
            losses: BTreeMap::new(),
            busy_core_us: 0,
            run_core_us: 0,
            moments: (0.0, 0.0),
            walls: Quantiles::new(),
            hops: [
                hop("lease to worker"),
                hop("worker to start"),
                hop("end to user"),
                hop("lease to user"),
            ],
            latest: Time(0),
            first: None,
        }
    }
}

impl Attempts {
    /// Tasks whose outcome their user has.
    pub fn ended(&self) -> u64 {
        self.received + self.failed
    }

    /// Attempts that are open.
    pub fn still_open(&self) -> u64 {
        self.open.len() as u64
    }

    fn of(&mut self, attempt: Attempt) -> Option<&mut Open> {
        let open = self.open.get_mut(&attempt.key)?;
        (open.round == attempt.round).then_some(open)
    }

    /// A master hands an attempt down: the one before it is lost.
    pub fn leased(&mut self, now: Time, key: TaskKey, round: Try) {
        self.first.get_or_insert(now);
        let before = match self.open.get(&key) {
            Some(open) if open.round == round => return,
            Some(open) => {
                let cause = self.cause_of(open);
                *self.losses.entry(cause).or_default() += 1;
                Some((open.round, cause))
            }
            None => None,
        };
        self.assigned += 1;
        let open = Open {
            round,
            leased: now,
            reached: now,
            worker: None,
            started: None,
            ended: None,
            cores_milli: 0,
            cause: None,
            before,
        };
        self.open.insert(key, open);
    }

    fn cause_of(&self, open: &Open) -> Cause {
        let died = open.worker.and_then(|(worker, deaths)| {
            let (now, cause) = *self.deaths.get(worker as usize)?;
            (now > deaths).then_some(cause)
        });
        open.cause.or(died).unwrap_or(Cause::Unseen)
    }

    /// An attempt reaches a worker.
    pub fn reached(&mut self, now: Time, key: TaskKey, round: Try, worker: ActorId) {
        if self.deaths.len() <= worker.0 {
            self.deaths.resize(worker.0 + 1, (0, Cause::Evicted));
        }
        let deaths = self.deaths[worker.0].0;
        if let Some(open) = self.of(Attempt { key, round }) {
            open.worker = Some((worker.0 as u32, deaths));
            open.reached = now;
            let waited = now.since(open.leased);
            self.hops[0].1.add(waited);
        }
    }

    /// A worker dies.
    pub fn died(&mut self, worker: ActorId, cause: Cause) {
        if let Some(death) = self.deaths.get_mut(worker.0) {
            *death = (death.0 + 1, cause);
        }
    }

    /// A run begins.
    pub fn started(&mut self, now: Time, attempt: Attempt, cores_milli: u32) {
        if let Some(open) = self.of(attempt) {
            (open.started, open.cores_milli) = (Some(now), cores_milli);
            let waited = now.since(open.reached);
            self.hops[1].1.add(waited);
        }
    }

    /// A run ends.
    pub fn run_ended(&mut self, now: Time, attempt: Attempt, end: RunEnd) {
        let Some(open) = self.of(attempt) else {
            return;
        };
        let started = open.started.take();
        let ran = started.map(|started| now.since(started));
        if let RunEnd::Ended { is_ok } = end {
            open.ended = Some(now);
            if !is_ok {
                open.cause = Some(Cause::Application);
            }
        }
        let cores_milli = open.cores_milli;
        self.run_core_us += core_us(cores_milli, ran.unwrap_or_default());
    }

    /// A subordinate says what became of attempts.
    pub fn reported(&mut self, reports: &Reports, leaves: Option<Cause>) {
        for report in &reports.reports {
            let attempt = Attempt {
                key: TaskKey {
                    master: reports.master,
                    task: report.task,
                },
                round: report.round,
            };
            if let End::Lost(loss) = &report.end
                && let Some(open) = self.of(attempt)
            {
                open.cause = open.cause.or(leaves).or(Some(Cause::Told(*loss)));
            }
        }
    }

    /// A superior calls attempts back. If the next attempt at a task left in the same turn, it left before this.
    pub fn recalled(&mut self, now: Time, cancel: &Cancel) {
        for (task, round) in &cancel.attempts {
            let key = TaskKey {
                master: cancel.master,
                task: *task,
            };
            let Some(open) = self.open.get_mut(&key) else {
                continue;
            };
            if open.round == *round {
                open.cause = open.cause.or(Some(Cause::Recalled));
            } else if open.before == Some((*round, Cause::Unseen)) && open.leased == now {
                open.before = Some((*round, Cause::Recalled));
                for (cause, change) in [(Cause::Unseen, -1), (Cause::Recalled, 1)] {
                    let count = self.losses.entry(cause).or_default();
                    *count = count.saturating_add_signed(change);
                }
            }
        }
    }

    /// Outcomes reach their user.
    pub fn outcomes(&mut self, now: Time, master: MasterId, outcomes: &Outcomes) {
        for outcome in &outcomes.outcomes {
            let key = TaskKey {
                master,
                task: outcome.task,
            };
            // One that comes again is known: nothing of it is open.
            if let Some(open) = self.open.remove(&key) {
                self.latest = now;
                self.outcome(now, &open, outcome);
            }
        }
    }

    fn outcome(&mut self, now: Time, open: &Open, outcome: &Outcome) {
        let Verdict::Ran { round, ran } = &outcome.verdict else {
            self.failed += 1;
            let cause = self.cause_of(open);
            *self.losses.entry(cause).or_default() += 1;
            return;
        };
        if *round != open.round {
            // An earlier attempt counts after all, and this one was in vain.
            *self.losses.entry(Cause::Recalled).or_default() += 1;
            let before = open.before.map(|(_, cause)| cause);
            if let Some(count) = before.and_then(|cause| self.losses.get_mut(&cause)) {
                *count -= 1;
            }
        }
        match &ran.result {
            Ok(()) => self.success(now, open, ran),
            Err(_) => {
                self.failed += 1;
                *self.losses.entry(Cause::Application).or_default() += 1;
            }
        }
    }

    fn success(&mut self, now: Time, open: &Open, ran: &Ran) {
        self.received += 1;
        let wall = ran.measured.wall;
        self.walls.add(wall);
        let seconds = wall.as_secs_f64();
        self.moments.0 += seconds;
        self.moments.1 += seconds * seconds;
        self.busy_core_us += core_us(open.cores_milli, wall);
        if let Some(ended) = open.ended {
            self.hops[2].1.add(now.since(ended));
        }
        self.hops[3].1.add(now.since(open.leased));
    }

    /// Counts the runs that are under way at the end.
    pub fn close(&mut self, now: Time) {
        let under_way: u128 = self
            .open
            .values()
            .filter_map(|open| Some(core_us(open.cores_milli, now.since(open.started?))))
            .sum();
        self.run_core_us += under_way;
    }
}
