//! `muster sim replay`: what a run did, from its master's journal, and what another policy would have made of it.
//!
//! The tasks are those of the journal, each with its files and its measured run time. What a journal does not tell is
//! assumed, and said: when tasks were submitted, how many workers there were at a time, their cores, the links.

mod facts;
mod history;
mod model;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Args;
use muster_proto::task::Algorithm;
use muster_sim::run::{Asked, RunReport};
use muster_sim::scenario::sweep;
use serde_json::json;

use super::error::SimError;
use super::source::Change;
use super::{amounts, run::watching};
use crate::clients::print;
use crate::error::{CliError, Exit};
use crate::journal::directory;
use crate::report::table::Table;
use crate::text::harmless;

use facts::Facts;
use history::History;
use model::{Hosts, replay};

/// What a real run did, and what other policies would have made of it
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// A master's state directory, or the journal in it
    journal: PathBuf,
    /// Simulate this algorithm; may be given several times [default: all]
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Vec<String>,
    /// Simulate with this change, or one for each value: fast_abort, retries, or any key of a scenario
    #[arg(long, value_name = "KEY=VALUE[,VALUE...]")]
    set: Vec<String>,
    /// Workers of each site [default: as many as appear in the outcomes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    workers_per_site: Option<u32>,
    /// Cores of each worker [default: as many as a task needs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    cores: Option<u32>,
    /// Everything that is left to chance follows from this number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON: a line with the facts, and one for each simulation
    #[arg(long)]
    json: bool,
}

/// Shows what happened, and simulates.
pub fn run(args: &ReplayArgs) -> Result<Exit, CliError> {
    let settings = settings(args)?;
    let history = History::read(&directory(&args.journal))?;
    let facts = Facts::of(&history);
    let hosts = Hosts::of(&history, args.workers_per_site, args.cores);
    print(&match args.json {
        true => facts_line(&facts, &history),
        false => lines(&(TIMELESS.to_owned() + &facts.text() + &assumed(&hosts, args))),
    })?;
    let mut reports = Vec::new();
    for set in &settings {
        let asked = Asked {
            name: args.journal.display().to_string(),
            seed: args.seed,
            set: set
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
            stopwatch: None,
        };
        let report = watching(&asked, || replay(&history, &hosts, set, &asked))?;
        if args.json {
            let line = serde_json::to_string(&report).map_err(CliError::Json)?;
            print(&(line + "\n"))?;
        }
        reports.push(report);
    }
    if !args.json {
        print(&lines(&table(&reports).plain()))?;
    }
    Ok(Exit::Ok)
}

/// What is changed in each simulation; nothing in the first.
fn settings(args: &ReplayArgs) -> Result<Vec<Vec<Change>>, SimError> {
    let mut algorithms = args.algorithm.clone();
    if args.algorithm.is_empty() && args.set.is_empty() {
        algorithms = Algorithm::ALL.map(|(_, name)| name.to_owned()).into();
    }
    let mut specs = args.set.clone();
    if !algorithms.is_empty() {
        specs.push(format!("algorithm={}", algorithms.join(",")));
    }
    let changed = sweep(&specs).map_err(SimError::Set)?;
    Ok(std::iter::once(Vec::new()).chain(changed).collect())
}

/// The contract `muster.sim.replay/1`, in one line.
fn facts_line(facts: &Facts, history: &History) -> String {
    let line = json!({
        "schema": "muster.sim.replay/1",
        "master": history.master.0,
        "facts": facts,
    });
    format!("{line}\n")
}

fn assumed(hosts: &Hosts, args: &ReplayArgs) -> String {
    let sites = hosts.sites.iter();
    let sites: Vec<String> = sites
        .map(|(site, workers)| format!("{site} (workers: {workers})"))
        .collect();
    let cores = match args.cores {
        Some(_) => "as you said".to_owned(),
        None => "as many as a task needs; --cores N if they had more".to_owned(),
    };
    format!(
        "Simulated are {}; cores of each worker: {} ({cores});\n\
         all there from the beginning and never lost, on links of 20 ms and 1 Gbit/s to the master. All tasks are\n\
         submitted at once; each takes as long as it did, or the mean of its category if that is not known. One that\n\
         failed fails at each attempt; those that were cancelled are left out.\n\n",
        sites.join(", "),
        hosts.cores,
    )
}

fn table(reports: &[RunReport]) -> Table {
    let columns = [
        "policy",
        "makespan",
        "to the first",
        "attempts",
        "results",
        "failed",
        "lost",
        "goodput",
    ];
    let mut table = Table::new("The same tasks, simulated", columns);
    let first_s = reports.first().map_or(0.0, |report| report.makespan_s);
    for report in reports {
        let policy = match report.set.as_slice() {
            [] => "as it was".to_owned(),
            set => set.join(" "),
        };
        let ended = report.received + report.failed;
        table.push([
            policy,
            match report.is_complete {
                true => amounts::seconds(report.makespan_s),
                false => format!("{} open", amounts::count(report.submitted - ended)),
            },
            amounts::ratio(report.makespan_s, first_s),
            amounts::count(report.assigned),
            amounts::count(report.received),
            amounts::count(report.failed),
            amounts::count(report.assigned.saturating_sub(ended)),
            amounts::percent(report.goodput),
        ]);
    }
    table
}

/// Text in which names come from anybody's tasks.
fn lines(text: &str) -> String {
    text.lines().map(|line| harmless(line) + "\n").collect()
}

const TIMELESS: &str = "\
A journal has no times of day: not when tasks were submitted, nor when they ended, so there is no real makespan here.
Lengths are those that workers measured of runs that count; attempts that were lost or failed before are only numbers.\n
";
