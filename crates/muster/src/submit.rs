//! `muster submit` and `muster wait`: an ensemble at a standing master, and its outcomes.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use muster_node::client::{Client, Range};
use muster_proto::outcome::{Outcome, Verdict};
use muster_proto::{Span, TaskId};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::connect::{LONG, MasterArgs, runtime};
use crate::delivery::{Written, bring};
use crate::ensemble::{Ensemble, TaskArgs};
use crate::error::{CliError, Exit};
use crate::feed::{FED_MAX, Fed, feed};
use crate::interrupt::Interrupt;
use crate::scratch::{Fate, scratch};
use crate::select::{self, Selector};
use crate::text::{fate, harmless};
use crate::units::parse_span;

/// Submit an ensemble to a standing master and print its tasks' numbers
#[derive(Args, Debug)]
pub struct SubmitArgs {
    #[command(flatten)]
    tasks: TaskArgs,
    #[command(flatten)]
    master: MasterArgs,
    /// Wait for the tasks to end, as muster wait does
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    taking: Taking,
}

/// Wait for tasks and take their outputs
#[derive(Args, Debug)]
pub struct WaitArgs {
    /// Which: 5, 1-10, 1-10:2, 1,3, all or last
    #[arg(default_value = "all")]
    selector: String,
    #[command(flatten)]
    master: MasterArgs,
    #[command(flatten)]
    taking: Taking,
}

/// How outcomes are taken.
#[derive(Args, Debug)]
struct Taking {
    /// Where outputs go
    #[arg(long, value_name = "DIR", default_value = ".")]
    output_dir: PathBuf,
    /// Give up after this time
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    timeout: Option<Span>,
    /// Print JSON lines: what was submitted, then each task
    #[arg(long)]
    json: bool,
}

/// Submits, and waits if told to.
pub fn submit(args: &SubmitArgs) -> Result<Exit, CliError> {
    let ensemble = Arc::new(Ensemble::new(&args.tasks)?);
    ensemble.check_outputs(&ensemble.pattern("."))?;
    let name = args.master.name()?;
    run(async {
        let client = args.master.connect(LONG).await?;
        let (sender, mut fed) = mpsc::channel::<Fed>(FED_MAX);
        let stop = Cell::new(false);
        let mut ranges: Vec<Range> = Vec::new();
        let listed = async {
            while let Some(part) = fed.recv().await {
                join(&mut ranges, part.ranges);
            }
        };
        let (submitted, ()) = tokio::join!(feed(&client, &ensemble, &stop, sender), listed);
        if !ranges.is_empty() {
            select::remember(&name, &ranges)?;
            let tasks = select::written(&ranges);
            let line = match args.taking.json {
                true => json!({"schema": "muster.submit/1", "tasks": tasks}).to_string(),
                false => tasks,
            };
            writeln!(io::stdout(), "{line}").map_err(stdout)?;
        }
        submitted?;
        let exit = match args.wait && !ranges.is_empty() {
            true => args.taking.take(&client, ranges).await?,
            false => Exit::Ok,
        };
        client.close().await;
        Ok(exit)
    })
}

/// Waits.
pub fn wait(args: &WaitArgs) -> Result<Exit, CliError> {
    let ranges = Selector::parse(&args.selector)?.ranges(&args.master.name()?)?;
    run(async {
        let client = args.master.connect(LONG).await?;
        let exit = args.taking.take(&client, ranges).await?;
        client.close().await;
        Ok(exit)
    })
}

fn run(what: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = runtime()?;
    let exit = runtime.block_on(what);
    runtime.shutdown_background();
    exit
}

/// Adds ranges, those that touch becoming one.
fn join(ranges: &mut Vec<Range>, more: Vec<Range>) {
    for (first, last) in more {
        match ranges.last_mut() {
            Some((_, before)) if before.0 + 1 == first.0 => *before = last,
            Some(_) | None => ranges.push((first, last)),
        }
    }
}

