//! The ensemble on the federation: submit a round, await its outcomes, let replicas trade places, and again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use muster_apps::replica_exchange::{Exchange, RoundTask};
use muster_node::client::{Client, Range, Target};
use muster_node::clock::Clock;
use muster_proto::outcome::{Outcome, Ran, ReturnedFile, Verdict};
use muster_proto::{RelPath, TaskId};
use serde::Deserialize;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::progress::Progress;
use super::record::Record;
use super::stage::Stage;
use crate::error::CliError;

/// How the rounds ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All were run.
    Finished,
    /// A task failed; the rounds after it were not begun.
    Failed,
    /// The user has had enough.
    Interrupted,
}

/// An exchange that is under way.
pub struct Rounds<'a> {
    clock: Clock,
    client: &'a Client,
    stage: &'a Stage,
    exchange: Exchange,
    record: Record,
    progress: Progress,
    polls: Interval,
    /// Of each replica, what it left in the round before.
    states: Vec<Option<ReturnedFile>>,
    /// Tasks whose outcomes are here and not yet said to be: the master keeps their files until then.
    kept: Vec<TaskId>,
}

/// What the program prints.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Answer {
    /// Of the state it left.
    pub energy: f64,
    /// The share of native contacts that are formed.
    pub contacts: f64,
}

impl Answer {
    /// Reads the program's line; none if it is something else.
    pub fn read(line: &[u8]) -> Option<Answer> {
        serde_json::from_slice(line).ok()
    }
}

impl<'a> Rounds<'a> {
    /// Nothing submitted yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(
        clock: Clock,
        client: &'a Client,
        stage: &'a Stage,
        exchange: Exchange,
        record: Record,
    ) -> Rounds<'a> {
        let mut polls = interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Rounds {
            clock,
            client,
            stage,
            states: vec![None; exchange.replicas().len()],
            exchange,
            record,
            progress: Progress::new(clock.now()),
            polls,
            kept: Vec::new(),
        }
    }

    /// Runs `rounds` rounds, and brings the final states to `dir`.
    ///
    /// # Errors
    /// The master is gone, or the states cannot be written.
    pub async fn run(&mut self, rounds: u32, dir: &Path) -> Result<Ending, CliError> {
        self.client.put_files(self.stage.files()).await?;
        while self.exchange.round() < rounds {
            self.announce(rounds);
            let tasks = self.exchange.round_tasks();
            let outcomes = self.outcomes(&tasks, rounds).await?;
            let Some(energies) = self.energies(&tasks, &outcomes) else {
                self.poll(rounds).await?;
                return Ok(Ending::Failed);
            };
            if let Err(bad) = self.exchange.finish_round(&energies) {
                self.record.failed(bad.to_string());
                return Ok(Ending::Failed);
            }
            self.progress
                .show(self.clock.now(), &self.exchange, &self.record, rounds);
        }
        self.bring(dir).await?;
        self.poll(rounds).await?;
        self.progress.clear();
        Ok(Ending::Finished)
    }

    /// What was exchanged, and what was seen of it.
    pub fn into_parts(self) -> (Exchange, Record) {
        self.progress.clear();
        (self.exchange, self.record)
    }

    fn announce(&mut self, rounds: u32) {
        let round = self.exchange.round();
        let what = match round {
            _ if round > 0 && round + 1 == rounds => "the last round begins",
            _ if round == self.exchange.plan().equilibration_rounds => {
                "equilibrated: energies and exchanges count"
            }
            _ => return,
        };
        self.record.happened(self.clock.now(), what);
    }

    /// Submits a round and waits until each of its tasks has an outcome; they are in the order of `tasks`.
    async fn outcomes(
        &mut self,
        tasks: &[RoundTask],
        rounds: u32,
    ) -> Result<Vec<Outcome>, CliError> {
        let bodies = tasks
            .iter()
            .map(|task| self.stage.body(task, self.states[task.replica].as_ref()))
            .collect();
        let ranges = self.client.submit(self.stage.template(), bodies).await?;
        self.record.submitted(self.clock.now());
        // The tasks just taken refer to the states of the round before: the master may count that round as delivered.
        self.client.delivered(&self.kept).await?;
        self.kept = ids(&ranges);
        let mut watching = self.client.watch(ranges.clone()).await?;
        let mut outcomes: Vec<Outcome> = Vec::new();
        while outcomes.len() < tasks.len() {
            tokio::select! {
                more = watching.next() => match more? {
                    Some(more) => {
                        more.outcomes.iter().for_each(|outcome| self.saw(outcome));
                        outcomes.extend(more.outcomes);
                    }
                    None => watching = self.client.watch(ranges.clone()).await?,
                },
                _ = self.polls.tick() => self.poll(rounds).await?,
            }
        }
        outcomes.sort_by_key(|outcome| outcome.task);
        Ok(outcomes)
    }

    fn saw(&mut self, outcome: &Outcome) {
        match &outcome.verdict {
            Verdict::Ran { ran, .. } => self.record.ran(self.clock.now(), &outcome.site, ran),
            Verdict::GivenUp(_) | Verdict::Cancelled => {}
        }
    }

    async fn poll(&mut self, rounds: u32) -> Result<(), CliError> {
        let status = self.client.status().await?;
        let now = self.clock.now();
        self.record.status(now, status);
        self.progress
            .show(now, &self.exchange, &self.record, rounds);
        Ok(())
    }

    /// Takes the energies and states of a round; none if a task failed, which is on record.
    fn energies(&mut self, tasks: &[RoundTask], outcomes: &[Outcome]) -> Option<Vec<f64>> {
        let counts = self.exchange.round() >= self.exchange.plan().equilibration_rounds;
        let mut energies = Vec::new();
        for (task, outcome) in tasks.iter().zip(outcomes) {
            match taken(outcome) {
                Ok((answer, state)) => {
                    energies.push(answer.energy);
                    self.states[task.replica] = Some(state.clone());
                    if counts {
                        self.record.contacts(task.rung, answer.contacts);
                    }
                }
                Err(why) => self.record.failed(format!(
                    "the task of round {} at temperature {:.4} failed: {why}",
                    task.round, task.temperature
                )),
            }
        }
        (energies.len() == tasks.len()).then_some(energies)
    }

    async fn bring(&mut self, dir: &Path) -> Result<(), CliError> {
        fs::create_dir_all(dir).map_err(|error| CliError::file(dir, error))?;
        let states = self.states.iter().enumerate();
        let targets = states.filter_map(|(replica, state)| Some(target(replica, state.as_ref()?)));
        let targets: Vec<Target> = targets.collect();
        self.client.get_files(dir, &targets).await?;
        self.client.delivered(&self.kept).await?;
        self.kept.clear();
        Ok(())
    }
}

