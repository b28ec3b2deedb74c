//! `cargo xtask soak`: many seeds of the simulator, and the tests of real processes, with long stories, again and again.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::steps::{Steps, Stop};
use crate::suite::Stories;
use crate::{cargo, numbers, suite};

/// Runs until something fails or all rounds are done.
pub fn run(options: &[&str]) -> Result<ExitCode> {
    let [seeds, rounds] = numbers(options, [("--seeds", 20_000), ("--rounds", 20)])?;
    let muster = cargo::release_binary()?;
    let mut steps = Steps::default();
    let ended = run_steps(&mut steps, &muster, seeds, rounds);
    steps.print_times();
    match ended {
        Ok(()) => {
            println!(
                "soaked: {seeds} seeds and {rounds} rounds of process tests without a failure"
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(stop) => stop.ended(),
    }
}

fn run_steps(steps: &mut Steps, muster: &Path, seeds: u64, rounds: u64) -> Result<(), Stop> {
    suite::build(steps)?;
    suite::storm(steps, muster, "default", &seeds.to_string())?;
    // What comes alone or in larger worlds, a tenth as often; the largest cost as much as a hundred others.
    for (profile, part) in PROFILES {
        suite::storm(steps, muster, profile, &(seeds / part).to_string())?;
    }
    for round in 1..=rounds {
        let summary = suite::tests(steps, &["--package", "muster-tests"], muster, Stories::Long)?;
        println!("round {round} of {rounds}: {summary}");
    }
    Ok(())
}

/// The other profiles, and what part of the seeds each gets.
const PROFILES: [(&str, u64); 6] = [
    ("crashes", 10),
    ("network", 10),
    ("disks", 10),
    ("large", 100),
    ("fair", 100),
    ("catalog", 10),
];
