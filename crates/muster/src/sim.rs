//! `muster sim`: the whole system in one process, with a world around it.
//!
//! `run` simulates a scenario and reports, `compare` lays runs side by side; what they show is read from
//! `muster_sim::run::RunReport` alone, so that terminal, page and files say the same. `storm` lets the world rage.

mod amounts;
mod compare;
mod comparison;
mod csv;
mod error;
mod figures;
mod files;
#[cfg(test)]
mod fixture;
mod measures;
mod page;
mod pages;
mod replay;
mod run;
mod shipped;
mod source;
mod storm;
mod sweep;
mod tables;
mod text;
mod validate;

use clap::Subcommand;

use crate::error::{CliError, Exit};

pub use error::SimError;

/// Simulate a federation: its makespan, its losses, its faults
#[derive(Subcommand, Debug)]
pub enum Sim {
    Run(run::RunArgs),
    Compare(compare::CompareArgs),
    List(shipped::ListArgs),
    Show(shipped::ShowArgs),
    Validate(validate::ValidateArgs),
    Replay(replay::ReplayArgs),
    /// Worlds drawn from seeds, with every fault there is; exit code 1 if a promise is broken
    Storm(storm::Storm),
}

/// Does what was asked.
pub fn run(command: &Sim) -> Result<Exit, CliError> {
    match command {
        Sim::Run(args) => {
            pages::ask_for_large();
            run::run(args)
        }
        Sim::Compare(args) => {
            pages::ask_for_large();
            compare::run(args)
        }
        Sim::List(args) => shipped::list(args),
        Sim::Show(args) => shipped::show(args),
        Sim::Validate(args) => validate::run(args),
        Sim::Replay(args) => replay::run(args),
        Sim::Storm(args) => storm::run(args),
    }
}
