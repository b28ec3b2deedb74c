//! Work Queue and TaskVine, driven by `makeflow`: two foremen with four workers each, or eight workers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Course, SHARED, SITES, Took, WORKERS_PER_SITE};
use crate::clock::Stopwatch;
use crate::server::Server;

/// Which system, and what lies between its manager and its workers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Direct,
    Foremen,
    Vine,
}

/// Whether TaskVine is installed; no package of Debian has it.
pub fn has_vine() -> Result<()> {
    let asked = Command::new("vine_worker").arg("--version").output();
    let is_there = asked.is_ok_and(|answer| answer.status.success());
    ensure!(is_there, "vine_worker is not installed");
    Ok(())
}

pub fn measure(course: &Course, folder: &Path, way: Way) -> Result<Took> {
    fs::write(folder.join("flow.mf"), rules(course))?;
    std::os::unix::fs::symlink(course.inputs.join("in"), folder.join("in"))?;
    std::os::unix::fs::symlink(course.inputs.join(SHARED), folder.join(SHARED))?;
    let system = if way == Way::Vine { "vine" } else { "wq" };
    let words = ["makeflow", "-T", system, "-p", "0", "flow.mf"];
    let mut manager = Server::start(folder, &words)?;
    let port = manager.after("listening for workers on port ")?;
    let mut foremen = Vec::new();
    if way == Way::Foremen {
        for _ in 0..SITES {
            let words = [&["work_queue_worker", "--foreman", "-Z", "port"], &ENDS[..]].concat();
            let mut foreman = Server::start(folder, &[&words[..], &[&port]].concat())?;
            let port = foreman.after("listening on port ")?;
            foremen.push((foreman, port));
        }
    }
    let program = match way {
        Way::Vine => "vine_worker",
        Way::Direct | Way::Foremen => "work_queue_worker",
    };
    let mut workers = Vec::new();
    for number in 0..SITES * WORKERS_PER_SITE {
        let foreman = foremen.get((number / WORKERS_PER_SITE) as usize);
        let port = foreman.map_or(&port, |(_, port)| port);
        let words = [&[program, "--cores", "1"], &ENDS[..], &[port]].concat();
        let mut worker = Server::start(folder, &words)?;
        worker.after("connected to manager")?;
        workers.push(worker);
    }
    let watch = Stopwatch::start();
    manager.finish()?;
    let seconds = watch.elapsed().as_secs_f64();
    drop((workers, foremen));
    course.verify(folder, |task| format!("{task}.out"))?;
    Ok(Took {
        seconds,
        crossed: None,
    })
}

/// How a worker ends its words.
const ENDS: [&str; 4] = ["--single-shot", "-s", ".", "127.0.0.1"];

fn rules(course: &Course) -> String {
    let mut text = "CORES=1\nMEMORY=10\nDISK=200\n".to_owned();
    for task in 0..course.tasks {
        let run = course.command(&format!("in/{task}"), &format!("{task}.out"));
        let _ = write!(text, "{task}.out: {SHARED} in/{task}\n\t{run}\n");
    }
    text
}
