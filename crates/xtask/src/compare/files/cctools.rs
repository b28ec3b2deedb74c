//! Work Queue and TaskVine, both driven by `makeflow`: the load is a Makeflow of one rule for each task.
//!
//! Work Queue comes from Debian's package. TaskVine is in no package of Debian: it takes part if its `vine_worker` is in
//! the path and a `makeflow` of the same release beside it. It has no foremen, but its workers pass files to each
//! other. So that both have a standing federation as Muster has, all rules wait for a first one, which takes as long as
//! managers need to hear of every worker; the clock starts when that one has ended.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::super::server::{Cell, Server};
use super::super::work_queue;
use super::Taken;
use super::load::{Load, input, output};
use crate::clock::Stopwatch;

/// Whose manager, and what lies between it and the workers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// Work Queue, all workers under the manager.
    Direct,
    /// Work Queue, a foreman for each site.
    Foremen,
    /// TaskVine, all workers under the manager.
    TaskVine,
}

/// Installs Work Queue if it is absent and we may.
pub fn prepare_work_queue() -> Result<()> {
    work_queue::prepare()?;
    Cell::new().map(drop)
}

/// Looks for TaskVine.
pub fn prepare_task_vine() -> Result<()> {
    let makeflow = vine_folder()?.join("makeflow");
    let help = Command::new(&makeflow).arg("--help").output();
    let help = help.with_context(|| format!("there is no {}", makeflow.display()))?;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    ensure!(
        help.contains("vine,"),
        "the makeflow beside vine_worker knows nothing of TaskVine"
    );
    Cell::new().map(drop)
}

/// Where TaskVine is installed.
fn vine_folder() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .find(|folder| folder.join("vine_worker").is_file())
        .context("there is no vine_worker in the path")
}

impl Tree {
    /// How long the first rule takes. A foreman looks every 5 s what its workers have, and only then tells its manager:
    /// twice that, and a little.
    fn gathering_s(self) -> u64 {
        match self {
            Self::Direct | Self::TaskVine => 1,
            Self::Foremen => 12,
        }
    }

    /// Where the manager writes what it has sent.
    fn log(self) -> &'static str {
        match self {
            Self::Direct | Self::Foremen => "flow.mf.wqlog",
            Self::TaskVine => "vine-run-info/most-recent/vine-logs/performance",
        }
    }
}

/// Moves the load from the moment all workers are known until makeflow has every output.
pub fn measure(load: &Load, folder: &Path, tree: Tree) -> Result<Taken> {
    let work = folder.join("work");
    fs::write(work.join("flow.mf"), rules(load, tree.gathering_s()))?;
    let cell = Cell::new()?;
    let mut manager = cell.start(&work, &words(&manager(tree)?))?;
    let port = manager.after("listening for workers on port ")?;
    let (between, ports) = match tree {
        Tree::Direct | Tree::TaskVine => (Vec::new(), vec![port]),
        Tree::Foremen => foremen(&cell, load, folder, &port)?,
    };
    let mut workers: Vec<Server> = Vec::new();
    for number in 0..load.sites * load.workers {
        let home = folder.join(format!("worker.{number}"));
        fs::create_dir(&home)?;
        let port = &ports[(number / load.workers) as usize % ports.len()];
        workers.push(cell.start(&home, &words(&worker(tree, port)?))?);
    }
    let mut heard = workers.iter_mut();
    heard.try_for_each(|worker| worker.after("connected to manager").map(drop))?;
    manager.after("job 1 completed")?;
    let watch = Stopwatch::start();
    manager.finish().context("makeflow")?;
    let seconds = watch.elapsed().as_secs_f64();
    drop((workers, between));
    let log = fs::read_to_string(work.join(tree.log()));
    let sent = bytes_sent(&log.context("the manager has left no log")?)?;
    let due = load.sites * load.shared_bytes + load.tasks * load.own_bytes;
    Ok(Taken {
        seconds,
        sent: Some(sent as f64 / due as f64),
    })
}

