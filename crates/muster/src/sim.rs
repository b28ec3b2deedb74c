//! `muster sim`: the whole system in one process, with the world against it.

use clap::Subcommand;
use muster_node::clock::Clock;
use muster_sim::storm::{Profile, Report, storm};
use serde_json::json;

use crate::clients::print;
use crate::error::{CliError, Exit};

/// Simulate the system under faults
#[derive(Subcommand, Debug)]
pub enum Sim {
    /// Worlds drawn from seeds, with every fault there is; exit code 1 if a promise is broken
    Storm {
        /// How many seeds
        #[arg(long, default_value_t = 100)]
        seeds: u64,
        /// The first of them
        #[arg(long, default_value_t = 0)]
        first: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Does what was asked.
pub fn run(command: &Sim) -> Result<Exit, CliError> {
    let Sim::Storm { seeds, first, json } = command;
    let clock = Clock::start();
    let begun = clock.now();
    let report = storm(*first..first.saturating_add(*seeds), &Profile::default());
    let wall_s = clock.now().since(begun).as_secs_f64();
    let text = match json {
        true => storm_json(&report, wall_s)?,
        false => storm_text(&report, wall_s),
    };
    print(&text)?;
    Ok(if report.failures.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

fn storm_json(report: &Report, wall_s: f64) -> Result<String, CliError> {
    let failures = serde_json::to_value(&report.failures).map_err(CliError::Json)?;
    let line = json!({
        "schema": Report::SCHEMA,
        "seeds": report.seeds,
        "failures": failures,
        "wall_s": wall_s,
    });
    Ok(format!("{line}\n"))
}

fn storm_text(report: &Report, wall_s: f64) -> String {
    let mut text: String = report
        .failures
        .iter()
        .map(|failure| format!("{failure}\n"))
        .collect();
    text += &format!(
        "{} seeds, {} broke a promise; {} events, {} tasks, {} runs, {wall_s:.1} s\n",
        report.seeds,
        report.failures.len(),
        report.events,
        report.tasks,
        report.runs
    );
    text
}