/// Each demo leaves its last states under the same names, whatever its number of rounds.
fn target(replica: usize, state: &ReturnedFile) -> Target {
    Target {
        name: RelPath::new(&format!("replica-{replica}.state")).expect("a plain name"),
        file: state.file,
        executable: false,
    }
}

fn ids(ranges: &[Range]) -> Vec<TaskId> {
    ranges
        .iter()
        .flat_map(|(first, last)| (first.0..=last.0).map(TaskId))
        .collect()
}

/// What a task brought, or a sentence about why it brought nothing.
fn taken(outcome: &Outcome) -> Result<(Answer, &ReturnedFile), String> {
    let ran = match &outcome.verdict {
        Verdict::Ran { ran, .. } => ran,
        Verdict::GivenUp(why) => return Err(format!("given up ({why:?})")),
        Verdict::Cancelled => return Err("it was cancelled".to_owned()),
    };
    if let Err(why) = &ran.result {
        return Err(format!("{why:?} on {}: {}", ran.worker, said(ran)));
    }
    let answer = Answer::read(&ran.stdout.tail).ok_or("its answer cannot be read")?;
    let state = ran.outputs.first().ok_or("it left no state")?;
    Ok((answer, state))
}

/// The end of what a program wrote on standard error, fit for a terminal.
fn said(ran: &Ran) -> String {
    let text = String::from_utf8_lossy(&ran.stderr.tail);
    let line = text.trim().lines().next_back().unwrap_or("it said nothing");
    line.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Often enough that a worker's coming and going is seen in its place, rarely enough to cost the master nothing.
const POLL: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests;
