//! The bare loop: what this machine can start and reap, with nothing around it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};

use super::Course;
use crate::clock::Stopwatch;

/// As many threads as workers each start a child, wait for it, and start the next.
///
/// `std::process::Command` takes the `posix_spawn` path, because nothing here runs between fork and exec.
pub fn measure(course: &Course, program: &Path) -> Result<f64> {
    let watch = Stopwatch::start();
    let run = |share: u64| -> Result<()> {
        for _ in 0..share {
            let mut command = Command::new(program);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let status = command
                .status()
                .with_context(|| format!("{} cannot be started", program.display()))?;
            ensure!(status.success(), "{} failed ({status})", program.display());
        }
        Ok(())
    };
    thread::scope(|scope| {
        let shares = (0..course.workers).map(|worker| share(course.tasks, course.workers, worker));
        let threads: Vec<_> = shares
            .map(|share| scope.spawn(move || run(share)))
            .collect();
        let mut ended = threads.into_iter().map(|thread| thread.join());
        ended.try_for_each(|end| end.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked"))))
    })?;
    Ok(course.tasks as f64 / watch.elapsed().as_secs_f64())
}

/// Cuts `tasks` into `workers` shares that differ by one at most.
fn share(tasks: u64, workers: u64, worker: u64) -> u64 {
    tasks / workers + u64::from(worker < tasks % workers)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_add_up_to_all_tasks() {
        let shares: Vec<u64> = (0..3).map(|worker| share(11, 3, worker)).collect();
        assert_eq!(shares, [4, 4, 3]);
    }
}
