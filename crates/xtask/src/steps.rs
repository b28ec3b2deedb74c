//! Runs one program after another, shows how long each took, and stops at the first that fails.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::clock::Stopwatch;

/// A run of named steps. Each is announced, timed, and must succeed for the next to begin.
#[derive(Default)]
pub struct Steps {
    times: Vec<(String, Duration)>,
}

/// Why a run of steps ended early.
pub enum Stop {
    /// A step ended with this exit code.
    Failed(ExitCode),
    /// A step could not be run at all.
    Broken(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(why: anyhow::Error) -> Self {
        Self::Broken(why)
    }
}

impl Stop {
    /// Turns the stop into what `main` returns.
    pub fn ended(self) -> Result<ExitCode> {
        match self {
            Self::Failed(code) => Ok(code),
            Self::Broken(why) => Err(why),
        }
    }
}

/// The stream of a step on which its report is read while it is shown.
#[derive(Clone, Copy)]
pub enum Report {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Steps {
    /// Runs `command` as the step `name`.
    pub fn run(&mut self, name: &str, command: &mut Command) -> Result<(), Stop> {
        self.timed(name, || {
            command
                .status()
                .with_context(|| format!("{name} cannot be started"))
        })
    }

    /// Runs `command` as the step `name`, and returns the lines of its report as well as showing them.
    pub fn read(
        &mut self,
        name: &str,
        command: &mut Command,
        report: Report,
    ) -> Result<Vec<String>, Stop> {
        let mut lines = Vec::new();
        self.timed(name, || {
            match report {
                Report::Stdout => command.stdout(Stdio::piped()),
                Report::Stderr => command.stderr(Stdio::piped()),
            };
            let mut child = command
                .spawn()
                .with_context(|| format!("{name} cannot be started"))?;
            if let Some(stream) = child.stdout.take() {
                lines = shown(stream)?;
            }
            if let Some(stream) = child.stderr.take() {
                lines = shown(stream)?;
            }
            child
                .wait()
                .with_context(|| format!("{name} cannot be waited for"))
        })?;
        Ok(lines)
    }

    /// Prints the wall time of every step and of all.
    pub fn print_times(&self) {
        println!("\nwall time:");
        for (name, took) in &self.times {
            println!("  {:>7.1} s  {name}", took.as_secs_f64());
        }
        let all: Duration = self.times.iter().map(|(_, took)| *took).sum();
        println!("  {:>7.1} s  all steps", all.as_secs_f64());
    }

    fn timed(&mut self, name: &str, run: impl FnOnce() -> Result<ExitStatus>) -> Result<(), Stop> {
        println!("== {name}");
        let watch = Stopwatch::start();
        let status = run()?;
        let took = watch.elapsed();
        println!("== {name}: {:.1} s", took.as_secs_f64());
        self.times.push((name.to_owned(), took));
        if status.success() {
            return Ok(());
        }
        eprintln!("xtask: the step \"{name}\" failed ({status}); the steps after it were not run.");
        // A step that died of a signal has no code of its own.
        let code = status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1);
        Err(Stop::Failed(ExitCode::from(code)))
    }
}

fn shown(stream: impl Read) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for line in BufReader::new(stream).split(b'\n') {
        let line = String::from_utf8_lossy(&line.context("the report of a step cannot be read")?)
            .into_owned();
        println!("{line}");
        lines.push(line);
    }
    Ok(lines)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failing_step_stops_the_run_with_its_own_code() {
        let mut steps = Steps::default();
        assert!(steps.run("passes", &mut shell("exit 0")).is_ok());
        match steps.run("fails", &mut shell("exit 7")) {
            Err(Stop::Failed(code)) => assert_eq!(code, ExitCode::from(7)),
            Err(Stop::Broken(why)) => panic!("the step ran, yet: {why}"),
            Ok(()) => panic!("a failed step must stop the run"),
        }
    }

    #[test]
    fn a_step_is_read_while_it_is_shown() {
        let mut steps = Steps::default();
        let out = steps.read("out", &mut shell("echo one; echo two"), Report::Stdout);
        assert!(out.is_ok_and(|lines| lines == ["one", "two"]));
        let err = steps.read("err", &mut shell("echo three >&2"), Report::Stderr);
        assert!(err.is_ok_and(|lines| lines == ["three"]));
    }
}
