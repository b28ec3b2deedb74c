//! `muster run`: an ensemble from one command line, on a federation that lives as long as it.

mod drive;
mod progress;
mod streams;
mod tally;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use clap::Args;
use muster_node::client::Client;
use muster_node::clock::Clock;
use muster_node::scratch::Scratch;
use muster_proto::Resources;

use crate::connect::{CatalogArgs, LONG, MasterArgs, runtime};
use crate::embedded::{Federation, Plan};
use crate::ensemble::{Ensemble, Stage, TaskArgs};
use crate::error::{CliError, Exit};
use crate::interrupt::Interrupt;
use crate::scratch::{Fate, scratch};
use crate::text::quoted;

use drive::{Drive, End, Rows, Tenancy, Told};
use progress::Progress;
use streams::Streams;
use tally::Tally;

/// Run an ensemble here and now: options, then -- and the command, then ::: and its arguments
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    tasks: TaskArgs,
    /// Where outputs go; may hold placeholders
    #[arg(long, value_name = "DIR", default_value = ".", help_heading = "Files")]
    output_dir: String,
    /// Print what tasks write in the order of the tasks, not in that of their ends
    #[arg(short, long)]
    keep_order: bool,
    /// Stop when more than this many tasks have failed, or this part of all
    #[arg(long, value_name = "N|P%", value_parser = parse_fails)]
    max_fails: Option<Fails>,
    /// Sites of the embedded federation
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    sites: u32,
    /// Workers of the embedded federation [default: as many as the machine has room for]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    workers: Option<u32>,
    /// Use the standing master of this project instead of an embedded federation
    #[arg(long, value_name = "PROJECT", conflicts_with_all = ["sites", "workers"])]
    on: Option<String>,
    /// Use the standing master at this address
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["sites", "workers", "on"])]
    master: Option<String>,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// Where the federation's keys are
    #[arg(long, value_name = "DIR", env = "MUSTER_KEYS")]
    keys: Option<PathBuf>,
    /// Print the command lines, run nothing
    #[arg(long)]
    dry_run: bool,
    /// Show no progress and no summary
    #[arg(short, long)]
    quiet: bool,
    /// Keep the embedded federation's logs and journals, and say where
    #[arg(long)]
    keep: bool,
}

/// How many failures are too many.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fails {
    Count(u64),
    Percent(f64),
}

/// Who runs the tasks.
enum Place {
    Embedded(Federation),
    Standing(Client),
}

/// Runs the ensemble.
pub fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let ensemble = Ensemble::new(&args.tasks)?;
    ensemble.check_outputs(&ensemble.pattern(&args.output_dir))?;
    if args.dry_run {
        return dry_run(&ensemble);
    }
    if ensemble.len() == 0 {
        if !args.quiet {
            eprintln!(" no arguments, so nothing to do");
        }
        return Ok(Exit::Ok);
    }
    let runtime = runtime()?;
    let exit = runtime.block_on(drive(args, Arc::new(ensemble)));
    // A file that is being hashed for nobody is not waited for.
    runtime.shutdown_background();
    exit
}

