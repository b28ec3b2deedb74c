//! `muster bench dispatch`: what the chain costs, beside what this machine can do at all.
//!
//! Tasks go from a client through a master, a foreman and a worker, each a process of its own, with journals and TLS
//! on. Beside them, in the same run, stands the bare limit: the same program started and awaited in a loop on two
//! threads, without any system around it.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::thread;

use clap::Args;
use muster_node::client::Client;
use muster_node::clock::Clock;
use muster_proto::task::{Command, Policy, TaskBody, Template, Words};
use muster_proto::{Resources, TaskId};
use serde::Serialize;

use crate::connect::runtime;
use crate::embedded::{Federation, Plan};
use crate::error::CliError;
use crate::scratch::{Fate, scratch};

/// Options of `bench dispatch`.
#[derive(Args, Debug)]
pub struct DispatchArgs {
    /// How many tasks
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Start no process: measure the scheduling alone
    #[arg(long)]
    null: bool,
    /// The program that each task is
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/bin/true",
        conflicts_with = "null"
    )]
    program: PathBuf,
    /// Worker processes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    workers: u32,
    /// Tasks side by side in each worker [default: the host's cores, shared out]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    cores: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was measured; the contract `muster.bench.dispatch/1`.
#[derive(Debug, Serialize)]
struct Measured {
    schema: &'static str,
    tasks: u32,
    seconds: f64,
    tasks_per_s: f64,
    /// Of the bare loop on two threads; absent when nothing is spawned.
    spawn_limit_per_s: Option<f64>,
    ratio: Option<f64>,
    /// From submit to outcome of one no-op task with nothing else to do, in milliseconds.
    idle_ms: Idle,
    master_rss_bytes: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct Idle {
    median: f64,
    p99: f64,
}

/// How many single tasks tell the latency of an idle chain.
const IDLE_TASKS: usize = 101;
/// Threads of the bare loop.
const BARE_THREADS: u32 = 2;

/// Runs the bench and prints what it measured.
pub fn run(args: &DispatchArgs) -> Result<(), CliError> {
    let measured = runtime()?.block_on(dispatch(args))?;
    print(&measured, args.json);
    Ok(())
}

async fn dispatch(args: &DispatchArgs) -> Result<Measured, CliError> {
    let host =
        thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
    let cores = args
        .cores
        .unwrap_or_else(|| (host / args.workers.max(1)).max(1));
    let clock = Clock::start();
    let spawn_limit_per_s = if args.null {
        None
    } else {
        Some(bare_loop(clock, &args.program, args.tasks.min(4_000))?)
    };
    let scratch = scratch(Fate::Removed)?;
    let plan = Plan {
        sites: 1,
        workers: args.workers,
        cores_per_worker: cores,
        memory_per_worker: None,
        dir: scratch.path().join("federation"),
    };
    let federation = Federation::start(plan).await?;
    let client = federation.client();
    let idle_ms = idle(clock, client).await?;
    let command = if args.null {
        Command::Noop
    } else {
        Command::Exec(words(&args.program)?)
    };
    let (seconds, failed) = burst(clock, client, &template(command), args.tasks).await?;
    let master_rss_bytes = client.status().await?.rss_bytes;
    federation.stop().await;
    let tasks_per_s = f64::from(args.tasks) / seconds;
    Ok(Measured {
        schema: "muster.bench.dispatch/1",
        tasks: args.tasks,
        seconds,
        tasks_per_s,
        spawn_limit_per_s,
        ratio: spawn_limit_per_s.map(|limit| tasks_per_s / limit),
        idle_ms,
        master_rss_bytes,
        failed,
    })
}

fn print(measured: &Measured, json: bool) {
    if json {
        return println!("{}", serde_json::json!(measured));
    }
    let Measured {
        tasks,
        seconds,
        tasks_per_s,
        idle_ms,
        ..
    } = measured;
    println!("{tasks} tasks in {seconds:.2} s: {tasks_per_s:.0} tasks/s");
    if let (Some(limit), Some(ratio)) = (measured.spawn_limit_per_s, measured.ratio) {
        println!("bare loop on two threads: {limit:.0} tasks/s; ratio {ratio:.2}");
    }
    println!(
        "one idle no-op task: median {:.2} ms, p99 {:.2} ms",
        idle_ms.median, idle_ms.p99
    );
    println!(
        "resident in the master: {} MiB",
        measured.master_rss_bytes >> 20
    );
}

/// All tasks at once: seconds from the first submit to the last outcome, and how many failed.
async fn burst(
    clock: Clock,
    client: &Client,
    template: &Template,
    tasks: u32,
) -> Result<(f64, u64), CliError> {
    let before = client.status().await?.tasks.submitted;
    let (first, last) = (TaskId(before + 1), TaskId(before + u64::from(tasks)));
    let mut watching = client.watch(vec![(first, last)]).await?;
    let begun = clock.now();
    let bodies = vec![TaskBody::default(); tasks as usize];
    let submitted = async {
        client
            .submit(template, bodies)
            .await
            .map_err(CliError::from)
    };
    let received = async {
        let (mut left, mut failed) = (u64::from(tasks), 0);
        while left > 0 {
            let Some(outcomes) = watching.next().await? else {
                break;
            };
            failed += outcomes
                .outcomes
                .iter()
                .filter(|outcome| !outcome.is_done())
                .count() as u64;
            left -= outcomes.outcomes.len() as u64;
            let done: Vec<TaskId> = outcomes
                .outcomes
                .iter()
                .map(|outcome| outcome.task)
                .collect();
            client.delivered(&done).await?;
        }
        Ok::<u64, CliError>(failed)
    };
    let (submitted, failed) = tokio::join!(submitted, received);
    submitted?;
    Ok((clock.now().since(begun).as_secs_f64(), failed?))
}

/// One no-op task at a time, on a chain with nothing else to do.
async fn idle(clock: Clock, client: &Client) -> Result<Idle, CliError> {
    let noop = template(Command::Noop);
    let mut times = Vec::with_capacity(IDLE_TASKS);
    for _ in 0..IDLE_TASKS {
        let begun = clock.now();
        burst(clock, client, &noop, 1).await?;
        times.push(clock.now().since(begun).0);
    }
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100] as f64 / 1e3;
    Ok(Idle {
        median: at(50),
        p99: at(99),
    })
}

