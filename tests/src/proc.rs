//! Who lives: a look through `/proc` that asks nobody else.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process that bears a mark.
#[derive(Debug)]
pub struct Alive {
    pid: i32,
    /// Its command line, for the story of a failure.
    pub line: String,
}

/// Every process that has `mark` in its command line, its environment or its directory, except this one.
pub fn bearing(mark: &str) -> Vec<Alive> {
    let entries = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = i32::try_from(std::process::id()).expect("a pid is positive");
    pids.filter(|pid| *pid != own)
        .filter_map(|pid| marked(pid, mark))
        .collect()
}

/// Kills them, by their own numbers.
pub fn kill(processes: &[Alive]) {
    for alive in processes {
        if let Some(pid) = Pid::from_raw(alive.pid) {
            // It fails for one that has ended meanwhile.
            let _killed = kill_process(pid, Signal::KILL);
        }
    }
}

/// Whether a process has a handler of its own for `signal`.
pub fn catches(pid: Pid, signal: Signal) -> bool {
    let status =
        fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    mask >> (signal.as_raw() - 1) & 1 == 1
}

/// A process that has ended, and whose parent has not looked, has neither; nor is it alive.
fn marked(pid: i32, mark: &str) -> Option<Alive> {
    let place = Path::new("/proc").join(pid.to_string());
    let line = fs::read(place.join("cmdline")).unwrap_or_default();
    let environment = fs::read(place.join("environ")).unwrap_or_default();
    let directory = fs::read_link(place.join("cwd")).unwrap_or_default();
    let bears = contains(&line, mark)
        || contains(&environment, mark)
        || directory.to_string_lossy().contains(mark);
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    bears.then_some(Alive { pid, line })
}

fn contains(bytes: &[u8], mark: &str) -> bool {
    bytes
        .windows(mark.len())
        .any(|window| window == mark.as_bytes())
}
