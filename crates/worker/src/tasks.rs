//! The life of an attempt at a worker: staging, waiting, running.

use std::cmp::Reverse;
use std::sync::Arc;

use muster_proto::limits::{BODY_BYTES_MAX, FILES_PER_TASK_MAX, RESULTS_HELD_MAX, RUNS_MAX};
use muster_proto::machine::{FetchEnd, Output};
use muster_proto::outcome::{End, Failure, Loss, Ran};
use muster_proto::task::{Command, TaskBody, Template};
use muster_proto::{Attempt, Digest, LinkId, Resources, Role, TaskKey, Try};
use muster_sched::Want;
use muster_sched::cache::inputs;

use crate::{Ask, Effect, RunEnd, RunId, RunReport, Start, Worker};

/// Waiting attempts that do not fit and are passed over in one turn, so that a turn's work is bounded.
const PASSED_MAX: usize = 64;

/// An attempt that has not ended.
#[derive(Debug)]
pub(crate) struct Held {
    /// Which try.
    pub round: Try,
    /// What it has in common with others.
    pub template: Arc<Template>,
    /// What is its own.
    body: TaskBody,
    /// Its place in the order of arrival.
    arrival: u64,
    stage: Stage,
}

/// Where an attempt stands.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Inputs are on their way.
    Staging { missing: u32 },
    /// It waits for resources.
    Waiting,
    /// It runs.
    Running { run: RunId },
}

impl Worker {
    /// Takes an attempt; an earlier one of the same task is given up for it.
    pub(crate) fn accept(
        &mut self,
        link: LinkId,
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
        let mut missing = 0;
        for (digest, input) in inputs(&template, &body) {
            match self.cache.want(key, input.file, Some(link)) {
                Want::Held => continue,
                Want::Coming => {}
                Want::Fetch => out.push(Output::Fetch {
                    link,
                    digest,
                    bytes: input.file.bytes,
                }),
            }
            missing += 1;
        }
        self.arrivals += 1;
        self.accepted += 1;
        let stage = Stage::Staging { missing };
        self.tasks.insert(
            key,
            Held {
                round,
                template,
                body,
                arrival: self.arrivals,
                stage,
            },
        );
        if missing == 0 {
            self.staged(key);
        }
    }

