//! `muster sim run`: one scenario, once or for each of several settings.

use std::convert::Infallible;
use std::sync::OnceLock;

use clap::Args;
use muster_node::clock::Clock;
use muster_sim::run::{Asked, RunReport, run as simulate};
use muster_sim::scenario::{Scenario, sweep};

use super::error::SimError;
use super::files::Files;
use super::source::{Change, Source};
use super::sweep::Sweep;
use super::{csv, figures, page, text};
use crate::clients::print;
use crate::error::{CliError, Exit};

/// Simulate a scenario: the scheduler of production in a world of its own
#[derive(Args, Debug)]
pub struct RunArgs {
    /// A name that `muster sim list` shows, or a TOML file
    scenario: String,
    /// Everything that is left to chance follows from this number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Change the scenario; with several values, one run for each
    #[arg(long, value_name = "KEY=VALUE[,VALUE...]")]
    set: Vec<String>,
    /// Print JSON: one line for each run
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    files: Files,
}

/// Simulates and reports. A run that does not complete its work is a result like any other.
pub fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let source = Source::find(&args.scenario)?;
    let settings = sweep(&args.set).map_err(SimError::Set)?;
    // All are read before any is run: a typing error in the last is no reason to wait for the first.
    let mut worlds = Vec::new();
    for set in settings {
        worlds.push((source.scenario(&set)?, set));
    }
    args.files.ready()?;
    tell_variants(&source)?;
    match worlds.as_slice() {
        [(scenario, set)] => one(args, &watched(&source.name, scenario, args.seed, set)),
        several => {
            let mut reports = Vec::new();
            for (scenario, set) in several {
                let report = watched(&source.name, scenario, args.seed, set);
                if args.json {
                    print(&line(&report)?)?;
                }
                reports.push(report);
            }
            let settings = several.iter().map(|(_, set)| set.clone()).collect();
            many(args, &Sweep::new(settings, reports)?)
        }
    }
}

fn one(args: &RunArgs, report: &RunReport) -> Result<Exit, CliError> {
    let text = match args.json {
        true => line(report)?,
        false => text::text(report),
    };
    print(&text)?;
    args.files.write(
        || page::page(report),
        || csv::files(report).into(),
        || figures::files(report),
    )?;
    Ok(Exit::Ok)
}

fn many(args: &RunArgs, sweep: &Sweep) -> Result<Exit, CliError> {
    if !args.json {
        print(&sweep.text())?;
    }
    args.files.write(
        || sweep.page(),
        || vec![("sweep.csv", sweep.csv())],
        || vec![("sweep", sweep.figure())],
    )?;
    Ok(Exit::Ok)
}

/// Simulates, says so, and measures how long it took.
pub fn watched(name: &str, scenario: &Scenario, seed: u64, set: &[Change]) -> RunReport {
    let asked = Asked {
        name: name.to_owned(),
        seed,
        set: set
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect(),
        stopwatch: Some(stopwatch_ns),
    };
    let Ok(report) = watching(&asked, || Ok::<_, Infallible>(simulate(scenario, &asked)));
    report
}

/// The same for any way to simulate what is `asked`.
///
/// # Errors
/// Those of `simulate`.
pub fn watching<E>(
    asked: &Asked,
    simulate: impl FnOnce() -> Result<RunReport, E>,
) -> Result<RunReport, E> {
    let with: String = asked.set.iter().map(|set| format!(" {set}")).collect();
    eprintln!(
        "muster: simulating {}, seed {}{with}",
        asked.name, asked.seed
    );
    let clock = Clock::start();
    let begun = clock.now();
    let mut report = simulate()?;
    report.wall_s = clock.now().since(begun).as_secs_f64();
    report.event_us = report.wall_s * 1e6 / report.events.max(1) as f64;
    eprintln!("muster: {}", text::completion(&report));
    Ok(report)
}

/// Nanoseconds of this process's clock. It counts microseconds, about what a brain takes for an input; over the many
/// inputs of a run what is rounded up and down evens out.
fn stopwatch_ns() -> u64 {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(Clock::start).now().0.saturating_mul(1000)
}

/// The contract `muster.sim.run/1`, in one line.
fn line(report: &RunReport) -> Result<String, CliError> {
    let json = serde_json::to_string(report).map_err(CliError::Json)?;
    Ok(json + "\n")
}

fn tell_variants(source: &Source) -> Result<(), CliError> {
    let variants = source.variants()?;
    if !variants.is_empty() {
        let names: Vec<&str> = variants.iter().map(|(name, _)| name.as_str()).collect();
        eprintln!(
            "muster: {} has variants ({}); `muster sim compare` runs them all",
            source.name,
            names.join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::super::fixture;
    use super::*;

    fn args(scenario: &str, set: &[&str]) -> RunArgs {
        RunArgs {
            scenario: scenario.to_owned(),
            seed: 0,
            set: set.iter().map(|set| (*set).to_owned()).collect(),
            json: false,
            files: Files::default(),
        }
    }

    #[test]
    fn json_is_one_line_with_the_contracts_fields() {
        let line = line(&fixture::report()).expect("a report is JSON");
        assert_eq!((line.lines().count(), line.ends_with('\n')), (1, true));
        let json: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(json["schema"], "muster.sim.run/1");
        assert_eq!(json["wall_s"], 12.5);
        assert_eq!(json["execution_minutes"]["sd"], 87.5);
        assert_eq!(json["losses"]["evicted"], 161_000);
    }

    #[test]
    fn the_command_line_reads_as_the_manual_has_it() {
        let command = RunArgs::augment_args(clap::Command::new("run"));
        let words = "run million --seed 3 --set a=1,2 --set b=4 --json -o r.html --csv c --svg s";
        let matches = command.try_get_matches_from(words.split(' '));
        let args = RunArgs::from_arg_matches(&matches.expect("it is a command line"));
        let args = args.expect("it has all it needs");
        assert_eq!((args.seed, args.json), (3, true));
        assert_eq!(args.set, ["a=1,2", "b=4"]);
    }

    #[test]
    fn bad_input_ends_with_usage_and_its_code() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("bad.toml");
        std::fs::write(&path, "about = \"x\"\nnonsense\n").expect("a file");
        for (args, code) in [
            (args("no-such-scenario", &[]), "MU0601"),
            (args("no/such.toml", &[]), "MU0602"),
            (args(&path.to_string_lossy(), &[]), "MU0603"),
            (args("folding-at-work", &["nonsense"]), "MU0604"),
            (args("folding-at-work", &["no_such_key=1"]), "MU0603"),
        ] {
            let error = run(&args).expect_err("it makes no sense");
            assert_eq!((error.code(), error.exit()), (code, Exit::Usage), "{error}");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }
}
