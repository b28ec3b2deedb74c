//! `muster sim compare`: runs side by side.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use muster_sim::run::RunReport;
use muster_sim::scenario::{Scenario, sweep};
use serde_json::Value;

use super::comparison::{Comparison, Side};
use super::error::SimError;
use super::files::Files;
use super::run::watched;
use super::source::{Change, Source};
use crate::clients::print;
use crate::error::{CliError, Exit};

/// Lay scenarios, their variants, or saved reports side by side, with ratios to the first
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Names that `muster sim list` shows, TOML files, or files with the output of `muster sim run --json`
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// Everything that is left to chance follows from this number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Change every scenario; with several values, each is a side of its own
    #[arg(long, value_name = "KEY=VALUE[,VALUE...]")]
    set: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a page with the table and figures
    #[arg(short = 'o', long = "output", value_name = "compare.html")]
    page: Option<PathBuf>,
}

/// Simulates what is not yet, and compares.
pub fn run(args: &CompareArgs) -> Result<Exit, CliError> {
    let settings = sweep(&args.set).map_err(SimError::Set)?;
    let mut sides = Vec::new();
    for wanted in &args.scenarios {
        let path = Path::new(wanted);
        match saved(path)? {
            Some(text) => sides.extend(reports(wanted, &text)?),
            None => sides.extend(worlds(&Source::find(wanted)?, &settings)?),
        }
    }
    if sides.len() < 2 {
        let name = args.scenarios.concat();
        return Err(SimError::Alone { name }.into());
    }
    let files = Files::page(args.page.clone());
    files.ready()?;
    let mut run = Vec::new();
    for entry in sides {
        run.push(entry.side(args.seed)?);
    }
    let comparison = Comparison::new(run);
    let text = match args.json {
        true => comparison.json() + "\n",
        false => comparison.text(),
    };
    print(&text)?;
    files.write(|| comparison.page(), Vec::new, Vec::new)?;
    Ok(Exit::Ok)
}

/// A side before it ran.
#[derive(Debug)]
enum Entry {
    /// It ran at another time.
    Saved { name: String, report: Box<Value> },
    /// It is still to run.
    World {
        name: String,
        scenario: Box<Scenario>,
        set: Vec<Change>,
    },
}

impl Entry {
    fn side(self, seed: u64) -> Result<Side, CliError> {
        match self {
            Entry::Saved { name, report } => Ok(Side {
                name,
                report: *report,
            }),
            Entry::World {
                name,
                scenario,
                set,
            } => {
                let report = watched(&name, &scenario, seed, &set);
                let report = serde_json::to_value(report).map_err(CliError::Json)?;
                Ok(Side { name, report })
            }
        }
    }
}

/// Every variant under every setting; a scenario without variants is one.
fn worlds(source: &Source, settings: &[Vec<Change>]) -> Result<Vec<Entry>, SimError> {
    let variants = source.variants()?;
    let variants = match variants.as_slice() {
        [] => vec![(source.name.clone(), Vec::new())],
        _ => variants,
    };
    let mut entries = Vec::new();
    for (name, changes) in &variants {
        for setting in settings {
            // What the command line says comes after, and so prevails.
            let set = [changes.as_slice(), setting].concat();
            let name = match settings.len() {
                1 => name.clone(),
                _ => format!("{name} {}", words(setting)),
            };
            entries.push(Entry::World {
                scenario: Box::new(source.scenario(&set)?),
                name,
                set,
            });
        }
    }
    Ok(entries)
}

fn words(setting: &[Change]) -> String {
    let words: Vec<String> = setting
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    words.join(" ")
}

/// The text of a file of reports; none if it is no such file. A scenario cannot begin with a brace.
fn saved(path: &Path) -> Result<Option<String>, SimError> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).map_err(|source| SimError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim_start().starts_with('{').then_some(text))
}

/// A side for each line of a file of reports.
fn reports(path: &str, text: &str) -> Result<Vec<Entry>, SimError> {
    let stem = Path::new(path).file_stem().unwrap_or_default();
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    let count = lines.len();
    let entries = lines.into_iter().map(|(n, line)| {
        let wrong = || SimError::Saved {
            path: path.to_owned(),
            line: n + 1,
        };
        let report: Value = serde_json::from_str(line).map_err(|_| wrong())?;
        if report.get("schema").and_then(Value::as_str) != Some(RunReport::SCHEMA) {
            return Err(wrong());
        }
        let set: Vec<&str> = report["set"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let stem = stem.to_string_lossy();
        let name = match (count, set.as_slice()) {
            (1, _) => stem.into_owned(),
            (_, []) => format!("{stem} {}", n + 1),
            (_, set) => format!("{stem} {}", set.join(" ")),
        };
        Ok(Entry::Saved {
            name,
            report: Box::new(report),
        })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn args(scenarios: &[&str]) -> CompareArgs {
        CompareArgs {
            scenarios: scenarios.iter().map(|one| (*one).to_owned()).collect(),
            seed: 0,
            set: Vec::new(),
            json: false,
            page: None,
        }
    }

    #[test]
    fn saved_reports_are_sides_and_lines_of_a_sweep_are_named_by_their_settings() {
        let line = serde_json::to_string(&fixture::report()).expect("a report is JSON");
        let names = |text: &str| -> Vec<String> {
            let entries = reports("dir/may.json", text).expect("reports");
            let sides = entries
                .into_iter()
                .map(|entry| entry.side(0).expect("it ran"));
            sides.map(|side| side.name).collect()
        };
        assert_eq!(names(&line), ["may"]);
        assert_eq!(
            names(&format!("{line}\n\n{line}\n")),
            ["may fast_abort=2"; 2]
        );
    }

    #[test]
    fn what_cannot_be_compared_ends_with_usage_and_its_code() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("a file");
            path.to_string_lossy().into_owned()
        };
        let line = serde_json::to_string(&fixture::report()).expect("a report is JSON");
        let good = file("good.json", &line);
        let cut = file("cut.json", &line[..100]);
        let other = file("other.json", "{\"schema\":\"muster.status/1\"}");
        for (scenarios, code) in [
            (vec!["nowhere", "nothing"], "MU0601"),
            (vec![good.as_str()], "MU0606"),
            (vec![&good, &cut], "MU0605"),
            (vec![&other], "MU0605"),
        ] {
            let error = run(&args(&scenarios)).expect_err("nothing to compare");
            assert_eq!((error.code(), error.exit()), (code, Exit::Usage), "{error}");
        }
        run(&args(&[&good, &good])).expect("two reports can be compared");
    }
}