/// Starts and awaits `program` on two threads with nothing around it; runs per second.
fn bare_loop(clock: Clock, program: &Path, runs: u32) -> Result<f64, CliError> {
    let begun = clock.now();
    let each = runs.div_ceil(BARE_THREADS);
    let spin = || {
        (0..each).try_for_each(|_| {
            let mut process = Process::new(program);
            process
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            process.status().map(|_| ())
        })
    };
    let ended = thread::scope(|scope| {
        let threads: Vec<_> = (0..BARE_THREADS).map(|_| scope.spawn(spin)).collect();
        threads
            .into_iter()
            .all(|thread| matches!(thread.join(), Ok(Ok(()))))
    });
    if !ended {
        return Err(CliError::file(program, io::ErrorKind::NotFound.into()));
    }
    Ok(f64::from(each * BARE_THREADS) / clock.now().since(begun).as_secs_f64())
}

fn words(program: &Path) -> Result<Words, CliError> {
    let absolute = env::current_dir()
        .map(|dir| dir.join(program))
        .unwrap_or_else(|_| program.to_owned());
    let words = absolute.to_str().and_then(|text| Words::new(&[text]).ok());
    words.ok_or_else(|| CliError::file(program, io::ErrorKind::InvalidFilename.into()))
}

fn template(command: Command) -> Template {
    Template {
        command,
        environment: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::cores(1),
        policy: Policy::default(),
        category: "bench".to_owned(),
    }
}
