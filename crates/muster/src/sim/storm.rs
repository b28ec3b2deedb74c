//! `muster sim storm`: worlds drawn from seeds, with every fault there is.

use std::ops::Range;

use clap::Args;
use muster_node::clock::Clock;
use muster_sim::storm::{Profile, Report, options, storm};
use serde_json::json;

use crate::clients::print;
use crate::error::{CliError, Exit};

/// What to storm.
#[derive(Args, Debug)]
pub struct Storm {
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Which worlds and faults: default, crashes, network, disks, large, fair or catalog
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = profile)]
    profile: Profile,
    /// Say of each seed what it is made of before it runs
    #[arg(long, short)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::named(name).map_err(|none| none.to_string())
}

/// Does what was asked; fails if a promise is broken.
pub fn run(storm: &Storm) -> Result<Exit, CliError> {
    let clock = Clock::start();
    let begun = clock.now();
    let seeds = storm.first..storm.first.saturating_add(storm.seeds);
    let report = if storm.json {
        muster_sim::storm::storm(seeds, &storm.profile)
    } else {
        told(seeds, storm)?
    };
    let wall_s = clock.now().since(begun).as_secs_f64();
    print(&match storm.json {
        true => as_json(&report, wall_s)?,
        false => summary(&report, wall_s),
    })?;
    Ok(if report.failures.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// Storms seed by seed, and prints what there is to say of each as soon as there is.
fn told(seeds: Range<u64>, asked: &Storm) -> Result<Report, CliError> {
    let mut report = Report::default();
    for seed in seeds {
        if asked.verbose || asked.seeds == 1 {
            print(&format!("seed {seed}: {}\n", options(seed, &asked.profile)))?;
        }
        let one = storm(seed..seed.saturating_add(1), &asked.profile);
        for failure in &one.failures {
            print(&format!("{failure}\n"))?;
        }
        report.add(one);
    }
    Ok(report)
}

fn as_json(report: &Report, wall_s: f64) -> Result<String, CliError> {
    let failures = serde_json::to_value(&report.failures).map_err(CliError::Json)?;
    let line = json!({
        "schema": Report::SCHEMA,
        "seeds": report.seeds,
        "failures": failures,
        "wall_s": wall_s,
    });
    Ok(format!("{line}\n"))
}

fn summary(report: &Report, wall_s: f64) -> String {
    let mut text = format!(
        "{} seeds, {} broke a promise; {} events, {} tasks, {} runs, {wall_s:.1} s\n",
        report.seeds,
        report.failures.len(),
        report.events,
        report.tasks,
        report.runs
    );
    if let Some(share) = report.share {
        text += &format!(
            "the worst off of masters that share a foreman got {:.2} of an even share and waited {} for a start\n",
            share.least, share.wait
        );
    }
    text
}
