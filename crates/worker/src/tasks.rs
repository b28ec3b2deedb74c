//! The life of an attempt at a worker: staging, waiting, running.

use std::cmp::Reverse;
use std::sync::Arc;

use muster_proto::limits::{BODY_BYTES_MAX, FILES_PER_TASK_MAX, RESULTS_HELD_MAX};
use muster_proto::machine::{FetchEnd, Output};
use muster_proto::outcome::{End, Failure, Loss, Ran};
use muster_proto::task::{Command, TaskBody, Template};
use muster_proto::{Attempt, Digest, Resources, Role, Span, TaskKey, Time, Try};
use muster_sched::Admission;
use muster_sched::cache::inputs;

use crate::runs::Room;
use crate::{Ask, Effect, RunEnd, RunId, RunReport, Start, Worker};

/// Waiting attempts that do not fit and are passed over in one turn, so that a turn's work is bounded.
const PASSED_MAX: usize = 64;

/// A place among those that wait: greater priority first, then order of arrival.
pub(crate) type Entry = (Reverse<i32>, u64, TaskKey);

/// An attempt that has not ended.
#[derive(Debug)]
pub(crate) struct Held {
    /// Which try.
    pub round: Try,
    /// What it has in common with others.
    pub template: Arc<Template>,
    /// What is its own.
    pub body: TaskBody,
    /// Its place in the order of arrival.
    arrival: u64,
    pub stage: Stage,
}

/// Where an attempt stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is no room for its inputs; nothing is asked for.
    Parked,
    /// Inputs are on their way.
    Staging { missing: u32 },
    /// It waits for resources.
    Waiting,
    /// It runs, or is next in line to.
    Running { run: RunId },
}

/// How long nothing begins when the disk was full although nothing else ran.
const FULL_PAUSE: Span = Span::secs(1);
/// Runs that end well before one more is tried beside the others on a disk that was full.
const EASE_RUNS: usize = 16;

impl Worker {
    /// Takes an attempt; an earlier one of the same task is given up for it.
    pub(crate) fn accept(
        &mut self,
        attempt: Attempt,
        template: Arc<Template>,
        body: TaskBody,
        out: &mut Vec<Effect>,
    ) {
        let Attempt { key, round } = attempt;
        if let Some(held) = self.tasks.get(&key) {
            if held.round >= round {
                return;
            }
            self.drop_task(key, out);
        }
        self.arrivals += 1;
        self.accepted += 1;
        let stage = Stage::Parked;
        self.tasks.insert(
            key,
            Box::new(Held {
                round,
                template,
                body,
                arrival: self.arrivals,
                stage,
            }),
        );
        self.admit_or_park(key, out);
    }

    pub(crate) fn input_arrived(&mut self, key: TaskKey) {
        if let Some(held) = self.tasks.get_mut(&key)
            && let Stage::Staging { missing } = &mut held.stage
        {
            *missing -= 1;
            if *missing == 0 {
                self.staged(key);
            }
        }
    }

    /// An input cannot be had: a failure if its master does not have it, a loss if it would not come.
    pub(crate) fn input_missing(&mut self, key: TaskKey, digest: Digest, end: FetchEnd) {
        let Some(held) = self.tasks.get(&key) else {
            return;
        };
        let name = inputs(&held.template, &held.body)
            .get(&digest)
            .map(|input| input.name.clone());
        let attempt = Attempt {
            key,
            round: held.round,
        };
        self.end_task(key);
        // Only a master knows that there is no such file; a foreman may have lost it with its process.
        let knows = self
            .superior
            .as_ref()
            .is_some_and(|(_, peer)| peer.role == Role::Master);
        match (end, name) {
            (FetchEnd::Absent, Some(name)) if knows => {
                let report = RunReport::nothing(Err(Failure::InputMissing(name)));
                self.report_run(attempt, report);
            }
            (FetchEnd::Unkept, _) => self.report(attempt, End::Lost(Loss::NoSpace)),
            (FetchEnd::Absent | FetchEnd::Failed | FetchEnd::Held, _) => {
                self.report(attempt, End::Lost(Loss::NotStaged));
            }
        }
    }

    /// All inputs of an attempt are here: it waits for resources, or is done if nothing is to be executed.
    pub(crate) fn staged(&mut self, key: TaskKey) {
        let Some(held) = self.tasks.get(&key) else {
            return;
        };
        if held.template.command == Command::Noop && held.body.words.is_empty() {
            let attempt = Attempt {
                key,
                round: held.round,
            };
            self.end_task(key);
            return self.report_run(attempt, RunReport::nothing(Ok(())));
        }
        self.wait(key);
    }

