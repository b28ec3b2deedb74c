//! `muster demo`: the talk's first application, replica exchange, on an embedded federation.
//!
//! The external program (`examples/gomodel`) and the protein are part of this binary; they travel to the sites like any
//! user's files. A replica's state is an output of one round and an input of the next: it stays in the master's store
//! and crosses to whichever site runs that replica next.
//!
//! What is printed and what the page shows is what was observed: outcomes as they came, and the master's status asked
//! for a few times a second. `muster_apps::replica_exchange` has the science.

mod page;
mod progress;
mod record;
mod rounds;
mod stage;
mod summary;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use muster_apps::replica_exchange::{Exchange, demo};
use muster_node::clock::Clock;
use tempfile::TempDir;

use crate::connect::runtime;
use crate::embedded::{Federation, Plan};
use crate::error::{CliError, Exit};
use crate::interrupt::Interrupt;

use record::Record;
use rounds::{Ending, Rounds};
use stage::Stage;

/// A real ensemble that ships with Muster, on an embedded federation
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Which ensemble, or `list`
    #[arg(default_value = "replica-exchange")]
    name: Name,
    /// Sites, each with a foreman
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=PROCESSES_MAX))]
    sites: u32,
    /// Workers in all, of one core each
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=PROCESSES_MAX))]
    workers: u32,
    /// Rounds of one task for each temperature
    #[arg(long, default_value_t = demo::ROUNDS, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Of all randomness
    #[arg(long, default_value_t = demo::SEED)]
    seed: u64,
    /// Where the report and the final states go
    #[arg(long, value_name = "DIR", default_value = "muster-demo")]
    output_dir: PathBuf,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// The ensembles there are
    List,
    /// Ubiquitin at eight temperatures that trade replicas
    ReplicaExchange,
}

/// Runs the ensemble that `args` name.
///
/// # Errors
/// The federation cannot start or is gone, or files cannot be written; a task that fails is no error but an exit code.
pub fn demo(args: &DemoArgs) -> Result<Exit, CliError> {
    match args.name {
        Name::List => {
            println!(
                "replica-exchange  ubiquitin at eight temperatures that trade replicas (the talk's first application)"
            );
            Ok(Exit::Ok)
        }
        Name::ReplicaExchange => runtime()?.block_on(replica_exchange(args)),
    }
}

async fn replica_exchange(args: &DemoArgs) -> Result<Exit, CliError> {
    let dir = made(&args.output_dir)?;
    let exchange = demo::exchange(args.seed);
    introduce(args, &exchange);
    let mut interrupt = Interrupt::listen().map_err(CliError::Runtime)?;
    let clock = Clock::start();
    let home = federation_home(&dir)?;
    let stage = Stage::set(home.path())?;
    let mut record = Record::new(&exchange, args.workers);
    let federation = Federation::start(Plan {
        sites: args.sites,
        workers: args.workers,
        cores_per_worker: 1,
        memory_per_worker: None,
        dir: home.path().join("state"),
    })
    .await?;
    record.happened(clock.now(), "master and sites are up");
    let mut rounds = Rounds::new(clock, federation.client(), &stage, exchange, record);
    let states = dir.join("final");
    let ending = tokio::select! {
        ending = rounds.run(args.rounds, &states) => ending?,
        () = interrupt.asked() => Ending::Interrupted,
    };
    let (exchange, mut record) = rounds.into_parts();
    record.ended(clock.now());
    let exit = conclude(args, &exchange, &record, ending, &dir)?;
    federation.stop().await;
    if exit == Exit::Failed {
        eprintln!("logs of the federation: {}", home.keep().display());
    }
    Ok(exit)
}

fn introduce(args: &DemoArgs, exchange: &Exchange) {
    let temperatures = exchange.plan().ladder.temperatures().len();
    let (sites, workers, rounds) = (args.sites, args.workers, args.rounds);
    println!(
        "Replica exchange of ubiquitin (76 residues, Go model): {rounds} rounds at {temperatures} temperatures, each task \
         a run of an external program;"
    );
    println!(
        "after each round neighbouring temperatures try to trade replicas. Federation: 1 master, {sites} sites, {workers} workers."
    );
}

/// Prints what was found and writes the page.
fn conclude(
    args: &DemoArgs,
    exchange: &Exchange,
    record: &Record,
    ending: Ending,
    dir: &Path,
) -> Result<Exit, CliError> {
    if ending == Ending::Interrupted {
        eprintln!(
            "interrupted: {}",
            summary::standing(exchange, record, args.rounds)
        );
        return Ok(Exit::Interrupted);
    }
    let verdicts = summary::verdicts(exchange, record);
    let report = dir.join("report.html");
    fs::write(&report, page::page(exchange, record, &verdicts))
        .map_err(|error| CliError::file(&report, error))?;
    println!();
    println!("{}", summary::energies(exchange, record).plain());
    println!("{}", summary::pairs(exchange).plain());
    println!("{}", summary::counts(record));
    for (verdict, sentence) in &verdicts {
        println!("{}: {sentence}", verdict.word());
    }
    println!("report: {}", args.output_dir.join("report.html").display());
    Ok(summary::exit(&verdicts))
}

fn made(dir: &Path) -> Result<PathBuf, CliError> {
    let absolute = fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
    absolute.map_err(|error| CliError::file(dir, error))
}

/// A directory for one run, so that nothing of another run is found in it; gone when the run went well.
fn federation_home(dir: &Path) -> Result<TempDir, CliError> {
    let home = tempfile::Builder::new()
        .prefix("federation-")
        .tempdir_in(dir);
    home.map_err(|error| CliError::file(dir, error))
}

/// More processes than this do not make a demo on one machine.
const PROCESSES_MAX: i64 = 256;
