//! `cargo xtask compare`: the same number of the same tasks through a bare loop, Muster, and others of its family.
//!
//! The idea is one machine, one run, and medians of three rounds in which every contender has its turn, so that a slow
//! minute of the machine hits all of them. Two tasks are run: `/bin/true`, which spends most of its life in the
//! start-up of the C library, and `examples/null-task`, which spends it in the system that runs it. What is missing on
//! this machine is left out with a sentence. Every server listens on loopback and is stopped by its own id. With
//! `--files` it is files that are moved: see `files`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::{cargo, numbers};

mod bare;
mod files;
mod hyperqueue;
mod muster;
mod server;
mod table;
mod work_queue;

const ROUNDS: usize = 3;

/// What every contender is given.
struct Course {
    tasks: u64,
    workers: u64,
    /// A folder below the target directory for whatever a contender writes.
    scratch: PathBuf,
    muster: PathBuf,
}

/// A system that runs tasks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum System {
    Bare,
    Muster,
    MusterNull,
    WorkQueue,
    WorkQueueForeman,
    HyperQueue,
}

impl System {
    const ALL: [Self; 6] = [
        Self::Bare,
        Self::Muster,
        Self::MusterNull,
        Self::WorkQueue,
        Self::WorkQueueForeman,
        Self::HyperQueue,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare posix_spawn loop",
            Self::Muster => "Muster",
            Self::MusterNull => "Muster, no process",
            Self::WorkQueue => "Work Queue, direct",
            Self::WorkQueueForeman => "Work Queue, one foreman",
            Self::HyperQueue => "HyperQueue, direct",
        }
    }

    /// Makes the system ready, or says in one sentence why it cannot be.
    fn prepare(self, course: &Course) -> Result<()> {
        match self {
            Self::Bare => Ok(()),
            Self::Muster | Self::MusterNull => muster::prepare(),
            Self::WorkQueue | Self::WorkQueueForeman => work_queue::prepare(),
            Self::HyperQueue => hyperqueue::prepare(course),
        }
    }

    /// Runs the course once and returns tasks per second.
    fn measure(self, course: &Course, program: &Path) -> Result<f64> {
        match self {
            Self::Bare => bare::measure(course, program),
            Self::Muster => muster::measure(course, Some(program)),
            Self::MusterNull => muster::measure(course, None),
            Self::WorkQueue => work_queue::measure(course, program, work_queue::Chain::Direct),
            Self::WorkQueueForeman => {
                work_queue::measure(course, program, work_queue::Chain::Foreman)
            }
            Self::HyperQueue => hyperqueue::measure(course, program),
        }
    }
}

/// One line of the table: a system, a task, and what each round gave.
struct Entry {
    system: System,
    program: PathBuf,
    rates: Vec<f64>,
}

/// Prepares what is there, runs all rounds and prints the table.
pub fn run(options: &[&str]) -> Result<ExitCode> {
    if let ["--files", options @ ..] = options {
        return files::run(options);
    }
    if let ["--python", options @ ..] = options {
        return python(options);
    }
    let [tasks, workers] = numbers(options, [("--tasks", 2000), ("--workers", 2)])?;
    let muster = cargo::release_binary()?;
    let course = Course {
        tasks,
        workers,
        scratch: scratch(&muster)?,
        muster,
    };
    let programs = programs(&course);
    let mut entries = Vec::new();
    for system in System::ALL {
        match system.prepare(&course) {
            Ok(()) if system == System::MusterNull => {
                entries.push((system, PathBuf::from("(none)")))
            }
            Ok(()) => entries.extend(programs.iter().map(|program| (system, program.clone()))),
            Err(why) => skipped(system, &why),
        }
    }
    let entry = |(system, program)| Entry {
        system,
        program,
        rates: Vec::new(),
    };
    let mut entries: Vec<Entry> = entries.into_iter().map(entry).collect();
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        entries.retain_mut(
            |entry| match entry.system.measure(&course, &entry.program) {
                Ok(rate) => {
                    entry.rates.push(rate);
                    true
                }
                Err(why) => {
                    skipped(entry.system, &why);
                    false
                }
            },
        );
    }
    print!("{}", table::shown(&course, &entries));
    Ok(ExitCode::SUCCESS)
}

/// Measures the Python packages; what is printed is theirs.
fn python(options: &[&str]) -> Result<ExitCode> {
    let built = cargo::command(&["build", "--release", "--package", "muster"]).status()?;
    if !built.success() {
        bail!("muster cannot be built");
    }
    match crate::python::compare(&cargo::release_binary()?, options)? {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

/// Makes the folder below the target directory for whatever contenders write.
fn scratch(muster: &Path) -> Result<PathBuf> {
    let target = muster.ancestors().nth(2);
    let scratch = target
        .context("there is no target directory")?
        .join("compare");
    fs::create_dir_all(&scratch)
        .with_context(|| format!("{} cannot be made", scratch.display()))?;
    Ok(scratch)
}

fn skipped(system: System, why: &anyhow::Error) {
    eprintln!("skipped {}: {why:#}", system.name());
}

/// Returns the tasks to run: `/bin/true`, and the static one if it can be made here.
fn programs(course: &Course) -> Vec<PathBuf> {
    let mut programs = vec![PathBuf::from("/bin/true")];
    match null_task(course) {
        Ok(null) => programs.push(null),
        Err(why) => eprintln!("skipped the static task: {why:#}"),
    }
    programs
}

fn null_task(course: &Course) -> Result<PathBuf> {
    let null = course.scratch.join("null");
    let source = cargo::root().join("examples/null-task/null.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args([
        "--edition",
        "2024",
        "-C",
        "opt-level=z",
        "-C",
        "panic=abort",
        "-C",
        "relocation-model=static",
    ]);
    command
        .args(["-C", "link-args=-nostartfiles -nostdlib -static", "-o"])
        .arg(&null)
        .arg(source);
    succeed(&mut command)?;
    Ok(null)
}

/// Runs a command silently; an error carries the last line that it said.
fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let answer = command
        .output()
        .with_context(|| format!("{name} cannot be started"))?;
    if answer.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    let last = said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing");
    bail!("{name} failed ({}): {last}", answer.status)
}
