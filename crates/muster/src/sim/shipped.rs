//! `muster sim list` and `muster sim show`: the scenarios that ship with Muster.

use clap::Args;
use muster_sim::scenario::SHIPPED;
use serde_json::json;

use super::source::{self, Source};
use super::text::first_sentence;
use crate::clients::print;
use crate::error::{CliError, Exit};

/// Show the scenarios that ship with Muster
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print a scenario as TOML, to make one's own of it
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Its name
    name: String,
}

/// Prints each name with what the scenario says of itself first.
pub fn list(args: &ListArgs) -> Result<Exit, CliError> {
    let mut scenarios = Vec::new();
    for (name, _) in SHIPPED {
        let about = Source::find(name)?.scenario(&[])?.about;
        scenarios.push((name, first_sentence(&about)));
    }
    if args.json {
        let scenarios: Vec<_> = scenarios
            .iter()
            .map(|(name, about)| json!({"name": name, "about": about}))
            .collect();
        let line = json!({"schema": "muster.sim.list/1", "scenarios": scenarios});
        return print(&format!("{line}\n"));
    }
    let width = scenarios
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let lines = scenarios
        .iter()
        .map(|(name, about)| format!("{name:<width$}  {about}\n"));
    print(&lines.collect::<String>())
}

/// Prints the TOML.
pub fn show(args: &ShowArgs) -> Result<Exit, CliError> {
    print(source::shipped(&args.name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_that_ships_can_be_read_and_says_what_it_is() {
        for (name, _) in SHIPPED {
            let source = Source::find(name).expect("it ships");
            let about = source.scenario(&[]).expect("it makes sense").about;
            assert!(!first_sentence(&about).is_empty(), "{name}");
            for (variant, set) in source.variants().expect("its variants are written well") {
                let world = source.scenario(&set);
                assert!(world.is_ok(), "{name} {variant}: {world:?}");
            }
        }
    }

    #[test]
    fn an_unknown_name_ends_with_usage() {
        let name = "milion".to_owned();
        let error = show(&ShowArgs { name }).expect_err("there is none");
        assert_eq!((error.code(), error.exit()), ("MU0601", Exit::Usage));
    }
}