    /// An attempt waits for resources: from now on, or again.
    fn wait(&mut self, key: TaskKey) {
        if let Some(held) = self.tasks.get_mut(&key) {
            held.stage = Stage::Waiting;
            let entry = held.entry(key);
            self.waiting.insert(entry);
        }
    }

    /// Starts what fits, in order; what does not fit lets smaller ones pass. Nothing starts while too many results
    /// wait for a superior that is away.
    pub(crate) fn start(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.results.len() < RESULTS_HELD_MAX {
            self.begin(now, out);
            self.line_up(now, out);
        }
        let room = if self.waiting.is_empty() {
            Room::Free
        } else {
            Room::Wanted
        };
        for run in self.runs.recall(now, room) {
            out.push(Output::Local(Ask::Recall(run)));
        }
    }

    fn begin(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.tasks.is_empty() {
            // Whatever made the disk full may be gone by the time there is work again.
            self.at_once = usize::MAX;
            self.admission = Admission::default();
        }
        if now < self.full_until {
            return;
        }
        self.full_until = Time(0);
        let room = match self.at_once {
            usize::MAX => usize::MAX,
            at_once => at_once.saturating_sub(self.runs.under_way()),
        };
        let (mut free, mut places) = (self.runs.free(), self.runs.room().min(room));
        let (mut chosen, mut passed) = (Vec::new(), 0);
        for entry in &self.waiting {
            let Some(held) = self.tasks.get(&entry.2) else {
                continue;
            };
            let claim = self.claim(held.claim());
            if places == 0 || passed == PASSED_MAX {
                break;
            }
            if claim.fits(&free) {
                free = free.minus(&claim);
                places -= 1;
                chosen.push((*entry, claim));
            } else {
                passed += 1;
            }
        }
        for (entry, claim) in chosen {
            self.waiting.remove(&entry);
            let run = self.runs.begin(now, entry.2, claim);
            self.hand_over(entry.2, run, None, out);
        }
    }

    /// Lines up what waits behind runs that occupy just what it asks for, strictly in order. Whoever is watched by
    /// its run time starts at a known time, so it is not lined up.
    fn line_up(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.waiting.is_empty() {
            return;
        }
        let (mut heads, line_max) = self.runs.heads(now);
        while !heads.is_empty() && self.runs.room() > 0 {
            let Some(&entry) = self.waiting.first() else {
                return;
            };
            let Some(held) = self.tasks.get(&entry.2) else {
                return;
            };
            let claim = self.claim(held.claim());
            let head = heads.iter().find(|head| head.3 == claim).copied();
            let (Some(head), None) = (head, held.template.policy.fast_abort_percent) else {
                return;
            };
            heads.remove(&head);
            let (length, head, last, _) = head;
            self.waiting.pop_first();
            let run = self.runs.line_up(now, entry.2, head);
            self.hand_over(entry.2, run, Some(last), out);
            if length + 1 < line_max {
                heads.insert((length + 1, head, run, claim));
            }
        }
    }

    fn hand_over(&mut self, key: TaskKey, run: RunId, after: Option<RunId>, out: &mut Vec<Effect>) {
        let Some(held) = self.tasks.get_mut(&key) else {
            return;
        };
        held.stage = Stage::Running { run };
        let start = held.start(key, run, after);
        let (attempt, watched) = (start.attempt, held.template.policy.fast_abort_percent);
        let start = Start {
            resources: self.claim(start.resources),
            ..start
        };
        if let (Some(_), Some((link, _))) = (watched, &self.superior) {
            self.outbox.started(*link, attempt);
        }
        out.push(Output::Local(Ask::Start(Box::new(start))));
    }

    /// A run has ended: its result is reported, unless nobody waits for it.
    pub(crate) fn ended(&mut self, now: Time, run: RunId, end: RunEnd, out: &mut Vec<Effect>) {
        if let RunEnd::Ran(report) = &end {
            self.runs.lasted(report.measured.wall);
            self.ease();
        }
        let Some(key) = self.runs.ended(now, run) else {
            if let RunEnd::Ran(report) = end {
                self.discard(*report);
            }
            return;
        };
        let Some(held) = self.tasks.get(&key) else {
            return;
        };
        let attempt = Attempt {
            key,
            round: held.round,
        };
        if let RunEnd::Unbegun = end {
            return self.wait(key);
        }
        let others = self.runs.under_way();
        if let RunEnd::Lost(Loss::NoSpace) = end
            && others > 0
        {
            // The disk holds fewer at once than there are cores for; this one goes on when there is room again.
            (self.at_once, self.eased) = (others, 0);
            return self.wait(key);
        }
        if let RunEnd::Lost(Loss::NoSpace) = end {
            self.full_until = now + FULL_PAUSE;
            if self.make_room_for(key, out) {
                return self.wait(key);
            }
        }
        self.end_task(key);
        match end {
            RunEnd::Ran(report) => self.report_run(attempt, *report),
            RunEnd::Lost(loss) => self.report(attempt, End::Lost(loss)),
            RunEnd::Killed | RunEnd::Unbegun => {
                self.report(attempt, End::Lost(Loss::WorkerFault));
            }
        }
    }

