//! `cargo xtask test`: everything that must hold before a change goes in, in one command of at most twenty minutes.
//!
//! The binary is built once, in release: the storms of the simulator would take too long in debug, and the tests of
//! real processes find it through `MUSTER_BIN`, so that it is not built a second time.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::cargo;
use crate::python;
use crate::steps::{Report, Steps, Stop};

/// Seeds of the simulator's storm, all faults together: seconds of the whole run. `soak` runs many more.
const STORM_SEEDS: &str = "500";

/// Runs all the steps and ends with the summary of the tests.
pub fn run() -> Result<ExitCode> {
    check_tools()?;
    let muster = cargo::release_binary()?;
    let mut steps = Steps::default();
    let ended = run_steps(&mut steps, &muster);
    steps.print_times();
    match ended {
        Ok(summary) => {
            println!("{summary}");
            Ok(ExitCode::SUCCESS)
        }
        Err(stop) => stop.ended(),
    }
}

/// Builds the release binary as a step: both this suite and a soak begin with it.
pub fn build(steps: &mut Steps) -> Result<(), Stop> {
    steps.run(
        "build",
        &mut cargo::command(&["build", "--release", "--package", "muster"]),
    )
}

/// How long the stories of crashes and cuts are that the tests of real processes tell.
#[derive(Clone, Copy)]
pub enum Stories {
    /// Seconds each.
    Short,
    /// Minutes each.
    Long,
}

/// Runs the tests of `what` (cargo's words for packages) and returns one line that sums them up.
pub fn tests(
    steps: &mut Steps,
    what: &[&str],
    muster: &Path,
    stories: Stories,
) -> Result<String, Stop> {
    let nextest = cargo::has_nextest();
    let mut command = cargo::command(if nextest {
        &["nextest", "run"]
    } else {
        &["test", "--no-fail-fast"]
    });
    command.args(what).env("MUSTER_BIN", muster);
    match stories {
        Stories::Short => command.env_remove("MUSTER_SOAK"),
        Stories::Long => command.env("MUSTER_SOAK", "1"),
    };
    if nextest {
        let lines = steps.read("tests", &mut command, Report::Stderr)?;
        Ok(nextest_summary(&lines))
    } else {
        // Two tests of real processes at once would measure each other; nextest keeps them apart by groups.
        command.env("RUST_TEST_THREADS", "1");
        let lines = steps.read("tests", &mut command, Report::Stdout)?;
        Ok(harness_summary(&lines))
    }
}

/// Runs the simulator's storm over `seeds` seeds of a profile.
pub fn storm(steps: &mut Steps, muster: &Path, profile: &str, seeds: &str) -> Result<(), Stop> {
    steps.run(
        &format!("storm: {profile}"),
        Command::new(muster).args(["sim", "storm", "--profile", profile, "--seeds", seeds]),
    )
}

fn run_steps(steps: &mut Steps, muster: &Path) -> Result<String, Stop> {
    steps.run("fmt", &mut cargo::command(&["fmt", "--all", "--check"]))?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    steps.run("clippy", &mut cargo::command(&clippy))?;
    build(steps)?;
    let summary = tests(steps, &["--workspace"], muster, Stories::Short)?;
    if cargo::has_nextest() {
        // nextest runs no examples of the documentation; plain `cargo test` does.
        steps.run(
            "doc tests",
            &mut cargo::command(&["test", "--workspace", "--doc", "--quiet"]),
        )?;
    }
    let python = python::test(steps, muster)?;
    for profile in ["default", "catalog"] {
        storm(steps, muster, profile, STORM_SEEDS)?;
    }
    Ok(format!("{python}\n{summary}"))
}

fn check_tools() -> Result<()> {
    for (tool, arguments) in [
        ("rustfmt", ["fmt", "--version"]),
        ("clippy", ["clippy", "--version"]),
    ] {
        if !cargo::answers(&arguments) {
            bail!(
                "{tool} is missing: install it with `rustup component add {tool}` and run this again."
            );
        }
    }
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|answer| answer.status.success()) {
        bail!("python3 is missing: the tests of examples need Python 3 in the PATH.");
    }
    Ok(())
}

/// Finds the line in which nextest sums up its run.
fn nextest_summary(lines: &[String]) -> String {
    let summary = lines
        .iter()
        .rev()
        .find(|line| line.trim_start().starts_with("Summary ["));
    summary.map_or_else(
        || "nextest printed no summary.".to_owned(),
        |line| line.trim().to_owned(),
    )
}

/// Returns what each test binary printed of its end under plain `cargo test`, and the sum.
fn harness_summary(lines: &[String]) -> String {
    let results: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.starts_with("test result: "))
        .collect();
    let count = |what: &str| -> u64 { results.iter().filter_map(|line| counted(line, what)).sum() };
    let (passed, failed, ignored) = (count("passed"), count("failed"), count("ignored"));
    let run = passed + failed;
    let binaries = results.len();
    format!(
        "{}\nSummary: {run} tests run in {binaries} binaries: {passed} passed, {failed} failed, {ignored} ignored",
        results.join("\n")
    )
}

fn counted(line: &str, what: &str) -> Option<u64> {
    let words: Vec<&str> = line
        .split([' ', ';', '.'])
        .filter(|word| !word.is_empty())
        .collect();
    let place = words.iter().position(|word| *word == what)?;
    words.get(place.checked_sub(1)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_results_of_all_test_binaries_are_added_up() {
        let report = lines(
            "running 2 tests\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             running 41 tests\n\
             test result: ok. 40 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
        );
        assert_eq!(
            harness_summary(&report),
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: ok. 40 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\
             Summary: 42 tests run in 2 binaries: 42 passed, 0 failed, 1 ignored"
        );
    }

    #[test]
    fn the_summary_of_nextest_is_passed_on() {
        let report =
            lines("  PASS a\n------\n     Summary [   0.012s] 3 tests run: 3 passed, 0 skipped");
        assert_eq!(
            nextest_summary(&report),
            "Summary [   0.012s] 3 tests run: 3 passed, 0 skipped"
        );
    }
}
