//! `cargo xtask compare --files`: the same files to the same tasks, by `cp`, Muster, and others of its family.
//!
//! Sites of workers stand for campuses, and all are on this machine: each task reads a large file that all share and a
//! small one of its own, and gives a small one back. The measure is `cp`, as one would write it in a shell for the
//! copies that a hierarchy makes: the shared file to each site and from there to each worker, each task's own file
//! over site and worker into a sandbox, its output the same way back, as many programs at once as there are cores. It
//! runs the same tasks, and has no queue, no network, no hashes and no journal. `fs::copy` is the same without
//! programs. A federation stands before its clock starts and its caches are cold in every round. Workers keep what
//! they fetch to themselves, as if each had a host of its own. What came out is compared byte by byte every time.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use super::server::settle;
use super::{ROUNDS, muster, scratch};
use crate::{cargo, numbers};

mod cctools;
mod copies;
mod federation;
mod load;
mod table;

use load::Load;

/// Who moves the files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contender {
    Cp,
    Copy,
    Muster,
    WorkQueue,
    WorkQueueForemen,
    TaskVine,
}

impl Contender {
    const ALL: [Self; 6] = [
        Self::Cp,
        Self::Copy,
        Self::Muster,
        Self::WorkQueue,
        Self::WorkQueueForemen,
        Self::TaskVine,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Cp => "cp",
            Self::Copy => "fs::copy",
            Self::Muster => "Muster",
            Self::WorkQueue => "Work Queue, direct",
            Self::WorkQueueForemen => "Work Queue, foremen",
            Self::TaskVine => "TaskVine, direct",
        }
    }

    /// Makes the contender ready, or says in one sentence why it cannot be.
    fn prepare(self) -> Result<()> {
        match self {
            Self::Cp | Self::Copy => Ok(()),
            Self::Muster => muster::prepare(),
            Self::WorkQueue | Self::WorkQueueForemen => cctools::prepare_work_queue(),
            Self::TaskVine => cctools::prepare_task_vine(),
        }
    }

    /// Moves the load once: inputs are in `work` below the folder, and outputs are to be there at the end.
    fn measure(self, load: &Load, folder: &Path) -> Result<Taken> {
        match self {
            Self::Cp => copies::measure(load, folder, copies::Tool::Program),
            Self::Copy => copies::measure(load, folder, copies::Tool::Call),
            Self::Muster => federation::measure(load, folder),
            Self::WorkQueue => cctools::measure(load, folder, cctools::Tree::Direct),
            Self::WorkQueueForemen => cctools::measure(load, folder, cctools::Tree::Foremen),
            Self::TaskVine => cctools::measure(load, folder, cctools::Tree::TaskVine),
        }
    }
}

/// What one turn took.
struct Taken {
    seconds: f64,
    /// Bytes that the master sent to a site, as a part of the shared file and the own inputs of that site's tasks:
    /// Muster's to the site for which it is greatest, others' to all sites together. `None` without a master.
    sent: Option<f64>,
}

/// One line of the table.
struct Entry {
    contender: Contender,
    turns: Vec<Taken>,
    /// One that has failed is shown with what it had, and gets no other turn.
    failed: bool,
}

/// Prepares who is there, runs all rounds and prints the table.
pub fn run(options: &[&str]) -> Result<ExitCode> {
    let known = [
        ("--tasks", 500),
        ("--shared-mib", 64),
        ("--own-kib", 64),
        ("--sites", 2),
        ("--workers", 4),
    ];
    let [tasks, shared_mib, own_kib, sites, workers] = numbers(options, known)?;
    let muster = cargo::release_binary()?;
    let load = Load {
        tasks,
        shared_bytes: shared_mib << 20,
        own_bytes: own_kib << 10,
        sites,
        workers,
        scratch: scratch(&muster)?.join("files"),
        muster,
    };
    ensure!(
        load.own_bytes <= load.shared_bytes,
        "--own-kib wants no more than the shared file has"
    );
    fresh(&load.scratch)?;
    load.make()?;
    let mut entries = Vec::new();
    for contender in Contender::ALL {
        match contender.prepare() {
            Ok(()) => entries.push(Entry {
                contender,
                turns: Vec::new(),
                failed: false,
            }),
            Err(why) => eprintln!("skipped {}: {why:#}", contender.name()),
        }
    }
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for entry in entries.iter_mut().filter(|entry| !entry.failed) {
            take_turn(entry, &load, round);
        }
    }
    print!("{}", table::shown(&load, &entries));
    if entries.iter().any(|entry| entry.failed) {
        return Ok(ExitCode::FAILURE);
    }
    fs::remove_dir_all(&load.scratch)?;
    Ok(ExitCode::SUCCESS)
}

/// Gives a contender its turn; one that fails leaves all of its folder behind.
fn take_turn(entry: &mut Entry, load: &Load, round: usize) {
    let name = entry.contender.name();
    let folder = format!("{round}-{}", name.replace([' ', ',', ':'], "-"));
    let folder = load.scratch.join(folder);
    match turn(entry.contender, load, &folder) {
        Ok(taken) => {
            eprintln!("  {name}: {:.2} s", taken.seconds);
            entry.turns.push(taken);
        }
        Err(why) => {
            eprintln!("  {name} failed: {why:#}; see {}", folder.display());
            entry.failed = true;
        }
    }
}

fn turn(contender: Contender, load: &Load, folder: &Path) -> Result<Taken> {
    let work = folder.join("work");
    fresh(&work)?;
    load.lay(&work)?;
    settle()?;
    let taken = contender.measure(load, folder)?;
    load.check(&work)?;
    thin(folder)?;
    Ok(taken)
}

/// Removes the large files below a folder, and leaves the many small ones for the end.
///
/// For minutes after a file was removed ext4 passes over its inode, one by one, when it looks for a free one: whoever
/// came after a contender that has left nothing would pay for each file that it makes.
fn thin(folder: &Path) -> Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.len() > SMALL_BYTES_MAX {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// What may stay until the end.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Makes an empty folder.
fn fresh(folder: &PathBuf) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(why) if why.kind() != ErrorKind::NotFound => {
            return Err(why).with_context(|| format!("{} remains", folder.display()));
        }
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}
