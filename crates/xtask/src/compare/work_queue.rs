//! Work Queue, from Debian's package, which has the manager's library inside `makeflow` and no binding for Python.
//!
//! The course is a Makeflow of N rules. Each must declare an output, so each task makes one empty file; and each asks
//! for one core by name, because a task that asks for nothing is given a whole worker.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::server::Cell;
use super::{Course, succeed};
use crate::clock::Stopwatch;

/// `makeflow` starts MPI's libraries whether it uses them or not, and they want this package.
const PACKAGES: [&str; 2] = ["coop-computing-tools", "openmpi-bin"];

/// How many links lie between the manager and the worker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// The worker hangs under the manager.
    Direct,
    /// One foreman lies between them.
    Foreman,
}

/// Installs the package if it is absent and we may.
pub fn prepare() -> Result<()> {
    let is_there = |tool: &str| {
        let asked = Command::new(tool)
            .arg("--version")
            .env("OMPI_MCA_plm", "isolated")
            .output();
        asked.is_ok_and(|answer| answer.status.success())
    };
    if is_there("makeflow") && is_there("work_queue_worker") {
        return Ok(());
    }
    let user = Command::new("id")
        .arg("-u")
        .output()
        .context("id cannot be started")?;
    ensure!(
        user.stdout.trim_ascii() == b"0",
        "install {} first: only root can",
        PACKAGES.join(" and ")
    );
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(PACKAGES);
    succeed(install.env("DEBIAN_FRONTEND", "noninteractive"))
        .context("apt-get could not install it")
}

/// Runs the course from the moment the worker has connected until makeflow has every result.
pub fn measure(course: &Course, program: &Path, chain: Chain) -> Result<f64> {
    let folder = course.scratch.join("work-queue");
    match fs::remove_dir_all(&folder) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            return Err(why).context("the last course remains");
        }
        Ok(()) | Err(_) => fs::create_dir_all(&folder)?,
    }
    fs::write(folder.join("flow.mf"), rules(course.tasks, program))?;
    let makeflow = [
        "makeflow",
        "-T",
        "wq",
        "-p",
        "0",
        "--work-queue-preferred-connection",
        "by_ip",
        "flow.mf",
    ];
    let cell = Cell::new()?;
    let mut manager = cell.start(&folder, &makeflow)?;
    let mut port = manager.after("listening for workers on port ")?;
    // The foreman must live until the course has ended.
    let mut between = None;
    if chain == Chain::Foreman {
        let words = [
            "work_queue_worker",
            "--foreman",
            "-Z",
            "port",
            "--single-shot",
            "-s",
            ".",
            "127.0.0.1",
            &port,
        ];
        let mut foreman = cell.start(&folder, &words)?;
        port = foreman.after("listening on port ")?;
        between = Some(foreman);
    }
    let cores = course.workers.to_string();
    let words = [
        "work_queue_worker",
        "--cores",
        &cores,
        "--single-shot",
        "-s",
        ".",
        "127.0.0.1",
        &port,
    ];
    let mut worker = cell.start(&folder, &words)?;
    worker.after("connected to manager")?;
    let watch = Stopwatch::start();
    manager.finish().context("makeflow")?;
    let took = watch.elapsed();
    drop((worker, between));
    Ok(course.tasks as f64 / took.as_secs_f64())
}

fn rules(tasks: u64, program: &Path) -> String {
    let program = program.display();
    let mut text = "CORES=1\nMEMORY=10\nDISK=10\n".to_owned();
    for task in 0..tasks {
        let _ = write!(text, "out.{task}:\n\t{program} > out.{task}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_a_rule_of_one_core_with_one_output() {
        let rules = rules(2, Path::new("/bin/true"));
        assert_eq!(
            rules,
            "CORES=1\nMEMORY=10\nDISK=10\nout.0:\n\t/bin/true > out.0\nout.1:\n\t/bin/true > out.1\n"
        );
    }
}