    pub(crate) fn input_arrived(&mut self, key: TaskKey) {
        if let Some(Held {
            stage: Stage::Staging { missing },
            ..
        }) = self.tasks.get_mut(&key)
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
            (FetchEnd::Absent | FetchEnd::Failed | FetchEnd::Held, _) => {
                self.report(attempt, End::Lost(Loss::NotStaged));
            }
        }
    }

    /// All inputs of an attempt are here: it waits for resources, or is done if nothing is to be executed.
    fn staged(&mut self, key: TaskKey) {
        let Some(held) = self.tasks.get_mut(&key) else {
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
        held.stage = Stage::Waiting;
        self.waiting
            .insert((Reverse(held.template.policy.priority), held.arrival, key));
    }

    /// Starts what fits, in order; what does not fit lets smaller ones pass. Nothing starts while too many results
    /// wait for a superior that is away.
    pub(crate) fn start(&mut self, out: &mut Vec<Effect>) {
        if self.results.len() >= RESULTS_HELD_MAX {
            return;
        }
        let mut start = Vec::new();
        let mut free = self.free;
        let mut passed = 0;
        for entry in &self.waiting {
            let Some(held) = self.tasks.get(&entry.2) else {
                continue;
            };
            let asked = self.claim(&held.template);
            let full = self.running.len() + self.dying.len() + start.len() >= RUNS_MAX;
            if asked.fits(&free) && !full {
                free = free.minus(&asked);
                start.push(*entry);
            } else {
                passed += 1;
                if passed == PASSED_MAX {
                    break;
                }
            }
        }
        for entry in start {
            self.waiting.remove(&entry);
            self.run(entry.2, out);
        }
    }

    fn run(&mut self, key: TaskKey, out: &mut Vec<Effect>) {
        let Some(claim) = self.tasks.get(&key).map(|held| self.claim(&held.template)) else {
            return;
        };
        let Some(held) = self.tasks.get_mut(&key) else {
            return;
        };
        let attempt = Attempt {
            key,
            round: held.round,
        };
        let words = match &held.template.command {
            Command::Exec(words) if held.body.words.is_empty() => words.clone(),
            Command::Exec(_) | Command::Noop => held.body.words.clone(),
        };
        self.runs += 1;
        let run = RunId(self.runs);
        held.stage = Stage::Running { run };
        let template = &held.template;
        let start = Start {
            run,
            attempt,
            words,
            environment: template.environment.clone(),
            inputs: template
                .inputs
                .iter()
                .chain(&held.body.inputs)
                .cloned()
                .collect(),
            outputs: template
                .outputs
                .iter()
                .chain(&held.body.outputs)
                .cloned()
                .collect(),
            resources: claim,
            wall_max: template.policy.wall_max,
        };
        self.free = self.free.minus(&claim);
        self.running.insert(run, key);
        if template.policy.fast_abort_percent.is_some()
            && let Some((link, _)) = self.superior
        {
            self.outbox.started(link, attempt);
        }
        out.push(Output::Local(Ask::Start(Box::new(start))));
    }

    /// A run has ended: its result is reported, unless nobody waits for it.
    pub(crate) fn ended(&mut self, run: RunId, end: RunEnd) {
        if let Some(resources) = self.dying.remove(&run) {
            self.free = self.free.plus(&resources);
            if let RunEnd::Ran(report) = end {
                self.discard(*report);
            }
            return;
        }
        let Some(key) = self.running.remove(&run) else {
            return;
        };
        let Some(held) = self.tasks.get(&key) else {
            return;
        };
        let attempt = Attempt {
            key,
            round: held.round,
        };
        self.free = self.free.plus(&self.claim(&held.template));
        self.end_task(key);
        match end {
            RunEnd::Ran(report) => self.report_run(attempt, *report),
            RunEnd::Lost(loss) => self.report(attempt, End::Lost(loss)),
            RunEnd::Killed => self.report(attempt, End::Lost(Loss::WorkerFault)),
        }
    }

    fn report_run(&mut self, attempt: Attempt, report: RunReport) {
        let mut ran = Box::new(self.ran(report));
        if ran.outputs.len() > FILES_PER_TASK_MAX || ran.weight() > BODY_BYTES_MAX {
            // A report of all these names would fit no frame.
            for output in std::mem::take(&mut ran.outputs) {
                self.cache.insert(output.file);
                self.cache.unpin(output.file.digest);
            }
            ran.result = Err(Failure::TooMuchOutput);
        }
        self.report(attempt, End::Ran(ran));
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
            Stage::Staging { .. } => {}
            Stage::Waiting => {
                self.waiting
                    .remove(&(Reverse(held.template.policy.priority), held.arrival, key));
            }
            Stage::Running { run } => {
                self.running.remove(&run);
                let claim = self.claim(&held.template);
                self.dying.insert(run, claim);
                out.push(Output::Local(Ask::Kill(run)));
            }
        }
        self.end_task(key);
    }

    /// Forgets an attempt and frees its inputs.
    fn end_task(&mut self, key: TaskKey) {
        if let Some(held) = self.tasks.remove(&key) {
            for digest in inputs(&held.template, &held.body).into_keys() {
                self.cache.release(key, digest);
            }
        }
    }

    /// What an attempt occupies here: what it asks for; all there is, if it asks for nothing.
    pub(crate) fn claim(&self, template: &Template) -> Resources {
        if template.resources == Resources::default() {
            self.config.shape
        } else {
            template.resources
        }
    }

    pub(crate) fn check_tasks(&self) {
        let running = self.running.values().filter_map(|key| self.tasks.get(key));
        let used = running.fold(Resources::default(), |sum, held| {
            sum.plus(&self.claim(&held.template))
        });
        let used = self
            .dying
            .values()
            .fold(used, |sum, resources| sum.plus(resources));
        assert_eq!(
            used.plus(&self.free),
            self.config.shape,
            "what runs and what is free make the worker's shape"
        );
        for (key, held) in &self.tasks {
            let entry = (Reverse(held.template.policy.priority), held.arrival, *key);
            assert_eq!(
                self.waiting.contains(&entry),
                held.stage == Stage::Waiting,
                "{key} waits as its stage says"
            );
        }
    }
}