async fn drive(args: &RunArgs, ensemble: Arc<Ensemble>) -> Result<Exit, CliError> {
    let clock = Clock::start();
    let mut interrupt = Interrupt::listen().map_err(CliError::Runtime)?;
    let fate = if args.keep { Fate::Kept } else { Fate::Removed };
    let scratch = scratch(fate)?;
    let place = tokio::select! {
        place = args.place(&ensemble, &scratch) => place?,
        () = interrupt.asked() => return Ok(Exit::Interrupted),
    };
    let (client, tenancy) = match &place {
        Place::Embedded(federation) => (federation.client(), Tenancy::Sole),
        Place::Standing(client) => (client, Tenancy::Shared),
    };
    let total = ensemble.len();
    let mut drive = Drive {
        client,
        tenancy,
        output_dir: ensemble.pattern(&args.output_dir),
        ensemble,
        scratch: scratch.path().join("streams"),
        fails_max: args.max_fails.map(|fails| fails.of(total)),
        streams: if args.keep_order {
            Streams::as_given()
        } else {
            Streams::as_ended()
        },
        progress: if args.quiet {
            Progress::silent(clock)
        } else {
            Progress::fitting(clock)
        },
        tally: Tally::new(total),
        rows: Rows::default(),
        told: if args.quiet {
            Told::Already
        } else {
            Told::IfSlow
        },
    };
    let end = drive.run(&mut interrupt).await;
    if drive.tally.retried > 0 && tenancy == Tenancy::Sole {
        drive.learn().await;
    }
    let (tally, elapsed) = (drive.tally, drive.progress.elapsed());
    tokio::select! {
        () = place.leave(&end) => {}
        // The children die with this process.
        () = interrupt.asked() => return Ok(Exit::Interrupted),
    }
    if args.keep {
        eprintln!(" logs and journals: {}", scratch.path().display());
    }
    let end = end?;
    if !args.quiet {
        let _said = io::stderr().lock().write_all(tally.failures().as_bytes());
        let ended = tally.ok + tally.failed;
        let stopped = match end {
            End::Complete => String::new(),
            End::MaxFails => format!(" stopped by --max-fails after {ended} of {total};"),
            End::Interrupted => format!(" interrupted after {ended} of {total};"),
        };
        eprintln!("{stopped}{}", tally.summary(elapsed));
    }
    Ok(exit_of(end, &tally))
}

fn exit_of(end: End, tally: &Tally) -> Exit {
    match end {
        End::Interrupted => Exit::Interrupted,
        End::MaxFails => Exit::MaxFails,
        End::Complete if tally.failed > 0 => Exit::Failed,
        End::Complete if tally.cancelled > 0 => Exit::Cancelled,
        End::Complete => Exit::Ok,
    }
}

impl RunArgs {
    async fn place(&self, ensemble: &Ensemble, scratch: &Scratch) -> Result<Place, CliError> {
        if self.on.is_some() || self.master.is_some() {
            let master = MasterArgs {
                project: self.on.clone(),
                master: self.master.clone(),
                catalog: self.catalog.clone(),
                keys: self.keys.clone(),
            };
            return Ok(Place::Standing(master.connect(LONG).await?));
        }
        let room = Room::of_this_host();
        let plan = room.plan(ensemble.resources(), self.sites, self.workers)?;
        if !self.quiet {
            eprintln!(
                " embedded federation: 1 master, {}, {}",
                counted(plan.sites, "foreman", "foremen"),
                counted(plan.workers, "worker", "workers")
            );
        }
        let plan = Plan {
            dir: scratch.path().join("federation"),
            ..plan
        };
        Ok(Place::Embedded(Federation::start(plan).await?))
    }
}

impl Place {
    /// Lets go of it. Of a federation whose tasks have all come back nothing is wanted, and its user waits.
    async fn leave(self, end: &Result<End, CliError>) {
        match (self, end) {
            (Place::Embedded(federation), Ok(End::Complete)) => federation.kill().await,
            (Place::Embedded(federation), Ok(End::MaxFails | End::Interrupted) | Err(_)) => {
                federation.stop().await
            }
            (Place::Standing(client), _) => client.close().await,
        }
    }
}

/// What this machine has for workers.
#[derive(Clone, Copy, Debug)]
struct Room {
    cores: u32,
    memory_bytes: u64,
}

impl Room {
    fn of_this_host() -> Room {
        let info = rustix::system::sysinfo();
        Room {
            cores: available_parallelism()
                .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
            memory_bytes: info.totalram.saturating_mul(u64::from(info.mem_unit)),
        }
    }