impl Taking {
    async fn take(&self, client: &Client, ranges: Vec<Range>) -> Result<Exit, CliError> {
        let mut interrupt = Interrupt::listen().map_err(CliError::Runtime)?;
        let scratch = scratch(Fate::Removed)?;
        let patience = self
            .timeout
            .map_or(Duration::MAX, |span| Duration::from_micros(span.0));
        tokio::select! {
            taken = timeout(patience, self.take_all(client, ranges, scratch.path())) => match taken {
                Ok(exit) => exit,
                Err(_) => Ok(Exit::TimedOut),
            },
            () = interrupt.asked() => Ok(Exit::Interrupted),
        }
    }

    /// Takes outcomes until no task of `ranges` is without one and none is left at the master.
    async fn take_all(
        &self,
        client: &Client,
        ranges: Vec<Range>,
        scratch: &Path,
    ) -> Result<Exit, CliError> {
        let mut exit = Exit::Ok;
        'again: loop {
            let mut watching = client.watch(ranges.clone()).await?;
            let mut taken = 0;
            while let Some(outcomes) = watching.next().await? {
                if outcomes.outcomes.is_empty() && outcomes.open == 0 && taken == 0 {
                    return Ok(exit);
                }
                taken += outcomes.outcomes.len();
                exit = worse(
                    exit,
                    self.receive(client, scratch, &outcomes.outcomes).await?,
                );
                // A window may hide outcomes that are there, so the end is what a new watch calls the end.
                if outcomes.open == 0 {
                    continue 'again;
                }
            }
        }
    }

    async fn receive(
        &self,
        client: &Client,
        scratch: &Path,
        outcomes: &[Outcome],
    ) -> Result<Exit, CliError> {
        let written = bring(client, scratch, outcomes, |_| self.output_dir.clone()).await?;
        let mut exit = Exit::Ok;
        for (outcome, written) in outcomes.iter().zip(written) {
            let seen = match (&outcome.verdict, outcome.is_done()) {
                (_, true) => Exit::Ok,
                (Verdict::Cancelled, _) => Exit::Cancelled,
                (Verdict::Ran { .. } | Verdict::GivenUp(_), false) => Exit::Failed,
            };
            exit = worse(exit, seen);
            self.print(outcome, written).map_err(stdout)?;
        }
        let tasks: Vec<TaskId> = outcomes.iter().map(|outcome| outcome.task).collect();
        client.delivered(&tasks).await?;
        Ok(exit)
    }

    fn print(&self, outcome: &Outcome, written: Written) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return writeln!(out, "{}", outcome_json(outcome, written)?);
        }
        written.stdout.pour(&mut out)?;
        out.flush()?;
        let mut err = io::stderr().lock();
        written.stderr.pour(&mut err)?;
        if !outcome.is_done() {
            let site = harmless(&outcome.site);
            writeln!(
                err,
                " {} {}{}{site}",
                outcome.task,
                fate(outcome),
                if site.is_empty() { "" } else { " at " }
            )?;
        }
        Ok(())
    }
}

fn outcome_json(outcome: &Outcome, written: Written) -> io::Result<serde_json::Value> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    written.stdout.pour(&mut stdout)?;
    written.stderr.pour(&mut stderr)?;
    let mut line = json!({
        "schema": "muster.outcome/1",
        "task": outcome.task.0,
        "ok": outcome.is_done(),
        "attempts": outcome.attempts,
        "site": outcome.site,
        "fate": fate(outcome),
        "stdout": String::from_utf8_lossy(&stdout),
        "stderr": String::from_utf8_lossy(&stderr),
    });
    if let Verdict::Ran { ran, .. } = &outcome.verdict {
        line["worker"] = json!(ran.worker);
        line["seconds"] = json!(ran.measured.wall.as_secs_f64());
        line["cpu_seconds"] = json!(ran.measured.cpu.as_secs_f64());
        line["rss_bytes_max"] = json!(ran.measured.rss_bytes_max);
        let outputs = ran.outputs.iter().map(|output| output.name.as_str());
        line["outputs"] = json!(outputs.collect::<Vec<_>>());
    }
    Ok(line)
}

/// What is told of two ends: a failure before a cancellation before success.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Failed, _) | (_, Exit::Failed) => Exit::Failed,
        (Exit::Ok, other) => other,
        (one, _) => one,
    }
}

fn stdout(source: io::Error) -> CliError {
    CliError::file(Path::new("standard output"), source)
}
