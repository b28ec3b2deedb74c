//! The measure: the copies that a hierarchy makes, and nothing else but the tasks.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::load::{Load, input, output};
use super::{Taken, fresh};
use crate::clock::Stopwatch;

/// What copies a file.
#[derive(Clone, Copy)]
pub enum Tool {
    /// The program `cp`, once for each file, as in a shell.
    Program,
    /// A call in this process.
    Call,
}

impl Tool {
    fn copy(self, source: &Path, target: &Path) -> Result<()> {
        match self {
            Self::Program => done(Command::new("cp").arg(source).arg(target)),
            Self::Call => fs::copy(source, target)
                .map(drop)
                .with_context(|| format!("{} cannot be copied", source.display())),
        }
    }
}

/// The folders that stand for hosts.
struct Campus<'a> {
    load: &'a Load,
    folder: &'a Path,
    tool: Tool,
}

/// Moves the load with as many copies at once as there are cores.
pub fn measure(load: &Load, folder: &Path, tool: Tool) -> Result<Taken> {
    let campus = Campus { load, folder, tool };
    let workers = load.sites * load.workers;
    for worker in 0..workers {
        fresh(&campus.worker(worker))?;
    }
    for site in 0..load.sites {
        fresh(&campus.site(site))?;
    }
    fresh(&campus.master())?;
    let watch = Stopwatch::start();
    let shared = Path::new(Load::SHARED);
    let work = folder.join("work");
    side_by_side(load.sites, |site| {
        tool.copy(&work.join(shared), &campus.site(site).join(shared))
    })?;
    side_by_side(workers, |worker| {
        let site = campus.site(worker / load.workers);
        tool.copy(&site.join(shared), &campus.worker(worker).join(shared))
    })?;
    side_by_side(load.tasks, |task| campus.run(task % workers, task + 1))?;
    Ok(Taken {
        seconds: watch.elapsed().as_secs_f64(),
        sent: None,
    })
}

impl Campus<'_> {
    /// Takes a task's input down to `worker`, runs the task, and takes its output up.
    fn run(&self, worker: u64, task: u64) -> Result<()> {
        let worker_folder = self.worker(worker);
        let site = self.site(worker / self.load.workers);
        let sandbox = worker_folder.join(format!("box.{task}"));
        let work = self.folder.join("work");
        fs::create_dir(&sandbox)?;
        self.along(&input(task), [&work, &site, &worker_folder, &sandbox])?;
        fs::hard_link(worker_folder.join(Load::SHARED), sandbox.join(Load::SHARED))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.load.command(&task.to_string())]);
        done(shell.current_dir(&sandbox))?;
        let master = self.master();
        let up = [&sandbox, &worker_folder, &site, &master, &work];
        self.along(&output(task), up)?;
        Ok(fs::remove_dir_all(&sandbox)?)
    }

    /// Copies a file from each folder to the next.
    fn along<const N: usize>(&self, name: &str, folders: [&PathBuf; N]) -> Result<()> {
        folders
            .windows(2)
            .try_for_each(|pair| self.tool.copy(&pair[0].join(name), &pair[1].join(name)))
    }

    fn master(&self) -> PathBuf {
        self.folder.join("master")
    }

    fn site(&self, site: u64) -> PathBuf {
        self.folder.join(format!("site.{site}"))
    }

    fn worker(&self, worker: u64) -> PathBuf {
        self.folder.join(format!("worker.{worker}"))
    }
}

/// Does `one` for all numbers below `count`, on as many threads as there are cores.
fn side_by_side(count: u64, one: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicU64::new(0);
    let some = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            one(number)?;
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(some)).collect();
        let mut ended = threads.into_iter().map(|thread| thread.join());
        ended.try_for_each(|end| end.unwrap_or_else(|_| Err(anyhow!("a thread panicked"))))
    })
}

/// How many copies are under way at once.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

fn done(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("{name} cannot be started"))?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::small;
    use super::*;

    #[test]
    fn both_tools_bring_every_output() {
        let load = small("copies");
        load.make().unwrap();
        for (name, tool) in [("program", Tool::Program), ("call", Tool::Call)] {
            let folder = load.scratch.join(name);
            let work = folder.join("work");
            fs::create_dir_all(&work).unwrap();
            load.lay(&work).unwrap();
            measure(&load, &folder, tool).unwrap();
            load.check(&work).unwrap();
            assert!(folder.join("site.1/out.2").exists(), "over its site");
        }
        fs::remove_dir_all(&load.scratch).unwrap();
    }
}
