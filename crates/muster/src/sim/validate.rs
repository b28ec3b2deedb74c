//! `muster sim validate`: how far the simulator can be believed on this machine.
//!
//! Each of three workloads is run for real, by a federation of processes, and simulated with what was measured of this
//! machine beforehand: both do the same tasks, of the same lengths, with the same files, and lose the same workers at
//! the same times. No number of the real run enters the simulated one.

mod calibrate;
mod files;
mod model;
mod real;
mod sides;
mod workload;

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use muster_node::clock::Clock;
use muster_node::scratch::Scratch;
use serde_json::json;

use crate::clients::print;
use crate::connect::runtime;
use crate::embedded::{Federation, Plan};
use crate::error::{CliError, Exit};
use crate::scratch::{Fate, scratch};

use calibrate::Machine;
use sides::Pair;
use workload::{Name, Workload};

/// Run workloads for real and simulated, side by side; exit code 1 if a makespan is off by more than 10 %
#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// Only this one; may be given several times
    #[arg(long, value_enum)]
    workload: Vec<Name>,
    /// How many tasks of each [default: so many that they take 5 to 10 seconds]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=TASKS_MAX))]
    tasks: Option<u32>,
    /// The lengths of tasks, and all chance in the simulation, follow from this number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the scenarios and the lengths of tasks into this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print JSON: one line for each workload
    #[arg(long)]
    json: bool,
}

/// Runs and simulates, and says how far they are apart.
pub fn run(args: &ValidateArgs) -> Result<Exit, CliError> {
    if let Some(dir) = &args.keep {
        fs::create_dir_all(dir).map_err(|error| CliError::file(dir, error))?;
    }
    let scratch = scratch(Fate::Removed)?;
    let runtime = runtime()?;
    eprintln!("muster: measuring this machine");
    let machine = runtime.block_on(calibrate::measure(scratch.path()))?;
    if !args.json {
        print(&(machine.table().plain() + "\n"))?;
    }
    let mut is_near = true;
    for name in Name::value_variants() {
        if !args.workload.is_empty() && !args.workload.contains(name) {
            continue;
        }
        let workload = Workload::new(*name, args.tasks, args.seed);
        eprintln!("muster: {name}: {}", workload.about());
        let pair = runtime.block_on(both(args, &scratch, &workload, &machine))?;
        print(&match args.json {
            true => line(&pair, &machine)?,
            false => pair.text() + "\n",
        })?;
        is_near &= pair.is_near();
    }
    Ok(match is_near {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}

async fn both(
    args: &ValidateArgs,
    scratch: &Scratch,
    workload: &Workload,
    machine: &Machine,
) -> Result<Pair, CliError> {
    let dir = scratch.path().join(workload.name.to_string());
    let staged = files::stage(workload, &dir.join("inputs"))?;
    let real = real::run(workload, &staged, &dir).await?;
    let model = model::Model::new(workload, machine);
    if let Some(keep) = &args.keep {
        model.write(keep)?;
    }
    let clock = Clock::start();
    let begun = clock.now();
    let simulated = model.run(&staged, args.seed)?;
    Ok(Pair {
        workload: workload.name.to_string(),
        about: workload.about(),
        real,
        simulated,
        simulating_s: clock.now().since(begun).as_secs_f64(),
    })
}

/// The contract `muster.sim.validate/1`, in one line.
fn line(pair: &Pair, machine: &Machine) -> Result<String, CliError> {
    let of = |value: serde_json::Result<serde_json::Value>| value.map_err(CliError::Json);
    let line = json!({
        "schema": "muster.sim.validate/1",
        "workload": pair.workload,
        "machine": of(serde_json::to_value(machine))?,
        "real": of(serde_json::to_value(&pair.real))?,
        "simulated": of(serde_json::to_value(&pair.simulated))?,
        "ratio": pair.ratio(),
        "is_near": pair.is_near(),
    });
    Ok(format!("{line}\n"))
}

/// More would run for a day.
const TASKS_MAX: i64 = 1_000_000;