    /// A run has ended well: after many that did, one more may run beside the others.
    fn ease(&mut self) {
        self.cramped = 0;
        self.eased += 1;
        if self.eased >= EASE_RUNS {
            self.eased = 0;
            self.at_once = self.at_once.saturating_add(1);
        }
    }

    fn report_run(&mut self, attempt: Attempt, report: RunReport) {
        let mut ran = self.ran(report);
        if ran.outputs.len() > FILES_PER_TASK_MAX || ran.weight() > BODY_BYTES_MAX {
            // A report of all these names would fit no frame.
            for output in std::mem::take(&mut ran.outputs) {
                self.cache.insert(output.file);
                self.cache.unpin(output.file.digest);
            }
            ran.result = Err(Failure::TooMuchOutput);
        }
        self.report(attempt, End::Ran(Arc::new(ran)));
    }

    /// A run ended by itself before it could be killed: its files are of no use to anyone.
    fn discard(&mut self, report: RunReport) {
        for file in self.ran(report).files() {
            self.cache.insert(file);
            self.cache.unpin(file.digest);
        }
    }

    fn ran(&self, report: RunReport) -> Ran {
        let RunReport {
            result,
            measured,
            stdout,
            stderr,
            outputs,
        } = report;
        Ran {
            result,
            worker: self.config.name.clone(),
            measured,
            stdout,
            stderr,
            outputs,
        }
    }

    /// Gives an attempt up: not started, or killed.
    pub(crate) fn drop_task(&mut self, key: TaskKey, out: &mut Vec<Effect>) {
        let Some(held) = self.tasks.get(&key) else {
            return;
        };
        match held.stage {
            Stage::Parked | Stage::Staging { .. } => {}
            Stage::Waiting => {
                self.waiting.remove(&held.entry(key));
            }
            Stage::Running { run } => {
                self.runs.disown(run);
                out.push(Output::Local(Ask::Kill(run)));
            }
        }
        self.end_task(key);
    }

    /// Forgets an attempt and frees its inputs.
    fn end_task(&mut self, key: TaskKey) {
        if let Some(held) = self.tasks.remove(&key) {
            self.admission.forget(held.entry(key));
            if held.stage == Stage::Parked {
                return;
            }
            for digest in inputs(&held.template, &held.body).into_keys() {
                self.cache.release(key, digest);
            }
        }
    }

    /// What an attempt occupies here: what it asks for; all there is, if it asks for nothing.
    fn claim(&self, asked: Resources) -> Resources {
        if asked == Resources::default() {
            self.config.shape
        } else {
            asked
        }
    }

    pub(crate) fn check_tasks(&self) {
        self.runs.check();
        for (key, held) in &self.tasks {
            assert_eq!(
                self.waiting.contains(&held.entry(*key)),
                held.stage == Stage::Waiting,
                "{key} waits as its stage says"
            );
            assert_eq!(
                self.admission.has(held.entry(*key)),
                held.stage == Stage::Parked,
                "{key} is parked as its stage says"
            );
        }
    }
}

impl Held {
    /// What it asks for.
    fn claim(&self) -> Resources {
        self.template.resources
    }

    /// Its place among those that wait.
    pub(crate) fn entry(&self, key: TaskKey) -> Entry {
        (Reverse(self.template.policy.priority), self.arrival, key)
    }

    /// What the hands are to do for it.
    fn start(&self, key: TaskKey, run: RunId, after: Option<RunId>) -> Start {
        let template = &self.template;
        let own = &self.body.words;
        let (words, call) = match &template.command {
            Command::Exec(words) if own.is_empty() => (words.clone(), None),
            Command::Exec(_) | Command::Noop => (own.clone(), None),
            Command::Call(server) => (server.clone(), Some(own.clone())),
        };
        let inputs = template.inputs.iter().chain(&self.body.inputs);
        let outputs = template.outputs.iter().chain(&self.body.outputs);
        Start {
            run,
            after,
            attempt: Attempt {
                key,
                round: self.round,
            },
            words,
            call,
            environment: template.environment.clone(),
            inputs: inputs.cloned().collect(),
            outputs: outputs.cloned().collect(),
            resources: template.resources,
            wall_max: template.policy.wall_max,
        }
    }
}