    /// Workers that each hold at least one task, as many as fit or as were asked for.
    fn plan(&self, task: &Resources, sites: u32, workers: Option<u32>) -> Result<Plan, CliError> {
        let cores = task.cores_milli.div_ceil(1_000).max(1);
        let impossible = |needs: String, has: String| Err(CliError::Impossible { needs, has });
        if cores > self.cores {
            return impossible(
                format!("{cores} cores"),
                counted(self.cores, "core", "cores"),
            );
        }
        if task.memory_bytes > self.memory_bytes {
            let mib = |bytes: u64| format!("{} MiB of memory", bytes >> 20);
            return impossible(mib(task.memory_bytes), mib(self.memory_bytes));
        }
        if task.gpus > 0 {
            return impossible(
                "graphics processors".to_owned(),
                "none it would offer".to_owned(),
            );
        }
        let by_memory = self
            .memory_bytes
            .checked_div(task.memory_bytes)
            .unwrap_or(u64::MAX);
        let fitting = (self.cores / cores).min(u32::try_from(by_memory).unwrap_or(u32::MAX));
        let workers = workers.unwrap_or(fitting.max(sites));
        Ok(Plan {
            sites,
            workers,
            cores_per_worker: cores,
            memory_per_worker: Some(
                (self.memory_bytes / u64::from(workers.max(1))).max(task.memory_bytes),
            ),
            dir: PathBuf::new(),
        })
    }
}

impl Fails {
    /// The greatest number of failures among `total` tasks that is not too many.
    fn of(self, total: u64) -> u64 {
        match self {
            Fails::Count(count) => count,
            Fails::Percent(percent) => (total as f64 * percent / 100.0).floor() as u64,
        }
    }
}

fn parse_fails(text: &str) -> Result<Fails, String> {
    let wrong = || "it is a number such as 0 or 10, or a part such as 5%".to_owned();
    match text.strip_suffix('%') {
        None => text.parse().map(Fails::Count).map_err(|_| wrong()),
        Some(part) => {
            let percent = part
                .parse()
                .ok()
                .filter(|part| (0.0..=100.0).contains(part));
            percent.map(Fails::Percent).ok_or_else(wrong)
        }
    }
}

fn counted(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Prints the command lines as a shell would read them, after looking at every file.
fn dry_run(ensemble: &Ensemble) -> Result<Exit, CliError> {
    let mut stage = Stage::default();
    let template = ensemble.template(&mut stage)?;
    let mut stdout = io::stdout().lock();
    for at in 0..ensemble.len() {
        let prepared = ensemble.tasks(&mut stage, at..at + 1)?;
        let inputs = prepared.what.iter().flat_map(|task| task.inputs.iter());
        let inputs: Vec<String> = template
            .what
            .inputs
            .iter()
            .chain(inputs)
            .map(|input| input.name.to_string())
            .collect();
        let mut line = quoted(&ensemble.command_of(at));
        if !inputs.is_empty() {
            line += &format!("  # with {}", quoted(&inputs));
        }
        match writeln!(stdout, "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(source) => return Err(CliError::file("standard output".as_ref(), source)),
            Ok(()) => {}
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_or_a_part_of_all() {
        assert_eq!(parse_fails("0"), Ok(Fails::Count(0)));
        assert_eq!(parse_fails("5%").map(|fails| fails.of(412)), Ok(20));
        for wrong in ["", "-1", "%", "101%", "x%", "NaN%"] {
            assert!(parse_fails(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn workers_are_as_many_as_the_machine_has_room_for() {
        let room = Room {
            cores: 8,
            memory_bytes: 16 << 30,
        };
        let task = |cores_milli, memory_bytes| Resources {
            cores_milli,
            memory_bytes,
            ..Resources::default()
        };
        let workers = |task: &Resources, sites| {
            let plan = room.plan(task, sites, None).expect("room");
            assert!(task.memory_bytes <= plan.memory_per_worker.unwrap_or(0));
            (plan.workers, plan.cores_per_worker)
        };
        assert_eq!(workers(&task(1_000, 0), 1), (8, 1));
        assert_eq!(workers(&task(500, 0), 1), (8, 1));
        assert_eq!(workers(&task(3_000, 0), 1), (2, 3));
        assert_eq!(workers(&task(1_000, 5 << 30), 1), (3, 1));
        assert_eq!(
            workers(&task(8_000, 0), 3),
            (3, 8),
            "no site is without a worker"
        );
        for impossible in [
            task(9_000, 0),
            task(1_000, 17 << 30),
            Resources {
                gpus: 1,
                ..task(1_000, 0)
            },
        ] {
            let error = room.plan(&impossible, 1, None).expect_err("no room");
            assert_eq!(error.exit(), Exit::Impossible);
        }
    }
}