/// Reads the last `bytes_sent` of a manager's log, whose first line names the columns after a `#`.
fn bytes_sent(log: &str) -> Result<u64> {
    let mut names = log.lines().next().unwrap_or_default().split_whitespace();
    let column = names.position(|name| name == "bytes_sent");
    let column = column.context("the manager's log has no bytes_sent")? - 1;
    let last = log.lines().last().unwrap_or_default();
    let bytes = last.split_whitespace().nth(column);
    Ok(bytes.context("the manager's log is cut short")?.parse()?)
}

/// Starts a foreman for each site, and returns where they listen.
fn foremen(
    cell: &Cell,
    load: &Load,
    folder: &Path,
    manager: &str,
) -> Result<(Vec<Server>, Vec<String>)> {
    let words = [
        "work_queue_worker",
        "--foreman",
        "-Z",
        "port",
        "--single-shot",
        "-s",
        ".",
        "127.0.0.1",
        manager,
    ];
    let (mut foremen, mut ports) = (Vec::new(), Vec::new());
    for site in 0..load.sites {
        let home = folder.join(format!("site.{site}"));
        fs::create_dir(&home)?;
        let mut foreman = cell.start(&home, &words)?;
        // One after another: two at once may settle on the same port, and then one ends.
        ports.push(foreman.after("listening on port ")?);
        foremen.push(foreman);
    }
    Ok((foremen, ports))
}

fn manager(tree: Tree) -> Result<Vec<String>> {
    let (makeflow, kind) = match tree {
        Tree::Direct | Tree::Foremen => ("makeflow".to_owned(), "wq"),
        Tree::TaskVine => (beside("makeflow")?, "vine"),
    };
    Ok([&makeflow, "-T", kind, "-p", "0", "flow.mf"]
        .map(str::to_owned)
        .into())
}

fn worker(tree: Tree, port: &str) -> Result<Vec<String>> {
    let worker = match tree {
        Tree::Direct | Tree::Foremen => "work_queue_worker".to_owned(),
        Tree::TaskVine => beside("vine_worker")?,
    };
    let options = [
        "--cores",
        "1",
        "--single-shot",
        "-s",
        ".",
        "127.0.0.1",
        port,
    ];
    Ok([worker]
        .into_iter()
        .chain(options.map(str::to_owned))
        .collect())
}

/// A program of TaskVine's release.
fn beside(program: &str) -> Result<String> {
    Ok(vine_folder()?.join(program).display().to_string())
}

fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

fn rules(load: &Load, gathering_s: u64) -> String {
    let mut text =
        format!("CORES=1\nMEMORY=10\nDISK=10\nready:\n\tsleep {gathering_s} && echo > ready\n");
    for task in 1..=load.tasks {
        let (out, own) = (output(task), input(task));
        let command = load.command(&task.to_string());
        let _ = write!(text, "{out}: {} {own} ready\n\t{command}\n", Load::SHARED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::small;
    use super::*;

    #[test]
    fn every_task_waits_for_the_first_rule_and_reads_the_shared_file_and_its_own() {
        let mut load = small("rules");
        load.tasks = 1;
        let rules = rules(&load, 7);
        let (head, rest) = rules.split_once("ready:").unwrap();
        assert_eq!(head, "CORES=1\nMEMORY=10\nDISK=10\n");
        assert_eq!(
            rest,
            "\n\tsleep 7 && echo > ready\nout.1: shared.bin in.1 ready\n\ttail -q -c 512 shared.bin in.1 > out.1\n"
        );
    }

    #[test]
    fn what_a_manager_has_sent_is_in_the_last_line_of_its_log() {
        let log = "# timestamp bytes_sent bytes_received\n17 0 0\n18 4711 3\n";
        assert_eq!(bytes_sent(log).unwrap(), 4711);
        assert!(bytes_sent("# timestamp\n17\n").is_err());
        assert!(bytes_sent("# timestamp bytes_sent\n17\n").is_err());
    }
}
